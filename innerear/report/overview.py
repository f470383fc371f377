"""The overview: matrices of models by tasks, one for each suite, and a chart of all headlines."""

from collections.abc import Sequence
from dataclasses import dataclass

from innerear.report.chart import (
    SWITCH,
    Chart,
    Look,
    Looks,
    Spec,
    looks_of,
    number_of,
    scale,
    shortened,
    switched,
    unit_format,
    unlike,
    within,
)
from innerear.report.leaderboard import MARKS, Table, arrow
from innerear.report.numbers import NONE, bounds, interval, number, prefix
from innerear.report.ranking import DRAWN, WinRate
from innerear.results.schema import Result
from innerear.tasks.task import suites

NO_SUITE = "other tasks"
"""Stands for a suite where a table's task belongs to none."""
CONTROLS = {"floor": 1, "twin": 2, "architecture": 3}
"""Kinds without a rank, and their order below the models."""


@dataclass(frozen=True)
class Cell:
    """A model's headline in a table, its place (0 if unranked), its letters of ties, and more on hover.

    `says` has the headline with its interval, or why it is n/a.
    """

    text: str
    place: int = 0
    letters: str = ""
    says: str = ""


@dataclass(frozen=True)
class Matrix:
    """The tables of a suite as columns; a row of cells for each model, then for twins and floors."""

    suite: str
    description: str
    tables: tuple[Table, ...]
    rows: tuple[tuple[Result, tuple[Cell, ...]], ...]


def suites_of(tables: Sequence[Table]) -> list[tuple[str, ...]]:
    """For each table the suites that run its task, on the suite's selection of clips or on all."""
    hashes = {
        name: {entry.task(full).sha256() for entry in suite.tasks for full in (False, True)}
        for name, suite in suites().items()
    }
    sha = [table.results[0].task.sha256 for table in tables]
    return [tuple(name for name in hashes if each in hashes[name]) or (NO_SUITE,) for each in sha]


def matrices(tables: Sequence[Table], rates: Sequence[WinRate]) -> list[Matrix]:
    """A matrix for each suite; a table of several suites is shown in the one with the most tables."""
    suite_names = suites_of(tables)
    sizes = {name: sum(name in own for own in suite_names) for own in suite_names for name in own}
    known = suites()
    order = {rate.model: at for at, rate in enumerate(rates)}
    made = []
    for suite in sorted(sizes, key=lambda name: (name == NO_SUITE, -sizes[name], name)):
        own = [
            t
            for t, names in zip(tables, suite_names, strict=True)
            if max(names, key=sizes.__getitem__) == suite
        ]
        results = {result.model.name: result for table in own for result in table.results}
        rows = sorted(
            results.values(),
            key=lambda result: (
                CONTROLS.get(result.model.kind, 0),
                order.get(result.model.name, len(order)),
                result.model.name,
            ),
        )
        description = known[suite].description if suite in known else "Tasks that belong to no suite."
        cells = [(row, tuple(_cell(table, row.model.name) for table in own)) for row in rows]
        if own:
            made.append(Matrix(suite, description, tuple(own), tuple(cells)))
    return made


def _cell(table: Table, name: str) -> Cell:
    """The cell of a model; of several weights under one name, the best."""
    found = next((result for result in table.results if result.model.name == name), None)
    if found is None:
        return Cell(NONE)
    if found.score is None:
        return Cell("n/a", says=found.reason or "")
    mark = MARKS[found.model.contaminated] if found.model.kind == "model" else ""
    standing = table.standing.get(found.record_sha256)
    text = prefix(found, _first(table).headline) + number(found.score.value, found.score.unit) + mark
    place, letters = (standing.place, standing.letters) if standing else (0, "")
    return Cell(text, place, letters, interval(found.score))


def all_looks(tables: Sequence[Table]) -> dict[str, Look]:
    """Look of every model in these tables."""
    return looks_of(
        result.model.name for table in tables for result in table.results if result.model.kind == "model"
    )


def overview_chart(tables: Sequence[Table], looks: Looks) -> Chart:
    """Every headline that is a fraction, one line per table: models with intervals, controls grey.

    Methods are not models, so their tables are left out.
    """
    shown = [
        table
        for table in tables
        if (s := _first(table).score)
        and s.unit == "fraction"
        and all(result.model.kind != "method" for result in table.results)
    ]
    labels = unlike(map(_label, shown))
    models = {
        r.model.name for table in shown for r in table.drawn if r.score and r.model.kind not in CONTROLS
    }
    own = dict(zip(sorted(models), unlike(map(shortened, sorted(models))), strict=True))
    data: list[Spec] = []
    for label, table in zip(labels, shown, strict=True):
        for result in table.drawn:
            if (score := result.score) is None:
                continue
            row: Spec = {"table": label, "model": result.model.name, "value": number_of(score.value)}
            row["series"] = own.get(result.model.name) or f"{result.model.kind}s"
            if score.low is not None and score.high is not None:
                row |= {"low": number_of(score.low), "high": number_of(score.high)}
            data.append(row)
    controls = [name for name in _CONTROLS if any(row["series"] == name for row in data)]
    names = [*own.values(), *controls]
    seen = [*(looks[name] for name in own), *(Look(shape=_CONTROLS[name]) for name in controls)]
    values = [row["value"] for row in data]
    y: Spec = {
        "field": "table", "type": "nominal", "sort": labels,
        "axis": {"title": None, "grid": True, "labelLimit": {"expr": "containerSize()[0] < 600 ? 130 : 330"}},
    }  # fmt: skip
    x: Spec = {
        "field": "value", "type": "quantitative",
        "scale": {"domain": [min([0.0, *values]), max([1.0, *values])], "nice": True},
        "axis": {"format": ".0%", "title": "headline", "orient": "top"},
    }  # fmt: skip
    apart = {"yOffset": {"field": "series", "type": "nominal", "sort": names}}
    colour = scale(names, [look.colour for look in seen])
    spec: Spec = {
        "width": "container", "height": 26 * len(shown), "data": {"values": data},
        **switched(names, seen),
        "transform": [SWITCH, *within("fraction")], "encoding": {"y": y, **apart, "color": colour},
        "layer": [
            {"transform": [{"filter": "isValid(datum.low)"}],
             "mark": {"type": "rule", "size": 2, "opacity": 0.6, "clip": True},
             "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}}},
            {"mark": {"type": "point", "filled": True, "size": 45, "opacity": 1},
             "encoding": {"x": x, "shape": scale(names, [look.shape for look in seen]), "tooltip": [
                 {"field": "model"}, {"field": "table", "title": "task"},
                 {"field": "value", "title": "headline", "format": unit_format("fraction")},
                 {"field": "interval"},
             ]}},
        ],
    }  # fmt: skip
    caption = (
        f"Headlines that are fractions, with their intervals, of the best {DRAWN} models of each table; "
        "↑ higher is better, ↓ lower is better." + f" Grey: {' and '.join(controls)}." * bool(controls)
    )
    rows = tuple(
        (row["table"], row["model"], bounds(row["value"], row.get("low"), row.get("high"), "fraction"))
        for row in data
    )
    return Chart("All headlines", caption, spec, ("task", "model", "headline, %"), rows)


_CONTROLS = {"twins": "stroke", "architectures": "diamond", "floors": "cross"}
"""Series of controls, and their shapes."""


def _first(table: Table) -> Result:
    return next((result for result in table.results if result.score), table.results[0])


def _label(table: Table) -> str:
    """Short names of task and corpora, and an arrow that says which direction is better."""
    first = _first(table)
    learnt = f", from {shortened(first.train_corpus.name)}" if first.train_corpus else ""
    return f"{first.task.id} · {shortened(first.corpus.name)}{learnt}{arrow(first)}"
