"""Write all figures of a folder of results: the overview, layer curves of each table, and each result."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from innerear.report.figures import pictures
from innerear.report.leaderboard import Table, tables
from innerear.report.overview import CONTROLS, overview_figure
from innerear.report.plots import METADATA, layer_figure, save
from innerear.results.schema import Result
from innerear.results.store import Store
from innerear.util.errors import InnerearError, InputError, unknown_name
from innerear.util.io import sha256_json
from innerear.util.sanitise import slug
from innerear.util.spread import do_all


def draw_all(
    store: Store, output: Path, form: str, skip: Callable[[InnerearError], None] | None = None
) -> list[Path]:
    """Draw every figure of a store's results into a folder as pdf, svg or png; equal results, equal files.

    `skip` is as in `tables`.

    Raises
    ------
    InputError
        If the format is unknown, or the folder cannot be written.
    """
    if form not in METADATA:
        raise InputError(unknown_name("format", form, list(METADATA)))
    figures = dict(named_figures(store, tables(store, skip)))
    paths = {output / f"{name}.{form}": draw for name, draw in figures.items()}
    do_all("drawing", [partial(save, draw, path) for path, draw in paths.items()])
    return list(paths)


def named_figures(store: Store, shown: list[Table]) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Names of all figures, and the functions that draw them."""
    yield "overview", partial(overview_figure, shown)
    for table in shown:
        if drawn := [result for result in table.drawn if result.main]:
            yield table_name(table), partial(layer_figure, drawn)
        for result in table.results:
            for title, draw in figures_of(result, table):
                yield result_name(store, result, title), draw


def table_name(table: Table) -> str:
    """File name of a table, without suffix."""
    return f"{slug(table.heading)}-{sha256_json(table.results[0].group)[:8]}"


def result_name(store: Store, result: Result, title: str) -> str:
    """File name of a result's figure, without suffix."""
    return f"{result.task.id}-{slug(result.corpus.name)}-{store.path_of(result).stem}-{slug(title)}"


def figures_of(result: Result, table: Table) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Figures of a model's result with its twin and floors; curves of a single point are left out."""
    if result.model.kind in CONTROLS:
        return
    controls = [other for other in table.results if other.content_sha256 in result.controls.values()]
    for title, draw in pictures(result, controls).items():
        if title != "layers" or (result.main and len(result.main.points) > 1):
            yield title, draw
