"""Charts of one result: its layer curves, and its tables (confusions, lenses, calibration)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from innerear.report.chart import Chart, Look, looks_of, save
from innerear.report.layer_charts import result_charts
from innerear.report.table_charts import table_chart_of
from innerear.results.schema import Result
from innerear.tasks.declarations import declaration


def charts(result: Result, beside: Sequence[Result], look: Look) -> Iterator[tuple[str, Chart]]:
    """The charts of a result with their names.

    Parameters
    ----------
    beside
        Results of its random twin and of floors, drawn into the layer curves.
    look
        Look of its model.
    """
    yield from result_charts(result, beside, look)
    for picture in declaration(result.task.protocol).pictures:
        if result.tables.get(picture.table):
            yield picture.name, table_chart_of(result, picture.table, picture.drawing, picture.caption)


def draw(result: Result, beside: Sequence[Result], folder: Path) -> list[Path]:
    """Draw `charts` as PNG files in a folder."""
    made = []
    name = result.model.name
    for title, chart in charts(result, beside, looks_of([name])[name]):
        made.append(folder / f"{title}.png")
        save(chart, made[-1])
    return made
