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
from innerear.models.sites import Action, wide
from innerear.util.errors import InnerearError, InputError


class Intervention(BaseModel):
    """What to write at a site, in one row.

    Attributes
    ----------
    site
        Where to write.
    kind
        `zero`; `set` to a named tensor ([dim], or one state for each position: mean and resample ablation,
        white noise); `patch` from another row of the batch; `add` a named direction [dim] (steering); `erase`
        a named subspace, the rows of whose tensor are a mean, what reads each direction, and what each writes
        (`innerear.analysis.erasure.Eraser.packed`).
    source
        Name of the tensor of `set`, `add` and `erase`.
    row
        Row that `patch` copies from: its states at the site as they arrive there, before any write.
    positions
        Frames of the encoder, or positions of the decoder counted from the start of the prefix, so that they
        mean the same in a teacher-forced pass and in generation; tokens before a state of a transducer's
        predictor, steps before one of its joint. None writes everywhere.
    source_positions
        Positions of the other row, one for each of `positions`; None takes the same ones.
    alpha
        Fraction of the way from the old state to the new one; for `add` the factor on the direction.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    site: Site
    kind: Literal["zero", "set", "patch", "add", "erase"]
    source: str | None = None
    row: Annotated[int, Field(ge=0)] | None = None
    positions: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(default=None, min_length=1)
    source_positions: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    alpha: float = 1.0

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.source is not None) != (self.kind in ("set", "add", "erase")):
            raise ValueError(
                f"{self.kind} at {self.site}: `set`, `add` and `erase` need a source, other kinds take none"
            )
        if (self.row is not None) != (self.kind == "patch"):
            raise ValueError(f"{self.kind} at {self.site}: `patch` needs a row, other kinds take none")
        if self.source_positions is not None and (
            self.kind != "patch" or len(self.source_positions) != len(self.positions or ())
        ):
            raise ValueError(
                f"{self.kind} at {self.site}: only `patch` takes source_positions, one for each of positions"
            )
        return self


World = tuple[Intervention, ...]
Tensors = Mapping[str, Tensor]
_Write = tuple[int, int, int, Intervention]
"""Row of the batch, index of the world, index within the world, and the intervention."""


class Worlds:
    """The worlds of a batch, applied by hooks while a model runs.

    Parameters
    ----------
    worlds
        One for each row.
    tensors
        The tensors that interventions name as their source.

    Raises
    ------
    InputError
        If a world names a site, a tensor or a row that does not exist.
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
        if each.row is not None and each.site.stack in ("predictor", "joint"):
            raise InputError(
                f"world {number}: {each.site} cannot be patched from another row: each row of a transducer "
                "goes through tokens and frames at a pace of its own; `set` the states instead"
            )
        if each.row is not None and each.row >= len(self.worlds):
            raise InputError(f"world {number}: there is no row {each.row} to patch {each.site} from")

    @contextmanager
    def applied(
        self,
        stack: StackName,
        rows: Sequence[int],
        offset: int | Sequence[int] = 0,
        skip: Site | None = None,
    ) -> Iterator[None]:
        """Apply the interventions on one stack while the context is open.

        Parameters
        ----------
        rows
            Index of the world that each row of the batch belongs to.
        offset
            Position of the first token or frame of this forward pass, of all rows or of each: with a KV
            cache, the number of cached ones.
        skip
            A site that is left alone, because `write_at` has written there.
        """
        row_of = {number: row for row, number in enumerate(rows)}
        offsets = [offset] * len(rows) if isinstance(offset, int) else offset

        def action(writes: list[_Write]) -> Action:
            return lambda states: self._apply(writes, states, row_of, offsets)

        by_site = self._writes(stack, rows)
        with self.model.hooks({site: action(writes) for site, writes in by_site.items() if site != skip}):
            yield

    def write_at(self, site: Site, states: Tensor, rows: Sequence[int]) -> Tensor:
        """States [row, frame, dim] of an encoder site, with the interventions of these rows applied."""
        row_of = {number: row for row, number in enumerate(rows)}
        return self._apply(self._writes("encoder", rows).get(site, []), states, row_of, [0] * len(rows))

    def _writes(self, stack: StackName, rows: Sequence[int]) -> dict[Site, list[_Write]]:
        """The interventions at each site of a stack."""
        by_site: dict[Site, list[_Write]] = {}
        for row, number in enumerate(rows):
            for count, each in enumerate(self.worlds[number]):
                if each.site.stack == stack:
                    by_site.setdefault(each.site, []).append((row, number, count, each))
        return by_site

    def _apply(
        self, writes: list[_Write], states: Tensor, row_of: Mapping[int, int], offsets: Sequence[int]
    ) -> Tensor:
        written = states.clone()
        for row, number, count, each in writes:
            if self._write(each, states, written, row, row_of, offsets[row]):
                self.fired[number, count] += 1
        return written

    def _write(
        self,
        each: Intervention,
        states: Tensor,
        written: Tensor,
        row: int,
        row_of: Mapping[int, int],
        offset: int,
    ) -> bool:
        """Write one intervention into its row; False if this pass holds none of its positions."""
        length = states.shape[1]
        positions = range(offset, offset + length) if each.positions is None else each.positions
        present = [index for index, position in enumerate(positions) if 0 <= position - offset < length]
        if not present:
            return False
        columns = torch.tensor([positions[index] - offset for index in present], device=states.device)
        old = written[row, columns]
        if each.kind == "add":
            written[row, columns] = old + each.alpha * self._source_states(
                each, old, columns, present, offset
            )
            return True
        if each.kind == "zero":
            new = torch.zeros_like(old)
        elif each.kind == "set":
            new = self._source_states(each, old, columns, present, offset).expand_as(old)
        elif each.kind == "erase":
            new = self._erased(each, old)
        else:
            new = self._donor_states(each, states, columns, present, row_of, offset)
        written[row, columns] = new if each.alpha == 1 else old + each.alpha * (new - old)
        return True

    def _erased(self, each: Intervention, old: Tensor) -> Tensor:
        """States [position, dim] without the named subspace."""
        assert each.source is not None
        states, tensor = wide(old), self.tensors[each.source].to(old.device)
        read, write = tensor[1:].to(states.dtype).chunk(2)
        return (states - (states - tensor[0].to(states.dtype)) @ read.mT @ write).to(old)

    def _source_states(
        self, each: Intervention, old: Tensor, columns: Tensor, present: list[int], offset: int
    ) -> Tensor:
        """The named tensor, [dim], or its states for the positions of this pass, [position, dim]."""
        assert each.source is not None
        tensor = self.tensors[each.source].to(old)
        if tensor.dim() == 1:
            return tensor
        index = columns + offset if each.positions is None else torch.tensor(present, device=columns.device)
        if int(index.max()) >= len(tensor):
            raise InputError(
                f"{each.site}: tensor {each.source!r} has {len(tensor)} states, but position "
                f"{int(index.max())} needs one"
            )
        return tensor[index]

    def _donor_states(
        self,
        each: Intervention,
        states: Tensor,
        columns: Tensor,
        present: list[int],
        row_of: Mapping[int, int],
        offset: int,
    ) -> Tensor:
        """States of the row that a patch copies from."""
        assert each.row is not None
        if each.source_positions is None:
            return states[row_of[each.row], columns]
        source = torch.tensor([each.source_positions[index] - offset for index in present])
        if int(source.min()) < 0 or int(source.max()) >= states.shape[1]:
            raise InputError(
                f"{each.site}: source position {int(source.max()) + offset} is not in the same forward pass "
                "as the position that it is copied to"
            )
        return states[row_of[each.row], source.to(states.device)]

    def check(self, stack: StackName) -> None:
        """Raise if an intervention on this stack never acted.

        Raises
        ------
        InnerearError
            Naming the first such intervention.
        """
        for number, world in enumerate(self.worlds):
            for count, each in enumerate(world):
                if each.site.stack == stack and not self.fired[number, count]:
                    raise InnerearError(
                        f"world {number}: {each.kind} at {each.site} never acted; its positions "
                        f"{each.positions} are not in the run"
                    )
