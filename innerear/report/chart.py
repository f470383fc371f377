"""A chart: one Vega-Lite specification with its data, for pages, papers and MLflow alike.

Specifications are plain dicts, held against the schema of Vega-Lite by tests: to check each while a site is
built, as Altair's classes do, takes longer than everything else. `altair.Chart.from_dict(chart.spec)` shows
one in a notebook.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from textwrap import wrap
from typing import Any

import pandas as pd
import vl_convert
from rich.cells import cell_len, set_cell_size

from innerear.util.errors import InputError, unknown_name
from innerear.util.io import write_bytes
from innerear.util.sanitise import clean, clean_lines

Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
FORMATS = ("pdf", "svg", "png")
"""Formats of pictures."""
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999933")
"""Okabe & Ito (2008), told apart by the colour-blind; olive instead of black, which no dark page shows."""
GREY = "#808080"
"""Colour of controls."""
SHAPES = {
    "circle": "●", "square": "■", "triangle-up": "▲", "diamond": "◆", "triangle-down": "▼", "cross": "✚",
    "triangle-right": "▶\ufe0e", "triangle-left": "◀\ufe0e", "stroke": "–",
}  # fmt: skip
"""Shapes of points in Vega, and a character like each; the last is for controls."""
PER_CENT = ".1%"
"""Format of a fraction, as tables have it."""
SOLID, DASHED, DOTTED = [1, 0], [5, 3], [2, 3]
LONGEST = 40
"""Maximum width of a name, in Latin letters."""
WIDTH = 520
"""Width in print, in pixels, of a chart that fills its place on a page."""
LINE = 92
"""Letters in a line of a caption in print."""
LIGHT = {
    "--page": "#ffffff", "--ink": "#1b1f24", "--dim": "#57606a", "--line": "#d8dee4", "--low": "#e9f1f8",
    "--mid": "#4191c7", "--high": "#08305c", "--minus": "#a9500c", "--zero": "#f3f3f3", "--plus": "#4b2a85",
}  # fmt: skip
"""Colours in print. A page has its own, in its style sheet, by the same names."""
_TEXT = {"labelColor": "--ink", "titleColor": "--ink", "titleFontWeight": "normal", "titleFontSize": 12}
THEME: Spec = {
    "background": "--page",
    "font": "Liberation Sans, Arial, Helvetica, sans-serif",
    "padding": 8,
    "view": {"stroke": None},
    "axis": {
        **_TEXT, "labelFontSize": 11, "labelLimit": 260, "gridColor": "--line", "domainColor": "--dim",
        "tickColor": "--dim",
    },
    "legend": {**_TEXT, "labelFontSize": 11, "labelLimit": 280, "symbolStrokeWidth": 2, "symbolOpacity": 1},
    "header": {"labelColor": "--ink", "labelFontSize": 12, "labelAnchor": "start", "title": None},
    "title": {
        "color": "--ink", "subtitleColor": "--dim", "anchor": "start", "fontSize": 14,
        "subtitleFontSize": 11, "offset": 12,
    },
    "text": {"color": "--ink"},
    "rule": {"color": "--dim"},
    "range": {"heatmap": ["--low", "--mid", "--high"], "diverging": ["--minus", "--zero", "--plus"]},
}  # fmt: skip
"""Configuration of all charts, with the names of colours."""


@dataclass(frozen=True)
class Look:
    """Colour and shape of a model, the same in all charts of a folder of results."""

    colour: str = GREY
    shape: str = "circle"


Looks = Mapping[str, Look]


@dataclass(frozen=True)
class Chart:
    """A chart and the table behind it.

    Attributes
    ----------
    caption
        What is drawn, and how to read it, in sentences.
    spec
        Vega-Lite specification with its data, without title and theme. Width `container`: as wide as there
        is room. A parameter `off` lists the series that are not drawn; `usermeta.legend` has name, colour,
        sign and model of each, for a legend with switches.
    columns, rows
        The same numbers as text.
    """

    title: str
    caption: str
    spec: Spec
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def data(self) -> list[Spec]:
        """The rows that are drawn."""
        values: list[Spec] = self.spec["data"]["values"]
        return values

    def embedded(self) -> str:
        """The specification as JSON that can stand in the element `script` of a page."""
        return embedded({"$schema": SCHEMA, "description": self.title, **self.spec})

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """What a notebook shows: a picture, with values on hover where it can."""
        return {
            "application/vnd.vegalite.v6+json": {**self.printed(), "config": theme(LIGHT)},
            "image/svg+xml": _svg(self),
            "text/plain": f"{self.title}: {self.caption}",
        }

    def to_frame(self) -> pd.DataFrame:
        """The rows that are drawn; numbers that were measured have six digits."""
        return pd.DataFrame(self.data)

    def printed(self) -> Spec:
        """The specification with title, caption and a width, for print."""
        title = {"text": self.title, "subtitle": wrap(clean(self.caption), LINE)}
        width = {"width": WIDTH, "autosize": "pad"} if self.spec.get("width") == "container" else {}
        whole: Spec = _shown({"$schema": SCHEMA, **self.spec, **width, "title": title})
        return whole


def embedded(value: Any) -> str:
    """Data as JSON that can stand in the element `script` of a page."""
    text = json.dumps(_shown(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _shown(value: Any) -> Any:
    """A part of a specification whose text can be shown: control characters would end the engine."""
    if isinstance(value, str):
        return re.sub("[\ufffe\uffff]", " ", clean_lines(value))
    if isinstance(value, dict):
        return {name: _shown(each) for name, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, list | tuple) else value


def theme(colours: Mapping[str, str]) -> Spec:
    """The configuration of charts in these colours."""
    text = json.dumps(THEME)
    for name, colour in colours.items():
        text = text.replace(f'"{name}"', f'"{colour}"')
    config: Spec = json.loads(text)
    return config


def save(chart: Chart, path: Path) -> None:
    """Write a chart to `path` (.pdf, .svg or .png) atomically; equal charts give equal files.

    The engine that draws runs in a thread of this process: a process that is forked afterwards cannot draw.

    Raises
    ------
    InputError
        If the suffix is unknown or the file cannot be written.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise InputError(f"cannot draw {path}: {unknown_name('format', kind, list(FORMATS))}")
    svg = _svg(chart)
    if kind == "svg":
        data = svg.encode()
    else:
        data = _sorted(vl_convert.svg_to_pdf(svg)) if kind == "pdf" else vl_convert.svg_to_png(svg, scale=1.5)
    write_bytes(path, data)


def _svg(chart: Chart) -> str:
    """The picture in print."""
    return _numbered(vl_convert.vegalite_to_svg(chart.printed(), config=theme(LIGHT), allowed_base_urls=[]))


def _sorted(pdf: bytes) -> bytes:
    """The document with dictionaries and parts in order: the engine writes and numbers them in any.

    Parts are numbered as they are met from the root on, and the table of their places is made anew.
    """
    pdf = re.sub(
        rb"(?<=<<\n)(?:[ ]+/\w+ \d+ 0 R\n)+", lambda found: b"".join(sorted(found[0].splitlines(True))), pdf
    )
    head = pdf[: re.search(rb"^\d+ 0 obj", pdf, flags=re.M).start()]  # type: ignore[union-attr]
    parts = dict(re.findall(rb"(?ms)^(\d+) 0 obj\n(.*?)\nendobj\n", pdf))
    trailer = pdf[pdf.rindex(b"trailer\n") : pdf.rindex(b"startxref\n")]
    numbers: dict[bytes, int] = {}
    waiting = [trailer]
    while waiting:
        dictionary = waiting.pop(0).partition(b"\nstream\n")[0]
        for name in re.findall(rb"(\d+) 0 R", dictionary):
            if name not in numbers:
                numbers[name] = len(numbers) + 1
                waiting.append(parts[name])

    def renumbered(text: bytes) -> bytes:
        dictionary, mark, stream = text.partition(b"\nstream\n")
        own = re.sub(rb"(\d+) 0 R", lambda found: b"%d 0 R" % numbers[found[1]], dictionary)
        return own + mark + stream

    body, places = head, [b"0000000000 65535 f\r\n"]
    for name, number in numbers.items():
        places.append(b"%010d 00000 n\r\n" % len(body))
        body += b"%d 0 obj\n%s\nendobj\n\n" % (number, renumbered(parts[name]))
    end = re.sub(rb"/Size \d+", b"/Size %d" % len(places), renumbered(trailer))
    table = b"xref\n0 %d\n%s" % (len(places), b"".join(places))
    return body + table + end + b"startxref\n%d\n%%%%EOF" % len(body)


def _numbered(svg: str) -> str:
    """The picture with its own parts numbered from 1: the engine counts on from one picture to the next."""
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        own = numbers.setdefault(found[2], str(len(numbers) + 1))
        return f"{found[1]}part{own}{found[3]}"

    return re.sub(r'(id="|url\(#)((?:clip|gradient_)\d+)("|\))', number, svg)


def looks_of(names: Iterable[str]) -> dict[str, Look]:
    """Look of each model, by the order of names."""
    shapes = list(SHAPES)[:-1]
    return {
        name: Look(PALETTE[at % len(PALETTE)], shapes[at % len(shapes)])
        for at, name in enumerate(sorted(set(names)))
    }


def number_of(value: float) -> float:
    """A number with six digits: more than are seen, and half as long."""
    return float(f"{value:.6g}")


def unit_format(unit: str) -> str:
    """The format of values of a unit: fractions in per cent."""
    return PER_CENT if unit == "fraction" else ".3g"


def axis_format(unit: str) -> str:
    """The format of an axis."""
    return ".0%" if unit == "fraction" else ",.5~r"


def within(unit: str) -> list[Spec]:
    """Transforms that add the interval of each row as text; a row without one has none."""
    form = unit_format(unit)
    both = f"format(datum.low, '{form}') + ' to ' + format(datum.high, '{form}')"
    return [{"calculate": f"isValid(datum.low) ? {both} : 'none'", "as": "interval"}]


def switched(
    names: Sequence[str], looks: Sequence[Look], signs: Sequence[str] = (), models: Sequence[str] = ()
) -> Spec:
    """Parts of a specification whose rows have a `series` that a legend switches on and off.

    Parameters
    ----------
    signs
        A sign for each in the legend; empty: its shape.
    models
        The model that each belongs to; empty: none.
    """
    signs = signs or [SHAPES[look.shape] for look in looks]
    rows = zip(names, looks, signs, models or [""] * len(names), strict=True)
    legend = [[name, look.colour, sign, model] for name, look, sign, model in rows]
    return {"params": [{"name": "off", "value": []}], "usermeta": {"legend": legend}}


SWITCH: Spec = {"filter": "indexof(off, datum.series) < 0"}
"""Leaves out what the legend switched off."""


def scale(names: Sequence[str], values: Sequence[Any]) -> Spec:
    """An encoding of `series` by values, one for each name; all of them make one legend."""
    return {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": list(names), "range": list(values)},
        "title": None,
    }


def shortened(text: str) -> str:
    """A name that fits into a chart, without control characters."""
    short = clean(text)
    return short if cell_len(short) <= LONGEST else f"{set_cell_size(short, LONGEST - 1)}…"


def unlike(names: Iterable[str]) -> list[str]:
    """Names of which equal ones are numbered: in a chart, equal names would be one series."""
    made: dict[str, None] = {}
    for name in names:
        free = chain([name], (f"{name} ({number})" for number in count(2)))
        made[next(each for each in free if each not in made)] = None
    return list(made)
