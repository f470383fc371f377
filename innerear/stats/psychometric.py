"""Psychometric functions: how much evidence a context is worth, as a shift between fitted curves.

P(choice) = lapse / 2 + (1 - lapse) · σ(slope · (x - threshold)), with a threshold for each context and a
common slope and lapse (Wichmann & Hill 2001; the design is that of Borsky, Tuller & Shapiro 1998).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

LAPSE = 0.3
"""Largest lapse rate."""


@dataclass(frozen=True)
class Fit:
    """Fitted curves: a threshold for each context (in the units of x), slope (per unit) and lapse."""

    thresholds: np.ndarray
    slope: float
    lapse: float
    bounds: tuple[float, float]

    def at(self, x: np.ndarray) -> np.ndarray:
        """Probability [context, level]."""
        return _curve(x[None], self.thresholds[:, None], self.slope, self.lapse)

    def shift(self, one: int, other: int) -> float:
        """Threshold of one context minus that of another."""
        return float(self.thresholds[one] - self.thresholds[other])

    def censored(self, context: int) -> bool:
        """Whether a threshold lies at the edge of the range in which it is sought."""
        low, high = self.bounds
        return bool(
            min(self.thresholds[context] - low, high - self.thresholds[context]) < 1e-3 * (high - low)
        )


def fit(levels: Sequence[float], chosen: np.ndarray, trials: np.ndarray) -> Fit:
    """Fit by maximum likelihood.

    Parameters
    ----------
    levels
        x, increasing; more evidence for the choice to the right.
    chosen, trials
        Counts [context, level]. Thresholds are sought within the levels and half their range beyond.
    """
    x = np.asarray(levels, dtype=float)
    span = x[-1] - x[0]
    low, high = x[0] - span / 2, x[-1] + span / 2
    contexts = len(chosen)

    def loss(values: np.ndarray) -> float:
        p = _curve(x[None], values[:contexts, None], float(np.exp(values[-2])), values[-1])
        p = np.clip(p, 1e-6, 1 - 1e-6)
        return -float((chosen * np.log(p) + (trials - chosen) * np.log(1 - p)).sum())

    limits = [(low, high)] * contexts + [(np.log(0.5 / span), np.log(40 / span)), (0.0, LAPSE)]
    # a context that chooses often has its threshold on the left
    start = x[-1] - (chosen / np.maximum(trials, 1)).mean(axis=1) * span
    tries = [
        minimize(loss, [*start, np.log(slope / span), lapse], bounds=limits, method="L-BFGS-B")
        for slope in (4, 16)
        for lapse in (0.02, 0.15)
    ]
    best = min(tries, key=lambda each: float(each.fun)).x
    return Fit(best[:contexts], float(np.exp(best[-2])), float(best[-1]), (low, high))


def shift_interval(
    levels: Sequence[float],
    chose: np.ndarray,
    contexts: tuple[int, int],
    *,
    level: float,
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """Bootstrap interval of a shift between two contexts, resampling whole pairs.

    Parameters
    ----------
    chose
        Whether the choice was made, [pair, context, level].
    """
    rng = np.random.default_rng(seed)
    trials = np.full(chose.shape[1:], len(chose))
    drawn = [
        fit(levels, chose[rng.integers(len(chose), size=len(chose))].sum(axis=0), trials).shift(*contexts)
        for _ in range(resamples)
    ]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _curve(x: np.ndarray, threshold: np.ndarray, slope: float, lapse: float) -> np.ndarray:
    return np.asarray(lapse / 2 + (1 - lapse) * expit(slope * (x - threshold)))
