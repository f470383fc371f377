"""The leaderboard as a folder of pages that opens without a network: tables, models, tasks.

Whatever comes from results is text: templates escape it, cards are Markdown without HTML, and the pages load
nothing from elsewhere and run no script but their own.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from innerear import __version__
from innerear._io import atomic, write_bytes
from innerear.citing import cite
from innerear.errors import InputError
from innerear.figures import FIGURES
from innerear.leaderboard.export import to_csv, to_json, to_latex
from innerear.leaderboard.render import clean
from innerear.leaderboard.show import command
from innerear.leaderboard.standing import win_rates
from innerear.leaderboard.table import LEGEND, Table, best_layer, interval, tables
from innerear.plots import METADATA, STYLE, layer_figure
from innerear.progress import bar
from innerear.results import Result
from innerear.store import Store
from innerear.tasks import card

ASSETS = ("style.css", "page.js")


def build(store: Store, output: Path) -> Path:
    """Write the site of a store's results; the path of its first page comes back.

    Pages: `index.html` (all tables), `models/NAME.html`, `tasks/NAME.html`; beside them figures as SVG and
    every table as CSV.

    Raises
    ------
    InputError
        If there are no results, or the folder cannot be written.
    """
    made = tables(store)
    if not made:
        raise InputError(f"{store.folder}: no results here; `innerear run` makes some")
    pages = Environment(
        loader=PackageLoader("innerear.leaderboard"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    pages.globals.update(version=__version__, legend=LEGEND, slug=slug)
    pages.filters["clean"] = clean
    blocks = [_block(table) for table in made]
    by_model: dict[str, list[Result]] = {}
    for table in made:
        for result in table.results:
            by_model.setdefault(result.model.name, []).append(result)
    names = sorted({table.results[0].task.id for table in made})

    def write(place: str, template: str, **values: Any) -> None:
        depth = "../" * place.count("/")
        text = pages.get_template(template).render(root=depth, **values)
        write_bytes(output / place, text.encode())

    with bar("building pages", len(made) + len(by_model) + len(names)) as advance:
        for table, block in zip(made, blocks, strict=True):
            write_bytes(output / "tables" / f"{block['slug']}.csv", to_csv([table]).encode())
            if block["figure"]:
                drawn = [result for result in table.results if result.main]
                _draw(output / str(block["figure"]), partial(layer_figure, drawn))
            advance()
        for name, results in by_model.items():
            entries = [_entry(store, output, result) for result in results]
            write(f"models/{slug(name)}.html", "model.html.j2", name=name, model=results[0].model,
                  entries=entries)  # fmt: skip
            advance()
        for name in names:
            own = [block for block in blocks if block["task"] == name]
            write(f"tasks/{slug(name)}.html", "task.html.j2", name=name, blocks=own, card=_card(name))
            advance()
    rates = win_rates([table.results for table in made])
    kinds = {name: results[0].model for name, results in by_model.items()}
    write("index.html", "index.html.j2", blocks=blocks, rates=rates, models=kinds, tasks=names)
    for name in ASSETS:
        write_bytes(output / name, files("innerear.leaderboard").joinpath("templates", name).read_bytes())
    for name, export in (
        ("leaderboard.csv", to_csv),
        ("leaderboard.json", to_json),
        ("tables.tex", to_latex),
    ):
        write_bytes(output / name, export(made).encode())
    return output / "index.html"


def slug(text: str) -> str:
    """A name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip(".-")[:120] or "unnamed"


def _block(table: Table) -> dict[str, Any]:
    """A table as templates show it; cells that are numbers sort by their value."""
    first = table.results[0]
    name = f"{slug(table.heading)}-{first.task.sha256[:8]}"
    named = [result.model for result in table.results]
    pages = {model.name: model for model in named}
    return {
        "task": first.task.id,
        "heading": table.heading,
        "facts": table.facts,
        "columns": table.columns,
        "rows": table.rows,
        "models": [_owner(row.cells[3], pages) for row in table.rows],
        "notes": table.notes,
        "slug": name,
        "figure": f"figures/{name}.svg" if any(result.main for result in table.results) else None,
    }


def _owner(cell: str, pages: Mapping[str, Any]) -> Any:
    """The model that a row is of; None for a floor that is no model."""
    bare = re.sub(r" (!|\([0-9a-f]{8}\)( !)?)$", "", cell)
    return pages.get(bare)


def _entry(store: Store, output: Path, result: Result) -> dict[str, Any]:
    """One result on its model's page: what, how sure, pictures, how to repeat it."""
    key = slug(store.path_of(result).stem)
    figures = []
    if result.model.kind == "model":
        named: list[tuple[str, Callable[[], Any]]] = []
        if result.main and len(result.main.points) > 1:
            named.append(("layer curve", partial(layer_figure, [result])))
        for table, (title, picture) in FIGURES.items():
            if rows := result.tables.get(table):
                named.append((title, partial(picture, rows)))
        for title, draw in named:
            place = f"figures/{result.task.id}-{slug(result.corpus.name)}-{key}-{slug(title)}.svg"
            _draw(output / place, draw)
            figures.append((title, place))
    score = result.score
    return {
        "result": result,
        "value": f"{interval(score)}{' %' if score.unit == 'fraction' else f' {score.unit}'}"
        if score
        else "n/a",
        "layer": best_layer(result),
        "figures": figures,
        "scores": [(name, interval(each), each.unit, each.n) for name, each in result.scores.items()],
        "again": command(result),
        "bibtex": cite([result]),
        "file": store.path_of(result).relative_to(store.folder).as_posix(),
    }


def _draw(path: Path, draw: Callable[[], Any]) -> None:
    with matplotlib.rc_context(STYLE), atomic(path) as temporary:
        draw().savefig(temporary, format="svg", metadata=METADATA["svg"])


def _card(name: str) -> Markup:
    """A task's card; a task of one's own has none here."""
    try:
        text = card(name)
    except InputError:
        return Markup("")
    return Markup(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))
