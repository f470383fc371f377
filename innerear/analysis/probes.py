"""Linear probes on all layers at once: multinomial logistic regression, and nearest class means.

The logistic probe minimises scikit-learn's objective, C * sum of log-losses + ||W||² / 2 on features
standardised by the training frames, for all C of the grid at once (`innerear.analysis.logistic`): layer by
layer on a CPU, on a GPU as many layers together as its memory holds. What it does not hold of a single
layer is read from disk at each step.

More than `PART` frames are read in parts, so that memory does not grow with them. Sums are then sums over
parts, whether or not the features would have fitted into memory: numbers depend on nothing but the data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from scipy.special import log_softmax
from torch import Tensor

from innerear.analysis.logistic import minimise
from innerear.util.errors import InputError
from innerear.util.layers import Layers, room_beside

PART = 2560
"""Frames that are read at once: all that a published probe of phones learns from. A change of it changes the
last bits of probes on more frames than that."""


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

    def answers(self, values: Layers, frames: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Logits of some frames of float32 features [layer, frame, dim], in parts.

        Yields
        ------
        layer, frames, logits
            The last are [frame, class].
        """
        for layer in range(len(values)):
            for part in _parts(frames):
                x = _standardised(values[layer], part, self.mean[layer], self.scale[layer])
                yield layer, part, (x @ self.weight[layer] + self.bias[layer]).cpu().numpy()

    def logits(self, values: Layers, frames: np.ndarray) -> np.ndarray:
        """Logits of some frames of float32 features [layer, frame, dim], [layer, frame, class]."""
        made = [logits for _, _, logits in self.answers(values, frames)]
        return np.concatenate(made).reshape(len(values), len(frames), -1)

    def predict(self, values: Layers, frames: np.ndarray) -> np.ndarray:
        """Classes of some frames of float32 features [layer, frame, dim], as indices [layer, frame]."""
        made = [logits.argmax(axis=-1) for _, _, logits in self.answers(values, frames)]
        return np.concatenate(made).reshape(len(values), -1)


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
        What dev chooses a layer by: the mean log-likelihood of its labels with the chosen C, [layer].
    dev_accuracy
        Share of dev that the chosen classifier has right, [layer].
    dev_grid
        Mean log-likelihood of dev for every C of the grid, [layer, grid].
    steps
        L-BFGS steps until the last problem converged.
    """

    probes: LinearProbes
    c: np.ndarray
    dev_score: np.ndarray
    dev_accuracy: np.ndarray
    dev_grid: np.ndarray
    steps: int


def joined(parts: Sequence[TunedProbes]) -> TunedProbes:
    """Probes of some layers after those of others."""
    probes = [part.probes for part in parts]
    return TunedProbes(
        probes=LinearProbes(
            mean=torch.cat([each.mean for each in probes]),
            scale=torch.cat([each.scale for each in probes]),
            weight=torch.cat([each.weight for each in probes]),
            bias=torch.cat([each.bias for each in probes]),
        ),
        c=np.concatenate([part.c for part in parts]),
        dev_score=np.concatenate([part.dev_score for part in parts]),
        dev_accuracy=np.concatenate([part.dev_accuracy for part in parts]),
        dev_grid=np.concatenate([part.dev_grid for part in parts]),
        steps=max(part.steps for part in parts),
    )


def fit_probes(
    values: Layers,
    labels: np.ndarray,
    train: np.ndarray,
    dev: np.ndarray,
    *,
    classes: int,
    grid: Sequence[float] | np.ndarray,
    device: str = "cpu",
    together: int | None = None,
) -> TunedProbes:
    """Fit a multinomial logistic regression on each layer, with the C under which dev is likeliest.

    Likelihood is smooth in C where accuracy has ties, which other kernels break otherwise. Dev frames of
    classes that are absent from training do not count in it: they say nothing about C.

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
    together
        Layers that are fitted at once; None for one on a CPU, and on a GPU what its memory holds.

    Raises
    ------
    InputError
        If features are not finite, a side is empty, training has one class only, or dev, which has to choose
        a C, none of its classes.
    InnerearError
        If a fit does not converge.
    """
    layers, _, dim = values.shape
    if not len(train) or not len(dev):
        raise InputError(f"a probe needs training and dev frames; there are {len(train)} and {len(dev)}")
    seen = np.unique(labels[train])
    if len(seen) < 2:
        raise InputError(f"a probe needs two classes in training; there is {len(seen)}")
    c = np.broadcast_to(np.asarray(grid, dtype=np.float64), (layers, np.shape(grid)[-1]))
    c = np.sort(c, axis=1)
    if c.shape[1] > 1 and not np.isin(labels[dev], seen).any():
        raise InputError("C is chosen on dev frames of classes that occur in training; there are none")
    parts = _parts(train)
    dense = [torch.from_numpy(np.searchsorted(seen, labels[part])).to(device) for part in parts]
    made = LinearProbes(
        *_all_moments(values, train),
        weight=torch.zeros(layers, dim, classes),
        bias=torch.full((layers, classes), -torch.inf),
    )
    likelihood, accuracy, most = np.empty(c.shape), np.empty(c.shape), 0
    at_once = together or _together(device, len(train), dim, c.shape[1] * len(seen))
    size = max(1, at_once)
    for some in np.split(np.arange(layers), range(size, layers, size)):

        def read(some: np.ndarray = some) -> Iterator[Tensor]:
            for part in parts:
                own = [_standardised(values[at], part, made.mean[at], made.scale[at]) for at in some]
                yield (torch.stack(own) if len(own) > 1 else own[0][None]).to(device)

        disk = room_beside(values) if len(parts) > 1 and not at_once else None
        weights, steps = minimise(read, dense, len(seen), torch.from_numpy(c[some]).to(device), disk)
        most = max(most, steps)
        for layer, weight in zip(some.tolist(), weights, strict=True):
            likely, right = [], []
            for part in _parts(dev):
                held = _standardised(values[layer], part, made.mean[layer], made.scale[layer]).to(device)
                logits = np.full((len(weight), len(part), classes), -np.inf, dtype=np.float32)
                answers = torch.einsum("nd,gdk->gnk", held, weight[:, :-1]) + weight[:, None, -1]
                logits[..., seen] = answers.cpu().numpy()
                likely.append(_likelihood(logits, labels[part]))
                right.append(logits.argmax(axis=-1) == labels[part])
            # a copy of a single part may lie otherwise in memory, and be summed in another order
            likelihood[layer] = (np.concatenate(likely, axis=1) if len(likely) > 1 else likely[0]).mean(
                axis=1
            )
            accuracy[layer] = np.concatenate(right, axis=1).mean(axis=1)
            best = weight[int(likelihood[layer].argmax())].cpu()
            made.weight[layer][:, seen], made.bias[layer][seen] = best[:-1], best[-1]
    chosen = np.arange(layers), likelihood.argmax(axis=1)  # the smaller C of equal ones
    return TunedProbes(made, c[chosen], likelihood[chosen], accuracy[chosen], likelihood, most)


def _likelihood(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Log-likelihood [grid, frame] of labels; 0 for a class that no classifier has learnt."""
    made = log_softmax(logits, axis=-1)[:, np.arange(len(labels)), labels]
    return np.asarray(np.where(np.isneginf(made), 0, made))


def fit_centroids(values: Layers, labels: np.ndarray, train: np.ndarray, *, classes: int) -> LinearProbes:
    """Difference-of-means classifier: the nearest class mean in the standardised space, as a linear probe."""
    layers, _, dim = values.shape
    mean, scale = _all_moments(values, train)
    weight, bias = torch.zeros(layers, dim, classes), torch.full((layers, classes), -torch.inf)
    counts = torch.from_numpy(np.bincount(labels[train], minlength=classes)).float()
    for layer in range(layers):
        sums = torch.zeros(classes, dim)
        for part in _parts(train):
            one_hot = torch.nn.functional.one_hot(torch.from_numpy(labels[part]).long(), classes).float()
            sums += one_hot.T @ _standardised(values[layer], part, mean[layer], scale[layer])
        means = sums / counts.clamp(min=1)[:, None]
        weight[layer] = means.T
        bias[layer] = torch.where(counts > 0, -means.square().sum(dim=1) / 2, -torch.inf)
    return LinearProbes(mean, scale, weight, bias)


def _parts(frames: np.ndarray) -> list[np.ndarray]:
    return np.split(frames, range(PART, len(frames), PART))


def _together(device: str, frames: int, dim: int, columns: int) -> int:
    """Layers that the memory of a GPU holds at once; 0 where it holds none, or there is no GPU."""
    if not device.startswith("cuda"):
        return 0
    free, _ = torch.cuda.mem_get_info(device)
    # features, their covariance and basis, and what a step makes of each frame
    layer = 4 * (2 * frames * dim + 4 * dim * dim + 4 * min(frames, PART) * columns + 30 * dim * columns)
    return int(0.8 * free / layer)


def _all_moments(values: Layers, train: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and scale of the training frames, [layer, dim] each."""
    made = [_moments(values, layer, train) for layer in range(len(values))]
    return torch.stack([mean for mean, _ in made]), torch.stack([scale for _, scale in made])


def _moments(values: Layers, layer: int, train: np.ndarray) -> tuple[Tensor, Tensor]:
    total, square = torch.zeros(()), torch.zeros(())
    parts = _parts(train)
    for part in parts:
        x = torch.from_numpy(values[layer][part])
        if not torch.isfinite(x).all():
            raise InputError("the features of a layer are not finite; no probe can be fitted")
        if len(parts) > 1:
            total = total + x.double().sum(dim=0)
    if len(parts) == 1:
        scale, mean = torch.std_mean(x, dim=0, correction=0)
    else:
        mean = total / len(train)
        for part in parts:
            x = torch.from_numpy(values[layer][part]).double()
            square = square + x.sub_(mean).square_().sum(dim=0)  # in place: parts of many frames are large
        scale, mean = (square / len(train)).sqrt().float(), mean.float()
    return mean, torch.where(scale > 0, scale, 1.0)


def _standardised(values: np.ndarray, frames: np.ndarray, mean: Tensor, scale: Tensor) -> Tensor:
    return torch.from_numpy(values[frames]).sub_(mean).div_(scale)  # of a copy, as `frames` are indices


def best_layer(dev_score: np.ndarray) -> int:
    """The layer with the best dev score; ties, which likelihood hardly has, go to the first."""
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
