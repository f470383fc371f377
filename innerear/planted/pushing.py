"""Directions of the residual stream that make a decoder write given words: found by gradient ascent."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from innerear.models.encoder_decoder import Decoding, EncoderDecoder
from innerear.models.site import Site
from innerear.planted.material import Material

STEPS = 24
ENOUGH = -0.05
"""Mean log-probability at which the ascent stops."""
NORM = 0.5
"""Length at which directions are sought, in typical norms of the residual stream."""


@dataclass(frozen=True)
class Wish:
    """After a clip and tokens, the next tokens should be these."""

    audio: np.ndarray
    tokens: tuple[int, ...]
    wanted: tuple[int, ...]


def pushing(material: Material, site: Site, wishes: Sequence[Wish]) -> Tensor:
    """Unit direction [dim] that, added at a site where each wanted token is written, makes it likely.

    Steps along the gradient of the mean log-probability of the wanted tokens, at a fixed length.
    """
    model = material.model
    length = NORM * material.scale(site)
    model.network.requires_grad_(False)
    direction = torch.zeros(material.width, device=model.device)
    with ExitStack() as kept:
        heard = [  # inference tensors cannot be part of a graph
            kept.enter_context(model.decoding(material.encode(wish.audio).clone(), slopes=True))
            for wish in wishes
        ]
        for at in range(STEPS):
            added = (length * direction).requires_grad_(True)
            scores = [
                _score(model, site, decoding.anew(), wish, added)
                for wish, decoding in zip(wishes, heard, strict=True)
            ]
            score = torch.stack(scores).mean()
            if score > ENOUGH:
                break
            (slope,) = torch.autograd.grad(score, added)
            direction = normalize(direction + normalize(slope, dim=0) / (1 + at) ** 0.5, dim=0)
    return direction.cpu()


def _score(model: EncoderDecoder, site: Site, decoding: Decoding, wish: Wish, added: Tensor) -> Tensor:
    """Mean log-probability of the wanted tokens."""
    given = torch.tensor([[*model.prefix, *wish.tokens, *wish.wanted[:-1]]], device=model.device)
    first = model.prefix_length - 1 + len(wish.tokens)

    def add(states: Tensor) -> Tensor:
        return torch.cat([states[:, :first], states[:, first:] + added], dim=1)

    with model.hooks({site: add}):
        logits = decoding.step(given)[0, first:].log_softmax(dim=-1)
    return logits[range(len(wish.wanted)), wish.wanted].mean()
