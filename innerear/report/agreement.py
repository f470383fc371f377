"""Where synthesised and human speech agree: on layers, and on models.

For each task with results on both kinds of speech: per model, Kendall's τ between the two layer curves, the
layers that dev chose, and the headlines; over models, whether they come in the same order.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from innerear.report.leaderboard import NONE, best_layer, interval
from innerear.results.schema import Result
from innerear.results.store import Store
from innerear.stats.agreement import rank_agreement

COLUMNS = ("task", "model", "synthesised", "human", "layers τ", "layer, synthesised", "layer, human")


@dataclass(frozen=True)
class Pair:
    """One model on one task, on synthesised and on human speech; `tau` is None where there is no curve."""

    synthesised: Result
    human: Result
    tau: float | None

    @property
    def cells(self) -> tuple[str, ...]:
        """A row under `COLUMNS`."""
        a, b = self.synthesised, self.human
        assert a.score is not None
        assert b.score is not None
        per_cent = " %" if a.score.unit == "fraction" else ""
        return (
            f"{a.task.id} ({a.corpus.name}, {b.corpus.name})",
            a.model.name,
            interval(a.score) + per_cent,
            interval(b.score) + per_cent,
            NONE if self.tau is None else f"{self.tau:.2f}",
            best_layer(a),
            best_layer(b),
        )


def pairs(store: Store) -> list[Pair]:
    """All pairs of results of a task and model on synthesised and on human speech, learnt on what they test.

    Errors as `Store.load_all`.
    """
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in store.load_all():
        if result.score and not result.train_corpus and result.model.kind == "model":
            groups[result.task.id, result.model.name].append(result)
    found = []
    for _, results in sorted(groups.items()):
        made = [result for result in results if not result.corpus.human]
        human = [result for result in results if result.corpus.human]
        found += [Pair(a, b, _tau(a, b)) for a, b in product(made, human) if a.headline == b.headline]
    return sorted(found, key=lambda pair: (pair.cells[0], pair.cells[1]))


def orders(found: Sequence[Pair]) -> list[tuple[str, str, str, bool]]:
    """For each task and pair of corpora: the models' order on both, best first, and whether it is one."""
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in found:
        groups[pair.cells[0]].append(pair)
    made = []
    for name, members in groups.items():
        first, second = (
            [result.model.name for result in sorted(side, key=_merit)]
            for side in ([pair.synthesised for pair in members], [pair.human for pair in members])
        )
        directed = members[0].human.score
        if len(members) > 1 and directed is not None and directed.direction != "none":
            made.append((name, " > ".join(first), " > ".join(second), first == second))
    return made


def _merit(result: Result) -> float:
    assert result.score is not None
    return result.score.value if result.score.direction == "lower" else -result.score.value


def _tau(a: Result, b: Result) -> float | None:
    """Kendall's τ between the main curves, layer by layer."""
    if a.main is None or b.main is None or len(a.main.points) < 2:
        return None
    curves = [np.array([point.value for point in result.main.points]) for result in (a, b) if result.main]
    tau = rank_agreement(*curves)
    return tau if np.isfinite(tau) else None
