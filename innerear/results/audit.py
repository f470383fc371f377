"""What an audit says of a headline metric, as results/audit.json keeps it."""

from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue, ValidationError

from innerear.results.schema import Environment, Record
from innerear.util.errors import InnerearError

FILE = "audit.json"
"""Its name in a folder of results."""

Outcome = Literal["pass", "fail", "not run"]


class Check(Record):
    """One question to a metric, the answer in a line, and the figures behind it."""

    name: str
    outcome: Outcome
    says: str
    values: dict[str, JsonValue] = Field(default_factory=dict)


class Audited(Record):
    """A task's headline under audit, on one model.

    Attributes
    ----------
    version
        That of the task.
    value, low, high, n
        The headline of the untouched model on the audit's share of clips; None where it was not measured.
    error
        Standard error over clusters of items.
    detectable, published_detectable
        Smallest difference that a paired test finds four times in five: here, and in the published results
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
    value: float | None = None
    low: float | None = None
    high: float | None = None
    error: float | None = None
    detectable: float | None = None
    published_detectable: float | None = None
    checks: list[Check] = Field(default_factory=list)

    def check(self, name: str) -> Check | None:
        """A check by name."""
        return next((check for check in self.checks if check.name == name), None)

    @property
    def failed(self) -> list[Check]:
        """What the metric failed."""
        return [check for check in self.checks if check.outcome == "fail"]


class Audit(Record):
    """An audit: what was asked of which models, and what came of it.

    Attributes
    ----------
    cpu_s
        CPU seconds of the process that ended it: neither of those that hear clips beside it, nor of one that
        was killed before.
    """

    schema_version: Literal[2] = 2
    created: str
    cpu_s: float
    levels: list[float]
    seeds: list[int]
    metrics: list[Audited]
    environment: Environment

    @property
    def failed(self) -> bool:
        """Whether any metric failed."""
        return any(audited.failed for audited in self.metrics)


def audit_failures(folder: Path) -> dict[str, list[str]]:
    """Why the headlines of tasks are marked, by task, from the audit in a folder of results if there is one.

    Raises
    ------
    InnerearError
        If the file is no audit.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        audit = Audit.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InnerearError(f"{path}: no audit of this version; run `innerear audit` again") from error
    found: dict[str, list[str]] = {}
    for audited in audit.metrics:
        found.setdefault(audited.task, []).extend(
            f"{check.name} (v{audited.version}): {check.says}" for check in audited.failed
        )
    return {task: says for task, says in found.items() if says}
