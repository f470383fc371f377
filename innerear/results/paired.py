"""Paired comparisons of results of one task and corpus: of two, and of all pairs of a table.

Whatever depends on one result is computed once per result, and the tests of all pairs share their exchanges.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement, product
from typing import NamedTuple

import numpy as np
import pandas as pd

from innerear.results.headline import CLOSE, KEYS, Headline, flipped, headline, headline_rows
from innerear.results.merits import profile
from innerear.results.schema import Result
from innerear.results.store import Store
from innerear.stats.intervals import FEWEST, detectable, holm, jackknife, jackknife_error
from innerear.tasks.declarations import declaration

DRAWS = 9999
"""Number of exchanges drawn in a permutation test, where there are too many to enumerate."""
LEAST = FEWEST["difference"]
"""Minimum number of clusters for a comparison."""
ROUNDING = 1e-12
"""A permuted difference this much smaller than the observed one counts as equal to it."""
_AT_ONCE = 64
"""Number of pairs that are tested at once: their permuted differences fit a processor's cache."""


@dataclass(frozen=True)
class Comparison:
    """Headline of `a` minus that of `b` over the units or speakers that both have.

    Attributes
    ----------
    low, high
        Interval by the delete-one jackknife over clusters, at the task's level; t with one degree of freedom
        less than clusters.
    p, adjusted
        p of a permutation test that exchanges the models in whole clusters; the same with Holm's correction
        over all comparisons.
    detectable
        Smallest true difference that this test finds with a power of 80 %.
    n, clusters
        Number of units and of speakers (or sound sources) compared.
    near
        Whether the verdict could be another on another machine: `innerear.results.machines.near`.
    """

    a: Result
    b: Result
    difference: float
    low: float
    high: float
    p: float
    adjusted: float
    detectable: float
    n: int
    clusters: int
    near: bool = False

    @property
    def better(self) -> Result | None:
        """The result that is better by its metric if the difference is significant, else None."""
        leads = _leads(self.a, self.difference, self.adjusted)
        return None if leads is None else self.a if leads else self.b

    @property
    def ahead(self) -> Result | None:
        """The better result; None also for a profile, which ranks nobody."""
        return None if profile(self.a) else self.better


def _leads(a: Result, difference: float, adjusted: float) -> bool | None:
    """Whether `a` is better than the other by this difference of headlines; None if it is not significant."""
    if a.score is None or a.score.direction == "none" or adjusted >= a.alpha:
        return None
    return (difference > 0) == (a.score.direction == "higher")


def difference(store: Store, a: Result, b: Result) -> Comparison | str:
    """One comparison, p not yet corrected, or the reason why there is none."""
    pairs = pairwise_comparisons(store, [a, b])
    return pairs.reasons[0, 1] if pairs.reasons else pairs[0, 1]


def pairwise_comparisons(store: Store, results: Sequence[Result]) -> "AllPairs":
    """Compare every two results of one group, by index, with Holm's correction.

    Pairs that cannot be compared are left out.
    """
    return AllPairs([_measured(store, result) for result in results])


@dataclass(frozen=True)
class _Measured:
    """A result, its headline, and the `KEYS` of the headline's rows, in the order of the headline."""

    result: Result
    headline: Headline
    keys: pd.DataFrame


def _measured(store: Store, result: Result) -> _Measured | str:
    """What the comparisons of a result need, or the reason why there are none."""
    if result.score is None:
        return f"n/a for {result.model.name} ({result.reason})"
    if result.items is None:
        return f"{result.model.name} has no per-item outcomes"
    if reason := declaration(result.task.protocol).unpaired_reason:
        return reason
    items = store.read_items(result)
    made = headline(result, items)
    if not abs(made.value() - result.score.value) <= CLOSE:
        return f"the per-item outcomes of {result.model.name} do not give its {result.headline}"
    return _Measured(result, made, headline_rows(result, items)[KEYS].reset_index(drop=True))


@dataclass(frozen=True)
class _Rows:
    """Rows that several results may have: `order` sorts them by `KEYS`, `unit` numbers what is paired."""

    headline: str
    order: np.ndarray
    unit: np.ndarray


@dataclass(frozen=True)
class _Side:
    """One side of a comparison: the headline over what both have in common.

    `whole` where something is left without any one of the clusters.
    """

    headline: Headline
    value: float
    rows: int
    whole: bool


class Tested(NamedTuple):
    """A difference, its p, and p with Holm's correction."""

    difference: float
    p: float
    adjusted: float


class AllPairs(Mapping[tuple[int, int], Comparison]):
    """Comparisons of all pairs of results, by their indices, the smaller one first; Holm's correction.

    Attributes
    ----------
    reasons
        Why pairs cannot be compared, by indices.
    tested
        Difference and p of each pair, by indices.
    ahead
        Pairs of indices that differ significantly, the better one first.
    """

    def __init__(self, members: Sequence[_Measured | str]) -> None:
        self._members = {at: each for at, each in enumerate(members) if isinstance(each, _Measured)}
        unfit = {at: each for at, each in enumerate(members) if isinstance(each, str)}
        self.reasons = {
            (a, b): unfit.get(a) or unfit[b]
            for a, b in combinations(range(len(members)), 2)
            if a in unfit or b in unfit
        }
        self._rows, self._kind = _kinds_of_rows(self._members)
        self._ordered = {
            at: each.headline.over(self._rows[self._kind[at]].order) for at, each in self._members.items()
        }
        gaps, p = self._tested()
        self.tested = {
            pair: Tested(gap, float(raw), float(adjusted))
            for (pair, gap), raw, adjusted in zip(gaps.items(), p, holm(p), strict=True)
        }
        self.ahead = []
        if any(profile(each.result) for each in list(self._members.values())[:1]):  # all are of one task
            return
        for (a, b), made in self.tested.items():
            leads = _leads(self._members[a].result, made.difference, made.adjusted)
            if leads is not None:
                self.ahead.append((a, b) if leads else (b, a))

    def __getitem__(self, pair: tuple[int, int]) -> Comparison:
        gap, p, adjusted = self.tested[pair]
        a, b = (self._members[at].result for at in pair)
        one, other = (
            self._sides(self._kind[at], self._kind[its], [at])[at] for at, its in (pair, pair[::-1])
        )
        clusters = one.headline.clusters
        share = declaration(a.task.protocol).formula != "ratio" and a.score and a.score.unit == "fraction"
        bounds = _bounds(one.headline, other.headline, gap, a.level, 1.0 if share else np.inf)
        assert bounds is not None  # else the pair was not tested
        low, high, error = bounds
        least, n = detectable(error, clusters, level=a.level), min(one.rows, other.rows)
        return Comparison(a, b, gap, low, high, p, adjusted, least, n, clusters)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.tested)

    def __len__(self) -> int:
        return len(self.tested)

    def _sides(self, kind: int, other: int, members: Sequence[int]) -> dict[int, _Side]:
        """The members, which have rows of one kind, over those rows that the other kind has, too."""
        shared = np.isin(self._rows[kind].unit, self._rows[other].unit)
        if not shared.any():
            return {}
        made = {at: self._ordered[at] if shared.all() else self._ordered[at].over(shared) for at in members}
        return {
            at: _Side(each, each.value(), int(shared.sum()), bool(np.isfinite(each.without()).all()))
            for at, each in made.items()
        }

    def _tested(self) -> tuple[dict[tuple[int, int], float], np.ndarray]:
        """Differences by pair, and the p of each; pairs that cannot be tested go to `reasons`."""
        kinds: dict[int, list[int]] = defaultdict(list)
        for at, kind in self._kind.items():
            kinds[kind].append(at)
        made = _Tests()
        for left, right in combinations_with_replacement(kinds, 2):
            one = self._sides(left, right, kinds[left])
            other = one if left == right else self._sides(right, left, kinds[right])
            sides = one | other
            pairs = combinations(kinds[left], 2) if left == right else product(kinds[left], kinds[right])
            for a, b in (sorted(pair) for pair in pairs):
                if reason := self._reason(a, b, sides):
                    self.reasons[a, b] = reason
                else:
                    made.add((a, b), sides[a], sides[b])
        return made.gaps, made.p()

    def _reason(self, a: int, b: int, sides: Mapping[int, _Side]) -> str:
        """Why a pair cannot be compared; empty where it can."""
        names = [self._rows[self._kind[at]].headline for at in (a, b)]
        if names[0] != names[1]:
            return f"the headline is {names[0]} of one and {names[1]} of the other, as their languages differ"
        if a not in sides:
            return "nothing in common"
        if sides[a].headline.clusters < LEAST:
            return f"fewer than {LEAST} speakers or sources of sound in common"
        if not (sides[a].whole and sides[b].whole):
            return "without one of the speakers or sources of sound, nothing is left to compare"
        return ""


def _kinds_of_rows(members: Mapping[int, _Measured]) -> tuple[list[_Rows], dict[int, int]]:
    """The different kinds of rows that results have, and which of them each one has."""
    different: list[tuple[str, pd.DataFrame]] = []
    kind: dict[int, int] = {}
    for at, each in members.items():
        name, keys = each.result.headline, each.keys
        known = (n for n, (its, rows) in enumerate(different) if its == name and rows.equals(keys))
        if (found := next(known, None)) is None:
            found = len(different)
            different.append((name, keys))
        kind[at] = found
    if not different:
        return [], kind
    paired = declaration(next(iter(members.values())).result.task.protocol).paired
    names = KEYS if paired == "units" else ["speaker"]
    together = pd.concat([keys for _, keys in different], ignore_index=True)
    units = together.groupby(names, dropna=False, sort=False).ngroup().to_numpy()
    made = []
    for (name, keys), unit in zip(
        different, np.split(units, np.cumsum([len(keys) for _, keys in different])[:-1]), strict=True
    ):
        order = keys.sort_values(KEYS, kind="stable").index.to_numpy()
        made.append(_Rows(name, order, unit[order]))
    return made, kind


class _Tests:
    """Permutation tests of many pairs, which share the exchanges of equally many clusters."""

    def __init__(self) -> None:
        self.gaps: dict[tuple[int, int], float] = {}
        self._additive: dict[int, list[tuple[int, np.ndarray]]] = defaultdict(list)
        self._others: dict[int, list[tuple[int, Headline, Headline]]] = defaultdict(list)

    def add(self, pair: tuple[int, int], one: _Side, other: _Side) -> None:
        """Add the test of a pair."""
        clusters, at = one.headline.clusters, len(self.gaps)
        self.gaps[pair] = one.value - other.value
        contributions = one.headline.contributions(other.headline)
        if contributions is None:
            self._others[clusters].append((at, one.headline, other.headline))
        else:
            self._additive[clusters].append((at, contributions))

    def p(self) -> np.ndarray:
        """The p of each pair, [pair]."""
        gaps, p = np.array(list(self.gaps.values())), np.full(len(self.gaps), np.nan)
        for clusters in sorted({*self._additive, *self._others}):
            swaps, sampled = exchanges(clusters)
            for at, one, other in self._others[clusters]:
                p[at] = _p(one.permuted_differences(other, swaps), gaps[at], sampled)
            tests = self._additive[clusters]
            for start in range(0, len(tests), _AT_ONCE):
                which, added = zip(*tests[start : start + _AT_ONCE], strict=True)
                p[list(which)] = _p(flipped(np.array(added), swaps), gaps[list(which)], sampled)
        return p


def exchanges(clusters: int, seed: int = 0, draws: int = DRAWS) -> tuple[np.ndarray, int]:
    """Exchanges of two models, [draw, cluster], 1 where the cluster is exchanged; and whether they are drawn.

    Where they are not, all are enumerated, that of none among them.
    """
    sampled = int(2**clusters > draws)
    if sampled:
        return (np.random.default_rng(seed).random((draws, clusters)) < 0.5).astype(float), sampled
    return ((np.arange(2**clusters)[:, None] >> np.arange(clusters)) & 1).astype(float), sampled


def _p(permuted: np.ndarray, gap: np.ndarray | float, sampled: int) -> np.ndarray:
    """Two-sided p [...] from permuted differences [..., draw]; drawn ones lack the observed difference."""
    extreme = np.count_nonzero(np.abs(permuted) >= np.abs(gap)[..., None] - ROUNDING, axis=-1)
    return np.asarray((extreme + sampled) / (permuted.shape[-1] + sampled))


def paired_test(
    mine: Headline, its: Headline, *, level: float, seed: int, draws: int = DRAWS, most: float = np.inf
) -> tuple[float, float, float, float] | None:
    """Interval (low, high), p and standard error of the difference of two headlines over the same clusters.

    None where there are fewer than `LEAST` clusters, or one holds all that is compared. `most` is the largest
    size that the difference can have.
    """
    gap = mine.value() - its.value()
    if (bounds := _bounds(mine, its, gap, level, most)) is None:
        return None
    swaps, sampled = exchanges(mine.clusters, seed, draws)
    low, high, error = bounds
    return low, high, float(_p(mine.permuted_differences(its, swaps), gap, sampled)), error


def _bounds(
    mine: Headline, its: Headline, gap: float, level: float, most: float
) -> tuple[float, float, float] | None:
    """Interval (low, high) and standard error of a difference; None where the clusters are too few."""
    without = mine.difference_without(its)
    bounds = jackknife(gap, without, level=level, scale="difference", most=most)
    return bounds and (float(bounds[0]), float(bounds[1]), float(jackknife_error(without)))
