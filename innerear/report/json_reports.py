"""Reports in a folder of results (validation.json, audit.json) as pages: a summary, and tables of findings.

The contents are generic: each list of records is a table, its plain fields are columns, and each named check
of a list of checks is a column. What one looks for comes first; all other columns stand in a folded table.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from innerear.report.leaderboard import NONE
from innerear.util.errors import InnerearError
from innerear.util.reading import parse_json, read_bytes
from innerear.util.words import counted

FIRST = ("what", "task", "model", "headline", "reference", "value", "tolerance", "outcome")
"""Columns that one looks for, in this order, before checks; JSON files are sorted by key."""
HEADINGS = {
    "what": "what is compared", "reference": "expected", "value": "found", "tolerance": "within",
    "outcome": "passed",
}  # fmt: skip
"""Headings of the columns of a comparison with something expected."""
ABOUT = {
    "audit": "Every headline under stress: does it fall as a model is damaged, and what else moves it?",
    "machines": "Results that were measured again on another machine, and how far p moved between them.",
    "validation": "Numbers that others published, measured here again.",
}
"""What the reports that innerear makes are about, by the names of their files."""


@dataclass(frozen=True)
class ReportCell:
    """A cell: its text, its outcome (`pass`, `fail`, `not run` or empty), and an explanation."""

    text: str
    outcome: str = ""
    says: str = ""


Rows = tuple[tuple[ReportCell, ...], ...]


@dataclass(frozen=True)
class ReportTable:
    """A table of findings.

    Attributes
    ----------
    columns, rows
        What one looks for.
    details
        Columns and rows with everything; None where there is nothing more.
    failed
        What failed: what it is about, and why.
    """

    name: str
    columns: tuple[str, ...]
    rows: Rows
    details: tuple[tuple[str, ...], Rows] | None
    failed: tuple[tuple[str, str], ...]

    @property
    def summary(self) -> str:
        """How many findings passed, failed, and were not run, in a sentence."""
        checks = [[cell.outcome for cell in row if cell.outcome] for row in self.rows]
        found = Counter(outcome for row in checks for outcome in row)
        if not found:
            return f"{counted(len(self.rows), 'row')}, without checks."
        why = Counter(
            cell.text
            for row in self.rows
            for cell in row
            if cell.outcome == "not run" and cell.text != "not run"
        )
        reasons = ", ".join(f"{text}: {count}" for text, count in why.items())
        says = (
            f"Of {counted(found.total(), 'check')} {found['pass']} passed, {found['fail']} failed and "
            f"{found['not run']} {'was' if found['not run'] == 1 else 'were'} not run"
            f"{f' ({reasons})' if reasons else ''}."
        )
        if found.total() > len(self.rows):
            failed = sum("fail" in row for row in checks)
            passed = sum("fail" not in row and "pass" in row for row in checks)
            says += (
                f" Of {counted(len(checks), 'row')} {passed} passed all checks that were run, {failed} "
                f"failed one or more, and of {len(checks) - passed - failed} none was run."
            )
        return says


@dataclass(frozen=True)
class Report:
    """A report: its title, what it is about, its facts (name, value), and its tables."""

    title: str
    about: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[ReportTable, ...]

    @property
    def page(self) -> str:
        """File name of its page."""
        return f"{self.title.lower()}.html"


def load_reports(folder: Path) -> list[Report]:
    """All reports in a folder of results.

    Raises
    ------
    InnerearError
        If a file is not JSON, or contains no list of records.
    """
    return [_report(path) for path in sorted(folder.glob("*.json"))]


def _report(path: Path) -> Report:
    try:
        content = parse_json(read_bytes(path))
    except ValueError as error:
        raise InnerearError(f"{path}: not JSON ({error}); generate it again") from error
    fields = content if isinstance(content, dict) else {}
    tables = [_table(name, rows) for name, rows in fields.items() if _is_table(rows)]
    if not tables:
        raise InnerearError(f"{path}: not a report, as it has no list of findings")
    facts = [(name, _text(value)) for name, value in fields.items() if not isinstance(value, dict | list)]
    return Report(path.stem.capitalize(), ABOUT.get(path.stem, ""), tuple(facts), tuple(tables))


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _table(name: str, records: Sequence[Mapping[str, Any]]) -> ReportTable:
    rows = [dict(_cells(row)) for row in records]
    every = dict.fromkeys(column for row in rows for column in row)
    filled = [column for column in every if any(row.get(column, _EMPTY).text != NONE for row in rows)]
    checks = [column for column in filled if any(row.get(column, _EMPTY).outcome for row in rows)]
    first = [column for column in FIRST if column in filled] if checks else []
    shown = [*first, *(column for column in checks if column not in first)] or filled
    rest = [column for column in filled if column not in shown]
    headings = HEADINGS if "reference" in filled else {}
    brief = [_brief(record, row) for record, row in zip(records, rows, strict=True)]
    return ReportTable(
        name,
        tuple(headings.get(column, column) for column in shown),
        _rows(brief, shown),
        ((*shown, *rest), _rows(rows, [*shown, *rest])) if rest else None,
        tuple(_failed(row, brief_row) for row, brief_row in zip(rows, brief, strict=True) if _fails(row)),
    )


_EMPTY = ReportCell(NONE)


def _rows(rows: Sequence[Mapping[str, ReportCell]], columns: Sequence[str]) -> Rows:
    return tuple(tuple(row.get(column, _EMPTY) for column in columns) for row in rows)


def _brief(record: Mapping[str, Any], row: Mapping[str, ReportCell]) -> dict[str, ReportCell]:
    """A row for those who look for something: a value with its interval, and long lists by their lengths."""
    made = dict(row)
    for name in ("reference", "value"):
        if isinstance(record.get(name), list):
            made[name] = ReportCell(counted(len(record[name]), "value"), says=row[name].text)
    low, high = record.get("low"), record.get("high")
    if "value" in row and low is not None and high is not None:
        made["value"] = ReportCell(f"{row['value'].text} [{_text(low)}, {_text(high)}]")
    if record.get("tolerance") is not None:
        made["tolerance"] = ReportCell(f"± {_text(record['tolerance'])}")
    return made


def _fails(row: Mapping[str, ReportCell]) -> bool:
    return any(cell.outcome == "fail" for cell in row.values())


def _failed(row: Mapping[str, ReportCell], brief: Mapping[str, ReportCell]) -> tuple[str, str]:
    """What a failed row is about, and why it failed."""
    about = ", ".join(row[name].text for name in ("what", "task", "model") if name in row)
    says = [f"{name}: {cell.says}" for name, cell in row.items() if cell.outcome == "fail" and cell.says]
    expected = [
        f"{HEADINGS[name]} {brief[name].text}"
        for name in ("reference", "tolerance", "value")
        if name in brief
    ]
    return about, "; ".join(says or expected)


def _cells(row: Mapping[str, Any]) -> Iterator[tuple[str, ReportCell]]:
    for name, value in row.items():
        if name == "outcome":
            yield name, _checked(value)
        elif _is_table(value) and all({"name", "outcome"} <= set(check) for check in value):
            for check in value:
                yield str(check["name"]), _checked(check["outcome"], str(check.get("says", "")))
        elif not isinstance(value, dict):
            yield name, ReportCell(_text(value))


def _checked(outcome: Any, says: str = "") -> ReportCell:
    return ReportCell(_text(outcome), str(outcome) if outcome in ("pass", "fail") else "not run", says)


def _text(value: Any) -> str:
    if value is None or value == [] or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
