"""Classes that sparse features encode: purity of each feature, and how many to remove to erase a class.

The class of each feature is chosen on training frames; everything is measured on held-out ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

NODES = 24
"""How many numbers of removed features are tested, evenly spaced on a log scale."""
CHANCE, NEAR = 0.5, 0.05
"""Balanced accuracy of an uninformed probe, and how close to it a class counts as erased."""


@dataclass(frozen=True)
class Codes:
    """The active features of some frames.

    Attributes
    ----------
    value, index
        Non-negative activations and the indices of their features, [frame, k] each.
    width
        Number of features.
    """

    value: np.ndarray
    index: np.ndarray
    width: int

    def of(self, frames: np.ndarray) -> "Codes":
        """The codes of some of the frames."""
        return Codes(self.value[frames], self.index[frames], self.width)

    @property
    def counts(self) -> np.ndarray:
        """Frames on which each feature is active, [feature]."""
        return np.bincount(self.index[self.value > 0], minlength=self.width)

    def mass(self, label: np.ndarray, classes: int) -> np.ndarray:
        """Sum of activations by class, [feature, class], of frames with class indices [frame]."""
        flat = self.index * classes + label[:, None]
        summed = np.bincount(flat.ravel(), self.value.ravel(), minlength=self.width * classes)
        return summed.reshape(self.width, classes)

    def dense(self) -> np.ndarray:
        """Activations, float32 [frame, feature]."""
        made = np.zeros((len(self.value), self.width), dtype=np.float32)
        np.put_along_axis(made, self.index, self.value, axis=1)
        return made


def neurons(states: np.ndarray, train: np.ndarray, k: int) -> Codes:
    """Raw neurons as features: the k largest of each frame in magnitude, each sign as a separate feature.

    Parameters
    ----------
    states
        [frame, dim]; standardised on the training frames, because a few neurons dwarf the others.
    train
        Indices of frames.
    """
    mean, scale = states[train].mean(axis=0), states[train].std(axis=0)
    z = (states - mean) / np.where(scale > 0, scale, 1)
    dim = z.shape[1]
    top = np.argpartition(-np.abs(z), min(k, dim) - 1, axis=1)[:, :k]
    value = np.take_along_axis(z, top, axis=1)
    return Codes(np.abs(value), top + dim * (value < 0), 2 * dim)


def purity(
    train: Codes, train_label: np.ndarray, held: Codes, label: np.ndarray, classes: int, least: int
) -> pd.DataFrame:
    """Share of each feature's activation that falls on the class it stands for.

    Parameters
    ----------
    train, train_label
        Frames that choose the class of each feature (the one with most of its activation).
    held, label
        Frames on which purity is measured; features active on fewer than `least` of them are left out.

    Returns
    -------
    DataFrame
        One row per live feature: `feature`, its `label`, `purity` (share of its held-out activation on the
        class), `chance` (share of held-out frames of the class) and `active` frames.
    """
    chosen = train.mass(train_label, classes)
    spread, active = held.mass(label, classes), held.counts
    live = np.flatnonzero((active >= least) & (chosen.sum(axis=1) > 0))
    best = chosen[live].argmax(axis=1)
    frequency = np.bincount(label, minlength=classes) / max(1, len(label))
    return pd.DataFrame(
        {
            "feature": live,
            "label": best,
            "purity": spread[live, best] / spread[live].sum(axis=1),
            "chance": frequency[best],
            "active": active[live],
        }
    )


def stability(decoders: Sequence[np.ndarray], live: Sequence[np.ndarray], near: float = 0.7) -> float:
    """Share of live features with a decoder row of cosine >= `near` in another seed, over ordered pairs."""
    shares = [
        float(((rows[kept] @ other.T).max(axis=1) >= near).mean())
        for at, (rows, kept) in enumerate(zip(decoders, live, strict=True))
        for number, other in enumerate(decoders)
        if number != at and len(kept)
    ]
    return float(np.mean(shares)) if shares else 0.0


@dataclass(frozen=True)
class Side:
    """Frames with a class: states [frame, dim], their codes, and class indices [frame]."""

    states: np.ndarray
    codes: Codes
    label: np.ndarray


def erasure(
    train: Side,
    held: Side,
    rows: np.ndarray,
    live: np.ndarray,
    classes: Sequence[str],
    *,
    least: int,
    seed: int,
) -> pd.DataFrame:
    """How many features must be removed from the states until a linear probe no longer detects a class.

    One probe per class against the rest (linear discriminant with equal priors and Ledoit-Wolf shrinkage) is
    trained on the training frames. Features are ranked there by the difference of their mean activation, and
    their contributions to held-out states are subtracted in that order.

    Parameters
    ----------
    rows
        Decoder, [feature, dim].
    live
        Features that may be removed.
    least
        Minimum number of frames of a class in `train` and in `held`.

    Returns
    -------
    DataFrame
        One row per class whose probe works (balanced accuracy of at least chance plus twice `NEAR`): `label`,
        `before`, `features` needed (None where even all are not enough), `share` of the live ones (then 1),
        `damage` (mean loss of balanced accuracy of the other classes), and the same for a random order.
    """
    enough = [
        at for at in range(len(classes)) if min((side.label == at).sum() for side in (train, held)) >= least
    ]
    if len(enough) < 2 or not len(live):
        return pd.DataFrame()
    weight, offset = _probes(train, enough)
    truth = held.label[:, None] == np.array(enough)
    scores = held.states @ weight + offset
    before = _balanced(scores, truth)
    dense, means = held.codes.dense()[:, live], _means(train.codes, train.label, len(classes))[:, live]
    size = np.bincount(train.label, minlength=len(classes))
    everything = size @ means
    rng = np.random.default_rng(seed)
    nodes = np.unique(np.geomspace(1, len(live), NODES).round().astype(int))
    found = []
    for number, at in enumerate(enough):
        if before[number] < CHANCE + 2 * NEAR:
            continue
        rest = (everything - size[at] * means[at]) / (size.sum() - size[at])
        row = {"label": classes[at], "before": float(before[number])}
        orders = {"": np.argsort(rest - means[at], kind="stable"), "random_": rng.permutation(len(live))}
        for name, order in orders.items():
            left, start, needed = scores.copy(), 0, None
            for count in nodes:
                part = order[start:count]
                left -= dense[:, part] @ (rows[live[part]] @ weight)
                start = count
                if _balanced(left[:, [number]], truth[:, [number]])[0] <= CHANCE + NEAR:
                    needed = int(count)
                    break
            others = np.arange(len(enough)) != number
            row[f"{name}features"] = needed
            row[f"{name}share"] = (needed or len(live)) / len(live)
            row[f"{name}damage"] = float((before - _balanced(left, truth))[others].mean())
        found.append(row)
    return pd.DataFrame(found)


def _probes(train: Side, enough: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """A direction [dim, class] and an offset [class] for each class against the rest."""
    fits = [
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[0.5, 0.5]).fit(
            train.states, train.label == at
        )
        for at in enough
    ]
    return np.stack([fit.coef_[0] for fit in fits], axis=1), np.array([fit.intercept_[0] for fit in fits])


def _means(codes: Codes, label: np.ndarray, classes: int) -> np.ndarray:
    """Mean activation of each feature on the frames of each class, [class, feature]."""
    size = np.bincount(label, minlength=classes)
    return np.asarray(codes.mass(label, classes).T / np.maximum(size, 1)[:, None])


def _balanced(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Balanced accuracy of each column of scores against truth, [class]."""
    hit = scores > 0
    right = (hit & truth).sum(axis=0) / truth.sum(axis=0)
    return np.asarray((right + (~hit & ~truth).sum(axis=0) / (~truth).sum(axis=0)) / 2)
