"""Agreement between results on synthetic and on human speech, over layers and over models.

For each task with results on both kinds of speech: for each model Kendall's τ between the two layer curves,
the layers chosen on dev, and the headlines; over models, whether their order is the same.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from innerear.report.leaderboard import best_layer
from innerear.report.numbers import NONE, interval, unit_of
from innerear.results.schema import Result
from innerear.results.store import Store
from innerear.stats.agreement import rank_agreement

COLUMNS = ("task", "model", "synthetic", "human", "layers τ", "layer, synthetic", "layer, human")


@dataclass(frozen=True)
class Pair:
    """Results of one model and task on synthetic and on human speech; `tau` is None without a curve."""

    synthetic: Result
    human: Result
    tau: float | None

    @property
    def cells(self) -> tuple[str, ...]:
        """One row under `COLUMNS`."""
        a, b = self.synthetic, self.human
        assert a.score is not None
        assert b.score is not None
        return (
            f"{a.task.id} ({a.corpus.name}, {b.corpus.name})",
            a.model.name,
            f"{interval(a.score)} {unit_of(a.score)}",
            f"{interval(b.score)} {unit_of(b.score)}",
            NONE if self.tau is None else f"{self.tau:.2f}",
            best_layer(a),
            best_layer(b),
        )


def pairs(store: Store) -> list[Pair]:
    """All pairs of results of a task and model on synthetic and on human speech, without transfer.

    Errors as `Store.load_all`.
    """
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in store.load_all():
        if result.score and not result.train_corpus and result.model.kind == "model":
            groups[result.task.id, result.model.name].append(result)
    paired = []
    for _, results in sorted(groups.items()):
        synthetic = [result for result in results if not result.corpus.human]
        human = [result for result in results if result.corpus.human]
        paired += [Pair(a, b, _tau(a, b)) for a, b in product(synthetic, human) if a.headline == b.headline]
    return sorted(paired, key=lambda pair: (pair.cells[0], pair.cells[1]))


def orders(paired: Sequence[Pair]) -> list[tuple[str, str, str, bool]]:
    """For each task and pair of corpora: the models' order on both, best first, and whether they agree."""
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in paired:
        groups[pair.cells[0]].append(pair)
    rows = []
    for name, members in groups.items():
        first, second = (
            [result.model.name for result in sorted(side, key=_sort_key)]
            for side in ([pair.synthetic for pair in members], [pair.human for pair in members])
        )
        directed = members[0].human.score
        if len(members) > 1 and directed is not None and directed.direction != "none":
            rows.append((name, " > ".join(first), " > ".join(second), first == second))
    return rows


def _sort_key(result: Result) -> float:
    assert result.score is not None
    return result.score.value if result.score.direction == "lower" else -result.score.value


def _tau(a: Result, b: Result) -> float | None:
    """Kendall's τ between the main curves over layers; None without curves, or if it is undefined."""
    if a.main is None or b.main is None or len(a.main.points) < 2:
        return None
    curves = [np.array([point.value for point in result.main.points]) for result in (a, b) if result.main]
    tau = rank_agreement(*curves)
    return tau if np.isfinite(tau) else None
