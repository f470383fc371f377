"""What the page that sets models side by side shows of each: headlines, verdicts, and speed against size."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from innerear.report.chart import (
    PER_CENT,
    SWITCH,
    Chart,
    Looks,
    Spec,
    number_of,
    scale,
    shortened,
    switched,
    unlike,
    within,
)
from innerear.report.items import listed
from innerear.report.leaderboard import Table, arrow
from innerear.report.numbers import bounds, interval, number, p_value, prefix, unit_of
from innerear.results.schema import Result
from innerear.util.words import counted

EMERGENCE = "emergence_depth"
"""The score that says how early a model has what is probed for."""


def models_of(tables: Sequence[Table]) -> list[str]:
    """Names of all models, methods and controls apart."""
    return sorted(
        {each.model.name for table in tables for each in table.results if each.model.kind == "model"}
    )


def rows_of(tables: Mapping[str, Table]) -> Iterator[dict[str, Any]]:
    """Each table of models as data: scores and reasons by model, and the verdict on each pair.

    Of several weights under one name, the best count. `items` is the name of a table whose items are listed;
    `emergence` has the depth within 95 % of the peak of the curve on dev, where it stands beside a headline.
    """
    for name, table in tables.items():
        results: dict[str, Result] = {}
        for result in table.results:
            if result.model.kind == "model":
                results.setdefault(result.model.name, result)
        if not results:
            continue
        first = next((each for each in results.values() if each.score), table.results[0])
        yield {
            "heading": table.heading,
            "headline": first.headline + arrow(first) + (f", {unit_of(first.score)}" if first.score else ""),
            "merit": table.ranks,
            "scores": {
                name: prefix(each, first.headline) + interval(each.score)
                for name, each in results.items()
                if each.score
            },
            "emergence": {
                name: number(each.scores[EMERGENCE].value, each.scores[EMERGENCE].unit)
                for name, each in results.items()
                if EMERGENCE in each.scores and each.headline != EMERGENCE
            },
            "reasons": {name: each.reason for name, each in results.items() if each.reason},
            "items": name if listed(table) else "",
            "pairs": list(_verdicts(table, results, first.score.unit if first.score else "")),
        }


def _verdicts(table: Table, results: dict[str, Result], unit: str) -> Iterator[list[str]]:
    """For each pair of models: both names, the difference, its p, and who is ahead, if anyone is."""
    if table.apart is None:
        return
    names = {each.record_sha256: name for name, each in results.items()}
    for (a, b), made in table.apart.tested.items():
        if a in names and b in names:
            ahead = (
                names[a] if (a, b) in table.apart.ahead else names[b] if (b, a) in table.apart.ahead else ""
            )
            gap = number(made.difference, unit, signed=True)
            yield [names[a], names[b], gap, p_value(made.adjusted), ahead]


def speed_chart(tables: Sequence[Table], looks: Looks) -> Chart | None:
    """Word errors against speed, as the tasks that time a transcription have them; None if there are none.

    The size of a point is that of its model. A model is on the front if no other is as fast and better.
    """
    timed = [
        (table, each)
        for table in tables
        for each in table.results
        if each.model.kind == "model"
        and each.run.rtfx is not None
        and each.score
        and (each.score.unit, each.score.direction != "none") == ("fraction", True)
    ]
    if not timed:
        return None
    models = sorted({each.model.name for _, each in timed})
    names = unlike(map(shortened, models))
    data: list[Spec] = []
    for table, result in timed:
        assert result.score is not None
        others = [each for its, each in timed if its is table]
        row: Spec = {
            "series": names[models.index(result.model.name)], "table": table.heading,
            "value": number_of(result.score.value), "rtfx": number_of(result.run.rtfx or 0),
            "parameters": result.model.parameters,
            "machine": f"{result.environment.cpu}, {counted(result.run.threads, 'thread')}",
            "front": not any(_beats(other, result) for other in others),
        }  # fmt: skip
        if result.score.low is not None and result.score.high is not None:
            row |= {"low": number_of(result.score.low), "high": number_of(result.score.high)}
        data.append(row)
    seen = [looks[name] for name in models]
    x: Spec = {
        "field": "rtfx", "type": "quantitative", "scale": {"type": "log"},
        "axis": {"title": "speed: seconds of audio in a second (RTFx)", "format": "~s"},
    }  # fmt: skip
    y: Spec = {"field": "value", "type": "quantitative", "axis": {"title": "headline", "format": ".0%"}}
    tooltip = [
        {"field": "series", "title": "model"}, {"field": "value", "title": "headline", "format": PER_CENT},
        {"field": "interval"}, {"field": "rtfx", "title": "RTFx", "format": ".3~g"},
        {"field": "parameters", "format": ","}, {"field": "machine"},
    ]  # fmt: skip
    size = {
        "field": "parameters", "type": "quantitative", "scale": {"rangeMin": 30, "rangeMax": 600},
        "legend": None,
    }  # fmt: skip
    panel: Spec = {
        "width": 320, "height": 220,
        "layer": [
            {"transform": [{"filter": "datum.front"}],
             "mark": {"type": "line", "interpolate": "step-after", "strokeDash": [3, 3], "color": "#808080"},
             "encoding": {"x": x, "y": y}},
            {"transform": [SWITCH, {"filter": "isValid(datum.low)"}],
             "mark": {"type": "rule", "opacity": 0.6},
             "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"},
                          "color": scale(names, [look.colour for look in seen])}},
            {"transform": [SWITCH], "mark": {"type": "point", "filled": True, "opacity": 0.9},
             "encoding": {"x": x, "y": y, "color": scale(names, [look.colour for look in seen]), "size": size,
                          "tooltip": tooltip}},
        ],
    }  # fmt: skip
    spec: Spec = {
        "data": {"values": data}, **switched(names, seen, ["●"] * len(names)),
        "transform": within("fraction"),
        "facet": {"field": "table", "type": "nominal", "title": None}, "columns": 3, "spec": panel,
    }  # fmt: skip
    rows = tuple(
        (
            row["series"], row["table"], bounds(row["value"], row.get("low"), row.get("high"), "fraction"),
            f"{row['rtfx']:.3g}", f"{row['parameters']:,}", row["machine"], "yes" if row["front"] else "no",
        )
        for row in data
    )  # fmt: skip
    columns = ("model", "task", "headline, %", "RTFx", "parameters", "machine", "on the front")
    caption = (
        "Errors of all models against speed; points are as large as their models. Dotted: the front, models "
        "that no other is as fast as and better. Speeds are those of each run, on its machine and threads."
    )
    return Chart("Accuracy, speed and size", caption, spec, columns, rows)


def _beats(other: Result, result: Result) -> bool:
    """Whether a result is as fast as another, and better."""
    assert other.score is not None
    assert result.score is not None
    gain = other.score.value - result.score.value
    better = gain < 0 if result.score.direction == "lower" else gain > 0
    return better and (other.run.rtfx or 0) >= (result.run.rtfx or 0)
