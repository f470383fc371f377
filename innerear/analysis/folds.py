"""Probes of one fold: fitted on train, chosen on dev, tested, with class means and control labels beside."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from innerear.analysis.probes import LinearProbes, TunedProbes, fit_centroids, fit_probes
from innerear.util.layers import Layers


@dataclass(frozen=True)
class FoldRows:
    """Rows that a fold learns from, chooses on and tests, and what its control labels need.

    Attributes
    ----------
    share
        Of each class in training: how often a label is that drew a class without having been learnt.
    recurring
        Whether the type of a tested row is in training, [held].
    drawn
        For each draw, control labels of all rows to learn from, and of those that are tested, [held].
    """

    learn: np.ndarray
    dev: np.ndarray
    held: np.ndarray
    share: np.ndarray
    recurring: np.ndarray
    drawn: list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class ProbedLayers:
    """What some layers answer to the tested rows of a fold.

    Attributes
    ----------
    predicted, centroid
        Classes by the probe and by the nearest class mean, [layer, held].
    odds, centroid_odds
        Log-odds of the second of two classes, likewise; empty if there are more.
    control
        Share of the control probes that are right, or would be on a type that is not in training, likewise.
    """

    fit: TunedProbes
    predicted: np.ndarray
    centroid: np.ndarray
    odds: np.ndarray
    centroid_odds: np.ndarray
    control: np.ndarray


def probe_layers(
    source: Layers,
    test: Layers,
    labels: np.ndarray,
    side: FoldRows,
    classes: int,
    grid: Sequence[float],
    device: str,
) -> ProbedLayers:
    """Fit and test probes, class means and control probes on some layers in one fold.

    Parameters
    ----------
    source, test
        Features to learn from and to test on, float32 [layer, row, dim].
    labels
        Classes of the rows of `source`.
    """
    fit = fit_probes(source, labels, side.learn, side.dev, classes=classes, grid=grid, device=device)
    means = fit_centroids(source, labels, side.learn, classes=classes)
    predicted, odds = _answers(fit.probes, test, side.held, classes)
    centroid, centroid_odds = _answers(means, test, side.held, classes)
    control = np.zeros(predicted.shape)
    for random, answers in side.drawn:
        # the control probe keeps the C of the real one: the same probe on other labels
        guessed = random[side.learn][:1]  # what a probe learns if all labels are the same
        if len(np.unique(random[side.learn])) > 1:
            control_fit = fit_probes(
                source, random, side.learn, side.dev, classes=classes, grid=fit.c[:, None], device=device
            )
            guessed = control_fit.probes.predict(test, side.held)
        hit = np.where(side.recurring, guessed == answers, side.share[guessed])
        control += hit / len(side.drawn)
    return ProbedLayers(fit, predicted, centroid, odds, centroid_odds, control)


def _answers(
    probes: LinearProbes, test: Layers, held: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Classes [layer, held], and log-odds if there are two."""
    predicted, odds = [], []
    for _, _, logits in probes.answers(test, held):
        predicted.append(logits.argmax(axis=-1))
        if classes == 2:
            odds.append(log_odds(logits))
    shape = len(test), len(held)
    answered = np.concatenate(predicted).reshape(shape)
    return answered, np.concatenate(odds).reshape(shape) if odds else np.empty(0)


def log_odds(logits: np.ndarray) -> np.ndarray:
    """Log-odds of the second of two classes, [..., class] → [...]."""
    return np.asarray(logits[..., 1] - logits[..., 0])
