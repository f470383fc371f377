"""Weight surgery: the parameters of one head or of some neurons, new values for them, and their repair.

An edit belongs to a component, so that a planted model is repaired component by component. Nothing is copied:
edits hold while a context is open.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from innerear.models.base import SpeechModel
from innerear.models.site import Site
from innerear.util.errors import InputError


@dataclass(frozen=True)
class WeightEdit:
    """New values of a part of a parameter.

    Attributes
    ----------
    site
        The component that the parameter belongs to: a head, or an mlp.
    parameter
        Its name in the network.
    part
        Index of the part.
    value
        What is written there.
    gain
        Whether the strength of the cause scales it.
    """

    site: Site
    parameter: str
    part: tuple[Any, ...]
    value: Tensor
    gain: bool = False

    def scaled(self, by: float) -> "WeightEdit":
        """The same at a strength."""
        return replace(self, value=by * self.value, gain=False) if self.gain else self


@contextmanager
def edited_weights(model: SpeechModel, edits: Sequence[WeightEdit]) -> Iterator[None]:
    """Write edits into the weights while the context is open."""
    kept = []
    with torch.no_grad():
        for edit in edits:
            weights = model.network.get_parameter(edit.parameter)
            kept.append((weights, edit.part, weights[edit.part].clone()))
            weights[edit.part] = edit.value.to(weights)
    try:
        yield
    finally:
        with torch.no_grad():
            for weights, part, value in reversed(kept):
                weights[part] = value


@dataclass(frozen=True)
class HeadWeights:
    """One head of an attention: the modules that make it, and its channels in them."""

    site: Site
    attention: str
    out: str
    channels: slice

    @classmethod
    def of(cls, model: SpeechModel, site: Site) -> "HeadWeights":
        """Look a head up.

        Raises
        ------
        InputError
            If the site is no head.
        """
        place = model.places[site]
        if place.head is None:
            raise InputError(f"{site} is not a head")
        out = model.network.get_submodule(place.module)
        assert isinstance(out, nn.Linear)
        width = out.in_features // place.heads
        return cls(
            site,
            place.module.rpartition(".")[0],
            place.module,
            slice(place.head * width, (place.head + 1) * width),
        )

    @property
    def width(self) -> int:
        """Channels of the head."""
        return int(self.channels.stop - self.channels.start)

    def writes(self, model: SpeechModel) -> Tensor:
        """What its channels write into the residual stream, [dim, channel]."""
        return model.network.get_parameter(f"{self.out}.weight")[:, self.channels]

    def rebuilt(
        self, model: SpeechModel, looks: Tensor | None, reads: Tensor, writes: Tensor
    ) -> tuple[WeightEdit, ...]:
        """Edits that make it another head.

        Parameters
        ----------
        looks
            Queries and keys, [channel, dim] (channels that are left are zero); None looks everywhere alike.
        reads
            Values, [channel, dim].
        writes
            Directions that they are written in, [dim, channel]; scaled by the gain.
        """
        rows, named = (self.channels,), f"{self.attention}."
        some = torch.zeros(self.width, model.network.get_parameter(f"{named}q_proj.weight").shape[1])
        queries = some if looks is None else _padded(looks, some)
        found = [
            WeightEdit(self.site, f"{named}q_proj.weight", rows, queries),
            WeightEdit(self.site, f"{named}k_proj.weight", rows, queries),
            WeightEdit(self.site, f"{named}v_proj.weight", rows, _padded(reads, some)),
        ]
        known = dict(model.network.named_parameters())
        found += [
            WeightEdit(self.site, f"{named}{name}.bias", rows, torch.zeros(self.width))
            for name in ("q_proj", "k_proj", "v_proj")
            if f"{named}{name}.bias" in known
        ]
        columns = torch.zeros(len(writes), self.width)
        columns[:, : writes.shape[1]] = writes
        found.append(
            WeightEdit(self.site, f"{self.out}.weight", (slice(None), self.channels), columns, gain=True)
        )
        return tuple(found)


@dataclass(frozen=True)
class MlpWeights:
    """The two layers of an mlp; `gated` ones multiply half of the first by an activation of the other."""

    site: Site
    first: str
    second: str
    gated: bool

    @classmethod
    def of(cls, model: SpeechModel, site: Site) -> "MlpWeights":
        """Look an mlp up by its site."""
        module = model.places[site].module
        block = module.removesuffix(".fc2")
        first, second = (model.network.get_submodule(f"{block}.{name}") for name in ("fc1", "fc2"))
        assert isinstance(first, nn.Linear)
        assert isinstance(second, nn.Linear)
        return cls(site, f"{block}.fc1", f"{block}.fc2", first.out_features == 2 * second.in_features)

    def rebuilt(
        self, model: SpeechModel, reads: Tensor, bias: Tensor, writes: Tensor
    ) -> tuple[WeightEdit, ...]:
        """Edits that put neurons in place of those that write least.

        Parameters
        ----------
        reads, bias
            [neuron, dim], [neuron]: what the activation is taken of.
        writes
            [dim, neuron]; scaled by the gain.
        """
        out = model.network.get_parameter(f"{self.second}.weight")
        neurons = out.norm(dim=0).argsort()[: len(reads)]
        gates = neurons + out.shape[1] if self.gated else neurons
        found = [
            WeightEdit(self.site, f"{self.first}.weight", (gates,), reads),
            WeightEdit(self.site, f"{self.first}.bias", (gates,), bias),
            WeightEdit(self.site, f"{self.second}.weight", (slice(None), neurons), writes, gain=True),
        ]
        if self.gated:  # what is gated is one
            found += [
                WeightEdit(self.site, f"{self.first}.weight", (neurons,), torch.zeros_like(reads)),
                WeightEdit(self.site, f"{self.first}.bias", (neurons,), torch.ones(len(reads))),
            ]
        return tuple(found)


def _padded(rows: Tensor, like: Tensor) -> Tensor:
    made = torch.zeros_like(like)
    made[: len(rows)] = rows
    return made
