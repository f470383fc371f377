"""Linear probes on all layers at once: multinomial logistic regression, and nearest class means.

The logistic probe minimises scikit-learn's objective, C * sum of log-losses + ||W||² / 2 on features
standardised by the training frames, for all C of the grid in one batched L-BFGS. Its preconditioner
approximates the Hessian by a Kronecker product, the covariance of the predicted classes ⊗ that of the
features, which is diagonal in the two eigenbases; this saves hundreds of passes over the data.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from innerear.util.errors import InnerearError, InputError

TOLERANCE = 3e-6
"""Mean log-loss left to gain (nats, by the quadratic model) at which a fit has converged."""

MOST_STEPS = 1000
MEMORY = 10
"""Pairs of steps and gradient changes that L-BFGS keeps."""

REFRESH = 5
"""Steps between updates of the preconditioner."""

FLAT = 0.02
"""Minimum curvature between classes, as a share of the mean: a shift of all classes has none."""


@dataclass(frozen=True)
class LinearProbes:
    """A linear classifier for each layer.

    Attributes
    ----------
    mean, scale
        Standardisation by the training frames, [layer, dim].
    weight, bias
        [layer, dim, class] and [layer, class]; a class absent from training has bias -inf.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def logits(self, values: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Logits of some frames of float32 features [layer, frame, dim], [layer, frame, class]."""
        made = [
            _standardised(values[layer], frames, self.mean[layer], self.scale[layer]) @ self.weight[layer]
            + self.bias[layer]
            for layer in range(len(values))
        ]
        return torch.stack(made).cpu().numpy()

    def predict(self, values: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Classes of some frames of float32 features [layer, frame, dim], as indices [layer, frame]."""
        return np.asarray(self.logits(values, frames).argmax(axis=-1))


@dataclass(frozen=True)
class TunedProbes:
    """Logistic probes with the C that dev chose.

    Attributes
    ----------
    probes
        The chosen classifier of each layer.
    c
        Its C, [layer].
    dev_score
        Its score on dev, [layer].
    dev_grid
        Dev score of every C of the grid, [layer, grid].
    steps
        L-BFGS steps until the last problem converged.
    """

    probes: LinearProbes
    c: np.ndarray
    dev_score: np.ndarray
    dev_grid: np.ndarray
    steps: int


Judge = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Scores [grid] of logits [grid, frame, class] for labels [frame]: the criterion on dev."""


def accuracy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of frames whose highest logit is that of their label, [grid]."""
    return np.asarray((logits.argmax(axis=-1) == labels).mean(axis=1))


def fit_probes(
    values: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    dev: np.ndarray,
    *,
    classes: int,
    grid: Sequence[float] | np.ndarray,
    device: str = "cpu",
    judge: Judge = accuracy,
) -> TunedProbes:
    """Fit a multinomial logistic regression on each layer, with C chosen by dev score (ties: the smaller).

    Parameters
    ----------
    values
        Features, float32 [layer, frame, dim].
    labels
        Class index of each frame, [frame].
    train, dev
        Indices of frames.
    classes
        Number of classes; those absent from training are never predicted.
    grid
        Values of C: one list for all layers, or [layer, 1] to fix the C of each.
    judge
        Computes the dev score.

    Raises
    ------
    InputError
        If features are not finite, or a side is empty or has one class only.
    InnerearError
        If a fit does not converge.
    """
    layers = len(values)
    if not len(train) or not len(dev):
        raise InputError(f"a probe needs training and dev frames; there are {len(train)} and {len(dev)}")
    seen = np.unique(labels[train])
    if len(seen) < 2:
        raise InputError(f"a probe needs two classes in training; there is {len(seen)}")
    c = np.broadcast_to(np.asarray(grid, dtype=np.float64), (layers, np.shape(grid)[-1]))
    c = np.sort(c, axis=1)
    dense = torch.from_numpy(np.searchsorted(seen, labels[train])).to(device)
    fitted, score, most = [], np.empty(c.shape), 0
    for layer in range(layers):
        mean, scale = _moments(values[layer], train, layer)
        x = _standardised(values[layer], train, mean, scale).to(device)
        weight, steps = _minimise(x, dense, len(seen), torch.from_numpy(c[layer]).to(device))
        most = max(most, steps)
        held = _standardised(values[layer], dev, mean, scale).to(device)
        logits = np.full((len(weight), len(dev), classes), -np.inf, dtype=np.float32)
        made = torch.einsum("nd,gdk->gnk", held, weight[:, :-1]) + weight[:, None, -1]
        logits[..., seen] = made.cpu().numpy()
        score[layer] = judge(logits, labels[dev])
        fitted.append((mean, scale, weight.cpu()))
    best = score.argmax(axis=1)
    dim = values.shape[2]
    chosen = LinearProbes(
        mean=torch.stack([mean for mean, _, _ in fitted]),
        scale=torch.stack([scale for _, scale, _ in fitted]),
        weight=torch.zeros(layers, dim, classes),
        bias=torch.full((layers, classes), -torch.inf),
    )
    for layer, (_, _, weight) in enumerate(fitted):
        chosen.weight[layer][:, seen] = weight[best[layer], :-1]
        chosen.bias[layer][seen] = weight[best[layer], -1]
    rows = np.arange(layers)
    return TunedProbes(chosen, c[rows, best], score[rows, best], score, most)


def fit_centroids(values: np.ndarray, labels: np.ndarray, train: np.ndarray, *, classes: int) -> LinearProbes:
    """Difference-of-means classifier: the nearest class mean in the standardised space, as a linear probe."""
    layers, _, dim = values.shape
    weight, bias = torch.zeros(layers, dim, classes), torch.full((layers, classes), -torch.inf)
    moments = [_moments(values[layer], train, layer) for layer in range(layers)]
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(labels[train]).long(), classes).float()
    counts = one_hot.sum(dim=0)
    for layer, (mean, scale) in enumerate(moments):
        means = one_hot.T @ _standardised(values[layer], train, mean, scale) / counts.clamp(min=1)[:, None]
        weight[layer] = means.T
        bias[layer] = torch.where(counts > 0, -means.square().sum(dim=1) / 2, -torch.inf)
    return LinearProbes(
        torch.stack([mean for mean, _ in moments]), torch.stack([scale for _, scale in moments]), weight, bias
    )


def _moments(values: np.ndarray, train: np.ndarray, layer: int) -> tuple[Tensor, Tensor]:
    x = torch.from_numpy(values[train])
    if not torch.isfinite(x).all():
        raise InputError(f"the features of layer {layer} are not finite; no probe can be fitted")
    scale, mean = torch.std_mean(x, dim=0, correction=0)
    return mean, torch.where(scale > 0, scale, 1.0)


def _standardised(values: np.ndarray, frames: np.ndarray, mean: Tensor, scale: Tensor) -> Tensor:
    return (torch.from_numpy(values[frames]) - mean) / scale


def _minimise(x: Tensor, labels: Tensor, classes: int, c: Tensor) -> tuple[Tensor, int]:
    """Fit one layer for every C of `c` at once by L-BFGS.

    Parameters
    ----------
    x
        Standardised features, [frame, dim].
    labels
        Dense class indices, [frame].
    c
        [problem].

    Returns
    -------
    weight, steps
        [problem, dim + 1, class], the bias in the last row; steps taken.
    """
    frames, dim = x.shape
    penalty = (1 / (c * frames)).float()  # of the mean log-loss
    # L2 is blind to rotation, so the problem may be solved in the eigenbasis of XᵀX
    spread, basis = torch.linalg.eigh((x.T @ x).double() / frames)
    x = torch.cat([x @ basis.float(), torch.ones(frames, 1, device=x.device)], dim=1)
    spread = torch.cat([spread.clamp(min=0), torch.ones(1, device=x.device)]).float()
    shrink = penalty[:, None, None].repeat(1, dim + 1, 1)
    shrink[:, -1] = 0.0
    truth = torch.nn.functional.one_hot(labels, classes).float()[:, None]

    def evaluate(weight: Tensor, active: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        problems = len(active)
        ridge = shrink[active] * weight
        wide = weight.permute(1, 0, 2).reshape(dim + 1, -1)
        log_probs = (x @ wide).view(frames, problems, classes).log_softmax(dim=-1)
        loss = -log_probs.gather(-1, labels[:, None, None].expand(-1, problems, 1)).double().mean(dim=0)[:, 0]
        loss = loss + (ridge * weight).double().sum(dim=(1, 2)) / 2
        probs = log_probs.exp_()
        error = (probs - truth).view(frames, -1)
        gradient = (x.T @ error).view(dim + 1, problems, classes).permute(1, 0, 2) / frames
        return loss, gradient + ridge, probs

    def precondition(probs: Tensor, active: Tensor) -> _Preconditioner:
        by_problem = probs.transpose(0, 1)
        between = by_problem.mean(dim=1).diag_embed() - by_problem.mT @ by_problem / frames
        curvature, rotation = torch.linalg.eigh(between)
        curvature = torch.maximum(curvature, FLAT * curvature.mean(dim=1, keepdim=True))
        return _Preconditioner(rotation, curvature[:, None, :] * spread[:, None] + shrink[active])

    weight, steps = _lbfgs(evaluate, precondition, torch.zeros(len(c), dim + 1, classes, device=x.device))
    return torch.cat([basis.float() @ weight[:, :-1], weight[:, -1:]], dim=1), steps


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


def _lbfgs(
    evaluate: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]],
    precondition: Callable[[Tensor, Tensor], _Preconditioner],
    start: Tensor,
) -> tuple[Tensor, int]:
    """Minimise independent convex problems side by side (Nocedal & Wright 2006, algorithm 7.4).

    Parameters
    ----------
    evaluate
        (weight [active, dim, class], which problems [active]) → losses [active], gradients, and class
        probabilities [frame, active, class].
    precondition
        (probabilities, which problems) → the first Hessian.
    start
        [problem, dim, class].
    """
    solution = start.clone()
    active = torch.arange(len(start), device=start.device)
    weight = start
    loss, gradient, probs = evaluate(weight, active)
    history: list[tuple[Tensor, Tensor, Tensor]] = []
    for step in range(MOST_STEPS):
        if step % REFRESH == 0:
            hessian = precondition(probs, active)
        gain = _dot(gradient, hessian.solve(gradient)) / 2
        done = gain <= TOLERANCE
        solution[active[done]] = weight[done]
        if done.all():
            return solution, step
        if done.any():
            left = ~done
            active, weight, loss, gradient = active[left], weight[left], loss[left], gradient[left]
            probs, hessian = probs[:, left], hessian.keep(left)
            history = [(s[left], y[left], rho[left]) for s, y, rho in history]
        direction = _direction(gradient, history, hessian)
        slope = _dot(gradient, direction)
        length = torch.ones_like(slope)
        for _ in range(30):
            moved = weight + length[:, None, None] * direction
            new_loss, new_gradient, probs = evaluate(moved, active)
            short = new_loss > loss + 1e-4 * length * slope + 1e-7 * loss.abs()
            if not short.any():
                break
            length = torch.where(short, length / 2, length)
        s, y = moved - weight, new_gradient - gradient
        history = [*history[-(MEMORY - 1) :], (s, y, 1 / _dot(s, y).clamp(min=1e-30))]
        weight, loss, gradient = moved, new_loss, new_gradient
    raise InnerearError(
        f"a probe did not converge in {MOST_STEPS} steps ({float(gain.max()):.1e} nats are left to gain); "
        "give the task's grid smaller values of C"
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


def best_layer(dev_score: np.ndarray) -> int:
    """The layer with the best dev score; ties go to the first."""
    return int(np.argmax(dev_score))


def emergence(accuracy: np.ndarray, share: float = 0.95) -> int:
    """The first layer whose accuracy is within `share` of the peak's."""
    return int(np.argmax(accuracy >= share * accuracy.max()))


def control_labels(types: np.ndarray, marginal: np.ndarray, seed: int) -> np.ndarray:
    """Control task of Hewitt & Liang (2019, §2): every type gets one random class, wherever it occurs.

    Parameters
    ----------
    types
        The type of each frame, [frame] of strings.
    marginal
        Counts of the real classes, [class]; control classes are drawn in this proportion.
    seed
        Each seed gives a different control task. A type's class depends only on the seed and the type.
    """
    unique, index = np.unique(types, return_inverse=True)
    digests = [sha256(f"{seed}:{name}".encode()).digest()[:8] for name in unique]
    uniform = np.array([int.from_bytes(digest, "big") / 2**64 for digest in digests])
    steps = np.cumsum(marginal) / np.sum(marginal)
    return np.searchsorted(steps, uniform, side="right")[index]
