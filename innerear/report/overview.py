"""The overview: matrices of models by tasks, one for each suite, and a figure of all headlines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from innerear.report.leaderboard import MARKS, NONE, Table, arrow, number
from innerear.report.plots import GREY, looks, shortened
from innerear.report.ranking import WinRate
from innerear.results.schema import Result
from innerear.tasks.task import suites

NO_SUITE = "other tasks"
"""Stands for a suite where a table's task belongs to none."""
CONTROLS = {"floor": 1, "twin": 2, "architecture": 3}
"""Kinds without a rank, and their order below the models."""


@dataclass(frozen=True)
class Cell:
    """A model's headline in a table, its place (0 if unranked), its letters of ties, and why it is n/a."""

    text: str
    place: int = 0
    letters: str = ""
    reason: str = ""


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
        return Cell("n/a", reason=found.reason or "")
    mark = MARKS[found.model.contaminated] if found.model.kind == "model" else ""
    standing = table.standing.get(found.record_sha256)
    text = number(found.score.value, found.score.unit) + mark
    return Cell(text, standing.place, standing.letters) if standing else Cell(text)


def overview_figure(tables: Sequence[Table]) -> Figure:
    """Figure of every headline that is a fraction, one line per table: models with intervals, controls grey.

    Each model has one colour and marker throughout. Methods are not models, so their tables are left out.
    """
    shown = [
        table
        for table in tables
        if (s := _first(table).score)
        and s.unit == "fraction"
        and all(result.model.kind != "method" for result in table.results)
    ]
    own = looks(r.model.name for t in shown for r in t.drawn if r.model.kind not in CONTROLS and r.score)
    figure = Figure(figsize=(7.2, 0.27 * len(shown) + 1.1), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for at, table in enumerate(shown):
        axes.axhline(at, color="#EEEEEE", linewidth=0.6, zorder=0)
        for result in table.drawn:
            _dot(axes, at, result, own)
    axes.set_yticks(range(len(shown)), [_label(table) for table in shown], fontsize=7.5)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(min(-2.0, axes.get_xlim()[0]), max(102.0, axes.dataLim.x1 + 2))
    axes.set_xlabel("headline (%) with its interval; ↑ higher is better, ↓ lower is better")
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    legend = [
        Line2D([], [], linestyle="none", label=shortened(name), markersize=5, **look)
        for name, look in own.items()
    ]
    for marker, label in (("|", "random twins"), ("x", "floors")):
        legend.append(Line2D([], [], linestyle="none", color=GREY, marker=marker, markersize=5, label=label))
    figure.legend(handles=legend, loc="outside upper center", ncols=min(5, len(legend)), handletextpad=0.2)
    return figure


def _dot(axes: Axes, at: int, result: Result, own: Mapping[str, Mapping[str, Any]]) -> None:
    score = result.score
    if score is None:
        return
    if result.model.kind in CONTROLS:
        marker = "|" if result.model.kind == "twin" else "x"
        axes.plot(100 * score.value, at, marker=marker, color=GREY, alpha=0.7, markersize=4.5, zorder=2)
        return
    middle = (len(own) - 1) / 2
    y = at + 0.22 * (list(own).index(result.model.name) - middle) / max(1, middle)
    look = own[result.model.name]
    if score.low is not None and score.high is not None:
        axes.plot(
            [100 * score.low, 100 * score.high],
            [y, y],
            color=look["color"],
            alpha=0.55,
            linewidth=1.3,
            zorder=3,
        )
    axes.plot(
        100 * score.value, y, markersize=5, markeredgecolor="white", markeredgewidth=0.5, zorder=4, **look
    )


def _first(table: Table) -> Result:
    return next((result for result in table.results if result.score), table.results[0])


def _label(table: Table) -> str:
    """Short names of task and corpora, and an arrow that says which direction is better."""
    first = _first(table)
    learnt = f", from {shortened(first.train_corpus.name)}" if first.train_corpus else ""
    return f"{first.task.id} · {shortened(first.corpus.name)}{learnt}{arrow(first)}"
