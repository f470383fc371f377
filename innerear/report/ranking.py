"""Ranking of models: tied groups, possible ranks, and win rates over all tasks."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

import networkx as nx
import numpy as np

from innerear.results.paired import AllPairs, Tested
from innerear.results.schema import Result
from innerear.stats.intervals import ratio_interval

RANKED = ("model", "method")
"""Kinds of subjects that have ranks."""
DRAWN = 7
"""Maximum number of models that the figures of a table show: as many as there are colours."""

Pairs = Collection[tuple[int, int]]


def tie_letters(n: int, differ: Pairs) -> list[str]:
    """Compact letter display: two share a letter if and only if they do not differ (Piepho 2004).

    Parameters
    ----------
    n
        Number of models, ordered from best to worst.
    differ
        Pairs of indices of models that differ significantly, in either order.
    """
    tied = nx.complete_graph(n)
    tied.remove_edges_from(differ)
    ordered = sorted(map(sorted, nx.find_cliques(tied)))
    letters = [""] * n
    for at, group in enumerate(ordered):
        for each in group:
            letters[each] += _letter(at)
    return letters


def _letter(at: int) -> str:
    """Letter of a group; after 26 a number follows, so that letters in a row can be told apart."""
    return f"{ascii_lowercase[at % 26]}{at // 26 + 1 if at >= 26 else ''}"


def possible_ranks(n: int, ahead: Pairs) -> list[tuple[int, int]]:
    """Lowest and highest possible rank of each model; `ahead` has the significant pairs (better, worse).

    If p is corrected over all pairs, the rank intervals hold for all models at once (Mohamad, Goeman & van
    Zwet 2021); a plain bootstrap of ranks is too narrow where models are tied.
    """
    won, lost = np.zeros(n, int), np.zeros(n, int)
    for better, worse in ahead:
        won[better] += 1
        lost[worse] += 1
    return [(1 + int(down), n - int(up)) for up, down in zip(won, lost, strict=True)]


@dataclass(frozen=True)
class Standing:
    """A model's place by score, its possible ranks, the letters of its tied groups, and its lead."""

    place: int
    between: tuple[int, int]
    letters: str
    lead: Tested | None

    @property
    def span(self) -> str:
        """The possible ranks as text."""
        low, high = self.between
        return str(low) if low == high else f"{low}–{high}"


NEIGHBOURS = 10
"""Tied neighbours of a table, from the best on, for which it says what could have been told apart."""


@dataclass(frozen=True)
class Apart:
    """How many pairs of models the tests of a table tell apart, jointly.

    Attributes
    ----------
    told_of_models, pairs_of_models
        `told` and `pairs` without those pairs that have a model organism.
    detectable
        Differences that a test of two tied neighbours alone finds with a power of 80 %.
    tested, ahead
        Difference and p of each pair, and the pairs that differ significantly, the better one first; by
        `record_sha256`.
    """

    told_of_models: int
    pairs_of_models: int
    detectable: tuple[float, ...]
    tested: Mapping[tuple[str, str], Tested]
    ahead: Collection[tuple[str, str]]

    @property
    def told(self) -> int:
        """Number of pairs that differ significantly."""
        return len(self.ahead)

    @property
    def pairs(self) -> int:
        """Number of pairs that could be compared."""
        return len(self.tested)


def told_apart(models: Sequence[Result], compared: AllPairs) -> Apart:
    """Count what the comparisons of ranked models, best first, tell apart."""
    ahead = {frozenset(pair) for pair in compared.ahead}
    known = {pair for pair in compared if not any(models[at].model.organism for at in pair)}
    tied = [(at, at + 1) for at in range(len(models) - 1)]
    tied = [pair for pair in tied if pair in compared.tested and frozenset(pair) not in ahead]
    return Apart(
        sum(frozenset(pair) in ahead for pair in known),
        len(known),
        tuple(compared[pair].detectable for pair in tied[:NEIGHBOURS]),
        {_records(models, pair): made for pair, made in compared.tested.items()},
        {_records(models, pair) for pair in compared.ahead},
    )


def _records(models: Sequence[Result], pair: tuple[int, int]) -> tuple[str, str]:
    return models[pair[0]].record_sha256, models[pair[1]].record_sha256


@dataclass(frozen=True)
class WinRate:
    """Share of pairwise comparisons with other models that a model wins; tasks have equal weight.

    `low` and `high` are None if there is only one task.
    """

    model: str
    value: float
    low: float | None
    high: float | None
    tables: int


def win_rates(groups: Sequence[Sequence[Result]]) -> list[WinRate]:
    """Mean win rate of each model over tables, best first, with an interval over tasks.

    Tables of one task (on several corpora) are one cluster. Tables whose metric has no direction, or with
    fewer than two models, are ignored, and models are compared by equal headlines (a word error rate is not
    compared with a character error rate). Of several weights under one name, the best count.

    Parameters
    ----------
    groups
        Results of each table.
    """
    rates: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for results in groups:
        scores: dict[tuple[str, str], float] = {}
        for result in results:
            if result.model.kind == "model" and result.score and result.score.direction != "none":
                value = result.score.value * (-1 if result.score.direction == "lower" else 1)
                key = result.model.name, result.headline
                scores[key] = max(value, scores.get(key, value))
        for (name, headline), own in scores.items():
            others = [value for (other, its), value in scores.items() if other != name and its == headline]
            if others:
                wins = [float(own > other) + 0.5 * float(own == other) for other in others]
                rates[name].append((results[0].task.id, float(np.mean(wins))))
    return sorted((_rate(name, by_table) for name, by_table in rates.items()), key=lambda rate: -rate.value)


def _rate(name: str, by_table: Sequence[tuple[str, float]]) -> WinRate:
    tasks = sorted({task for task, _ in by_table})
    sums = np.array(
        [np.mean([rate for task, rate in by_table if task == name_of_task]) for name_of_task in tasks]
    )
    interval = ratio_interval(sums, np.ones(len(tasks)), level=0.95, scale="share")
    low, high = (float(bound) for bound in interval) if interval else (None, None)
    return WinRate(name, float(sums.mean()), low, high, len(by_table))
