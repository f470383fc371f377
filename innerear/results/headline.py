"""Headlines recomputed from per-item outcomes, to verify a result and to compare two.

Four kinds cover all tasks: a ratio of sums (a mean is one with weights of 1), an AUROC over pairs of one
fold or the difference of two, the nested mean of ABX, and the median over repetitions of a timing. Which one
a result has, and over which rows, is declared for its protocol. Each can be computed without one cluster, and
with two models exchanged in some of the clusters.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, Self

import numpy as np
import pandas as pd

from innerear.results.schema import Result
from innerear.stats.intervals import auroc_pairs, auroc_without
from innerear.stats.nested import corrected, indexed, left_out, pooled
from innerear.tasks.declarations import Formula, declaration
from innerear.util.errors import InnerearError

KEYS = ["item", "unit", "speaker"]
"""Columns that identify an outcome: the same in the results of all models."""
CLOSE = 1e-6
"""How far a stated headline may be from the one recomputed."""


class Headline(Protocol):
    """A headline that can be recomputed; clusters are speakers (or sources of sound), in sorted order."""

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        ...

    def over(self, rows: np.ndarray) -> Self:
        """The headline over some of its rows (a mask or indices), or over all in another order."""
        ...

    def value(self) -> float:
        """The headline itself."""
        ...

    def without(self) -> np.ndarray:
        """Headlines with each cluster left out, [cluster]; NaN where that leaves nothing."""
        ...

    def difference_without(self, other: Self) -> np.ndarray:
        """Differences to another model with each cluster left out, [cluster]."""
        ...

    def contributions(self, other: Self) -> np.ndarray | None:
        """What each cluster adds to the difference to another model, [cluster]; their sum is the difference.

        An exchange of the two models in a cluster changes the sign of its contribution. None where it does
        more than that, see `permuted_differences`.
        """
        ...

    def permuted_differences(self, other: Self, swaps: np.ndarray) -> np.ndarray:
        """Differences [draw] to another model, the two exchanged where `swaps` [draw, cluster] is 1."""
        ...


@dataclass(frozen=True)
class Ratio:
    """A sum of outcomes over a sum of weights.

    `outcome` and `weight` are [row]; so is `cluster`, numbers from 0 of which none is left out.
    """

    outcome: np.ndarray
    weight: np.ndarray
    cluster: np.ndarray

    @classmethod
    def of(cls, items: pd.DataFrame) -> Self:
        """Clusters are speakers."""
        return cls(
            items["outcome"].to_numpy(float), items["weight"].to_numpy(float), _numbered(items["speaker"])
        )

    @classmethod
    def mean(cls, items: pd.DataFrame) -> Self:
        """The mean: each outcome weighs 1."""
        return cls(items["outcome"].to_numpy(float), np.ones(len(items)), _numbered(items["speaker"]))

    def over(self, rows: np.ndarray) -> Self:
        """See `Headline`."""
        return type(self)(self.outcome[rows], self.weight[rows], _renumbered(self.cluster[rows]))

    @cached_property
    def sums(self) -> np.ndarray:
        """Sums of outcomes, [cluster]."""
        return np.bincount(self.cluster, self.outcome)

    @cached_property
    def weights(self) -> np.ndarray:
        """Sums of weights, [cluster]."""
        return np.bincount(self.cluster, self.weight)

    @property
    def clusters(self) -> int:
        """Number of speakers."""
        return len(self.sums)

    def value(self) -> float:
        """Over all clusters."""
        return float(self.sums.sum() / self.weights.sum())

    def without(self) -> np.ndarray:
        """See `Headline`."""
        sums, left = self.sums.sum() - self.sums, self.weights.sum() - self.weights
        return np.asarray(np.divide(sums, left, out=np.full(len(sums), np.nan), where=left > 0))

    def difference_without(self, other: Self) -> np.ndarray:
        """See `Headline`."""
        return np.asarray(self.without() - other.without())

    @cached_property
    def _shares(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums and weights by the total weight: a model may have more rows of each cluster than another.

        Erasure has a row for each layer, the logit lens one for each token. Otherwise an exchanged cluster
        would outweigh the others of one model, and vanish among those of the other.
        """
        return self.sums / self.weights.sum(), self.weights / self.weights.sum()

    def contributions(self, other: Self) -> np.ndarray | None:
        """See `Headline`: None where clusters weigh differently in the two, which an exchange moves too."""
        (mine, own), (its, theirs) = self._shares, other._shares
        return mine - its if np.allclose(own, theirs, rtol=1e-9, atol=0) else None

    def permuted_differences(self, other: Self, swaps: np.ndarray) -> np.ndarray:
        """See `Headline`."""
        (mine, own), (its, theirs) = self._shares, other._shares
        moved, weight = swaps @ (its - mine), swaps @ (theirs - own)
        return np.asarray((mine.sum() + moved) / (1 + weight) - (its.sum() - moved) / (1 - weight))


@dataclass(frozen=True)
class Auroc:
    """AUROC over pairs of a positive and a negative of one stratum, less that of a rival score if any.

    `scores` is [1 or 2, item]; all others are [item].
    """

    scores: np.ndarray
    positive: np.ndarray
    speaker: np.ndarray
    stratum: np.ndarray

    @classmethod
    def of(cls, items: pd.DataFrame, *scores: str) -> Self:
        """Of the two classes in `truth`, `x` and `no x`, `x` is the one to detect; strata are folds."""
        return cls(
            items[list(scores or ("score",))].to_numpy(float).T,
            ~items["truth"].str.startswith("no ").to_numpy(bool),
            _numbered(items["speaker"]),
            _numbered(items["fold"]),
        )

    @classmethod
    def gain(cls, items: pd.DataFrame) -> Self:
        """What `both` is better by than `baselines`, between items of one fold and one condition."""
        made = cls.of(items, "both", "baselines")
        return replace(made, stratum=_numbered(items["fold"].astype(str) + "|" + items["condition"]))

    def over(self, rows: np.ndarray) -> Self:
        """See `Headline`."""
        return type(self)(self.scores[:, rows], self.positive[rows], self.speaker[rows], self.stratum[rows])

    @cached_property
    def clusters(self) -> int:
        """Number of speakers, or of sources of sound."""
        return len(np.unique(self.speaker))

    @cached_property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        (won, compared), *rival = (
            auroc_pairs(score, self.positive, self.speaker, self.stratum) for score in self.scores
        )
        return won - rival[0][0] if rival else won, compared

    @cached_property
    def _without(self) -> np.ndarray:
        return auroc_without(*self._pairs)

    def value(self) -> float:
        """Over all pairs."""
        wins, pairs = self._pairs
        return float(wins.sum() / pairs.sum())

    def without(self) -> np.ndarray:
        """See `Headline`."""
        return self._without

    def difference_without(self, other: Self) -> np.ndarray:
        """See `Headline`."""
        return np.asarray(self.without() - other.without())

    def contributions(self, other: Self) -> np.ndarray:
        """See `Headline`: scores of two models have no common scale, so signs are flipped."""
        return pseudo_values(self.value() - other.value(), self.difference_without(other))

    def permuted_differences(self, other: Self, swaps: np.ndarray) -> np.ndarray:
        """See `Headline`."""
        return flipped(self.contributions(other), swaps)


@dataclass(frozen=True)
class NestedMean:
    """The nested mean of ABX: `index` [3, cell] as from `indexed`, and the `outcome` [cell]."""

    index: np.ndarray
    outcome: np.ndarray

    @classmethod
    def of(cls, items: pd.DataFrame) -> Self:
        """A row is a cell."""
        return cls(indexed(items), items["outcome"].to_numpy(float))

    def over(self, rows: np.ndarray) -> Self:
        """See `Headline`."""
        pair, *speakers = self.index[:, rows]
        numbered = _renumbered(np.concatenate(speakers)).reshape(2, -1)
        return type(self)(np.vstack([_renumbered(pair), numbered]), self.outcome[rows])

    @property
    def clusters(self) -> int:
        """Number of speakers, as A and B or as X."""
        return int(self.index[1:].max()) + 1

    @cached_property
    def _value(self) -> float:
        return float(pooled(self.index, self.outcome))

    @cached_property
    def _left_out(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return left_out(self.index, self.outcome)

    def value(self) -> float:
        """Over all cells."""
        return self._value

    def without(self) -> np.ndarray:
        """See `Headline`."""
        return corrected(*self._left_out)

    def difference_without(self, other: Self) -> np.ndarray:
        """See `Headline`; both have the same cells."""
        made, alone, couples = (a - b for a, b in zip(self._left_out, other._left_out, strict=True))
        return corrected(made, alone, couples)

    def contributions(self, other: Self) -> np.ndarray:
        """See `Headline`: a distance involves two speakers, so signs are flipped."""
        return pseudo_values(self.value() - other.value(), self.difference_without(other))

    def permuted_differences(self, other: Self, swaps: np.ndarray) -> np.ndarray:
        """See `Headline`."""
        return flipped(self.contributions(other), swaps)


@dataclass(frozen=True)
class Median:
    """A median over repetitions, `outcome` [repetition]."""

    outcome: np.ndarray

    @classmethod
    def of(cls, items: pd.DataFrame) -> Self:
        """A row is a repetition."""
        return cls(items["outcome"].to_numpy(float))

    def over(self, rows: np.ndarray) -> Self:
        """See `Headline`."""
        return type(self)(self.outcome[rows])

    @property
    def clusters(self) -> int:
        """Number of repetitions."""
        return len(self.outcome)

    def value(self) -> float:
        """Over all repetitions."""
        return float(np.median(self.outcome))

    def without(self) -> np.ndarray:
        """See `Headline`."""
        return np.array([np.median(np.delete(self.outcome, at)) for at in range(self.clusters)])

    def difference_without(self, other: Self) -> np.ndarray:
        """See `Headline`."""
        return np.asarray(self.without() - other.without())

    def contributions(self, other: Self) -> np.ndarray | None:
        """See `Headline`: a median is no sum."""
        return None

    def permuted_differences(self, other: Self, swaps: np.ndarray) -> np.ndarray:
        """See `Headline`."""
        one, two = (np.where(swaps, *pair) for pair in
                    ((other.outcome, self.outcome), (self.outcome, other.outcome)))  # fmt: skip
        return np.asarray(np.median(one, axis=1) - np.median(two, axis=1))


def pseudo_values(gap: float, without: np.ndarray) -> np.ndarray:
    """The jackknife's pseudo-values of a difference, over the number of clusters, [cluster].

    They are what clusters add to the difference. For a mean over clusters of equal size, a change of sign is
    an exchange of the cluster's rows.
    """
    return np.asarray((gap + (len(without) - 1) * (without.mean() - without)) / len(without))


def flipped(contributions: np.ndarray, swaps: np.ndarray) -> np.ndarray:
    """Differences [..., draw] after contributions [..., cluster] have changed sign where `swaps` is 1."""
    made = np.asarray((-2 * contributions) @ swaps.T)
    made += contributions.sum(axis=-1, keepdims=True)
    return made


def _numbered(column: pd.Series) -> np.ndarray:
    """Numbers of the values of a column, from 0 in sorted order."""
    return pd.factorize(column, sort=True)[0]


def _renumbered(numbers: np.ndarray) -> np.ndarray:
    return np.unique(numbers, return_inverse=True)[1]


_FORMULAS: dict[Formula, tuple[Callable[[pd.DataFrame], Headline], tuple[str, ...]]] = {
    "mean": (Ratio.mean, ("outcome",)),
    "ratio": (Ratio.of, ("outcome", "weight")),
    "auroc": (Auroc.of, ("score", "truth", "fold")),
    "auroc-gain": (Auroc.gain, ("both", "baselines", "truth", "fold", "condition")),
    "nested-mean": (NestedMean.of, ("phone", "other", "x_speaker", "outcome")),
    "median": (Median.of, ("outcome",)),
}
"""The function of each formula, and the columns that it needs beside `speaker`."""


def headline(result: Result, items: pd.DataFrame) -> Headline:
    """The headline of a result from its per-item outcomes, by the formula that its protocol declares.

    Raises
    ------
    InnerearError
        If the protocol is unknown, or the outcomes lack a column of the formula.
    """
    compute, columns = _FORMULAS[declaration(result.task.protocol).formula]
    rows = headline_rows(result, items)
    _require(result, rows, columns)
    return compute(rows)


def headline_rows(result: Result, items: pd.DataFrame) -> pd.DataFrame:
    """The rows that a headline is over, as its protocol declares them; errors as `headline`."""
    rows = declaration(result.task.protocol).rows
    if rows is None:
        return items
    _require(result, items, (rows.column,))
    column = items[rows.column]
    return items[
        column.isin(column[:1] if rows.prefix is None else [result.headline.removeprefix(rows.prefix)])
    ]


def _require(result: Result, items: pd.DataFrame, columns: tuple[str, ...]) -> None:
    if missing := [name for name in columns if name not in items]:
        raise InnerearError(
            f"the per-item outcomes have no column {missing[0]!r}, which {result.headline} of "
            f"{result.task.protocol} is computed from"
        )
