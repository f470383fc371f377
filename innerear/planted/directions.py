"""Directions of the residual stream that make a decoder write given words, found by gradient ascent."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from innerear.models.decoder import DecoderModel, Decoding
from innerear.models.site import Site
from innerear.planted.base_model import PlantingBase

STEPS = 24
GOOD_ENOUGH = -0.05
"""Mean log-probability above which the ascent stops."""
LENGTH = 0.5
"""Length of what is added during the ascent, in units of the typical norm of the residual stream."""


@dataclass(frozen=True)
class DesiredText:
    """What the decoder should write after a clip and some tokens."""

    audio: np.ndarray
    tokens: tuple[int, ...]
    desired: tuple[int, ...]


def promoting_direction(base: PlantingBase, site: Site, texts: Sequence[DesiredText]) -> Tensor:
    """Unit direction [dim] that raises the probability of the desired tokens when it is added at a site.

    It is added at the positions that predict them. Each step follows the gradient of their mean
    log-probability; the length of what is added stays the same.
    """
    model = base.model
    length = LENGTH * base.residual_norm(site)
    model.network.requires_grad_(False)
    direction = torch.zeros(base.width, device=model.device)
    with ExitStack() as contexts:
        decodings = [  # inference tensors cannot be part of a graph
            contexts.enter_context(model.decoding(base.encode(text.audio).clone(), gradients=True))
            for text in texts
        ]
        for step in range(STEPS):
            added = (length * direction).requires_grad_(True)
            scores = [
                _score(model, site, decoding.restarted(), text, added)
                for text, decoding in zip(texts, decodings, strict=True)
            ]
            score = torch.stack(scores).mean()
            if score > GOOD_ENOUGH:
                break
            (gradient,) = torch.autograd.grad(score, added)
            direction = normalize(direction + normalize(gradient, dim=0) / (1 + step) ** 0.5, dim=0)
    return direction.cpu()


def _score(model: DecoderModel, site: Site, decoding: Decoding, text: DesiredText, added: Tensor) -> Tensor:
    """Mean log-probability of the desired tokens."""
    given = torch.tensor([[*model.prefix, *text.tokens, *text.desired[:-1]]], device=model.device)
    first = model.prefix_length - 1 + len(text.tokens)

    def add(states: Tensor) -> Tensor:
        return torch.cat([states[:, :first], states[:, first:] + added], dim=1)

    with model.hooks({site: add}):
        logits = decoding.step(given)[0, first:].log_softmax(dim=-1)
    return logits[range(len(text.desired)), text.desired].mean()
