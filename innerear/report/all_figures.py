"""All pictures of a folder of results as files: the overview, the layer curves of each table, each result."""

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
from innerear.util.errors import InputError, unknown_name
from innerear.util.io import sha256_json
from innerear.util.progress import bar
from innerear.util.sanitise import slug


def draw_all(store: Store, output: Path, form: str) -> list[Path]:
    """Draw every picture of a store's results into a folder, as pdf, svg or png; equal results, equal files.

    Raises
    ------
    InputError
        If the format is another, or the folder cannot be written.
    """
    if form not in METADATA:
        raise InputError(unknown_name("format", form, list(METADATA)))
    made = tables(store)
    drawn = dict(every_picture(store, made))
    with bar("drawing", len(drawn)) as advance:
        for name, draw in drawn.items():
            save(draw, output / f"{name}.{form}")
            advance()
    return [output / f"{name}.{form}" for name in drawn]


def every_picture(store: Store, made: list[Table]) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """What draws each picture, by its name in the folder."""
    yield "overview", partial(overview_figure, made)
    for table in made:
        if drawn := [result for result in table.results if result.main]:
            yield table_name(table), partial(layer_figure, drawn)
        for result in table.results:
            for title, draw in own_pictures(result, table):
                yield result_name(store, result, title), draw


def table_name(table: Table) -> str:
    """A name for a table's file."""
    return f"{slug(table.heading)}-{sha256_json(table.results[0].group)[:8]}"


def result_name(store: Store, result: Result, title: str) -> str:
    """A name for a picture of a result."""
    return f"{result.task.id}-{slug(result.corpus.name)}-{store.path_of(result).stem}-{slug(title)}"


def own_pictures(result: Result, table: Table) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Pictures of a model's result beside its twin and the floors; a curve of one point is none."""
    if result.model.kind in CONTROLS:
        return
    beside = [other for other in table.results if other.content_sha256 in result.controls.values()]
    for title, draw in pictures(result, beside).items():
        if title != "layers" or (result.main and len(result.main.points) > 1):
            yield title, draw
