"""Reports that lie beside results (validation.json, audit.json) as tables: a list of findings is a table.

What is inside is not known here: plain fields are columns, and a list of named checks is a column each.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from innerear.report.leaderboard import NONE
from innerear.util.errors import InnerearError

NAMES = ("task", "id", "model", "what", "headline")
"""Columns that come first, in this order: what a row is about. JSON files of ours are sorted by key."""


@dataclass(frozen=True)
class Mark:
    """A cell: its text, what it is (`pass`, `fail` or nothing of that), and more to say of it."""

    text: str
    outcome: str = ""
    says: str = ""


@dataclass(frozen=True)
class Report:
    """A report: its title, facts (name, value), and tables (name, columns, rows)."""

    title: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[tuple[str, tuple[str, ...], tuple[tuple[Mark, ...], ...]], ...]

    @property
    def place(self) -> str:
        """Its page."""
        return f"{self.title.lower()}.html"


def reports(folder: Path) -> list[Report]:
    """All reports in a folder of results.

    Raises
    ------
    InnerearError
        If a file is not JSON, or has nothing to show.
    """
    return [_report(path) for path in sorted(folder.glob("*.json"))]


def _report(path: Path) -> Report:
    try:
        held = json.loads(path.read_bytes())
    except ValueError as error:
        raise InnerearError(f"{path}: not JSON ({error}); make it again") from error
    fields = held if isinstance(held, dict) else {}
    tables = [(name, *_table(rows)) for name, rows in fields.items() if _is_table(rows)]
    if not tables:
        raise InnerearError(f"{path}: no report, it has no list of findings")
    facts = [(name, _text(value)) for name, value in fields.items() if not isinstance(value, dict | list)]
    return Report(path.stem.capitalize(), tuple(facts), tuple(tables))


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _table(found: list[dict[str, Any]]) -> tuple[tuple[str, ...], tuple[tuple[Mark, ...], ...]]:
    rows = [dict(_cells(row)) for row in found]
    there = dict.fromkeys(name for row in rows for name in row)
    columns = tuple(dict.fromkeys([*(name for name in NAMES if name in there), *there]))
    empty = [name for name in columns if not any(name in row and row[name].text != NONE for row in rows)]
    kept = tuple(name for name in columns if name not in empty)
    return kept, tuple(tuple(row.get(name, Mark(NONE)) for name in kept) for row in rows)


def _cells(row: Mapping[str, Any]) -> Iterator[tuple[str, Mark]]:
    for name, value in row.items():
        if name == "outcome":
            yield name, Mark(_text(value), _outcome(value))
        elif _is_table(value) and all({"name", "outcome"} <= set(check) for check in value):
            for check in value:
                says = str(check.get("says", ""))
                yield str(check["name"]), Mark(_text(check["outcome"]), _outcome(check["outcome"]), says)
        elif not isinstance(value, dict):
            yield name, Mark(_text(value))


def _outcome(value: Any) -> str:
    return str(value) if value in ("pass", "fail") else ""


def _text(value: Any) -> str:
    if value is None or value == [] or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
