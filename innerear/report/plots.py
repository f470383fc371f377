"""Figures in one publication style: thin axes, colour-blind-safe colours (Okabe & Ito 2008).

Figures are made without pyplot and its global state.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from rich.cells import cell_len, set_cell_size

from innerear.models.site import Site
from innerear.results.schema import Curve, Result
from innerear.tasks.declarations import Drawing
from innerear.util.errors import InputError
from innerear.util.io import atomic

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
GREY = "#595959"
DEPTHS = [0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"]
"""Ticks of a relative depth."""
LONGEST = 40
"""Maximum width of a name in a legend, in Latin letters."""
RING: dict[str, Any] = {
    "marker": "o",
    "markerfacecolor": "none",
    "markeredgewidth": 1.0,
    "linestyle": "none",
}
DASHED: dict[str, Any] = {"linestyle": (0, (4, 2)), "linewidth": 1.1}

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same picture on every machine
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": GREY,
    "axes.labelcolor": "#222222",
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "text.parse_math": False,  # a dollar sign in a name does not start a formula
    "legend.frameon": False,
    "svg.hashsalt": "innerear",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
}

# without dates and library versions, equal figures give equal files
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
}


def save(draw: Callable[[], Figure], path: Path) -> None:
    """Draw a figure and write it to `path` (.png, .svg or .pdf) atomically; equal figures give equal files.

    Raises
    ------
    InputError
        If the suffix is unknown or the file cannot be written; and the errors of `draw`.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in METADATA:
        raise InputError(f"cannot draw {path}: the name must end in {', '.join(f'.{k}' for k in METADATA)}")
    with matplotlib.rc_context(STYLE), atomic(path) as temporary, warnings.catch_warnings():
        # a token may be of any script, or a control character: the figure shows a box for it
        warnings.filterwarnings("ignore", r"Glyph \d+ ", UserWarning)
        figure = draw()
        if layout := figure.get_layout_engine():
            # where a layout is left to do, savefig draws everything a first time without output
            figure.set_dpi(STYLE["savefig.dpi"])
            layout.execute(figure)
            figure.set_layout_engine(None)
        figure.savefig(temporary, format=kind, metadata=METADATA[kind])


def layer_curves(results: Sequence[Result], path: Path) -> None:
    """Draw the layer curves of one task on one corpus; errors as `layer_figure` and `save`."""
    save(partial(layer_figure, results), path)


def layer_figure(results: Sequence[Result]) -> Figure:
    """Headline metric against relative depth: models, their random twins, and the floors.

    Parameters
    ----------
    results
        Results of one group. Those that are n/a have no curve and are left out.

    Raises
    ------
    InputError
        If there is nothing to draw, or the results are of different tasks or corpora.
    """
    drawn = sorted(
        (result for result in results if result.main),
        key=_rank,
    )
    if not drawn:
        raise InputError("no layer curves to draw: every result is n/a")
    if len({result.group for result in drawn}) > 1:
        raise InputError("results of different tasks or corpora do not belong in one plot; choose one group")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 3.9), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        legend = _models(axes, drawn) + _floors(axes, drawn)
        _frame(axes, drawn)
        axes.legend(
            handles=legend, loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=2.6, labelspacing=0.7
        )
    return figure


def methods_figure(results: Sequence[Result]) -> Figure:
    """Score of each method on each planted cause, best first; empty where a method does not apply."""
    rows = {result.model.name: result.tables["by_recipe"] for result in results}
    recipes = sorted({str(row["recipe"]) for own in rows.values() for row in own})
    values = np.full((len(rows), len(recipes)), np.nan)
    for at, own in enumerate(rows.values()):
        for row in own:
            values[at, recipes.index(str(row["recipe"]))] = float(str(row["auroc"]))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 0.3 * len(rows) + 1.4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        image = axes.imshow(values, vmin=0, vmax=1, cmap="cividis", aspect="auto")
        for (row_at, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                axes.text(column, row_at, f"{value:.2f}", ha="center", va="center", fontsize=7,
                          color="white" if value < 0.5 else "black")  # fmt: skip
        axes.set_xticks(range(len(recipes)), recipes, rotation=30, ha="right")
        axes.set_yticks(range(len(rows)), list(rows))
        axes.grid(visible=False)
        figure.colorbar(image, ax=axes, label="node AUROC")
    return figure


OVERVIEWS: dict[Drawing, Callable[[Sequence[Result]], Figure]] = {"methods": methods_figure}
"""Functions that draw all results of a leaderboard table, by the kind of drawing a protocol declares."""


def curves_figure(result: Result) -> Figure:
    """All layer curves of a result, one panel per metric; controls and floors are dashed."""
    panels: dict[tuple[str, str], list[Curve]] = {}
    for curve in result.curves:
        panels.setdefault((curve.metric, curve.unit), []).append(curve)
    alone = len(panels) == 1
    figure = Figure(figsize=(7.0, 3.9 if alone else 3.1 * -(-len(panels) // 2)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(-(-len(panels) // 2), 1 if alone else 2, squeeze=False)
    for axes in rows.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, ((metric, unit), curves) in zip(rows.flat, panels.items(), strict=False):
        for curve, colour, marker in zip(curves, cycle(PALETTE), cycle(MARKERS), strict=False):
            look = {"color": colour, "marker": marker, "markersize": 3.5}
            line = _line(axes, curve, **look, **({} if curve.kind == "model" else DASHED))
            line.set_label(shortened(curve.name))
            if best := curve.best:
                axes.plot(best.depth, best.value, color=colour, markersize=9, **RING)
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks(*DEPTHS)
        name = curves[0].points[0].site
        site = Site.parse_or_none(name)
        axes.set_xlabel(f"Relative depth  ({site.stack if site else name})")
        axes.set_ylabel(fill(metric if unit == "fraction" else f"{metric} ({unit})", 30))
        if unit == "fraction":
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        if alone:
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        else:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=7)
    return figure


def looks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each model, by the order of names: the same in all pictures of these models."""
    return {
        name: {"color": PALETTE[at % len(PALETTE)], "marker": MARKERS[at % len(MARKERS)]}
        for at, name in enumerate(sorted(set(names)))
    }


def _models(axes: Axes, results: Sequence[Result]) -> list[Line2D]:
    """Draw models by rank, and their twins dashed in the same colours."""
    legend: list[Line2D] = []
    models = [result for result in results if result.model.kind == "model"]
    own = looks(result.model.name for result in models)
    for result in models:
        look = own[result.model.name]
        curve = _curve(result)
        line = _line(
            axes, curve, zorder=4, markersize=4.5, markeredgecolor="white", markeredgewidth=0.6, **look
        )
        score = f"  {result.score.value:.1%}" if result.score and result.score.unit == "fraction" else ""
        line.set_label(shortened(result.model.name) + score)
        legend.append(line)
        if best := curve.best:
            axes.plot(
                best.depth, best.value, color=look["color"], zorder=5, label="_chosen", markersize=10, **RING
            )
    if any(_curve(result).best for result in models):
        legend.append(Line2D([], [], color=GREY, label="layer chosen on dev", markersize=9, **RING))
    twins = [result for result in results if result.model.kind == "twin"]
    for result in twins:
        colour = own.get(result.model.twin_of or "", {"color": GREY})["color"]
        line = _line(axes, _curve(result), zorder=3, color=colour, **DASHED)
        line.set_label(shortened(result.model.name))
    if twins:
        legend.append(Line2D([], [], color=GREY, label="random twins", **DASHED))
    return legend


def _floors(axes: Axes, results: Sequence[Result]) -> list[Line2D]:
    legend = []
    floors = [result for result in results if result.model.kind == "floor"]
    for result, style in zip(floors, cycle(("-", "-.", (0, (6, 2)))), strict=False):
        point = _curve(result).points[0]
        line = axes.axhline(point.value, color=GREY, linewidth=1.1, linestyle=style, zorder=2)
        if point.low is not None and point.high is not None:
            axes.axhspan(point.low, point.high, color=GREY, alpha=0.15, linewidth=0, zorder=1)
        line.set_label(f"{shortened(result.model.name)}  {point.value:.1%}")
        legend.append(line)
    if majority := results[0].scores.get("majority"):
        line = axes.axhline(majority.value, color=GREY, linewidth=1.1, linestyle=":", zorder=2)
        line.set_label(f"majority  {majority.value:.1%}")
        legend.append(line)
    return legend


def _line(axes: Axes, curve: Curve, **look: Any) -> Line2D:
    """Draw one curve with its interval as a band."""
    depth = [point.depth for point in curve.points]
    low = [point.low for point in curve.points if point.low is not None]
    high = [point.high for point in curve.points if point.high is not None]
    if len(low) == len(high) == len(depth):
        axes.fill_between(depth, low, high, color=look["color"], alpha=0.16, linewidth=0)
    (line,) = axes.plot(depth, [point.value for point in curve.points], **look)
    return line


def _frame(axes: Axes, results: Sequence[Result]) -> None:
    """Title, axes, and the facts that a reader needs: corpus, number of units, intervals."""
    first = results[0]
    metric = _curve(first).metric
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("Relative depth  (layer / number of layers)")
    axes.set_xticks(*DEPTHS)
    named = metric[0].upper() + metric[1:]
    axes.set_ylabel(
        f"{named} on test speakers" if any(_curve(result).chosen for result in results) else named
    )
    if _curve(first).unit == "fraction":
        better = first.score is not None and first.score.direction == "higher"
        least = min(
            point.value if point.low is None else point.low
            for result in results
            for point in _curve(result).points
        )
        axes.set_ylim(min(0.0, 1.05 * least), 1 if better else None)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    corpora = f"{shortened(first.corpus.name)} {first.corpus.version}"
    if first.train_corpus:
        corpora = f"{shortened(first.train_corpus.name)} → {corpora}"
    frames = f"n = {first.score.n:,}, " if first.score else ""
    facts = f"{corpora}: {frames}{first.corpus.voices}; bands are {first.level:.0%} intervals"
    axes.set_title(first.task.title, loc="left", fontweight="bold", fontsize=10, pad=20)
    axes.text(0, 1.03, facts, transform=axes.transAxes, color=GREY, fontsize=8)


def _rank(result: Result) -> tuple[float, str]:
    """Sort key: better results first."""
    score = result.score
    value = 0.0 if score is None else score.value if score.direction == "lower" else -score.value
    return value, result.model.name


def _curve(result: Result) -> Curve:
    curve = result.main
    assert curve is not None
    return curve


def shortened(text: str) -> str:
    """A name for the legend: short, and without the leading underscore that would hide it."""
    short = text.lstrip("_")
    return short if cell_len(short) <= LONGEST else f"{set_cell_size(short, LONGEST - 1)}…"
