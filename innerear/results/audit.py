"""The schema of an audit of headline metrics, as in results/audit.json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, JsonValue

from innerear.results.reports import MeasuredModels, own_or_published, read_report
from innerear.results.schema import Environment, Record
from innerear.tasks.task import is_current, load_task, task_names
from innerear.util.errors import InputError
from innerear.util.words import counted

FILE = "audit.json"
"""Name of the file in a folder of results."""

Outcome = Literal["pass", "fail", "not run"]


class Check(Record):
    """One check of a metric: its outcome, a line that explains it, and the numbers behind it."""

    name: str
    outcome: Outcome
    says: str
    values: dict[str, JsonValue] = Field(default_factory=dict)


class Audited(Record):
    """The audit of a task's headline on one model.

    Attributes
    ----------
    version
        Version of the task.
    machine
        What measured it; empty where nothing was measured.
    value, low, high, n
        The headline of the unmodified model on the audit's share of the clips; None where it was not
        measured.
    error
        Standard error over clusters.
    detectable, published_detectable
        Smallest difference that a paired test finds with a power of 80 %: here, and in the published results
        (median over pairs of models).
    """

    task: str
    version: int
    model: str
    headline: str
    direction: Literal["higher", "lower", "none"]
    unit: str
    clips: int
    n: int
    machine: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    error: float | None = None
    detectable: float | None = None
    published_detectable: float | None = None
    checks: list[Check] = Field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """What the metric failed, on which model and clips, and why, as lines for notes.

        An audit runs a task on its own corpus, which is known while the register has the same version.
        """
        task = load_task(self.task) if self.task in task_names() else None
        corpus = f" of {task.corpus}" if task and task.version == self.version else ""
        where = f"v{self.version}, on {self.model} with {counted(self.clips, 'clip')}{corpus}"
        return [f"{check.name} ({where}): {check.says}" for check in self.failed]

    def check(self, name: str) -> Check | None:
        """A check by name."""
        return next((check for check in self.checks if check.name == name), None)

    @property
    def failed(self) -> list[Check]:
        """The checks that the metric failed."""
        return [check for check in self.checks if check.outcome == "fail"]


class Audit(MeasuredModels):
    """An audit of headline metrics.

    Attributes
    ----------
    cpu_s
        CPU seconds of the processes that finished its parts, without worker processes and without earlier
        processes that were killed.
    """

    schema_version: Literal[3] = 3
    created: str
    cpu_s: float
    levels: list[float]
    seeds: list[int]
    metrics: list[Audited]

    @property
    def failed(self) -> bool:
        """Whether any metric failed."""
        return any(audited.failed for audited in self.metrics)

    def joined(self, earlier: Self) -> Self:
        """Add what an earlier audit found of other tasks and models.

        Left out of the earlier one is what is of former versions of tasks, or was not run and now is.
        """
        own = {audited.task for audited in self.metrics}
        pairs = {(audited.task, audited.model) for audited in self.metrics}
        kept = [
            audited
            for audited in earlier.metrics
            if (audited.task, audited.model) not in pairs
            and (audited.model or audited.task not in own)
            and is_current(audited.task, audited.version)
        ]
        known = {audited.task for audited in kept if audited.model}
        new = [audited for audited in self.metrics if audited.model or audited.task not in known]
        cpu_s = round(earlier.cpu_s + self.cpu_s, 1)
        where = {**earlier.environments, **self.environments}
        return self.model_copy(update={"metrics": [*kept, *new], "cpu_s": cpu_s, "environments": where})

    def refuse_others(self, here: Environment, levels: Sequence[float], seeds: Sequence[int]) -> None:
        """Refuse to add an audit of other noise or seeds, or with other packages on the same machine.

        Raises
        ------
        InputError
            If it is one.
        """
        if (self.levels, self.seeds) != (list(levels), list(seeds)):
            made = f"noise of {self.levels} and seeds {self.seeds}, and now these are others"
            raise InputError(f"that audit was made with {made}; give another --output")
        self.refuse_other_packages(here)


def headline_audits(folder: Path) -> dict[str, list[Audited]]:
    """Audits of each task's headline: those in a folder of results or, if it has none, the published ones.

    Raises
    ------
    InnerearError
        If the file is not an audit.
    """
    audit = read_report(own_or_published(folder, FILE), Audit, "an audit", "innerear audit")
    found: dict[str, list[Audited]] = {}
    for audited in audit.metrics:
        found.setdefault(audited.task, []).append(audited)
    return found
