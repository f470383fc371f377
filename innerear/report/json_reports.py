"""Reports in a folder of results (validation.json, audit.json) as pages: a summary, and tables of findings.

The contents are generic: each list of records is a table, its plain fields are columns, and each named check
of a list of checks is a column. A record with another list of records has a row for each of these. What one
looks for comes first; other plain fields stand in a folded table. What is nested deeper is in the file alone.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from innerear.report.numbers import NONE
from innerear.report.search import PAGES
from innerear.util.errors import InnerearError
from innerear.util.reading import parse_json, read_bytes
from innerear.util.words import counted

SHOWN: dict[str, dict[str, str]] = {
    "findings": {
        "what": "what is compared", "task": "task", "model": "model", "reference": "expected",
        "tolerance": "within", "value": "found", "source": "expected by", "outcome": "passed",
    },
    "metrics": {
        "task": "task", "model": "checked on", "headline": "headline", "value": "value", "outcome": "passed",
    },
    "results": {
        "task": "task", "corpus": "corpus", "learnt_on": "learnt on", "model": "model",
        "headline": "headline", "value": "published", "again": "measured again",
        "point": "largest move of a curve point", "where": "at", "scores": "scores",
        "differ": "scores that moved", "first": "published on", "second": "measured again on",
    },
    "merits": {
        "task": "task", "corpus": "corpus", "model": "model", "kind": "damage", "degree": "degree",
        "cost": "cost in WER", "headline": "headline", "value": "untouched", "damaged value": "damaged",
        "p": "p", "worse": "worse", "machine": "measured on",
    },
    "pairs": {
        "task": "task", "corpus": "corpus", "learnt_on": "learnt on", "a": "model", "b": "and model",
        "p": "p, published", "again": "p, measured again", "first": "published on",
        "second": "measured again on",
    },
}  # fmt: skip
"""By the name of a table: the columns that one looks for, in this order, and their headings."""
ABOUT = {
    "audit": "Every headline under stress: does it fall as a model is damaged, and what else moves it?",
    "machines": "Results that were measured again on another machine, and how far p moved between them.",
    "sensitivity": "Damaged models: from which cost on does a headline tell the damage apart?",
    "validation": "Numbers that others published, measured here again.",
}
"""What the reports that innerear makes are about, by the names of their files."""
READING = {
    "audit": (
        "Numbers are fractions, as in the file: 0.834 is 83.4 %; headlines that end in ms are milliseconds. "
        "A check's cell says more under the mouse. "
        "seeds: spread over seeds of the split. damage: noise is added to all weights, in the steps named at "
        "the end; Kendall's τ between noise and loss, and the headline at each step, the whole model first. "
        "shuffled: the encoder's blocks in another order. batch, precision, threads: the same number however "
        "it is computed. human: the same order of layers on human speech. planted: worse where surgery on "
        "weights took phones away. not run: this check could not be made, or nobody has made it yet."
    ),
    "machines": (
        "Each row is a published result, or the comparison of two, beside its repetition. Numbers are "
        "fractions, as in the file: 0.834 is 83.4 %; headlines that end in ms are milliseconds. p is not "
        "corrected for the number of pairs."
    ),
    "sensitivity": (
        "Each row is a headline of a damaged model beside that of the untouched one, measured on the same "
        "machine and clips. Numbers are fractions, as in the file: 0.834 is 83.4 %. Degree: the standard "
        "deviation of noise over that of the weights, the share of heads pruned, the bits left, the pairs of "
        "encoder blocks exchanged, the block taken away. Cost: clean WER of the damaged model minus that of "
        "the untouched one. p: of a paired permutation test. Damage is told apart where the headline is "
        "worse and p is below 0.05. A headline that is no merit any more keeps its rows."
    ),
    "validation": (
        "A number passes if what is expected, give or take its tolerance, overlaps the 95 % interval in "
        "brackets; if no interval is known, the number itself must be within the tolerance. Where one side "
        "alone is a fault, the tolerance spans all of the other: −0.5 ± 0.5 is any number from −1 to 0. "
        "Lists must be equal. Passed by its interval: the number itself is outside the tolerance and only "
        "its interval reaches it, which says little where the interval is wide. ? after a source: it was not "
        "read, the number is quoted second-hand."
    ),
}
"""How the reports that innerear makes are read, by the names of their files."""
BY_INTERVAL = "by its interval"
"""Beside a pass of a value that is itself outside the tolerance."""


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
            return f"{counted(len(self.rows), 'row')}."
        why = Counter(
            cell.text
            for row in self.rows
            for cell in row
            if cell.outcome == "not run" and cell.text != "not run"
        )
        reasons = ", ".join(f"{text}: {count}" for text, count in why.items())
        weak = sum(cell.text.endswith(BY_INTERVAL) for row in self.rows for cell in row)
        says = (
            f"Of {counted(found.total(), 'check')} {found['pass']} passed"
            f"{f' ({weak} by intervals alone)' if weak else ''}, {found['fail']} failed and "
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
    """A report: its title, what it is about, how it is read, its facts (name, value), and its tables."""

    title: str
    about: str
    reading: str
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
        If a file is not JSON, contains no list of records, or has the name of one of the site's own pages.
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
    facts = [(name, _fact(value)) for name, value in _flat(fields) if _is_fact(value)]
    if f"{path.stem.lower()}.html" in (*PAGES, "search.html"):
        raise InnerearError(f"{path}: the site has a page of this name; give the report another one")
    about, reading = (says.get(path.stem, "") for says in (ABOUT, READING))
    return Report(path.stem.capitalize(), about, reading, tuple(facts), tuple(tables))


def _flat(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Fields, and those of fields that are records themselves, such as the environments of models."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from ((f"{name}: {each}", held) for each, held in _flat(value))
        else:
            yield name, value


def _is_fact(value: Any) -> bool:
    """Whether it is a plain value, or a list of plain values."""
    return not any(isinstance(each, dict | list) for each in (value if isinstance(value, list) else [value]))


def _fact(value: Any) -> str:
    return ", ".join(map(_text, value)) if isinstance(value, list) and value else _text(value)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _are_checks(value: Any) -> bool:
    return _is_table(value) and all({"name", "outcome"} <= set(row) for row in value)


def _unfolded(records: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Records, and one for each of those that a record lists; names that both have tell which is which."""
    for record in records:
        name = next(
            (each for each, held in record.items() if _is_table(held) and not _are_checks(held)), None
        )
        plain = {each: held for each, held in record.items() if each != name}
        if name is None:
            yield plain
        else:
            for row in record[name]:
                yield plain | {
                    f"{name} {each}" if each in plain else each: held for each, held in row.items()
                }


def _table(name: str, listed: Sequence[Mapping[str, Any]]) -> ReportTable:
    records = list(_unfolded(listed))
    rows = [dict(_cells(row)) for row in records]
    every = dict.fromkeys(column for row in rows for column in row)
    filled = [column for column in every if any(row.get(column, _EMPTY).text != NONE for row in rows)]
    checks = [column for column in filled if any(row.get(column, _EMPTY).outcome for row in rows)]
    headings = SHOWN.get(name, {})
    shown = [*(column for column in headings if column in filled and column != "outcome"), *checks] or filled
    rest = [column for column in filled if column not in shown]
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
    if made.get("outcome", _EMPTY).outcome == "pass" and beyond(
        *map(record.get, ("value", "reference", "tolerance"))
    ):
        made["outcome"] = replace(row["outcome"], text=f"pass {BY_INTERVAL}")
    if record.get("read") is False and "source" in row:
        made["source"] = replace(row["source"], text=f"{row['source'].text} ?")
    for name in ("reference", "value"):
        if isinstance(record.get(name), list):
            made[name] = ReportCell(counted(len(record[name]), "value"), says=row[name].text)
    low, high = record.get("low"), record.get("high")
    if "value" in row and low is not None and high is not None:
        made["value"] = ReportCell(f"{row['value'].text} [{_text(low)}, {_text(high)}]")
    if record.get("tolerance") is not None:
        made["tolerance"] = ReportCell(f"± {_text(record['tolerance'])}")
    return made


def beyond(value: Any, reference: Any, tolerance: Any) -> bool:
    """Whether a value is itself outside the tolerance of what is expected; only numbers have one."""
    numbers = all(isinstance(each, int | float) for each in (value, reference, tolerance))
    return numbers and abs(value - reference) > tolerance + 1e-9


def _fails(row: Mapping[str, ReportCell]) -> bool:
    return any(cell.outcome == "fail" for cell in row.values())


def _failed(row: Mapping[str, ReportCell], brief: Mapping[str, ReportCell]) -> tuple[str, str]:
    """What a failed row is about, and why it failed."""
    about = ", ".join(row[name].text for name in ("what", "task", "model") if name in row)
    says = [f"{name}: {cell.says}" for name, cell in row.items() if cell.outcome == "fail" and cell.says]
    expected = [
        f"{SHOWN['findings'][name]} {brief[name].text}"
        for name in ("reference", "tolerance", "value")
        if name in brief
    ]
    return about, "; ".join(says or expected)


def _cells(row: Mapping[str, Any]) -> Iterator[tuple[str, ReportCell]]:
    for name, value in row.items():
        if name == "outcome":
            yield name, _checked(value)
        elif _are_checks(value):
            for check in value:
                yield str(check["name"]), _checked(check["outcome"], str(check.get("says", "")))
        elif not isinstance(value, dict):
            yield name, ReportCell(_text(value))


_OUTCOMES = {"pass": "pass", True: "pass", "fail": "fail", False: "fail", "error": "fail"}


def _checked(outcome: Any, says: str = "") -> ReportCell:
    known = _OUTCOMES.get(outcome, "not run") if isinstance(outcome, str | bool) else "not run"
    return ReportCell(_text(outcome), known, says)


def _text(value: Any) -> str:
    if value is None or value == [] or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
