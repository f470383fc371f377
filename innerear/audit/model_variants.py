"""Variants of a model for the audit: noisy weights, shuffled layers, higher precision.

A variant has a name and a hash of its own, so that its results and cached states are never confused with
those of the original model.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from innerear.models.base import SpeechModel
from innerear.models.decoder import decoder_of
from innerear.models.networks import dtype_name
from innerear.models.site import Site
from innerear.models.weights import tensors_sha256
from innerear.util.errors import InnerearError

Change = Callable[[SpeechModel], None]

MAX_TOKENS = 24
"""Maximum number of tokens that a variant writes: a damaged model often writes up to its limit."""


def variant(model: SpeechModel, name: str, change: Change | None = None) -> SpeechModel:
    """Change a model in place and rename it; its new hash is over the changed weights and the variant's name.

    Raises
    ------
    InnerearError
        If the change modified no weight and no type of numbers.
    """
    parts = {**model.identity.parts, "variant": name}
    if change is not None:
        untouched = _numbers(model)
        change(model)
        if _numbers(model) == untouched:
            raise InnerearError(f"{model.identity.name}: {name} changed no weight")
        parts |= _numbers(model)
    if model.decoder_layers:
        decoder = decoder_of(model)
        limit = min(decoder.max_tokens, MAX_TOKENS)
        decoder.generation = replace(decoder.generation, max_tokens=limit)
    model.identity = replace(model.identity, name=f"{model.identity.name} ({name})", parts=parts)
    return model


def _numbers(model: SpeechModel) -> dict[str, str]:
    """The parts of a model's identity that a change of its weights may change."""
    weights = tensors_sha256(model.network.state_dict())
    return {"weights": weights, "dtype": dtype_name(model.network)}


def noisy(scale: float, seed: int) -> Change:
    """Add Gaussian noise to every weight; its standard deviation is `scale` times that of the tensor."""

    def change(model: SpeechModel) -> None:
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for _, weights in sorted(model.network.named_parameters()):
                if weights.numel() > 1:
                    noise = torch.randn(weights.shape, generator=random)
                    weights.add_(scale * weights.std() * noise.to(weights))

    return change


def shuffled(seed: int) -> Change:
    """Shuffle the encoder's blocks so that none keeps its place.

    Tensors that only some blocks have (WavLM's position bias) keep their place.
    """

    def change(model: SpeechModel) -> None:
        stack = model.places[Site("encoder", 1)].module.rpartition(".")[0]
        layers = model.encoder_layers
        order = _derangement(layers, seed)
        old = {name: weights.clone() for name, weights in model.network.state_dict().items()}
        blocks = [_under(old, f"{stack}.{layer}.") for layer in range(layers)]
        common = set.intersection(*map(set, blocks))
        moved = {f"{stack}.{to}.{name}": blocks[frm][name] for to, frm in enumerate(order) for name in common}
        model.network.load_state_dict(old | moved)

    return change


def in_type(dtype: torch.dtype) -> Change:
    """Compute in another type of numbers; in float64, the weights keep their values."""

    def change(model: SpeechModel) -> None:
        model.network.to(dtype)

    return change


def _under(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _derangement(n: int, seed: int) -> list[int]:
    """A random permutation without fixed points.

    Raises
    ------
    InnerearError
        If there are fewer than two elements.
    """
    if n < 2:
        raise InnerearError("an encoder of one block cannot be shuffled")
    random = torch.Generator().manual_seed(seed)
    while True:
        order: list[int] = torch.randperm(n, generator=random).tolist()
        if all(at != to for at, to in enumerate(order)):
            return order
