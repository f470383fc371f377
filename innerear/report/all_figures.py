"""Write all figures of a folder of results: the overview, layer curves of each table, and each result."""

from collections.abc import Callable, Iterator
from pathlib import Path

from innerear.report.chart import FORMATS, Chart, Look, Looks, save
from innerear.report.figures import charts
from innerear.report.layer_charts import table_chart
from innerear.report.leaderboard import Table, tables
from innerear.report.overview import CONTROLS, all_looks, overview_chart
from innerear.results.schema import Result
from innerear.results.store import Store
from innerear.util.errors import InnerearError, InputError, unknown_name
from innerear.util.io import sha256_json
from innerear.util.progress import bar
from innerear.util.sanitise import slug


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
    if form not in FORMATS:
        raise InputError(unknown_name("format", form, list(FORMATS)))
    made = dict(named_charts(store, tables(store, skip)))
    paths = {output / f"{name}.{form}": chart for name, chart in made.items()}
    with bar("drawing", len(paths)) as advance:
        for path, chart in paths.items():
            save(chart, path)
            advance()
    return list(paths)


def named_charts(store: Store, shown: list[Table]) -> Iterator[tuple[str, Chart]]:
    """All charts with their names."""
    looks = all_looks(shown)
    if (overview := overview_chart(shown, looks)).rows:
        yield "overview", overview
    for table in shown:
        if any(result.main for result in table.drawn):
            yield table_name(table), table_chart(table.drawn, looks)
        for result in table.results:
            for title, chart in charts_of(result, table, looks):
                yield result_name(store, result, title), chart


def table_name(table: Table) -> str:
    """File name of a table, without suffix."""
    return f"{slug(table.heading)}-{sha256_json(table.results[0].group)[:8]}"


def result_name(store: Store, result: Result, title: str) -> str:
    """File name of a result's figure, without suffix."""
    return f"{result.task.id}-{slug(result.corpus.name)}-{store.path_of(result).stem}-{slug(title)}"


def charts_of(result: Result, table: Table, looks: Looks) -> Iterator[tuple[str, Chart]]:
    """Charts of a model's result with its twin and floors."""
    if result.model.kind in CONTROLS:
        return
    controls = [other for other in table.results if other.content_sha256 in result.controls.values()]
    yield from charts(result, controls, looks.get(result.model.name, Look()))
