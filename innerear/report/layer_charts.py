"""Charts over layers: the headline curve of all models of a table, and all curves of one result."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

from innerear.models.site import Site
from innerear.report.chart import (
    DASHED,
    DOTTED,
    PALETTE,
    SHAPES,
    SOLID,
    SWITCH,
    Chart,
    Look,
    Looks,
    Spec,
    axis_format,
    number_of,
    scale,
    shortened,
    switched,
    unit_format,
    unlike,
    within,
)
from innerear.report.numbers import bounds, number
from innerear.results.schema import Curve, CurvePoint, Result, Score
from innerear.util.errors import InputError
from innerear.util.sanitise import slug
from innerear.util.words import listed

_ALIGN = "datum.depth > 0.8 ? 'right' : datum.depth < 0.2 ? 'left' : 'center'"
ANY = "every layer"
"""Stands for a layer where a floor has one value for all."""


@dataclass(frozen=True)
class _Line:
    """A series of a chart: points over depth, or one point that holds at every layer."""

    name: str
    points: Sequence[CurvePoint]
    look: Look
    dash: list[int]
    flat: bool = False
    chosen: str | None = None
    headline: Score | None = None
    model: str = ""
    twin: bool = False

    def rows(self) -> Iterator[Spec]:
        for point in self.points:
            row: Spec = {"series": self.name, "value": number_of(point.value)}
            if point.low is not None and point.high is not None:
                row |= {"low": number_of(point.low), "high": number_of(point.high)}
            if self.flat:
                yield row | {"layer": ANY, "flat": True}
                continue
            row |= {"layer": point.site, "depth": number_of(point.depth)}
            if point.site == self.chosen:
                row["chosen"] = True
                if self.headline:
                    row |= {"headline": number_of(self.headline.value), "label": _label(self.headline)}
            yield row


def headline_curve(result: Result) -> Curve | None:
    """The curve that the headline is from: the first with a layer chosen on dev, else the main one."""
    return next((curve for curve in result.curves if curve.best), result.main)


def table_chart(results: Sequence[Result], looks: Looks) -> Chart:
    """Headline curves over relative depth: models, their random twins, and the floors.

    Parameters
    ----------
    results
        Results of one group. Those that are n/a have no curve and are left out.

    Raises
    ------
    InputError
        If there is nothing to draw, or the results are of different tasks or corpora.
    """
    curves = [(result, curve) for result in results if (curve := headline_curve(result))]
    if not curves:
        raise InputError("no layer curves to draw: every result is n/a")
    if len({result.group for result, _ in curves}) > 1:
        raise InputError("results of different tasks or corpora do not belong in one plot; choose one group")
    several = len({curve.name for result, curve in curves if result.model.kind == "model"}) > 1
    lines = []
    for result, curve in sorted(curves, key=lambda pair: _rank(pair[0])):
        own = f" ({curve.name})" if several and result.model.kind == "model" else ""
        lines.append(_line(result, curve, looks, f"{shortened(result.model.name)}{own}"))
    first, main = next((pair for pair in curves if pair[0].score), curves[0])
    lines += _majority(first)
    facts = [f"{first.corpus.name} {first.corpus.version}: {first.corpus.voices}."]
    if first.train_corpus:
        facts.insert(0, f"Learnt on {first.train_corpus.name}.")
    return _chart(first, main, lines, first.task.title, facts)


def result_charts(result: Result, beside: Sequence[Result], look: Look) -> Iterator[tuple[str, Chart]]:
    """All curves of a result over more than one layer, a chart for each metric: (name, chart).

    The first has the headline's curve, with its twin and floors, and is called `layers`.

    Parameters
    ----------
    beside
        Results of its random twin and of floors.
    look
        Look of the model, which the headline's curve has.
    """
    main = headline_curve(result)
    if main is None or len(main.points) < 2:
        return
    panels: dict[tuple[str, str], list[Curve]] = {}
    for curve in sorted(result.curves, key=lambda each: each is not main):
        panels.setdefault((curve.metric, curve.unit), []).append(curve)
    for at, ((metric, unit), curves) in enumerate(panels.items()):
        colours = cycle([look.colour, *(each for each in PALETTE if each != look.colour)])
        shapes = cycle([look.shape, *(each for each in SHAPES if each != look.shape)])
        lines = []
        for curve in curves:
            own = Look(next(colours), next(shapes))
            dash = SOLID if curve.kind == "model" else DASHED
            headline = result.score if curve is main and _is_of(result, curve) else None
            lines.append(
                _Line(shortened(curve.name), curve.points, own, dash, chosen=curve.chosen, headline=headline)
            )
        if not at:
            others = [(each, found) for each in beside if (found := headline_curve(each))]
            own_look = {result.model.name: look}
            lines += [_line(each, found, own_look, shortened(each.model.name)) for each, found in others]
            lines += _majority(result)
        name = "layers" if not at else f"layers-{slug(f'{metric} {unit}' if unit != 'fraction' else metric)}"
        yield name, _chart(result, curves[0], lines, f"{result.task.title}: {result.model.name}", [])


def _line(result: Result, curve: Curve, looks: Looks, name: str) -> _Line:
    """A model's curve, that of a twin dashed in the same colour, or the value of a floor."""
    model = result.model
    if model.kind == "floor":
        return _Line(name, curve.points[:1], Look(), DASHED, flat=True)
    twin = model.kind == "twin"
    own = model.twin_of or "" if twin else model.name
    dash, chosen = (DASHED, None) if twin else (SOLID, curve.chosen)
    return _Line(name, curve.points, looks.get(own, Look()), dash, chosen=chosen, model=own, twin=twin)


def _majority(result: Result) -> list[_Line]:
    """The most frequent class as a floor, if the task has classes."""
    score = result.scores.get("majority")
    if score is None:
        return []
    point = CurvePoint(site="", layer=0, depth=0, value=score.value, low=score.low, high=score.high)
    return [_Line("majority", [point], Look(), DOTTED, flat=True)]


def _chart(result: Result, curve: Curve, lines: Sequence[_Line], title: str, facts: Sequence[str]) -> Chart:
    unit, better = curve.unit, result.score is not None and result.score.direction == "higher"
    names = unlike(line.name for line in lines)
    rows = [row | {"series": name} for name, line in zip(names, lines, strict=True) for row in line.rows()]
    signs = [SHAPES[line.look.shape] if line.dash == SOLID else "╌" for line in lines]
    every = [row[name] for row in rows for name in ("value", "low", "high") if name in row]
    full = unit == "fraction" and better and curve is headline_curve(result)
    limits: Spec = {"domain": [min(0.0, 1.05 * min(every)), 1 if full else 1.05 * max(every)]}
    metric = curve.metric[0].upper() + curve.metric[1:]
    y = {
        "field": "value", "type": "quantitative", "scale": limits,
        "axis": {
            "format": axis_format(unit),
            "title": metric if unit in ("fraction", metric.lower()) else f"{metric} ({unit})",
        },
    }  # fmt: skip
    stacks = {
        site.stack if (site := Site.parse_or_none(each.points[0].site)) else ""
        for each in lines
        if not each.flat
    }
    stack = f", {stacks.pop()}" if len(stacks) == 1 and stacks != {""} else ""
    x = {
        "field": "depth", "type": "quantitative", "scale": {"domain": [0, 1]},
        "axis": {"values": [0, 0.25, 0.5, 0.75, 1], "format": ".2~f", "grid": False,
                 "title": f"Relative depth (layer / number of layers{stack})"},
    }  # fmt: skip
    tooltip = [
        {"field": "series"},
        {"field": "layer"},
        {"field": "value", "title": curve.metric, "format": unit_format(unit)},
        {"field": "interval", "title": f"{result.level:.0%} interval"},
    ]
    colour = scale(names, [line.look.colour for line in lines])
    dash = scale(names, [line.dash for line in lines])
    shape = scale(names, [line.look.shape for line in lines])
    band = {"color": colour, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "opacity": {"value": 0.14}}
    over = [{"filter": "!datum.flat"}]
    layers: list[Spec] = [
        {"transform": [{"filter": "datum.flat && isValid(datum.low)"}], "mark": "rect", "encoding": band},
        {"transform": [{"filter": "datum.flat"}], "mark": {"type": "rule", "size": 2},
         "encoding": {"y": y, "color": colour, "strokeDash": dash, "tooltip": tooltip}},
        {"transform": [{"filter": "!datum.flat && isValid(datum.low)"}], "mark": "area",
         "encoding": {"x": x, **band}},
        {"transform": over, "mark": {"type": "line", "strokeWidth": 1.8},
         "encoding": {"x": x, "y": y, "color": colour, "strokeDash": dash}},
        {"transform": over, "mark": {"type": "point", "filled": True, "size": 45, "opacity": 1},
         "encoding": {"x": x, "y": y, "color": colour, "shape": shape, "tooltip": tooltip}},
        {"transform": [{"filter": "datum.chosen"}],
         "mark": {"type": "point", "filled": False, "size": 220, "strokeWidth": 1.4},
         "encoding": {"x": x, "y": y, "color": colour}},
        {"transform": [{"filter": "datum.label"}],
         "mark": {"type": "point", "shape": "stroke", "size": 300, "strokeWidth": 2},
         "encoding": {"x": x, "y": {**y, "field": "headline"}, "color": colour}},
        {"transform": [{"filter": "datum.label"}],
         "mark": {"type": "text", "dy": -16, "fontWeight": "bold", "align": {"expr": _ALIGN}},
         "encoding": {"x": x, "y": {**y, "field": "headline"}, "text": {"field": "label"}}},
    ]  # fmt: skip
    spec: Spec = {
        "width": "container", "height": 260, "data": {"values": rows},
        **switched(names, [line.look for line in lines], signs, [line.model for line in lines]),
        "transform": [SWITCH, *within(unit)], "layer": layers,
    }  # fmt: skip
    caption = " ".join([*facts, *_key(result, lines, rows)])
    columns = ("series", "layer", f"{curve.metric}{', %' if unit == 'fraction' else ''}")
    table = tuple(
        (row["series"], row["layer"], bounds(row["value"], row.get("low"), row.get("high"), unit))
        for row in rows
    )
    return Chart(title, caption, spec, columns, table)


def _key(result: Result, lines: Sequence[_Line], rows: Sequence[Spec]) -> Iterator[str]:
    """Sentences that say how to read what is drawn."""
    if any("low" in row for row in rows):
        yield f"Bands and brackets: {result.level:.0%} intervals."
    if any(row.get("chosen") for row in rows):
        yield "Ring: the layer chosen on dev."
    unit = result.score.unit if result.score else ""
    if any(number(row["value"], unit) != number(row["headline"], unit) for row in rows if "label" in row):
        yield "Bar: the headline, which is of the layer that each fold chose."
    dashed = [line for line in lines if line.dash == DASHED and not line.flat]
    twins, controls = any(line.twin for line in dashed), any(not line.twin for line in dashed)
    if dashed:
        names = [*["random twins"] * twins, *["other controls" if twins else "controls"] * controls]
        yield f"Dashed: {listed(names)}."
    if any(line.flat for line in lines):
        yield "Level lines: floors."


def _is_of(result: Result, curve: Curve) -> bool:
    """Whether the headline is a value of this curve, and not a number of another kind."""
    score, best = result.score, curve.best
    if score is None or best is None:
        return False
    same = number(best.value, curve.unit) == number(score.value, score.unit)
    return same or curve.metric.casefold() == result.headline.casefold()


def _label(score: Score) -> str:
    """The headline as a label of its curve."""
    return f"headline {number(score.value, score.unit)}{' %' if score.unit == 'fraction' else ''}"


def _rank(result: Result) -> tuple[float, str]:
    """Sort key: better results first."""
    score = result.score
    value = 0.0 if score is None else score.value if score.direction == "lower" else -score.value
    return value, result.model.name
