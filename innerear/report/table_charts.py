"""Charts of a result's own tables, with that table behind each; here those with axes, fields are beside."""

from collections.abc import Callable, Sequence

from innerear.report.chart import (
    GREY,
    PALETTE,
    PER_CENT,
    SHAPES,
    SWITCH,
    Chart,
    Look,
    Spec,
    number_of,
    scale,
    shortened,
    switched,
    unlike,
)
from innerear.report.field_charts import Drawn, Rows, confusions, heads, lens, methods_chart
from innerear.report.result_details import table_cells
from innerear.results.schema import Result
from innerear.tasks.declarations import Drawing

POINT: Spec = {"type": "point", "filled": True, "size": 50, "opacity": 1}


def table_chart_of(result: Result, table: str, drawing: Drawing, caption: str) -> Chart:
    """A chart of one of a result's own tables."""
    rows = result.tables[table]
    drawn = DRAWINGS[drawing](rows, result)
    columns = list(rows[0])
    cells = tuple(tuple(table_cells(row, columns)) for row in rows)
    title = f"{result.task.title}: {result.model.name}"
    return Chart(title, f"{caption}. {drawn.key}".strip(), drawn.spec, tuple(columns), cells)


def kinds(rows: Rows, _result: Result) -> Drawn:
    """Shares of each kind of output by encoder layer, with and without the final norm; rows of `kinds`."""
    names = [name for name in rows[0] if name not in ("site", "norm", "wer")]
    data = []
    for row in rows:
        total = sum(row[name] for name in names)
        norm = "with the final norm" if row["norm"] else "without the final norm"
        data += [
            {
                "layer": row["site"], "norm": norm, "series": name, "at": at, "count": row[name],
                "share": number_of(row[name] / total),
            }
            for at, name in enumerate(names)
        ]  # fmt: skip
    looks = [Look(_KINDS.get(name, GREY), "square") for name in names]
    share = _share("share", "share of outputs")
    layer = {"field": "layer", "type": "nominal", "sort": None, "axis": {"title": None, "labelAngle": -40}}
    bars = {
        "width": 320, "height": 130, "mark": "bar",
        "encoding": {
            "x": layer, "y": {**share, "stack": "zero"}, "order": {"field": "at", "type": "quantitative"},
            "color": scale(names, [look.colour for look in looks]),
            "tooltip": [
                {"field": "layer"}, {"field": "series", "title": "kind"}, {"field": "count"},
                {"field": "share", "format": PER_CENT},
            ],
        },
    }  # fmt: skip
    facet = {"row": {"field": "norm", "type": "nominal", "title": None}}
    return Drawn(
        {
            "data": {"values": data},
            **switched(names, looks),
            "transform": [SWITCH],
            "facet": facet,
            "spec": bars,
        }
    )


def calibration(rows: Rows, _result: Result) -> Drawn:
    """Observed rate against predicted probability, by bin; rows are those of `calibration`."""
    data = [
        {name: number_of(row[name]) for name in ("predicted", "observed")} | {"clips": row["clips"]}
        for row in rows
    ]
    x, y = _share("predicted", "predicted probability"), _share("observed", "observed rate")
    spec = {
        "width": 280, "height": 280, "data": {"values": data}, "encoding": {"x": x, "y": y},
        "layer": [
            {"data": {"values": [{"predicted": end, "observed": end} for end in (0, 1)]},
             "mark": {"type": "line", "color": GREY, "strokeDash": [2, 3], "strokeWidth": 1}},
            {"mark": {"type": "line", "color": PALETTE[0]}},
            {"mark": {**POINT, "color": PALETTE[0]},
             "encoding": {"tooltip": [
                 *({"field": name, "format": PER_CENT} for name in ("predicted", "observed")),
                 {"field": "clips", "format": ","},
             ]}},
        ],
    }  # fmt: skip
    clips = sum(row["clips"] for row in rows)
    return Drawn(spec, f"n = {clips:,} in {len(rows)} bins. Dotted: a perfect calibration.")


def psychometric(rows: Rows, _result: Result) -> Drawn:
    """Choices against acoustic evidence, a curve for each context; rows are those of `psychometric`."""
    data = [
        {
            "evidence": _EVIDENCE[row["evidence"]], "series": _CONTEXTS.get(row["context"], row["context"]),
            "level": row["level"], "n": row["n"], "chosen": number_of(row["chosen"]),
            "fitted": number_of(row["fitted"]),
        }
        for row in rows
    ]  # fmt: skip
    names = list(dict.fromkeys(row["series"] for row in data))
    looks = _looks(len(names))
    curves = {
        "width": 320, "height": 170,
        "encoding": {
            "x": {
                "field": "level", "type": "quantitative", "scale": {"zero": False},
                "axis": {"title": "level of the evidence", "grid": False},
            },
            "color": scale(names, [look.colour for look in looks]),
        },
        "layer": [
            {"mark": {"type": "line", "interpolate": "monotone"},
             "encoding": {"y": _share("fitted", "chooses the word")}},
            {"mark": POINT,
             "encoding": {
                 "y": _share("chosen", "chooses the word"),
                 "shape": scale(names, [look.shape for look in looks]),
                 "tooltip": [
                     {"field": "series", "title": "context"}, {"field": "level"},
                     {"field": "chosen", "format": PER_CENT}, {"field": "fitted", "format": PER_CENT},
                     {"field": "n"},
                 ],
             }},
        ],
    }  # fmt: skip
    spec = {
        "data": {"values": data}, **switched(names, looks), "transform": [SWITCH],
        "facet": {"field": "evidence", "type": "nominal", "sort": None, "title": None}, "columns": 1,
        "resolve": {"scale": {"x": "independent"}}, "spec": curves,
    }  # fmt: skip
    return Drawn(spec, "Points: shares of choices; curves: fitted psychometric functions.")


def faithfulness(rows: Rows, _result: Result) -> Drawn:
    """Effect of the first k heads of a ranking; rows are those of `faithfulness`: loops resolved, or lost."""
    effect = "resolved" if "resolved" in rows[0] else "lost"
    effects, together = {
        "resolved": ("loops resolved", "heads ablated together"),
        "lost": ("probability lost", "heads deaf together"),
    }[effect]
    names, looks = ["by the ranking", "at random"], [Look(PALETTE[0]), Look()]
    first = rows[0]["ranking"]
    data = [
        {
            "series": names[row["ranking"] != first], "ranking": row["ranking"], "heads": row["heads"],
            effect: number_of(row[effect]),
        }
        for row in rows
    ]  # fmt: skip
    x = {
        "field": "heads", "type": "quantitative", "scale": {"type": "log", "base": 2},
        "axis": {
            "title": together, "grid": False, "format": "d", "labelOverlap": True,
            "values": sorted({row["heads"] for row in rows}),
        },
    }  # fmt: skip
    y = {"field": effect, "type": "quantitative", "axis": {"title": effects, "format": ".0%"}}
    tooltip = [
        {"field": "ranking"},
        {"field": "heads"},
        {"field": effect, "title": effects, "format": PER_CENT},
    ]
    return Drawn(_lines(data, x, y, names, looks, "ranking", tooltip))


def remedies(rows: Rows, _result: Result) -> Drawn:
    """Reduction of words on non-speech against WER increase, a line over strengths; rows of `points`."""
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    names = unlike(map(shortened, arms))
    series = dict(zip(arms, names, strict=True))
    data = [
        {
            "series": series[row["arm"]], "where": row["where"], "strength": row["strength"],
            "cost": number_of(row["cost"]), "reduction": number_of(row["reduction"]), "at": at,
        }
        for at, row in enumerate(rows)
    ]  # fmt: skip
    x = {
        "field": "cost", "type": "quantitative", "scale": {"type": "symlog", "constant": 0.02},
        "axis": {
            "title": "rise of the WER (about linear up to 2 points)", "format": "+.0%", "labelOverlap": True,
            "values": [-0.1, -0.05, -0.02, 0, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10],
        },
    }  # fmt: skip
    y = {"field": "reduction", "type": "quantitative", "axis": {"title": "sounds silenced", "format": ".0%"}}
    tooltip = [
        {"field": "series", "title": "arm"},
        {"field": "where"},
        {"field": "strength"},
        {"field": "reduction", "title": "sounds silenced", "format": PER_CENT},
        {"field": "cost", "title": "rise of the WER", "format": "+.1%"},
    ]
    looks = _looks(len(names))
    spec = _lines(data, x, y, names, looks, "where", tooltip)
    line, points = spec["layer"]
    line["encoding"] = {"order": {"field": "at", "type": "quantitative"}}
    points["encoding"]["shape"] = scale(names, [look.shape for look in looks])
    return Drawn(spec, "A line is one place at rising strengths; up and left is better.")


DRAWINGS: dict[Drawing, Callable[[Rows, Result], Drawn]] = {
    "confusions": confusions,
    "lens": lens,
    "kinds": kinds,
    "heads": heads,
    "calibration": calibration,
    "psychometric": psychometric,
    "faithfulness": faithfulness,
    "remedies": remedies,
}
"""Functions that draw a table's rows, by the kind of drawing that a protocol declares."""

OVERVIEWS: dict[Drawing, Callable[[Sequence[Result]], Chart]] = {"methods": methods_chart}
"""Functions that draw all results of a leaderboard table, by the kind of drawing a protocol declares."""


_EVIDENCE = {
    "step": "chooses the second word, by step from the first word to the second",
    "dB": "chooses the spoken word, by SNR on the differing phone (dB)",
}
_CONTEXTS = {"first": "context for the first", "second": "context for the second"}

# kinds of output as `outputs.Kind` has them
_KINDS = {
    "empty": "#BBBBBB", "correct": "#009E73", "loop": "#E69F00", "partial": "#56B4E9",
    "gibberish": "#777777", "fluent": "#D55E00",
}  # fmt: skip


def _looks(count: int) -> list[Look]:
    """Looks of series that are no models: all colours in one shape, then in the next."""
    shapes = list(SHAPES)
    return [Look(PALETTE[at % len(PALETTE)], shapes[at // len(PALETTE) % len(shapes)]) for at in range(count)]


def _share(field: str, title: str) -> Spec:
    """An axis of a share from 0 to 1."""
    return {
        "field": field, "type": "quantitative", "scale": {"domain": [0, 1]},
        "axis": {"title": title, "format": ".0%"},
    }  # fmt: skip


def _lines(
    data: Sequence[Spec], x: Spec, y: Spec, names: Sequence[str], looks: Sequence[Look], detail: str,
    tooltip: Sequence[Spec],
) -> Spec:  # fmt: skip
    """Lines with points, one for each value of `detail`, coloured by series."""
    colour = scale(names, [look.colour for look in looks])
    return {
        "width": "container", "height": 260, "data": {"values": data}, **switched(names, looks),
        "transform": [SWITCH],
        "encoding": {"x": x, "y": y, "color": colour, "detail": {"field": detail, "type": "nominal"}},
        "layer": [
            {"mark": {"type": "line", "strokeWidth": 1.4}},
            {"mark": POINT, "encoding": {"tooltip": tooltip}},
        ],
    }  # fmt: skip
