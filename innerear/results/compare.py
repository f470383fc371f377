"""Compare models on the tasks they share: differences, their intervals and tests, detectable differences."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd

from innerear.results.headline import CLOSE, KEYS, Headline, headline, headline_rows
from innerear.results.schema import Result
from innerear.results.store import Store
from innerear.stats.intervals import FEWEST, detectable, holm, jackknife, jackknife_error
from innerear.tasks.declarations import declaration
from innerear.util.errors import InputError
from innerear.util.progress import bar

DRAWS = 9999
"""Number of exchanges drawn in a permutation test, where there are too many to enumerate."""
LEAST = FEWEST["difference"]
"""Minimum number of clusters for a comparison."""


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

    @property
    def better(self) -> str:
        """Name of the better model if the difference is significant, else empty."""
        return self.ahead.model.name if self.ahead else ""

    @property
    def ahead(self) -> Result | None:
        """The better result if the difference is significant, else None."""
        score = self.a.score
        if score is None or score.direction == "none" or self.adjusted >= 1 - self.a.level:
            return None
        return self.a if (self.difference > 0) == (score.direction == "higher") else self.b


def compare(store: Store, names: Sequence[str]) -> tuple[list[Comparison], list[str]]:
    """Compare every two models on each task for which a store has results of both.

    Returns
    -------
    list of Comparison
        Sorted by task; p with Holm's correction over all of them.
    list of str
        What could not be compared, and why: the task or corpus differs, a result is n/a, or the two have
        nothing in common.

    Raises
    ------
    InputError
        If a model has no result, or nothing could be compared.
    """
    results = store.load_all()
    own = {name: [result for result in results if result.model.name == name] for name in names}
    known = sorted({result.model.name for result in results})
    if missing := [name for name in names if not own[name]]:
        raise InputError(f"{store.folder}: no result of {missing[0]}; there are {', '.join(known)}")
    if len(own) < 2:
        raise InputError("name at least two different models")
    made: list[Comparison] = []
    refused: list[str] = []
    for name in own:
        _refuse_namesakes(own[name])
    pairs = [match for a, b in combinations(own, 2) for match in _matched(own[a], own[b])]
    with bar("comparing", len(pairs)) as advance:
        for mine, its, differs in pairs:
            found = differs or difference(store, mine, its)
            advance()
            if isinstance(found, Comparison):
                made.append(found)
            else:
                who = f"{mine.model.name} and {its.model.name}"
                refused.append(f"{who} on {mine.task.id} ({mine.corpus.name}): {found}")
    for a, b in combinations(own, 2):
        refused += [*_alone(own[a], own[b]), *_alone(own[b], own[a])]
    if not made:
        raise InputError("nothing to compare: " + "; ".join(refused or ["the models share no task"]))
    return sorted(_corrected(made), key=lambda each: each.a.group), refused


def _matched(mine: Sequence[Result], its: Sequence[Result]) -> list[tuple[Result, Result, str]]:
    """Pairs of results of one group; for a result without a partner, one of its topic and what differs."""
    groups = {result.group: result for result in its}
    made = [(result, groups[result.group], "") for result in mine if result.group in groups]
    paired = {result.group for result, *_ in made}

    def nearest(result: Result, others: Sequence[Result]) -> list[Result]:
        same = [other for other in others if _topic(other) == _topic(result)]
        return sorted(same, key=lambda other: other.group in paired)[:1]

    alone = [
        (result, other) for result in mine if result.group not in paired for other in nearest(result, its)
    ]
    alone += [
        (other, result) for result in its if result.group not in paired for other in nearest(result, mine)
    ]
    once = {(a.group, b.group): (a, b) for a, b in alone}
    return made + [(a, b, _differs(a, b)) for a, b in once.values()]


def _refuse_namesakes(own: Sequence[Result]) -> None:
    """Raise an `InputError` if results of different models have one name."""
    known: dict[tuple[str, ...], Result] = {}
    for result in own:
        other = known.setdefault(result.group, result)
        if other is not result:
            hashes = " and ".join(each.model.sha256[:8] for each in (other, result))
            raise InputError(
                f"{result.model.name} on {result.task.id} ({result.corpus.name}): results of several "
                f"models of this name, {hashes}; keep one of them in another folder"
            )


def _alone(mine: Sequence[Result], its: Sequence[Result]) -> list[str]:
    """Results that only the first model has, one line each."""
    known = {_topic(result) for result in its}
    return [
        f"{result.model.name} on {result.task.id} ({result.corpus.name}): "
        f"{its[0].model.name} has no such result"
        for result in mine
        if _topic(result) not in known
    ]


def _topic(result: Result) -> tuple[str, str]:
    return result.task.id, result.corpus.name


def _differs(a: Result, b: Result) -> str:
    for what, one, other in (
        ("the task's hash", a.task.sha256, b.task.sha256),
        ("the corpus", a.corpus.fingerprint, b.corpus.fingerprint),
    ):
        if one != other:
            return (
                f"{what} is {one[:12]} in one and {other[:12]} in the other; run both with the same version"
            )
    return "the training corpus differs; run both with the same one"


def difference(store: Store, a: Result, b: Result) -> Comparison | str:
    """One comparison, p not yet corrected, or the reason why there is none."""
    for result in (a, b):
        if result.score is None:
            return f"n/a for {result.model.name} ({result.reason})"
        if result.items is None:
            return f"{result.model.name} has no per-item outcomes"
    if a.headline != b.headline:
        return f"the headline is {a.headline} of one and {b.headline} of the other, as their languages differ"
    declared = declaration(a.task.protocol)
    if declared.unpaired_reason:
        return declared.unpaired_reason
    mine, its = (store.read_items(result) for result in (a, b))
    for result, items in ((a, mine), (b, its)):
        assert result.score is not None
        if not abs(headline(result, items).value() - result.score.value) <= CLOSE:
            return f"the per-item outcomes of {result.model.name} do not give its {result.headline}"
    mine, its = headline_rows(a, mine), headline_rows(b, its)
    both = _common(mine, its, declared.paired)
    if not len(both[0]):
        return "nothing in common"
    one, other = headline(a, both[0]), headline(b, both[1])
    n, clusters = min(map(len, both)), one.clusters
    if clusters < LEAST:
        return f"fewer than {LEAST} speakers or sources of sound in common"
    share = declared.formula != "ratio" and a.score is not None and a.score.unit == "fraction"
    if (found := paired_test(one, other, level=a.level, seed=0, most=1.0 if share else np.inf)) is None:
        return "without one of the speakers or sources of sound, nothing is left to compare"
    (low, high, p, error), gap = found, one.value() - other.value()
    return Comparison(
        a, b, gap, low, high, p, p, detectable(error, clusters, level=a.level), n, clusters
    )  # fmt: skip


def pairwise_comparisons(store: Store, results: Sequence[Result]) -> dict[tuple[int, int], Comparison]:
    """Compare every two results of one group, by index, with Holm's correction.

    Pairs that cannot be compared are left out.
    """
    found = {
        (one, other): difference(store, results[one], results[other])
        for one, other in combinations(range(len(results)), 2)
    }
    made = {pair: each for pair, each in found.items() if isinstance(each, Comparison)}
    return dict(zip(made, _corrected(list(made.values())), strict=True))


def _corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with Holm's correction over all of them."""
    adjusted = holm([each.p for each in found])
    return [replace(each, adjusted=p) for each, p in zip(found, adjusted, strict=True)]


def paired_test(
    mine: Headline, its: Headline, *, level: float, seed: int, draws: int = DRAWS, most: float = np.inf
) -> tuple[float, float, float, float] | None:
    """Interval (low, high), p and standard error of the difference of two headlines over the same clusters.

    None where there are fewer than `LEAST` clusters, or one holds all that is compared. `most` is the largest
    size that the difference can have.
    """
    n, value = mine.clusters, mine.value() - its.value()
    without = mine.difference_without(its)
    bounds = jackknife(value, without, level=level, scale="difference", most=most)
    if bounds is None:
        return None
    random = np.random.default_rng(seed)
    sampled = int(2**n > draws)  # else all exchanges are enumerated, the observed one among them
    swaps = random.random((draws, n)) < 0.5 if sampled else (np.arange(2**n)[:, None] >> np.arange(n)) & 1 > 0
    extreme = np.abs(mine.permuted_differences(its, swaps)) >= abs(value) - 1e-12
    p = float((extreme.sum() + sampled) / (len(extreme) + sampled))
    return float(bounds[0]), float(bounds[1]), p, float(jackknife_error(without))


def _common(
    a: pd.DataFrame, b: pd.DataFrame, paired: Literal["units", "speakers"]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows whose unit, or whose speaker, is in both tables, in the same order."""
    keys = KEYS if paired == "units" else ["speaker"]
    shared = pd.merge(a[keys].drop_duplicates(), b[keys].drop_duplicates(), on=keys)
    one, other = (items.merge(shared, on=keys).sort_values(KEYS, kind="stable") for items in (a, b))
    return one.reset_index(drop=True), other.reset_index(drop=True)
