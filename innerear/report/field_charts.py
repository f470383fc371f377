"""Charts that are fields of coloured rectangles: confusions, lenses, heads, and methods by planted cause."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from innerear.report.chart import PER_CENT, Chart, Spec, number_of, shortened
from innerear.report.layer_charts import headline_curve
from innerear.results.schema import Result
from innerear.util.sanitise import clean, clean_lines

Rows = Sequence[Mapping[str, Any]]
MANY = 12
"""Number of classes from which on the fields of a confusion matrix are small."""


@dataclass(frozen=True)
class Drawn:
    """What a drawing makes of a table: a specification, and sentences that say how to read it."""

    spec: Spec
    key: str = ""


def confusions(rows: Rows, _result: Result) -> Drawn:
    """Share of each true class that was predicted as each class; rows are those of `confusion_matrix`."""
    heard = [name for name in rows[0] if name != "truth"]
    said = [str(row["truth"]) for row in rows]
    data = []
    for row in rows:
        total = sum(row[name] for name in heard)
        data += [
            {"said": row["truth"], "heard": name, "count": row[name], "share": number_of(row[name] / total)}
            for name in heard
            if row[name]
        ]
    share = "share of what was said"
    spec = field(
        data,
        {"field": "heard", "sort": heard, "axis": {"title": "heard", "orient": "top", "labelAngle": -90}},
        {"field": "said", "sort": said, "axis": {"title": "said"}},
        {
            "field": "share",
            "scale": {"type": "sqrt", "domain": [0, 1]},
            "legend": {"title": share, "format": ".0%", "values": [0.01, 0.05, 0.2, 0.5, 1]},
        },
        [
            {"field": "said"},
            {"field": "heard"},
            {"field": "count", "format": ","},
            {"field": "share", "title": share, "format": PER_CENT},
        ],
        *((15, 15) if len(heard) > MANY else (34, 34)),
    )
    return Drawn(spec, "Empty: never. Colours grow with the square root, so that rare confusions are seen.")


def lens(rows: Rows, _result: Result | None = None) -> Drawn:
    """The lens at each token of a clip and each layer; rows are those of `lens_map`."""
    layers = max(row["layer"] for row in rows) + 1
    most = max(row["rank"] for row in rows) + 1
    data = [
        {
            "at": at // layers, "token": token(row["token"]), "layer": row["layer"],
            "top": token(row["top"]), "rank": row["rank"] + 1,
        }
        for at, row in enumerate(rows)
    ]  # fmt: skip
    names = json.dumps([row["token"] for row in data[::layers]], ensure_ascii=False)
    spec = field(
        data,
        {
            "field": "at", "type": "ordinal",
            "axis": {
                "title": f"written, token by token ({clean(str(rows[0]['item']))})",
                "labelExpr": f"{names}[datum.value]", "labelAngle": -45,
            },
        },
        {"field": "layer", "type": "ordinal", "sort": "descending", "axis": {"title": "layer"}},
        {
            "field": "rank", "scale": {"type": "log", "domain": [1, most]},
            "legend": {
                "title": ["rank of the", "written token"], "format": ",.0f",
                "values": [10**power for power in range(7) if 10**power <= most],
            },
        },
        [
            {"field": "token", "title": "written"},
            {"field": "layer"},
            {"field": "top", "title": "first of the layer"},
            {"field": "rank", "title": "rank of the written token", "format": ","},
        ],
        58,
        22,
    )  # fmt: skip
    spec["layer"].append(written("rank", {"field": "top"}, fontSize=9, limit=56))
    return Drawn(spec, "In each field: the token that the layer would write.")


def heads(rows: Rows, result: Result) -> Drawn:
    """The value of every head; rows are those of `head_map` (`layer`, `head`, `value`, `marked`)."""
    curve = headline_curve(result)
    metric = curve.metric if curve else result.headline
    widest = max(abs(float(row["value"])) for row in rows) or 1.0
    signed = any(row["value"] < 0 for row in rows)
    data = [
        {
            "layer": row["layer"], "head": row["head"], "value": number_of(row["value"]),
            "published": bool(row["marked"]),
        }
        for row in rows
    ]  # fmt: skip
    spec = field(
        data,
        {"field": "head", "type": "ordinal", "axis": {"title": "head", "labelAngle": 0}},
        {"field": "layer", "type": "ordinal", "sort": "descending", "axis": {"title": "layer"}},
        {
            "field": "value",
            "scale": {"domainMid": 0, "domain": [-widest, widest]} if signed else {"domain": [0, widest]},
            "legend": {"title": metric, "format": ".0%"},
        },
        [
            {"field": "layer"},
            {"field": "head"},
            {"field": "value", "title": metric, "format": PER_CENT},
        ],
        30,
        26,
    )
    if not any(row["published"] for row in data):
        return Drawn(spec)
    ring = {"type": "point", "filled": True, "color": "#ffffff", "stroke": "#000000", "size": 45}
    spec["layer"].append(
        {"transform": [{"filter": "datum.published"}], "mark": {**ring, "opacity": 1, "tooltip": None}}
    )
    return Drawn(spec, "White points: heads that were published.")


def methods_chart(results: Sequence[Result]) -> Chart:
    """Score of each method on each planted cause, best first; empty where a method does not apply."""
    data: list[Spec] = [
        {"method": shortened(result.model.name), "cause": row["recipe"], "auroc": number_of(row["auroc"])}  # type: ignore[arg-type]
        for result in results
        for row in result.tables["by_recipe"]
    ]
    names = [shortened(result.model.name) for result in results]
    spec = field(
        data,
        {"field": "cause", "axis": {"title": "planted cause", "labelAngle": -30}},
        {
            "field": "method",
            "sort": names,
            "axis": {"title": None},
        },
        {"field": "auroc", "scale": {"domain": [0, 1]}, "legend": {"title": "node AUROC"}},
        [
            {"field": "method"},
            {"field": "cause"},
            {"field": "auroc", "title": "node AUROC", "format": ".3f"},
        ],
        64,
        24,
    )
    spec["layer"].append(written("auroc", {"field": "auroc", "format": ".2f"}, fontSize=10))
    rows = tuple((row["method"], str(row["cause"]), f"{row['auroc']:.3f}") for row in data)
    caption = "AUROC of each method over the parts of planted models, by cause. Empty: it does not apply."
    return Chart(results[0].task.title, caption, spec, ("method", "planted cause", "node AUROC"), rows)


def field(
    data: Sequence[Spec], x: Spec, y: Spec, colour: Spec, tooltip: Sequence[Spec], width: int, height: int
) -> Spec:
    """Rectangles of a size in pixels, coloured by a value."""
    colour = {"type": "quantitative", **colour}
    return {
        "width": {"step": width},
        "height": {"step": height},
        "data": {"values": data},
        "encoding": {"x": {"type": "nominal", **x}, "y": {"type": "nominal", **y}},
        "layer": [{"mark": "rect", "encoding": {"color": colour, "tooltip": tooltip}}],
    }


def written(value: str, text: Spec, **look: Any) -> Spec:
    """Text on fields that are coloured by a value, in black or white."""
    colour = f"luminance(scale('color', datum.{value})) > 0.3 ? '#000000' : '#ffffff'"
    return {"mark": {"type": "text", "color": {"expr": colour}, **look}, "encoding": {"text": text}}


@cache
def _bytes_of_letters() -> dict[str, int]:
    """The byte that each letter of a byte-level token stands for."""
    from transformers.convert_slow_tokenizer import (
        bytes_to_unicode,
    )  # takes seconds that other charts do not need

    return {letter: value for value, letter in bytes_to_unicode().items()}


def token(text: str) -> str:
    """A token as readable text: a leading space starts a word, and bytes are decoded."""
    spelt = {"▁": " ", "<|endoftext|>": "(end)", "</s>": "(end)"}
    for mark, meant in spelt.items():
        text = text.replace(mark, meant)
    byte = _bytes_of_letters()
    with suppress(KeyError, UnicodeDecodeError):  # another kind of tokenizer, or an incomplete letter
        text = bytes(byte[letter] for letter in text).decode()  # byte-level ones map each byte to a letter
    return clean_lines(text).replace("\n", "⏎")
