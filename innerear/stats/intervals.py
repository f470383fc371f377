"""Uncertainty: jackknife intervals over clusters, Holm's correction, detectable differences.

Clusters are speakers (or sound sources), because phones of one voice are not independent.
"""

import gc
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from innerear.util.errors import InnerearError

Scale = Literal["share", "rate", "difference"]
"""Range of a statistic: from 0 to 1, from 0 upwards, or either sign."""
FEWEST: dict[Scale, int] = {"share": 4, "difference": 4, "rate": 8}
"""Number of clusters below which there is no interval: see docs/statistics.md."""
FEWEST_EVEN = 3.0
"""Effective number of clusters below which a rate has none: its logarithm would reach any number."""
CLOSE = 1e-6
"""Rounding may put a share this far outside its range."""
CLOSE_RATE = 1e-4
"""Rounding of float32 over a whole vocabulary may put a divergence this far below 0."""


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


def ratio_interval(
    sums: np.ndarray, counts: np.ndarray, *, level: float, scale: Scale, most: float = np.inf
) -> tuple[np.ndarray, np.ndarray] | None:
    """Interval of a ratio of sums over clusters: an accuracy, a word error rate, a mean difference.

    A delete-one jackknife, see `jackknife`. Degrees of freedom follow from the effective number of clusters,
    which is that of equal clusters with the same sum of squared shares (Kish 1965, Survey Sampling, §11.7).

    Parameters
    ----------
    sums
        Per-cluster sums of the values, [..., cluster]; a difference of paired accuracies has a
        difference of sums.
    counts
        Items (or the sum of weights) of each cluster, [cluster].
    most
        As in `jackknife`.

    Returns
    -------
    low, high
        Arrays [...], or None if there are too few clusters, or one holds all items.
    """
    counts = np.asarray(counts, dtype=float)
    rest = counts.sum() - counts
    if not (rest > 0).all():
        return None
    without = (sums.sum(axis=-1, keepdims=True) - sums) / rest
    effective = float(counts.sum() ** 2 / np.square(counts).sum())
    value = sums.sum(axis=-1) / counts.sum()
    return jackknife(value, without, level=level, scale=scale, most=most, effective=effective)


def mean_interval(
    values: np.ndarray,
    cluster: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    level: float,
    scale: Scale,
    most: float = np.inf,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Interval of a mean over items, or of a ratio of two sums over items, by `ratio_interval`.

    Parameters
    ----------
    values
        [..., item].
    cluster
        Cluster of each item, [item].
    weight
        [item]; the ratio then is the sum of values over the sum of weights.
    most
        As in `jackknife`.

    Returns
    -------
    low, high
        Arrays [...], or None where there are too few clusters.

    Raises
    ------
    InnerearError
        If a value does not fit the scale: a share below 0 or above 1 (or its weight), a rate below 0.
    """
    whole = (1 if weight is None else weight) if scale == "share" else np.inf
    close = CLOSE if scale == "share" else CLOSE_RATE
    if scale != "difference" and not ((values >= -close) & (values <= whole + close)).all():
        raise InnerearError(f"values from {values.min():g} to {values.max():g} do not fit a {scale}")
    sums, counts = clusters(values.astype(float), cluster)
    if weight is not None:
        counts = clusters(weight.astype(float), cluster)[0]
    return ratio_interval(sums, counts, level=level, scale=scale, most=most)


def median_interval(values: np.ndarray, *, level: float) -> tuple[float, float] | None:
    """Interval of the median of independent repetitions [repetition]: the two that enclose it at `level`.

    It assumes no distribution: the number of repetitions below the true median is binomial with p = 1/2
    (David & Nagaraja 2003, Order Statistics, §7.1). None where even the extremes do not enclose it so surely,
    which at 95 % is below six repetitions.
    """
    rank = int(stats.binom.ppf((1 - level) / 2, len(values), 0.5))
    if not rank:
        return None
    ordered = np.sort(values)
    return float(ordered[rank - 1]), float(ordered[-rank])


def detectable(error: float, clusters: int, *, level: float = 0.95, power: float = 0.8) -> float:
    """Smallest true difference that a two-sided test detects with this power, given the standard error."""
    quantiles = special.stdtrit(clusters - 1, np.array([(1 + level) / 2, power]))
    return float(np.sum(quantiles) * error)


def holm(p_values: ArrayLike) -> np.ndarray:
    """Holm's (1979) step-down adjusted p-values, [test], in the order given."""
    from statsmodels.stats.multitest import multipletests  # takes a second, which most commands do not need

    p = np.asarray(p_values, dtype=float)
    if not len(p):
        return p
    gc.freeze()  # it collects garbage, which takes 0.2 s among the objects of 240 results: they are left out
    try:
        return np.asarray(multipletests(p, method="holm")[1])
    finally:
        gc.unfreeze()


def auroc_pairs(
    score: np.ndarray, positive: np.ndarray, cluster: np.ndarray, stratum: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Correctly ranked pairs of a positive and a negative, and all pairs, counted by their clusters.

    Parameters
    ----------
    score
        Higher for positives, [item].
    positive
        [item], boolean.
    stratum
        Fold of each item, [item]: only pairs within one stratum are compared, because scores of different
        folds have no common scale.

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
    value: np.ndarray | float,
    without: np.ndarray,
    *,
    level: float,
    scale: Scale,
    most: float = np.inf,
    effective: float | None = None,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Interval of a statistic from its values with each cluster left out.

    Percentile intervals of a cluster bootstrap are too narrow where clusters are few or uneven, for an AUROC
    near 1, and for a mean over cells that a single speaker may fill (see docs/statistics.md).

    Parameters
    ----------
    value
        Over all clusters, [...].
    without
        [..., cluster].
    scale
        The interval is symmetric on this scale: log-odds for a share, logarithm for a rate, none for a
        difference.
    most
        Largest size that a difference can have: 1 between shares.
    effective
        Effective number of clusters; t has one degree of freedom less. By default the number of clusters.

    Returns
    -------
    low, high
        Arrays [...], or None if there are fewer than `FEWEST` clusters (of a rate, also effectively fewer
        than `FEWEST_EVEN`), or one without which nothing is left.
    """
    n = without.shape[-1]
    effective = n if effective is None else effective
    few = n < FEWEST[scale] or (scale == "rate" and effective < FEWEST_EVEN)
    if few or not np.isfinite(without).all():
        return None
    value = np.asarray(value, dtype=float)
    freedom = max(1.0, effective - 1)
    half = special.stdtrit(freedom, (1 + level) / 2) * jackknife_error(without)
    if scale == "difference":
        return np.maximum(value - half, -most), np.minimum(value + half, most)
    if scale == "rate":
        value = np.maximum(value, 0.0)  # rounding may have put it below
        factor = np.exp(half / np.where(value > 0, value, np.inf))
        return value / factor, np.where(value > 0, value * factor, half)
    inside = np.clip(value, 1e-9, 1 - 1e-9)
    step = half / (inside * (1 - inside))
    low, high = (special.expit(special.logit(inside) + sign * step) for sign in (-1, 1))
    sure = half == 0
    return np.where(sure, value, np.minimum(low, value)), np.where(sure, value, np.maximum(high, value))
