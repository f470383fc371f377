"""The leaderboard as a folder of pages that opens without a network: tables, models, tasks, reports.

Whatever comes from results is text: templates escape it, cards are Markdown without HTML, and the pages load
nothing from elsewhere and run no script but their own.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from matplotlib.figure import Figure

from innerear import __version__
from innerear._io import sha256_json, write_bytes
from innerear.citing import cite
from innerear.errors import InputError
from innerear.figures import pictures
from innerear.leaderboard.export import FORMATS
from innerear.leaderboard.glance import APART, matrices, overview_figure, suites_of
from innerear.leaderboard.render import clean
from innerear.leaderboard.show import again, facts_of, layers_of, provenance, table_cells, times
from innerear.leaderboard.standing import win_rates
from innerear.leaderboard.table import LEGEND, Table, arrow, interval, tables
from innerear.models.registry import load_spec, model_names
from innerear.plots import layer_figure, save
from innerear.progress import bar
from innerear.results import ModelInfo, Result
from innerear.store import Store
from innerear.tasks import card, load_task, suites

ASSETS = ("style.css", "page.js")
DOWNLOADS = {"csv": "csv", "json": "json", "latex": "tex", "model-card": "yaml", "markdown": "md"}
"""Files of the whole leaderboard, by the name of their format: their suffixes."""
ROWS = 200
"""Rows of a result's own tables that its page shows."""


@dataclass(frozen=True)
class _Block:
    """A table as templates show it."""

    table: Table
    slug: str
    suites: tuple[str, ...]
    figure: str | None

    @property
    def task(self) -> str:
        return self.table.results[0].task.id


@dataclass(frozen=True)
class _Entry:
    """One result on its model's page."""

    result: Result
    block: _Block
    file: str
    figures: tuple[tuple[str, str], ...]


def build(store: Store, output: Path) -> Path:
    """Write the site of a store's results; the path of its first page comes back.

    Pages: `index.html` (all tables), `models/NAME.html`, `tasks/NAME.html`; beside them figures as SVG, every
    table as CSV, and the whole leaderboard in all formats of `export`. Equal results make equal files.

    Raises
    ------
    InputError
        If there are no results, or the folder cannot be written.
    """
    made = tables(store)
    if not made:
        raise InputError(f"{store.folder}: no results here; `innerear run` makes some")
    blocks = [_block(table, own) for table, own in zip(made, suites_of(made), strict=True)]
    rates = win_rates([table.results for table in made])
    models: dict[str, list[tuple[Result, _Block]]] = {}
    for block in blocks:
        for result in block.table.results:
            models.setdefault(result.model.name, []).append((result, block))
    names = sorted({block.task for block in blocks})
    content = sha256_json(sorted(result.content_sha256 for table in made for result in table.results))
    pages = Environment(
        loader=PackageLoader("innerear.leaderboard"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    pages.filters |= {"clean": clean, "spoken": _languages}
    pages.globals.update(
        version=__version__, legend=LEGEND, slug=slug, language=_languages, interval=interval, cite=cite,
        again=again, facts_of=facts_of, layers_of=layers_of, provenance=provenance, times=times, most=ROWS,
        cells_of=_cells_of, arrow=arrow, reports=[],
        content=content, results=sum(len(table.results) for table in made), standing=_standing,
    )  # fmt: skip

    def write(place: str, template: str, **values: Any) -> None:
        text = pages.get_template(template).render(root="../" * place.count("/"), **values)
        write_bytes(output / place, text.encode())

    with bar("building pages", len(blocks) + len(models) + len(names)) as advance:
        for block in blocks:
            write_bytes(output / "tables" / f"{block.slug}.csv", FORMATS["csv"]([block.table]).encode())
            if block.figure:
                drawn = [result for result in block.table.results if result.main]
                save(partial(layer_figure, drawn), output / block.figure)
            advance()
        for name, own in models.items():
            entries = [_entry(store, output, result, block) for result, block in own]
            write(f"models/{slug(name)}.html", "model.html.j2", model=own[0][0].model, entries=entries)
            advance()
        for name in names:
            known = _task(name)
            mine = [block for block in blocks if block.task == name]
            write(f"tasks/{slug(name)}.html", "task.html.j2", name=name, blocks=mine, **known)
            advance()
    save(partial(overview_figure, made), output / "figures" / "overview.svg")
    described = {name: suite.description for name, suite in suites().items()}
    used = [name for name in (*described, APART) if any(name in block.suites for block in blocks)]
    write(
        "index.html", "index.html.j2", blocks=blocks, rates=rates, tasks=names, suites=used,
        models={name: own[0][0].model for name, own in models.items()}, downloads=DOWNLOADS,
        matrices=matrices(made, rates),
    )  # fmt: skip
    for name in ASSETS:
        write_bytes(output / name, files("innerear.leaderboard").joinpath("templates", name).read_bytes())
    for name, suffix in DOWNLOADS.items():
        write_bytes(output / f"leaderboard.{suffix}", FORMATS[name](made).encode())
    return output / "index.html"


def slug(text: str) -> str:
    """A name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip(".-")[:120] or "unnamed"


def _block(table: Table, own: tuple[str, ...]) -> _Block:
    name = f"{slug(table.heading)}-{table.results[0].task.sha256[:8]}"
    drawn = any(result.main for result in table.results)
    return _Block(table, name, own, f"figures/{name}.svg" if drawn else None)


def _entry(store: Store, output: Path, result: Result, block: _Block) -> _Entry:
    """A result with its pictures drawn; twins and floors stand in those of their model."""
    path = store.path_of(result)
    figures = []
    if result.model.kind not in ("twin", "floor"):
        for title, draw in _pictures(result, block.table.results):
            place = f"figures/{result.task.id}-{slug(result.corpus.name)}-{slug(path.stem)}-{slug(title)}.svg"
            save(draw, output / place)
            figures.append((title, place))
    return _Entry(result, block, path.relative_to(store.folder).as_posix(), tuple(figures))


def _pictures(result: Result, table: Sequence[Result]) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Pictures of a result beside its twin and the floors; a curve of one point is none."""
    beside = [other for other in table if other.content_sha256 in result.controls.values()]
    for name, draw in pictures(result, beside).items():
        if name != "layers" or (result.main and len(result.main.points) > 1):
            yield name, draw


def _cells_of(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The first rows of a result's own table as text."""
    return [table_cells(row, list(rows[0])) for row in rows[:ROWS]]


def _standing(entry: _Entry) -> tuple[str, str]:
    """Ranks that a result may have, and its letters."""
    found = entry.block.table.standing.get(entry.result.record_sha256)
    return (found.span, found.letters) if found else ("", "")


def _languages(model: ModelInfo) -> str:
    """Languages of a registered model or of its twin, `none` of a floor, else `not stated`."""
    if model.kind == "floor":
        return "none"
    name = model.twin_of or model.name
    return (name in model_names() and ", ".join(load_spec(name).languages)) or "not stated"


def _task(name: str) -> dict[str, Any]:
    """Title, question and card of a task; one's own has none here."""
    try:
        task = load_task(name)
        text = MarkdownIt("commonmark", {"html": False}).enable("table").render(card(name))
    except InputError:
        return {"title": name, "question": "", "card": ""}
    return {"title": task.title, "question": task.question, "card": Markup(text)}
