"""Multinomial logistic regressions of many layers and many C at once, by L-BFGS.

The preconditioner approximates the Hessian by a Kronecker product, the covariance of the predicted classes ⊗
that of the features, which is diagonal in the two eigenbases; this saves hundreds of passes over the data.
Frames come in parts: sums over all of them are sums over parts, so that a layer need not fit into memory.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from innerear.util.errors import InnerearError
from innerear.util.layers import OnDisk

TOLERANCE = 3e-6
"""Mean log-loss left to gain (nats, by the quadratic model) at which a fit has converged."""

MOST_STEPS = 1000
MEMORY = 10
"""Pairs of steps and gradient changes that L-BFGS keeps."""

REFRESH = 5
"""Steps between updates of the preconditioner."""

FLAT = 0.02
"""Minimum curvature between classes, as a share of the mean: a shift of all classes has none."""


class Parts(Protocol):
    """Frames in parts, [layer, frame, dim] each, which may be read again and again."""

    def __len__(self) -> int:
        """Number of parts."""

    def __iter__(self) -> Iterator[Tensor]:
        """The parts in order."""


@dataclass(frozen=True)
class _Stored:
    """Parts of a single layer on disk."""

    disk: OnDisk
    size: int
    device: torch.device

    @classmethod
    def of(cls, parts: Iterable[Tensor], disk: OnDisk, size: int, device: torch.device) -> "_Stored":
        for part in parts:
            disk.append(part.cpu().numpy())
        return cls(disk, size, device)

    def __len__(self) -> int:
        return -(-self.disk.shape[1] // self.size)

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, self.disk.shape[1], self.size):
            part = torch.from_numpy(np.array(self.disk[0][start : start + self.size]))
            yield part[None].to(self.device)


def minimise(
    read: Callable[[], Iterable[Tensor]],
    labels: Sequence[Tensor],
    classes: int,
    c: Tensor,
    disk: OnDisk | None = None,
) -> tuple[Tensor, int]:
    """Fit every layer for every C of its row of `c`, all at once.

    Parameters
    ----------
    read
        Gives standardised features in parts, [layer, frame, dim] each, whenever it is called.
    labels
        Dense class indices of the frames of each part, [frame].
    c
        [layer, grid].
    disk
        Where the parts of a single layer are kept that memory does not hold.

    Returns
    -------
    weight, steps
        [layer, grid, dim + 1, class], the bias in the last row; steps taken.

    Raises
    ------
    InnerearError
        If a fit does not converge.
    """
    layers, grid = c.shape
    frames = sum(map(len, labels))
    once = list(read()) if len(labels) == 1 else None
    gram = sum(_product(part.mT, part).double() for part in once or read())
    assert isinstance(gram, Tensor)
    dim = gram.shape[-1]
    # L2 is blind to rotation, so the problem may be solved in the eigenbasis of XᵀX
    spread, basis = torch.linalg.eigh(gram / frames)
    turn = basis.float()

    def turned() -> Iterator[Tensor]:
        for part in once or read():
            ones = torch.ones(layers, part.shape[1], 1, device=part.device)
            yield torch.cat([_product(part, turn), ones], dim=2)

    size = len(labels[0])
    x: Parts = list(turned()) if disk is None else _Stored.of(turned(), disk, size, c.device)
    spread = torch.cat([spread.clamp(min=0), torch.ones(layers, 1, device=c.device)], dim=1).float()
    problems = _Problems(x, labels, spread, (1 / (c * frames)).float(), frames, classes)
    start = torch.zeros(layers * grid, dim + 1, classes, device=c.device)
    weight, steps = _lbfgs(problems, start, together=1 if layers == 1 else grid)
    back = [
        torch.cat([one @ own[:, :-1], own[:, -1:]], dim=1)
        for one, own in zip(turn, weight.view(layers, grid, dim + 1, classes), strict=True)
    ]
    return torch.stack(back), steps


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Products of matrices [layer, ., .]; on a CPU, whose cores one of them fills, layer by layer."""
    if a.is_cuda:
        return torch.bmm(a, b)
    made = [one @ other for one, other in zip(a, b, strict=True)]
    return torch.stack(made) if len(made) > 1 else made[0][None]


class _Problems:
    """Regressions side by side, one for each layer and C, of which those that have converged are left out.

    Parameters
    ----------
    x
        Parts [layer, frame, dim], the last column 1.
    labels
        Of each part.
    spread
        Variance of each column, [layer, dim].
    penalty
        Of the mean log-loss, [layer, grid].
    """

    def __init__(
        self, x: Parts, labels: Sequence[Tensor], spread: Tensor, penalty: Tensor, frames: int, classes: int
    ) -> None:
        self._x, self._labels, self._spread = x, labels, spread
        self._frames, self._classes = frames, classes
        self._shrink = penalty.flatten()[:, None, None].repeat(1, spread.shape[1], 1)
        self._shrink[:, -1] = 0.0
        self._layer = torch.arange(len(penalty), device=penalty.device).repeat_interleave(penalty.shape[1])

    def keep(self, left: Tensor) -> None:
        """Go on with some problems, [problem] of truths: any of a single layer, or all of some layers."""
        self._shrink, self._layer = self._shrink[left], self._layer[left]
        if len(kept := self._layer.unique()) < len(self._spread):
            self._spread, self._x = self._spread[kept], [part[kept] for part in self._x]
            self._layer = torch.searchsorted(kept, self._layer)

    def evaluate(self, weight: Tensor, curvature: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """Losses [problem], gradients, and covariances [problem, class, class] of the predicted classes."""
        layers, (_, dim, classes) = len(self._spread), weight.shape
        side = len(weight) // layers
        ridge = self._shrink * weight
        wide = weight.view(layers, side, dim, classes).transpose(1, 2).reshape(layers, dim, -1)
        loss = torch.zeros(len(weight), dtype=torch.float64, device=weight.device)
        slope = torch.zeros((), device=weight.device)
        mean, second = torch.zeros_like(slope), torch.zeros_like(slope)
        for x, labels in zip(self._x, self._labels, strict=True):
            log_probs = _product(x, wide).view(layers, len(labels), side, classes).log_softmax(dim=-1)
            at = labels[:, None, None].expand(layers, -1, side, 1)
            loss -= log_probs.gather(-1, at).double().sum(dim=1).flatten()
            probs = log_probs.exp_()
            if curvature:
                by_problem = probs.transpose(1, 2).reshape(-1, len(labels), classes)
                mean = mean + by_problem.sum(dim=1)
                second = second + by_problem.mT @ by_problem
            error = probs.scatter_add_(-1, at, torch.full_like(at, -1.0, dtype=probs.dtype))
            slope = slope + _product(x.mT, error.view(layers, len(labels), -1))
        gradient = slope.view(layers, dim, side, classes).transpose(1, 2).reshape(-1, dim, classes)
        between = None
        if curvature:
            between = (mean / self._frames).diag_embed() - second / self._frames
        loss = loss / self._frames + (ridge * weight).double().sum(dim=(1, 2)) / 2
        return loss, gradient / self._frames + ridge, between

    def precondition(self, between: Tensor) -> "_Preconditioner":
        """The first Hessian, from the covariances of the predicted classes."""
        curvature, rotation = torch.linalg.eigh(between)
        curvature = torch.maximum(curvature, FLAT * curvature.mean(dim=1, keepdim=True))
        return _Preconditioner(
            rotation, curvature[:, None, :] * self._spread[self._layer][:, :, None] + self._shrink
        )


@dataclass(frozen=True)
class _Preconditioner:
    """An approximate Hessian, diagonal once the classes are rotated.

    Attributes
    ----------
    rotation
        [problem, class, class].
    curvature
        [problem, dim, class].
    """

    rotation: Tensor
    curvature: Tensor

    def solve(self, gradient: Tensor) -> Tensor:
        """The Newton step for a gradient [problem, dim, class]."""
        return (gradient @ self.rotation / self.curvature) @ self.rotation.mT

    def keep(self, problems: Tensor) -> "_Preconditioner":
        return _Preconditioner(self.rotation[problems], self.curvature[problems])


def _lbfgs(problems: _Problems, start: Tensor, together: int) -> tuple[Tensor, int]:
    """Minimise independent convex problems side by side (Nocedal & Wright 2006, algorithm 7.4).

    Parameters
    ----------
    start
        [problem, dim, class].
    together
        How many problems in a row leave only when all of them have converged.
    """
    solution = start.clone()
    active = torch.arange(len(start), device=start.device)
    done = torch.zeros_like(active, dtype=torch.bool)
    weight = start
    loss, gradient, between = problems.evaluate(weight, curvature=True)
    history: list[tuple[Tensor, Tensor, Tensor]] = []
    for step in range(MOST_STEPS):
        if between is not None:
            hessian = problems.precondition(between)
        gain = _dot(gradient, hessian.solve(gradient)) / 2
        now = ~done & (gain <= TOLERANCE)
        solution[active[now]] = weight[now]
        done = done | now
        leaving = done.view(-1, together).all(dim=1).repeat_interleave(together)
        if leaving.all():
            return solution, step
        if leaving.any():
            left = ~leaving
            active, weight, loss, gradient = active[left], weight[left], loss[left], gradient[left]
            done, hessian = done[left], hessian.keep(left)
            history = [(s[left], y[left], rho[left]) for s, y, rho in history]
            problems.keep(left)
        direction = _direction(gradient, history, hessian)
        if done.any():  # they wait for others of their layer
            direction = torch.where(done[:, None, None], 0.0, direction)
        slope = _dot(gradient, direction)
        length = torch.ones_like(slope)
        for _ in range(30):
            moved = weight + length[:, None, None] * direction
            new_loss, new_gradient, between = problems.evaluate(moved, (step + 1) % REFRESH == 0)
            short = new_loss > loss + 1e-4 * length * slope + 1e-7 * loss.abs()
            if not short.any():
                break
            length = torch.where(short, length / 2, length)
        s, y = moved - weight, new_gradient - gradient
        history = [*history[-(MEMORY - 1) :], (s, y, 1 / _dot(s, y).clamp(min=1e-30))]
        weight, loss, gradient = moved, new_loss, new_gradient
    raise InnerearError(
        f"a probe did not converge in {MOST_STEPS} steps ({float(gain[~done].max()):.1e} nats are left to "
        "gain); give the task's grid smaller values of C"
    )


def _direction(
    gradient: Tensor, history: list[tuple[Tensor, Tensor, Tensor]], hessian: _Preconditioner
) -> Tensor:
    """The two-loop recursion, problem by problem."""
    q = gradient
    kept = []
    for s, y, rho in reversed(history):
        alpha = rho * _dot(s, q)
        q = q - alpha[:, None, None] * y
        kept.append(alpha)
    q = hessian.solve(q)
    if history:
        s, y, _ = history[-1]
        q = q * (_dot(s, y) / _dot(y, hessian.solve(y)))[:, None, None]
    for (s, y, rho), alpha in zip(history, reversed(kept), strict=True):
        q = q + (alpha - rho * _dot(y, q))[:, None, None] * s
    return -q


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=(1, 2))
