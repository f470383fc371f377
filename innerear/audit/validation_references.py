"""Published reference values, the outcome of each check, and the report: results/validation.json."""

from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field

from innerear.results.schema import Environment, Record
from innerear.util.yaml import load_yaml

FILE = "validation.json"
"""Name of the report in a folder of results."""

Outcome = Literal["pass", "fail", "needs a hub", "needs a corpus", "needs a file", "needs a result"]


class Reference(Record):
    """A number that somebody else published.

    Attributes
    ----------
    check
        Name of the check in `validation_checks` that measures the same here; the other fields are its
        arguments.
    value, tolerance
        A check passes if `value` ± `tolerance` overlaps the interval measured here; a list must be equal.
    read
        Whether the source itself was read; False if the value is quoted second-hand.
    """

    id: str
    what: str
    check: str
    model: str
    value: float | list[tuple[int, int]]
    tolerance: float = Field(default=0.0, ge=0)
    source: str
    read: bool
    task: str = ""
    corpus: str = ""
    score: str = ""
    file: str = ""
    text: str = ""


class References(Record):
    """The file of references."""

    references: list[Reference]


class ReferenceCheck(Record):
    """The outcome of one check; `low` and `high` bound `value` if that is known, `n` is its sample size."""

    id: str
    what: str
    model: str
    reference: float | list[tuple[int, int]]
    tolerance: float
    source: str
    read: bool
    outcome: Outcome
    value: float | list[tuple[int, int]] | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    note: str = ""


class Validation(Record):
    """The report: the outcome of every check."""

    schema_version: Literal[1] = 1
    created: str
    findings: list[ReferenceCheck]
    environment: Environment

    @property
    def failed(self) -> list[ReferenceCheck]:
        """Checks that failed."""
        return [finding for finding in self.findings if finding.outcome == "fail"]


def references() -> list[Reference]:
    """Load the references that come with innerear."""
    path = Path(str(files("innerear.audit").joinpath("references.yaml")))
    return load_yaml(path, References).references
