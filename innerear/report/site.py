"""The leaderboard as a folder of web pages that work offline: tables, models, tasks, reports.

Everything from results is treated as text: templates escape it, and cards are Markdown without HTML. Pages
load nothing from other hosts and run only their own script.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from innerear.models.registry import load_spec, model_names
from innerear.report.all_figures import charts_of, table_name
from innerear.report.cards import card_of
from innerear.report.chart import Chart, Looks, embedded
from innerear.report.cite import cite, software
from innerear.report.export import FORMATS
from innerear.report.findings import Finding, findings
from innerear.report.heads import headless, heads_of
from innerear.report.item_files import write_items
from innerear.report.items import MOST, listed
from innerear.report.json_reports import load_reports
from innerear.report.layer_charts import table_chart
from innerear.report.leaderboard import Table, arrow, resolution, tables
from innerear.report.legend import LEGEND
from innerear.report.numbers import interval, unit_of
from innerear.report.overview import NO_SUITE, all_looks, matrices, overview_chart, suites_of
from innerear.report.pages import anchor_of, environment, model_page, task_page, write_assets
from innerear.report.ranking import DRAWN, win_rates
from innerear.report.result_details import (
    clusters_of,
    commands_for,
    facts_of,
    provenance,
    table_cells,
    times,
)
from innerear.report.search import entries
from innerear.report.side_by_side import models_of, rows_of, speed_chart
from innerear.results.audit import headline_audits
from innerear.results.schema import ModelInfo, Result
from innerear.results.store import Store
from innerear.tasks.declarations import declaration
from innerear.tasks.task import suites
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import sha256_json, write_bytes
from innerear.util.spread import do_all

DOWNLOADS = {"csv": "csv", "json": "json", "latex": "tex", "model-card": "yaml", "markdown": "md"}
"""Formats in which the whole leaderboard can be downloaded, and their file suffixes."""
ROWS = 200
"""Maximum number of rows shown of each of a result's own tables."""


@dataclass(frozen=True)
class _Block:
    """A table with what templates need: its names, suites and chart."""

    table: Table
    slug: str
    suites: tuple[str, ...]
    looks: Looks

    @property
    def task(self) -> str:
        return self.table.results[0].task.id

    @property
    def chart(self) -> Chart | None:
        """Its layer curves, if its results have any."""
        drawn = self.table.drawn
        return table_chart(drawn, self.looks) if any(result.main for result in drawn) else None


@dataclass(frozen=True)
class _Entry:
    """One result on its model's page."""

    result: Result
    block: _Block
    file: str
    store: Store

    @property
    def charts(self) -> dict[str, Chart]:
        """Its charts by name, if its table draws it."""
        table = self.block.table
        return dict(charts_of(self.result, table, self.block.looks)) if table.draws(self.result) else {}

    @property
    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Its own tables that stand behind no chart."""
        pictures = declaration(self.result.task.protocol).pictures
        drawn = {each.table for each in pictures} if self.block.table.draws(self.result) else set()
        return {name: rows for name, rows in self.result.tables.items() if rows and name not in drawn}

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What `facts_of` says of it, with the clusters among its items."""
        clusters = clusters_of(self.result, self.store.read_items(self.result)) if self.result.items else None
        return tuple(facts_of(self.result, clusters))


def build(store: Store, output: Path, skip: Callable[[InnerearError], None] | None = None) -> Path:
    """Write the site of a store's results and return the path of its first page.

    Pages: `index.html` (all tables), `compare.html` (models side by side), `items.html` (what models made of
    each clip, with its sound), `heads.html` (attention heads), `search.html`, `models/NAME.html`,
    `tasks/NAME.html`, and one for each report in the folder of results (`validation.json`, `audit.json`).
    Pages draw their charts when these come into view; behind each stands its table. The site also has every
    table as CSV, and the whole leaderboard in all formats of `export`. Equal results give equal files.
    Single results have charts if `Table.drawn` names them. `skip` is as in `tables`.

    Raises
    ------
    InputError
        If there are no results, or the folder cannot be written.
    InnerearError
        If a result or a report is damaged.
    """
    made = tables(store, skip)
    if not made:
        raise InputError(f"{store.folder}: no results here; make some with `innerear run`")
    do_all("building pages", list(_Site(store, output, made).jobs()))
    write_assets(
        output, "index.js", "compare.js", "heads.js", "items.css", "item.js", "items.js", "search.js"
    )
    return output / "index.html"


class _Site:
    """What pages are made from; its methods give the jobs that write them, which can run side by side."""

    def __init__(self, store: Store, output: Path, made: Sequence[Table]) -> None:
        self.store, self.output, self.made = store, output, made
        self.looks = all_looks(made)
        self.blocks = [
            _Block(table, table_name(table), own, self.looks)
            for table, own in zip(made, suites_of(made), strict=True)
        ]
        self.named = {block.slug: block.table for block in self.blocks}
        self.tasks = sorted({block.task for block in self.blocks})
        self.rates = win_rates([table.results for table in made if table.counts])
        self.models: dict[str, list[tuple[Result, _Block]]] = {}
        for block in self.blocks:
            for result in block.table.results:
                self.models.setdefault(result.model.name, []).append((result, block))
        compared = models_of(made)
        first = [*(rate.model for rate in self.rates), *compared]
        self.compared, self.start = compared, list(dict.fromkeys(first))[:2]
        self.reports = load_reports(store.folder)
        self.pages = environment()
        self.pages.filters["spoken"] = _languages
        self.pages.globals.update(
            legend=LEGEND, most=ROWS, reports=self.reports, arrow=arrow,
            content=sha256_json(sorted(each.content_sha256 for table in made for each in table.results)),
            results=sum(len(table.results) for table in made),
            with_items={name for name, table in self.named.items() if listed(table)},
            language=_languages, interval=interval, unit_of=unit_of, cite=cite, commands_for=commands_for,
            folder=store.folder.resolve().name,
            provenance=provenance, times=times, cells_of=_cells_of, standing=_standing, anchor_of=anchor_of,
        )  # fmt: skip

    def jobs(self) -> Iterator[Callable[[], None]]:
        """All that writes a file of the site, but its scripts and styles."""
        for form, suffix in DOWNLOADS.items():
            yield partial(self._download, f"leaderboard.{suffix}", form, self.made)
        for block in self.blocks:
            yield partial(self._download, f"tables/{block.slug}.csv", "csv", [block.table])
        yield self._first()
        yield self._compare()
        yield self._heads()
        yield from self._items()
        yield from self._tasks()
        yield from self._reports()
        yield self._search()
        yield from self._models()

    def _download(self, place: str, form: str, shown: Sequence[Table]) -> None:
        write_bytes(self.output / place, FORMATS[form](shown).encode())

    def _page(self, place: str, template: str, **values: Any) -> Callable[[], None]:
        """A job that writes a page; charts are drawn by it."""

        def write() -> None:
            text = self.pages.get_template(template).render(root="../" * place.count("/"), **values)
            write_bytes(self.output / place, text.encode())

        return write

    def _first(self) -> Callable[[], None]:
        made, blocks = self.made, self.blocks
        used = [name for name in (*suites(), NO_SUITE) if any(name in block.suites for block in blocks)]
        says = findings(made)
        newest = max((each for table in made for each in table.results), key=lambda each: each.run.created)
        return self._page(
            "index.html", "index.html.j2", blocks=blocks, rates=self.rates, tasks=self.tasks, suites=used,
            models={name: own[0][0].model for name, own in self.models.items()}, downloads=DOWNLOADS,
            matrices=matrices(made, self.rates), overview=overview_chart(made, self.looks),
            resolution=resolution(made), findings=says, picture=_picture(blocks, says),
            software=software(newest), slugs={block.table.heading: block.slug for block in blocks},
        )  # fmt: skip

    def _compare(self) -> Callable[[], None]:
        data = {
            "names": self.compared, "start": self.start, "tables": list(rows_of(self.named)),
            "folder": shlex.quote(self.store.folder.resolve().name),
        }  # fmt: skip
        return self._page(
            "compare.html", "compare.html.j2", names=self.compared, data=embedded(data), blocks=self.blocks,
            speed=speed_chart(self.made, self.looks), most_drawn=DRAWN,
        )  # fmt: skip

    def _heads(self) -> Callable[[], None]:
        every = heads_of(self.made)
        return self._page(
            "heads.html", "heads.html.j2", known=[each for each in every if each.maps],
            unknown=[each for each in every if not each.maps], headless=headless(self.made),
            embedded=embedded,
        )  # fmt: skip

    def _items(self) -> Iterator[Callable[[], None]]:
        with_items, sounds = write_items(self.store, self.named, self.output)
        index = embedded({"tables": with_items, "start": self.start, "most": MOST})
        yield self._page("items.html", "items.html.j2", tables=with_items, most=MOST, index=index)
        yield from sounds

    def _tasks(self) -> Iterator[Callable[[], None]]:
        for name in self.tasks:
            mine = [block for block in self.blocks if block.task == name]
            yield self._page(task_page(name), "task.html.j2", name=name, blocks=mine, card=card_of(name))

    def _reports(self) -> Iterator[Callable[[], None]]:
        audits = headline_audits(self.store.folder)
        unaudited = {
            block.task: "ranks" if block.table.ranks else "ranks nobody"
            for block in self.blocks
            if block.task not in audits
        }
        place_of = {name: task_page(name) for name in self.tasks}
        place_of |= {name: model_page(name) for name in self.models}
        for report in self.reports:
            yield self._page(
                report.page, "report.html.j2", report=report, place_of=place_of,
                unaudited=unaudited if report.page == "audit.html" else {},
            )  # fmt: skip

    def _search(self) -> Callable[[], None]:
        further = {report.page: (report.title, report.about) for report in self.reports}
        found = [each.row() for each in entries(self.named, card_of, further)]
        return self._page("search.html", "search.html.j2", entries=embedded(found))

    def _models(self) -> Iterator[Callable[[], None]]:
        folder = self.store.folder
        for name, own in self.models.items():
            shown = [
                _Entry(result, block, self.store.path_of(result).relative_to(folder).as_posix(), self.store)
                for result, block in own
            ]
            yield self._page(model_page(name), "model.html.j2", model=own[0][0].model, entries=shown)


def _picture(blocks: Sequence[_Block], found: Sequence[Finding]) -> _Block | None:
    """The table that the first page draws: of the first finding that has layers, else of any table."""
    said = [each.table.heading for each in found if each.table]
    drawable = sorted(
        (block for block in blocks if block.chart),
        key=lambda block: said.index(block.table.heading) if block.table.heading in said else len(said),
    )
    return drawable[0] if drawable else None


def _cells_of(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The first rows of a result's own table as text."""
    return [table_cells(row, list(rows[0])) for row in rows[:ROWS]]


def _standing(entry: _Entry) -> tuple[str, str]:
    """Possible ranks of a result, and its letters of ties."""
    standing = entry.block.table.standing.get(entry.result.record_sha256)
    return (standing.span, standing.letters) if standing else ("", "")


@cache
def _languages_of(name: str) -> str:
    return (name in model_names() and ", ".join(load_spec(name).languages)) or "not stated"


def _languages(model: ModelInfo) -> str:
    """Languages of a registered model or its twin; `none` if it is not a model, else `not stated`."""
    if model.kind in ("floor", "method"):
        return "none"
    return _languages_of(model.twin_of or model.name)
