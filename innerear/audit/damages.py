"""Kinds of damage for measuring sensitivity, each in several degrees: weights are changed in place."""

from collections.abc import Mapping

import torch
from torch import Tensor

from innerear.audit.model_variants import Change, noisy
from innerear.models.base import SpeechModel
from innerear.models.site import Site
from innerear.util.errors import InnerearError

REMOVED = "removed block"
"""The kind of damage whose degrees are the numbers of single blocks: a higher one is no more damage."""


def pruned(share: float, seed: int) -> Change:
    """Take away a share of all attention heads, at least one: what they write is multiplied by zeros."""

    def change(model: SpeechModel) -> None:
        heads = sorted((str(site), place) for site, place in model.places.items() if place.head is not None)
        if not heads:
            raise InnerearError(f"{model.identity.name} has no heads to prune")
        random = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(heads), generator=random)[: max(1, round(share * len(heads)))].tolist()
        with torch.no_grad():
            for _, place in (heads[at] for at in chosen):
                weight = model.network.get_submodule(place.module).weight
                assert isinstance(weight, Tensor)
                assert place.head is not None
                size = weight.shape[1] // place.heads
                weight[:, place.head * size : (place.head + 1) * size] = 0

    return change


def rounded(bits: int) -> Change:
    """Quantise each row of every matrix to 2 ** bits - 1 levels, symmetric about zero."""

    def change(model: SpeechModel) -> None:
        most = 2 ** (bits - 1) - 1
        with torch.no_grad():
            for weights in model.network.parameters():
                if weights.dim() > 1:
                    rows = weights.flatten(1)
                    step = rows.abs().amax(1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny) / most
                    weights.copy_(((rows / step).round() * step).view_as(weights))

    return change


def swapped(pairs: int) -> Change:
    """Exchange neighbouring blocks of the encoder, the last two first, then the two before."""

    def change(model: SpeechModel) -> None:
        layers = model.encoder_layers
        if 2 * pairs > layers:
            raise InnerearError(f"an encoder of {layers} blocks has no {pairs} pairs to exchange")
        state = model.network.state_dict()
        for last in range(layers, layers - 2 * pairs, -2):
            one, other = (_block(model, layer) for layer in (last - 1, last))
            names = [name.removeprefix(f"{one}.") for name in state if name.startswith(f"{one}.")]
            for name in (name for name in names if f"{other}.{name}" in state):  # some are in one block only
                mine, its = state[f"{one}.{name}"], state[f"{other}.{name}"]
                kept = mine.clone()
                mine.copy_(its)
                its.copy_(kept)

    return change


def emptied(layer: int) -> Change:
    """Take away a block of the encoder: with all parameters at zero, a pre-norm block passes its input on.

    Raises
    ------
    InnerearError
        If the encoder has fewer blocks.
    """

    def change(model: SpeechModel) -> None:
        if layer > model.encoder_layers:
            raise InnerearError(f"an encoder of {model.encoder_layers} blocks has no block {layer}")
        with torch.no_grad():
            for weights in model.network.get_submodule(_block(model, layer)).parameters():
                weights.zero_()

    return change


def damages(layers: int) -> Mapping[str, Mapping[float, Change]]:
    """Changes by kind and degree, for an encoder of so many blocks.

    Degrees are the relative standard deviation of the noise, the share of pruned heads, the bits that are
    left, the pairs of blocks exchanged, and the block taken away.
    """
    removed = sorted({1 + layers // 4, 1 + layers // 2, layers})
    return {
        "weight noise": {scale: noisy(scale, seed=0) for scale in (0.01, 0.02, 0.03, 0.045, 0.06, 0.09)},
        "pruned heads": {share: pruned(share, seed=0) for share in (0.05, 0.1, 0.2, 0.3)},
        "fewer bits": {float(bits): rounded(bits) for bits in (6, 5, 4, 3)},
        "swapped blocks": {float(pairs): swapped(pairs) for pairs in range(1, layers // 2 + 1)},
        REMOVED: {float(layer): emptied(layer) for layer in removed},
    }


def _block(model: SpeechModel, layer: int) -> str:
    return model.places[Site("encoder", layer)].module
