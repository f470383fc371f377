"""Weight edits: new values for the parameters of one head or of some neurons, and how to undo them.

An edit belongs to a component, so that a planted model can be repaired component by component. The model is
not copied: edits hold while a context is open.
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
    """New values for a part of a parameter.

    Attributes
    ----------
    site
        The component that the parameter belongs to: a head, or an mlp.
    parameter
        Its name in the network.
    part
        Index of the part.
    value
        The new values.
    gain
        Whether they scale with the strength of the planted cause.
    """

    site: Site
    parameter: str
    part: tuple[Any, ...]
    value: Tensor
    gain: bool = False

    def scaled(self, by: float) -> "WeightEdit":
        """The same edit at a strength."""
        return replace(self, value=by * self.value, gain=False) if self.gain else self


@contextmanager
def edited_weights(model: SpeechModel, edits: Sequence[WeightEdit]) -> Iterator[None]:
    """Apply edits to the weights while the context is open."""
    originals = []
    with torch.no_grad():
        for edit in edits:
            weights = model.network.get_parameter(edit.parameter)
            originals.append((weights, edit.part, weights[edit.part].clone()))
            weights[edit.part] = edit.value.to(weights)
    try:
        yield
    finally:
        with torch.no_grad():
            for weights, part, value in reversed(originals):
                weights[part] = value


@dataclass(frozen=True)
class HeadWeights:
    """One attention head: names of the modules that hold its weights, and its channels in them."""

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
        """Output weights: what its channels write into the residual stream, [dim, channel]."""
        weight: Tensor = model.network.get_parameter(f"{self.out}.weight")
        return weight[:, self.channels]

    def rebuilt(
        self, model: SpeechModel, looks: Tensor | None, reads: Tensor, writes: Tensor
    ) -> tuple[WeightEdit, ...]:
        """Edits that replace what the head does.

        Parameters
        ----------
        looks
            Weights of queries and keys, [channel, dim] (the remaining channels are zero); None attends
            uniformly.
        reads
            Weights of values, [channel, dim].
        writes
            Directions in which the values are written, [dim, channel]; the gain scales them.
        """
        rows, named = (self.channels,), f"{self.attention}."
        empty = torch.zeros(self.width, model.network.get_parameter(f"{named}q_proj.weight").shape[1])
        queries = empty if looks is None else _padded(looks, empty)
        edits = [
            WeightEdit(self.site, f"{named}q_proj.weight", rows, queries),
            WeightEdit(self.site, f"{named}k_proj.weight", rows, queries),
            WeightEdit(self.site, f"{named}v_proj.weight", rows, _padded(reads, empty)),
        ]
        known = dict(model.network.named_parameters())
        edits += [
            WeightEdit(self.site, f"{named}{name}.bias", rows, torch.zeros(self.width))
            for name in ("q_proj", "k_proj", "v_proj")
            if f"{named}{name}.bias" in known
        ]
        columns = torch.zeros(len(writes), self.width)
        columns[:, : writes.shape[1]] = writes
        edits.append(
            WeightEdit(self.site, f"{self.out}.weight", (slice(None), self.channels), columns, gain=True)
        )
        return tuple(edits)


@dataclass(frozen=True)
class MlpWeights:
    """The two layers of an MLP; `gated`: half of the first one's output multiplies the activated half."""

    site: Site
    first: str
    second: str
    gated: bool

    @classmethod
    def of(cls, model: SpeechModel, site: Site) -> "MlpWeights":
        """Look an MLP up by its site."""
        module = model.places[site].module
        block = module.removesuffix(".fc2")
        first, second = (model.network.get_submodule(f"{block}.{name}") for name in ("fc1", "fc2"))
        assert isinstance(first, nn.Linear)
        assert isinstance(second, nn.Linear)
        return cls(site, f"{block}.fc1", f"{block}.fc2", first.out_features == 2 * second.in_features)

    def rebuilt(
        self, model: SpeechModel, reads: Tensor, bias: Tensor, writes: Tensor
    ) -> tuple[WeightEdit, ...]:
        """Edits that put new neurons in place of those with the smallest output weights.

        Parameters
        ----------
        reads, bias
            Input weights [neuron, dim] and biases [neuron].
        writes
            Output weights [dim, neuron]; the gain scales them.
        """
        out = model.network.get_parameter(f"{self.second}.weight")
        neurons = out.norm(dim=0).argsort()[: len(reads)]
        gates = neurons + out.shape[1] if self.gated else neurons
        edits = [
            WeightEdit(self.site, f"{self.first}.weight", (gates,), reads),
            WeightEdit(self.site, f"{self.first}.bias", (gates,), bias),
            WeightEdit(self.site, f"{self.second}.weight", (slice(None), neurons), writes, gain=True),
        ]
        if self.gated:  # the half that is multiplied by the activation is constantly 1
            edits += [
                WeightEdit(self.site, f"{self.first}.weight", (neurons,), torch.zeros_like(reads)),
                WeightEdit(self.site, f"{self.first}.bias", (neurons,), torch.ones(len(reads))),
            ]
        return tuple(edits)


def _padded(rows: Tensor, like: Tensor) -> Tensor:
    """Rows followed by zeros, in the shape of `like`."""
    padded = torch.zeros_like(like)
    padded[: len(rows)] = rows
    return padded
