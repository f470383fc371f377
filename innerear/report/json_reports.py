"""Reports in a folder of results (validation.json, audit.json) as tables.

The contents are generic: each list of records is a table, its plain fields are columns, and each named check
of a list of checks is a column.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from innerear.report.leaderboard import NONE
from innerear.util.errors import InnerearError
from innerear.util.reading import parse_json, read_bytes

NAMES = ("task", "id", "model", "what", "headline")
"""Columns that come first, in this order, as they say what a row is about; JSON files are sorted by key."""


@dataclass(frozen=True)
class ReportCell:
    """A cell: its text, its outcome (`pass`, `fail` or empty), and an explanation."""

    text: str
    outcome: str = ""
    says: str = ""


@dataclass(frozen=True)
class Report:
    """A report: its title, its facts (name, value), and its tables (name, columns, rows)."""

    title: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[tuple[str, tuple[str, ...], tuple[tuple[ReportCell, ...], ...]], ...]

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
    tables = [(name, *_table(rows)) for name, rows in fields.items() if _is_table(rows)]
    if not tables:
        raise InnerearError(f"{path}: not a report, as it has no list of findings")
    facts = [(name, _text(value)) for name, value in fields.items() if not isinstance(value, dict | list)]
    return Report(path.stem.capitalize(), tuple(facts), tuple(tables))


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _table(records: list[dict[str, Any]]) -> tuple[tuple[str, ...], tuple[tuple[ReportCell, ...], ...]]:
    rows = [dict(_cells(row)) for row in records]
    names = dict.fromkeys(name for row in rows for name in row)
    columns = tuple(dict.fromkeys([*(name for name in NAMES if name in names), *names]))
    empty = [name for name in columns if not any(name in row and row[name].text != NONE for row in rows)]
    kept = tuple(name for name in columns if name not in empty)
    return kept, tuple(tuple(row.get(name, ReportCell(NONE)) for name in kept) for row in rows)


def _cells(row: Mapping[str, Any]) -> Iterator[tuple[str, ReportCell]]:
    for name, value in row.items():
        if name == "outcome":
            yield name, ReportCell(_text(value), _outcome(value))
        elif _is_table(value) and all({"name", "outcome"} <= set(check) for check in value):
            for check in value:
                says = str(check.get("says", ""))
                yield (
                    str(check["name"]),
                    ReportCell(_text(check["outcome"]), _outcome(check["outcome"]), says),
                )
        elif not isinstance(value, dict):
            yield name, ReportCell(_text(value))


def _outcome(value: Any) -> str:
    return str(value) if value in ("pass", "fail") else ""


def _text(value: Any) -> str:
    if value is None or value == [] or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
