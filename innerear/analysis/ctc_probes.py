"""Linear CTC probes: the phones of whole utterances, written from every frame of a layer.

A probe gives each frame a distribution over the phones and a blank. Connectionist temporal classification
(Graves et al. 2006, ICML) sums over all alignments of the phones with the frames, so that no times are
needed.
The probe minimises C * sum of negative log-likelihoods + ||W||² / 2 on features standardised by the training
frames, as the probes of `innerear.analysis.probes` do. The objective is not convex, and from zero some layers
end with blanks alone. So the start is flat, as in training hidden Markov models: a classifier for which the
phones of a clip last equally long, each of their frames half a blank. From there C grows, each fit from the
solution for the C before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import ctc_loss
from torch.nn.utils.rnn import pad_sequence

from innerear.util.errors import InputError

BLANK = 0
"""Index of the blank; the phone of class k is k + 1."""
STEPS = 200
"""L-BFGS steps for a value of C, at most."""
CLOSE = 1e-4
"""A fit ends where a step changes the objective by less than this share of it."""


@dataclass(frozen=True)
class Said:
    """The phones of clips whose frames lie side by side.

    Attributes
    ----------
    first
        Index of the first frame of each clip, and behind them the number of all frames, [clip + 1].
    phones
        Class indices of the phones of each clip, in order.
    """

    first: np.ndarray
    phones: tuple[np.ndarray, ...]

    def frames(self, clips: Sequence[int]) -> np.ndarray:
        """Indices of the frames of some clips, one clip after the other."""
        parts = [np.arange(self.first[clip], self.first[clip + 1]) for clip in clips]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def lengths(self, clips: Sequence[int]) -> list[int]:
        """Numbers of frames of some clips."""
        return [int(self.first[clip + 1] - self.first[clip]) for clip in clips]

    def fits(self, clip: int) -> bool:
        """Whether a clip has frames for its phones, and for the blank between two that are equal."""
        own = self.phones[clip]
        return len(own) + int((own[1:] == own[:-1]).sum()) <= self.lengths([clip])[0]


@dataclass(frozen=True)
class CtcProbe:
    """A linear CTC probe of one layer, with the C under which the phones of dev are likeliest.

    Attributes
    ----------
    mean, scale
        Standardisation by the training frames, [dim].
    weight
        [dim + 1, class + 1]: the bias is the last row, the blank the first column.
    c
        The chosen C.
    dev_grid
        Log-likelihood of dev per phone, for every C of the grid, ascending.
    steps
        L-BFGS steps for every C.
    """

    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    c: float
    dev_grid: np.ndarray
    steps: list[int]

    @property
    def dev_score(self) -> float:
        """What dev chooses a layer by: the log-likelihood of its phones, per phone, with the chosen C."""
        return float(self.dev_grid.max())

    def written(self, values: np.ndarray, said: Said, clips: Sequence[int]) -> list[np.ndarray]:
        """Phones of the likeliest path through each of some clips, from features float32 [frame, dim]."""
        made = []
        for clip in clips:
            x = (values[said.frames([clip])] - self.mean) / self.scale
            best = (x @ self.weight[:-1] + self.weight[-1]).argmax(axis=1)
            made.append(np.array([label - 1 for label, _ in groupby(best.tolist()) if label != BLANK], int))
        return made


def fit_ctc(
    values: np.ndarray,
    said: Said,
    train: Sequence[int],
    dev: Sequence[int],
    *,
    classes: int,
    grid: Sequence[float],
    device: str = "cpu",
) -> CtcProbe:
    """Fit a linear CTC probe to the features of one layer.

    On a GPU the loss itself is summed on the CPU, as the order of its sums is not fixed there.

    Parameters
    ----------
    values
        Features, float32 [frame, dim].
    train, dev
        Indices of clips with frames for their phones (`Said.fits`).
    classes
        Number of phones.
    grid
        Values of C.

    Raises
    ------
    InputError
        If features are not finite, or a side is empty.
    """
    if not len(train) or not len(dev):
        raise InputError(f"a CTC probe needs training and dev clips; there are {len(train)} and {len(dev)}")
    learnt = values[said.frames(train)]
    if not np.isfinite(learnt).all():
        raise InputError("the features of a layer are not finite; no probe can be fitted")
    mean, scale = (
        made.astype(np.float32)
        for made in (learnt.mean(axis=0, dtype=float), learnt.std(axis=0, dtype=float))
    )
    scale = np.where(scale > 0, scale, np.float32(1))
    fitted = _Loss((learnt - mean) / scale, said, train, device)
    held = _Loss((values[said.frames(dev)] - mean) / scale, said, dev, device)
    shape = len(mean) + 1, classes + 1
    ascending = sorted(grid)
    weight, _ = _minimised(fitted.evenly, np.zeros(shape), ascending[0], device)
    found, likelihood, steps = [], [], []
    for c in ascending:
        weight, taken = _minimised(fitted, weight, c, device)
        found.append(weight)
        steps.append(taken)
        with torch.no_grad():
            likelihood.append(-held(_tensor(weight, device)).item() / held.phones)
    best = int(np.argmax(likelihood))  # the smaller C of equal ones
    return CtcProbe(mean, scale, found[best].astype(np.float32), ascending[best], np.array(likelihood), steps)


def _minimised(
    loss: Callable[[Tensor], Tensor], weight: np.ndarray, c: float, device: str
) -> tuple[np.ndarray, int]:
    """Weights that minimise C * loss + ||W||² / 2 from a start, and the steps taken."""

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        own = _tensor(flat.reshape(weight.shape), device).requires_grad_()
        total = loss(own)
        total.backward()
        assert own.grad is not None
        slope = c * own.grad.cpu().numpy().astype(np.float64)
        inner = flat.reshape(weight.shape)[:-1]
        slope[:-1] += inner
        return c * total.item() + float(np.square(inner).sum()) / 2, slope.ravel()

    made = minimize(
        objective,
        weight.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": STEPS, "maxfun": 2 * STEPS, "ftol": CLOSE, "gtol": 0.0, "maxcor": 20},
    )
    return made.x.reshape(weight.shape), int(made.nit)


def _tensor(weight: np.ndarray, device: str) -> Tensor:
    return torch.from_numpy(weight.astype(np.float32)).to(device)


class _Loss:
    """Sum over clips of the negative log-likelihood of their phones, as a function of a probe's weights."""

    def __init__(self, x: np.ndarray, said: Said, clips: Sequence[int], device: str) -> None:
        self._x = torch.from_numpy(x).to(device)
        self._lengths = said.lengths(clips)
        self._targets = torch.from_numpy(np.concatenate([said.phones[clip] for clip in clips]) + 1)
        self._counts = torch.tensor([len(said.phones[clip]) for clip in clips])
        spread = [
            said.phones[clip][np.arange(length) * len(said.phones[clip]) // length] + 1
            for clip, length in zip(clips, self._lengths, strict=True)
        ]
        self._spread = torch.from_numpy(np.concatenate(spread)).to(device)
        self.phones = len(self._targets)

    def __call__(self, weight: Tensor) -> Tensor:
        padded = pad_sequence(self._log_probs(weight).cpu().split(self._lengths))  # [frame, clip, class]
        lengths = torch.tensor(self._lengths)
        return ctc_loss(padded, self._targets, lengths, self._counts, blank=BLANK, reduction="sum")

    def evenly(self, weight: Tensor) -> Tensor:
        """Cross-entropy where each phone of a clip has as many frames, each of them half a blank."""
        log_probs = self._log_probs(weight)
        own = log_probs.gather(1, self._spread[:, None]).sum()
        return -(own + log_probs[:, BLANK].sum()) / 2

    def _log_probs(self, weight: Tensor) -> Tensor:
        return (self._x @ weight[:-1] + weight[-1]).log_softmax(dim=-1)
