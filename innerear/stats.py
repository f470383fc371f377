"""Uncertainty: intervals over clusters by bootstrap and jackknife, Holm's correction, detectable differences.

Speakers are the clusters: phones of one voice are not independent.
"""

from collections.abc import Sequence

import numpy as np
from scipy import special, stats


def clusters(values: np.ndarray, speaker: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum per-item values within each speaker.

    Parameters
    ----------
    values
        [..., item].
    speaker
        Cluster of each item, [item].

    Returns
    -------
    sums, counts
        [..., cluster] and [cluster], clusters in sorted order.
    """
    _, index = np.unique(speaker, return_inverse=True)
    member = index[:, None] == np.arange(index.max() + 1)
    return values @ member.astype(float), member.sum(axis=0)


def cluster_bootstrap(
    sums: np.ndarray, counts: np.ndarray, *, level: float, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Interval of a ratio of sums (an accuracy over items), resampling clusters as wholes.

    The percentile interval is widened for few clusters as Hesterberg (2015, The American Statistician 69:4,
    §4.3) proposes: its nominal tails are those of a t distribution with n - 1 degrees of freedom, scaled by
    sqrt(n / (n - 1)).

    Parameters
    ----------
    sums
        Per-cluster sums of the values, [..., cluster]; a difference of paired accuracies has a
        difference of sums.
    counts
        Items of each cluster, [cluster].

    Returns
    -------
    low, high
        Arrays [...], or None where there is one cluster only and nothing to resample.
    """
    n = len(counts)
    if n < 2:
        return None
    widened = tail(level, n)
    interval = stats.bootstrap(
        (sums, np.broadcast_to(counts, sums.shape)),
        lambda sums, counts, axis: sums.sum(axis=axis) / counts.sum(axis=axis),
        paired=True, axis=-1, method="percentile", confidence_level=1 - 2 * widened,
        n_resamples=resamples, rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return np.asarray(interval.low), np.asarray(interval.high)


def tail(level: float, clusters: int) -> float:
    """Nominal tail of a percentile interval over few clusters, see `cluster_bootstrap`."""
    wide = np.sqrt(clusters / (clusters - 1)) * stats.t.ppf((1 - level) / 2, clusters - 1)
    return float(stats.norm.cdf(wide))


def detectable(error: float, clusters: int, *, level: float = 0.95, power: float = 0.8) -> float:
    """Smallest true difference that a two-sided test finds with this power, from its standard error."""
    quantiles = stats.t.ppf(np.array([(1 + level) / 2, power]), clusters - 1)
    return float(np.sum(quantiles) * error)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjusted p-values, in the order given."""
    order = np.argsort(p_values)
    steps = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return [float(value) for value in adjusted]


def auroc_pairs(
    score: np.ndarray, positive: np.ndarray, cluster: np.ndarray, stratum: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a positive and a negative that are ranked rightly, counted by their clusters.

    Parameters
    ----------
    score
        Higher for positives, [item].
    positive
        [item], boolean.
    stratum
        Only pairs of one stratum are compared, [item]: scores of different folds have no common scale.

    Returns
    -------
    wins, pairs
        [cluster, cluster], rows by the positive's cluster; a tie is half a win. AUROC is the ratio of sums.
    """
    _, index = np.unique(cluster, return_inverse=True)
    member = (index[:, None] == np.arange(index.max() + 1)).astype(float)
    same = stratum[positive][:, None] == stratum[~positive]
    above = score[positive][:, None] - score[~positive]
    won = np.where(same, np.heaviside(above, 0.5), 0.0)
    left, right = member[positive].T, member[~positive]
    return left @ won @ right, left @ same.astype(float) @ right


def auroc_without(wins: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """AUROC with each cluster left out, [cluster]; NaN where that leaves no pair."""
    won, compared = (
        table.sum() - table.sum(axis=0) - table.sum(axis=1) + table.diagonal() for table in (wins, pairs)
    )
    return np.asarray(np.divide(won, compared, out=np.full(len(won), np.nan), where=compared > 0))


def jackknife_error(without: np.ndarray) -> np.ndarray:
    """Standard error [...] of a statistic from its values with each cluster left out, [..., cluster]."""
    n = without.shape[-1]
    return np.asarray(np.sqrt(n - 1) * without.std(axis=-1))


def jackknife(
    value: np.ndarray | float, without: np.ndarray, *, level: float, share: bool
) -> tuple[np.ndarray, np.ndarray] | None:
    """Interval of a statistic that is no ratio of sums, from its values with each cluster left out.

    Quantiles are those of t with n - 1 degrees of freedom. Percentiles of resamples are too narrow here: of
    an AUROC near 1, and of a mean over cells that one speaker alone may fill (see docs/statistics.md).

    Parameters
    ----------
    value
        Over all clusters, [...].
    without
        [..., cluster].
    share
        Whether it goes from 0 to 1: the interval is then symmetric in its log-odds, and goes no further.

    Returns
    -------
    low, high
        Arrays [...], or None where there is one cluster only, or one without which nothing is left.
    """
    n = without.shape[-1]
    if n < 2 or not np.isfinite(without).all():
        return None
    value = np.asarray(value, dtype=float)
    half = stats.t.ppf((1 + level) / 2, n - 1) * jackknife_error(without)
    if not share:
        return value - half, value + half
    inside = np.clip(value, 1e-9, 1 - 1e-9)
    step = half / (inside * (1 - inside))
    low, high = (special.expit(special.logit(inside) + sign * step) for sign in (-1, 1))
    sure = half == 0
    return np.where(sure, value, np.minimum(low, value)), np.where(sure, value, np.maximum(high, value))
