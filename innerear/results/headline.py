"""Headlines recomputed from per-item outcomes, to verify a result and to compare two.

Three kinds cover all tasks: a ratio of sums (a mean is one with weights of 1), an AUROC over pairs of one
fold, and the nested mean of ABX. Which one a result has, and over which rows, is declared for its protocol.
Each can be computed without one cluster, and with two models exchanged in some of the clusters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pandas as pd

from innerear.results.schema import Result
from innerear.stats.intervals import auroc_pairs, auroc_without
from innerear.stats.nested import indexed, pooled, pooled_without
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

    def value(self) -> float:
        """The headline itself."""
        ...

    def without(self) -> np.ndarray:
        """Headlines with each cluster left out, [cluster]; NaN where that leaves nothing."""
        ...

    def difference_without(self, other: Self) -> np.ndarray:
        """Differences to another model with each cluster left out, [cluster]."""
        ...

    def permuted_differences(self, other: Self, swaps: np.ndarray) -> np.ndarray:
        """Differences [draw] to another model, the two exchanged where `swaps` [draw, cluster] is true."""
        ...


@dataclass(frozen=True)
class Ratio:
    """A sum of outcomes over a sum of weights: `sums` and `weights` are [cluster]."""

    sums: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, items: pd.DataFrame) -> Self:
        """Sum by speaker."""
        table = items.groupby("speaker")[["outcome", "weight"]].sum()
        return cls(table["outcome"].to_numpy(float), table["weight"].to_numpy(float))

    @classmethod
    def mean(cls, items: pd.DataFrame) -> Self:
        """The mean: each outcome weighs 1."""
        return cls.of(items.assign(weight=np.ones(len(items))))

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

    def permuted_differences(self, other: Self, swaps: np.ndarray) -> np.ndarray:
        """See `Headline`."""
        sides = []
        for mine, its in ((self, other), (other, self)):
            sums = np.where(swaps, its.sums, mine.sums).sum(axis=1)
            sides.append(sums / np.where(swaps, its.weights, mine.weights).sum(axis=1))
        return np.asarray(sides[0] - sides[1])


@dataclass(frozen=True)
class Auroc:
    """AUROC over pairs of a positive and a negative of one fold."""

    score: np.ndarray
    positive: np.ndarray
    speaker: np.ndarray
    fold: np.ndarray

    @classmethod
    def of(cls, items: pd.DataFrame) -> Self:
        """Of the two classes in `truth`, `x` and `no x`, `x` is the one to detect."""
        return cls(
            items["score"].to_numpy(float), ~items["truth"].str.startswith("no ").to_numpy(bool),
            items["speaker"].to_numpy(), items["fold"].to_numpy(),
        )  # fmt: skip

    @property
    def clusters(self) -> int:
        """Number of speakers, or of sources of sound."""
        return len(np.unique(self.speaker))

    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        return auroc_pairs(self.score, self.positive, self.speaker, self.fold)

    def value(self) -> float:
        """Over all pairs."""
        wins, pairs = self._pairs()
        return float(wins.sum() / pairs.sum())

    def without(self) -> np.ndarray:
        """See `Headline`."""
        return auroc_without(*self._pairs())

    def difference_without(self, other: Self) -> np.ndarray:
        """See `Headline`."""
        return np.asarray(self.without() - other.without())

    def permuted_differences(self, other: Self, swaps: np.ndarray) -> np.ndarray:
        """See `Headline`: scores of two models have no common scale, so signs are flipped."""
        return flipped(self.value() - other.value(), self.difference_without(other), swaps)


@dataclass(frozen=True)
class NestedMean:
    """The nested mean of ABX: `index` [3, cell] as from `indexed`, and the `outcome` [cell]."""

    index: np.ndarray
    outcome: np.ndarray

    @classmethod
    def of(cls, items: pd.DataFrame) -> Self:
        """A row is a cell."""
        return cls(indexed(items), items["outcome"].to_numpy(float))

    @property
    def clusters(self) -> int:
        """Number of speakers, as A and B or as X."""
        return int(self.index[1:].max()) + 1

    def value(self) -> float:
        """Over all cells."""
        return float(pooled(self.index, self.outcome))

    def without(self) -> np.ndarray:
        """See `Headline`."""
        return pooled_without(self.index, self.outcome)

    def difference_without(self, other: Self) -> np.ndarray:
        """See `Headline`; both have the same cells."""
        return pooled_without(self.index, self.outcome - other.outcome)

    def permuted_differences(self, other: Self, swaps: np.ndarray) -> np.ndarray:
        """See `Headline`: a distance involves two speakers, so signs are flipped."""
        return flipped(self.value() - other.value(), self.difference_without(other), swaps)


def flipped(gap: float, without: np.ndarray, swaps: np.ndarray) -> np.ndarray:
    """Differences [draw] after the contributions of some clusters have changed sign.

    A difference is the mean of the contributions of its clusters: the jackknife's pseudo-values. For a mean
    over clusters of equal size, a change of sign is an exchange of the cluster's rows.
    """
    added = gap + (len(without) - 1) * (without.mean() - without)
    return np.asarray(np.where(swaps, -1.0, 1.0) @ added / len(without))


_FORMULAS: dict[Formula, tuple[Callable[[pd.DataFrame], Headline], tuple[str, ...]]] = {
    "mean": (Ratio.mean, ("outcome",)),
    "ratio": (Ratio.of, ("outcome", "weight")),
    "auroc": (Auroc.of, ("score", "truth", "fold")),
    "nested-mean": (NestedMean.of, ("phone", "other", "x_speaker", "outcome")),
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
