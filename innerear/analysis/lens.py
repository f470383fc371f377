"""Lenses: what the unembedding of the last layer predicts from the states of an earlier one.

The logit lens (nostalgebraist 2020) applies the final norm and the unembedding as they are; the tuned lens
(Belrose et al. 2023, arXiv 2303.08112) puts an affine map of each layer in front, trained to predict what
the last layer predicts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from innerear.models.base import SpeechModel
from innerear.models.decoder import decoder_of
from innerear.util.errors import InnerearError

NEVER = -1e9
"""Logit of a token that greedy decoding never writes: probability exactly 0, and differences are finite."""

BATCH = 64
"""Tokens per training step of the tuned lens, and per chunk of its evaluation."""

RATE = 1e-3
"""Adam's step size, in standard deviations of the last layer's states."""


class Unembedding:
    """A model's final norm and unembedding, over the tokens that greedy decoding may write."""

    def __init__(self, model: SpeechModel) -> None:
        self._model = decoder_of(model)
        self._bars: Tensor | None = None

    def __call__(self, states: Tensor, first: Tensor) -> Tensor:
        """Log-probabilities [token, vocabulary] from states [token, dim]; `first` marks first tokens."""
        logits = self._model.unembed(states)
        if self._bars is None:
            self._bars = torch.zeros(2, logits.shape[-1], device=logits.device)
            for at, row in enumerate(self._bars):
                row[self._model.suppressed_tokens(bool(at))] = NEVER
        return (logits + self._bars[first.long()]).log_softmax(dim=-1)


@dataclass(frozen=True)
class LensOutput:
    """What a lens predicts for each token at each layer, arrays [site, token].

    Attributes
    ----------
    top
        The most probable token.
    rank
        How many tokens are more probable than the last layer's top-1; 0 where the two agree.
    kl
        Kullback-Leibler divergence of the layer's distribution from the last layer's (nats).
    """

    top: np.ndarray
    rank: np.ndarray
    kl: np.ndarray

    @classmethod
    def joined(cls, parts: list["LensOutput"]) -> "LensOutput":
        """Tokens of several clips side by side."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts], axis=1)
                for name in ("top", "rank", "kl")
            )
        )


def apply_lens(
    states: Tensor, head: Unembedding, first: Tensor, through: "list[Translator] | None" = None
) -> LensOutput:
    """Apply a lens to states [site, token, dim]; `through` has translators of all sites but the last."""
    with torch.inference_mode():
        last = head(states[-1], first)
        final = last.argmax(dim=-1)
        top, rank, kl = [], [], []
        for site, own in enumerate(states):
            log_probs = head(through[site](own) if through and site < len(through) else own, first)
            top.append(log_probs.argmax(dim=-1))
            rank.append((log_probs > log_probs.gather(-1, final[:, None])).sum(dim=-1))
            kl.append(divergence(last, log_probs))
        return LensOutput(*(torch.stack(part).cpu().numpy() for part in (top, rank, kl)))


def lens_map(model: SpeechModel, item: str, pieces: Sequence[str], seen: LensOutput) -> list[dict[str, Any]]:
    """A clip's tokens by layer, as rows: `item`, `token`, `layer`, `top` (a piece), `rank` and `kl`."""
    return [
        {
            "item": item,
            "token": piece,
            "layer": layer,
            "top": model.pieces([int(seen.top[layer, at])])[0],
            "rank": int(seen.rank[layer, at]),
            "kl": float(seen.kl[layer, at]),
        }
        for at, piece in enumerate(pieces)
        for layer in range(len(seen.top))
    ]


def divergence(last: Tensor, log_probs: Tensor) -> Tensor:
    """KL(last ‖ other) of log-probabilities [token, vocabulary], in nats, [token]."""
    return (last.exp() * (last - log_probs)).sum(dim=-1)


def saturation(top: np.ndarray) -> np.ndarray:
    """First layer from which the most probable token stays the last layer's, [token].

    Parameters
    ----------
    top
        The most probable token at each layer, [site, token].
    """
    same = top == top[-1]
    stays = np.flip(np.logical_and.accumulate(np.flip(same, axis=0), axis=0), axis=0)
    return np.asarray(stays.argmax(axis=0))


@dataclass
class Translator:
    """An affine map of one layer's states towards the last layer's: h + (standardised h · W + b) · scale."""

    mean: Tensor
    spread: Tensor
    weight: Tensor
    bias: Tensor
    scale: Tensor

    def __call__(self, states: Tensor) -> Tensor:
        """Map states [..., dim]."""
        return states + ((states - self.mean) / self.spread @ self.weight + self.bias) * self.scale


@dataclass(frozen=True)
class Tuned:
    """A translator, and its mean KL on dev (nats) at every check; the best was kept."""

    translator: Translator
    dev_kl: list[float]


def tune(
    states: Tensor,
    last: Tensor,
    first: Tensor,
    head: Unembedding,
    train: np.ndarray,
    dev: np.ndarray,
    *,
    ridge: float,
    steps: int,
    checks: int,
    seed: int,
) -> Tuned:
    """Learn the translator of one layer.

    It is initialised by a ridge regression of the last layer's states on this layer's, then trained by Adam
    on the mean KL, in batches of `BATCH` tokens. Of the initial state and `checks` checkpoints, the best on
    dev is kept.

    Parameters
    ----------
    states, last
        Of this layer and of the last, [token, dim].
    first
        Which tokens are the first of their clip, [token].
    train, dev
        Indices of tokens.
    ridge
        L2 strength of the initial regression.
    """
    states, last = states.clone(), last.clone()  # they may be inference tensors
    made = _regression(states[train], last[train], ridge)
    order = torch.Generator().manual_seed(seed)
    with torch.inference_mode(False), torch.enable_grad():
        made.weight.requires_grad_()
        made.bias.requires_grad_()
        optimiser = torch.optim.Adam([made.weight, made.bias], lr=RATE)
        kls = [_mean_kl(made, states[dev], last[dev], first[dev], head)]
        best = made.weight.detach().clone(), made.bias.detach().clone()
        for step in range(1, steps + 1):
            batch = torch.from_numpy(train)[torch.randperm(len(train), generator=order)[:BATCH]]
            with torch.no_grad():
                truth = head(last[batch], first[batch])
            loss = divergence(truth, head(made(states[batch]), first[batch])).mean()
            # the head is frozen: no gradients of its weights are computed
            gradients = torch.autograd.grad(loss, [made.weight, made.bias])
            made.weight.grad, made.bias.grad = gradients
            optimiser.step()
            if step % max(1, steps // checks) == 0:
                kls.append(_mean_kl(made, states[dev], last[dev], first[dev], head))
                if kls[-1] == min(kls):
                    best = made.weight.detach().clone(), made.bias.detach().clone()
    if not np.isfinite(kls).all():
        raise InnerearError("the tuned lens did not converge: its KL on dev is not finite")
    made.weight, made.bias = best
    return Tuned(made, kls)


def _regression(states: Tensor, last: Tensor, ridge: float) -> Translator:
    spread, mean = torch.std_mean(states, dim=0)
    spread = torch.where(spread > 0, spread, 1.0)
    scale = last.std(dim=0)
    scale = torch.where(scale > 0, scale, 1.0)
    x, y = ((states - mean) / spread).double(), ((last - states) / scale).double()
    gram = x.T @ x + ridge * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    weight = torch.linalg.solve(gram, x.T @ (y - y.mean(dim=0)))
    return Translator(mean, spread, weight.float(), y.mean(dim=0).float(), scale)


def _mean_kl(translator: Translator, states: Tensor, last: Tensor, first: Tensor, head: Unembedding) -> float:
    with torch.no_grad():
        parts = [
            divergence(head(b, at), head(translator(a), at)).sum()
            for a, b, at in zip(states.split(BATCH), last.split(BATCH), first.split(BATCH), strict=True)
        ]
    return float(torch.stack(parts).sum() / len(states))
