"""The schema of results/sensitivity.json: the smallest damage that a merit tells apart, by what it costs.

Damage is weighed by the word errors that it causes: a metric that needs ten points of WER before it moves
says little about models that differ by one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from innerear.results.reports import MeasuredModels, read_report
from innerear.results.schema import Record
from innerear.tasks.task import is_current

FILE = "sensitivity.json"
"""Name of the file in a folder of results."""
ALPHA = 0.05
"""p below which a damaged model is told apart."""


class Damaged(Record):
    """One damaged variant of a model: what the damage costs, and whether the headline tells it apart.

    Attributes
    ----------
    degree
        Degree of the damage, in the units of its kind.
    cost
        Clean WER of the variant minus that of the untouched model, on the same clips.
    value
        The headline.
    p
        p of the paired permutation test of the headline against that of the untouched model.
    worse
        Whether the headline is worse than that of the untouched model.
    machine
        What measured both.
    """

    kind: str
    degree: float
    cost: float
    value: float
    p: float
    worse: bool
    machine: str

    @property
    def told(self) -> bool:
        """Whether the headline tells this variant apart as worse."""
        return self.worse and self.p < ALPHA


def smallest(damaged: Sequence[Damaged]) -> float | None:
    """See `Sensitivity.smallest`, of damage of one kind."""
    told = None
    for cost, apart in sorted(
        ((each.cost, each.told) for each in damaged), key=lambda each: (-each[0], each[1])
    ):
        if not apart:
            break
        told = cost
    return told


class Sensitivity(Record):
    """How sensitive the headline of a task is to damage of one model, on the published selection of clips."""

    task: str
    version: int
    corpus: str
    model: str
    headline: str
    unit: str
    n: int
    value: float
    wer: float
    damaged: list[Damaged]

    def smallest(self, kind: str) -> float | None:
        """The cost from which on damage of a kind is told apart, all costlier damage included; None: never.

        Costs are in fractions of WER. A cost of zero or less is damage that transcription did not feel.
        """
        return smallest([each for each in self.damaged if each.kind == kind])

    @property
    def kinds(self) -> list[str]:
        """Kinds of damage, in order."""
        return list(dict.fromkeys(each.kind for each in self.damaged))

    def joined(self, earlier: Self | None) -> Self:
        """Add the kinds of damage that were measured earlier alone, on the same selection of clips."""
        if earlier is None or (earlier.corpus, earlier.n) != (self.corpus, self.n):
            return self
        kept = [each for each in earlier.damaged if each.kind not in self.kinds]
        return self.model_copy(update={"damaged": [*kept, *self.damaged]})

    def sentence(self) -> str:
        """What is told apart, by kind, in points of WER."""
        told = {kind: self.smallest(kind) for kind in self.kinds}
        parts = [f"{kind} {'never' if cost is None else f'{100 * cost:.1f}'}" for kind, cost in told.items()]
        return (
            f"Smallest damage of {self.model} told apart, in points of WER that it costs: {', '.join(parts)}."
        )


class Sensitivities(MeasuredModels):
    """Sensitivities of merits, as in results/sensitivity.json."""

    schema_version: Literal[2] = 2
    created: str
    merits: list[Sensitivity]

    def of(self, task: str, model: str) -> Sensitivity | None:
        """That of a task and a model, if it is of the task's present version."""
        return next(
            (
                merit
                for merit in self.merits
                if (merit.task, merit.model) == (task, model) and is_current(task, merit.version)
            ),
            None,
        )

    def joined(self, earlier: Self) -> Self:
        """Add what was measured earlier of other tasks, models and kinds, but of former task versions."""
        before = {
            (merit.task, merit.model): merit
            for merit in earlier.merits
            if is_current(merit.task, merit.version)
        }
        merits = [merit.joined(before.pop((merit.task, merit.model), None)) for merit in self.merits]
        where = {**earlier.environments, **self.environments}
        return self.model_copy(update={"merits": [*before.values(), *merits], "environments": where})


def sensitivities(folder: Path) -> Sequence[Sensitivity]:
    """The sensitivities in a folder of results, if there are any.

    Raises
    ------
    InnerearError
        If the file holds something else.
    """
    path = folder / FILE
    if not path.is_file():
        return ()
    return read_report(path, Sensitivities, "the sensitivities", "innerear sensitivity").merits
