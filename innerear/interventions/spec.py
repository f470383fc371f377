"""Interventions: values that say what to write at which site, many different ones in one batch.

A *world* is a tuple of interventions on one run of the model; each row of a batch is a world of its own. Rows
may take their states from other rows of the batch (patching), so nothing is cached and all rows share their
numerics. Every intervention counts its firings; one that never acted is an error.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from innerear.models.base import SpeechModel
from innerear.models.site import Site, StackName
from innerear.models.sites import Action
from innerear.util.errors import InnerearError, InputError


class Intervention(BaseModel):
    """What to write at a site, in one row.

    Attributes
    ----------
    site
        Where.
    kind
        `zero`; `set` to a named tensor ([dim], or one state for each position: mean and resample ablation,
        white noise); `patch` from another row of the batch; `add` a named direction [dim] (steering).
    source
        Name of the tensor of `set` and `add`.
    row
        Row that `patch` copies from: its states at the site as they arrive there, before any write.
    positions
        Frames of the encoder, or positions of the decoder counted from the start of the prefix, so that they
        mean the same in a led pass and in generation; None writes everywhere.
    source_positions
        Positions of the other row, one for each of `positions`; None takes the same ones.
    alpha
        How far to go from the state towards what is written; for `add` the length of the step.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    site: Site
    kind: Literal["zero", "set", "patch", "add"]
    source: str | None = None
    row: Annotated[int, Field(ge=0)] | None = None
    positions: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(default=None, min_length=1)
    source_positions: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    alpha: float = 1.0

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.source is not None) != (self.kind in ("set", "add")):
            raise ValueError(f"{self.kind} at {self.site}: a source belongs to set and add, and only to them")
        if (self.row is not None) != (self.kind == "patch"):
            raise ValueError(f"{self.kind} at {self.site}: a row belongs to patch, and only to it")
        if self.source_positions is not None and (
            self.kind != "patch" or len(self.source_positions) != len(self.positions or ())
        ):
            raise ValueError(
                f"{self.kind} at {self.site}: source_positions belong to patch, one for each of positions"
            )
        return self


World = tuple[Intervention, ...]
Tensors = Mapping[str, Tensor]
_Todo = tuple[int, int, int, Intervention]
"""Row of the batch, world, number in the world, and what it writes."""


class Worlds:
    """Worlds of a batch, ready to be written while a model runs.

    Parameters
    ----------
    worlds
        One for each row.
    tensors
        What the interventions name as sources.

    Raises
    ------
    InputError
        If a world names a site, a tensor or a row that is not there.
    """

    def __init__(self, model: SpeechModel, worlds: Sequence[World], tensors: Tensors | None = None) -> None:
        self.model = model
        self.worlds = worlds
        self.tensors = {name: tensor.to(model.device) for name, tensor in (tensors or {}).items()}
        self.fired: Counter[tuple[int, int]] = Counter()
        for number, world in enumerate(worlds):
            for each in world:
                self._check(number, each)

    def _check(self, number: int, each: Intervention) -> None:
        if each.site not in self.model.places:
            raise InputError(f"world {number}: {self.model.identity.name} has no site {each.site!r}")
        if each.source is not None and each.source not in self.tensors:
            raise InputError(f"world {number}: no tensor {each.source!r} was given for {each.site}")
        if each.row is not None and each.row >= len(self.worlds):
            raise InputError(f"world {number}: there is no row {each.row} to patch {each.site} from")

    @contextmanager
    def written(
        self, stack: StackName, rows: Sequence[int], offset: int = 0, done: Site | None = None
    ) -> Iterator[None]:
        """Write at the sites of one stack while the context is open.

        Parameters
        ----------
        rows
            World of each row of the batch.
        offset
            Position of the first token or frame that comes by (with a KV cache: what is cached).
        done
            A site that is not written: `write_at` did.
        """
        place = {number: at for at, number in enumerate(rows)}

        def action(todo: list[_Todo]) -> Action:
            return lambda states: self._act(todo, states, place, offset)

        todo = self._todo(stack, rows)
        with self.model.hooks({site: action(todo[site]) for site in todo if site != done}):
            yield

    def write_at(self, site: Site, states: Tensor, rows: Sequence[int]) -> Tensor:
        """States [row, frame, dim] of an encoder site after what these rows write there."""
        place = {number: at for at, number in enumerate(rows)}
        return self._act(self._todo("encoder", rows).get(site, []), states, place, 0)

    def _todo(self, stack: StackName, rows: Sequence[int]) -> dict[Site, list[_Todo]]:
        """What is written at each site of a stack."""
        mine: dict[Site, list[_Todo]] = {}
        for at, number in enumerate(rows):
            for count, each in enumerate(self.worlds[number]):
                if each.site.stack == stack:
                    mine.setdefault(each.site, []).append((at, number, count, each))
        return mine

    def _act(self, todo: list[_Todo], states: Tensor, place: Mapping[int, int], offset: int) -> Tensor:
        written = states.clone()
        for at, number, count, each in todo:
            if self._write(each, states, written, at, place, offset):
                self.fired[number, count] += 1
        return written

    def _write(
        self,
        each: Intervention,
        states: Tensor,
        written: Tensor,
        at: int,
        place: Mapping[int, int],
        offset: int,
    ) -> bool:
        """Write one intervention into its row; whether any of its positions came by."""
        length = states.shape[1]
        which = range(offset, offset + length) if each.positions is None else each.positions
        here = [index for index, position in enumerate(which) if 0 <= position - offset < length]
        if not here:
            return False
        own = torch.tensor([which[index] - offset for index in here], device=states.device)
        old = written[at, own]
        if each.kind == "add":
            written[at, own] = old + each.alpha * self._named(each, own, here, offset)
            return True
        if each.kind == "zero":
            new = torch.zeros_like(old)
        elif each.kind == "set":
            new = self._named(each, own, here, offset).expand_as(old)
        else:
            new = self._other(each, states, own, here, place, offset)
        written[at, own] = new if each.alpha == 1 else old + each.alpha * (new - old)
        return True

    def _named(self, each: Intervention, own: Tensor, here: list[int], offset: int) -> Tensor:
        """A named tensor at the positions that came by: [dim], or [position, dim]."""
        assert each.source is not None
        tensor = self.tensors[each.source]
        if tensor.dim() == 1:
            return tensor
        index = own + offset if each.positions is None else torch.tensor(here, device=own.device)
        if int(index.max()) >= len(tensor):
            raise InputError(
                f"{each.site}: tensor {each.source!r} has {len(tensor)} states, but position "
                f"{int(index.max())} is asked for"
            )
        return tensor[index]

    def _other(
        self,
        each: Intervention,
        states: Tensor,
        own: Tensor,
        here: list[int],
        place: Mapping[int, int],
        offset: int,
    ) -> Tensor:
        """States of another row."""
        assert each.row is not None
        if each.source_positions is None:
            return states[place[each.row], own]
        from_there = torch.tensor([each.source_positions[index] - offset for index in here])
        if int(from_there.min()) < 0 or int(from_there.max()) >= states.shape[1]:
            raise InputError(
                f"{each.site}: source position {int(from_there.max()) + offset} does not come by when "
                "the position that it is written to does"
            )
        return states[place[each.row], from_there.to(states.device)]

    def check(self, stack: StackName) -> None:
        """Refuse worlds of which an intervention never acted.

        Raises
        ------
        InnerearError
            Naming the first one.
        """
        for number, world in enumerate(self.worlds):
            for count, each in enumerate(world):
                if each.site.stack == stack and not self.fired[number, count]:
                    raise InnerearError(
                        f"world {number}: {each.kind} at {each.site} never acted; its positions "
                        f"{each.positions} did not come by"
                    )
