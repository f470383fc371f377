"""Figures of one result: its layer curves, and its tables (confusions, lenses, calibration)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, StrMethodFormatter
from scipy.special import expit

from innerear.report.plots import GREY, PALETTE, curves_figure, layer_figure, save
from innerear.results.schema import Result
from innerear.tasks.declarations import Drawing, declaration

Rows = Sequence[Mapping[str, Any]]


def pictures(result: Result, beside: Sequence[Result] = ()) -> dict[str, Callable[[], Figure]]:
    """Functions that draw the pictures of a result, by name.

    Parameters
    ----------
    beside
        Results of its random twin and of floors, drawn into the layer curves.
    """
    made: dict[str, Callable[[], Figure]] = {}
    if result.main:
        made["layers"] = partial(layer_figure, [each for each in (*beside, result) if each.main])
    if len(result.curves) > 1:
        made["curves"] = partial(curves_figure, result)
    for picture in declaration(result.task.protocol).pictures:
        if rows := result.tables.get(picture.table):
            made[picture.name] = partial(DRAWINGS[picture.drawing], rows)
    return made


def draw(result: Result, beside: Sequence[Result], folder: Path) -> list[Path]:
    """Draw `pictures` as PNG files in a folder."""
    made = []
    for name, figure in pictures(result, beside).items():
        made.append(folder / f"{name}.png")
        save(figure, made[-1])
    return made


def confusion_figure(rows: Rows) -> Figure:
    """Share of each true class that was predicted as each class; rows are those of `confusion_matrix`."""
    names = [name for name in rows[0] if name != "truth"]
    counts = np.array([[row[name] for name in names] for row in rows], dtype=float)
    side = max(2.4, 0.17 * len(names) + 1.0)
    figure, axes = _empty(side + 1.4, side * len(rows) / len(names) + 0.4)
    image = axes.imshow(counts / counts.sum(axis=1, keepdims=True), vmin=0, vmax=1, cmap="cividis")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(rows)), [row["truth"] for row in rows], fontsize=7)
    axes.set_xlabel("heard")
    axes.set_ylabel("said")
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, format=PercentFormatter(1, decimals=0), shrink=0.7)
    return figure


def lens_figure(rows: Rows) -> Figure:
    """The lens at each token of a clip and each layer; rows are those of `lens_map`.

    Colour is the rank of the token that was finally written; the text is the layer's top token.
    """
    layers = max(row["layer"] for row in rows) + 1
    rank = np.array([row["rank"] for row in rows], dtype=float).reshape(-1, layers).T
    figure, axes = _empty(0.62 * rank.shape[1] + 1.6, 0.34 * layers + 1.5)
    image = axes.imshow(np.log10(rank + 1), cmap="cividis_r", aspect="auto", origin="lower")
    dark = np.log10(rank + 1) > 0.5 * np.log10(rank.max() + 1)
    for number, row in enumerate(rows):
        at, layer = divmod(number, layers)
        axes.text(
            at, layer, _piece(row["top"])[:9], ha="center", va="center", fontsize=6,
            color="white" if dark[layer, at] else "black",
        )  # fmt: skip
    axes.set_xticks(range(rank.shape[1]), [_piece(row["token"]) for row in rows[::layers]], rotation=45)
    axes.set_yticks(range(layers))
    axes.set_xlabel(f"written, token by token ({rows[0]['item']})")
    axes.set_ylabel("layer")
    axes.grid(visible=False)
    bar = figure.colorbar(image, ax=axes, pad=0.01)
    bar.set_label("rank of the written token")
    ticks = [power for power in range(6) if power <= np.log10(rank.max() + 1)]
    bar.set_ticks(ticks, labels=["first" if not power else f"{10**power:,}th" for power in ticks])
    return figure


def kinds_figure(rows: Rows) -> Figure:
    """Shares of each kind of output by encoder layer, with and without the final norm; rows of `kinds`."""
    kinds = [name for name in rows[0] if name not in ("site", "norm", "wer")]
    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    sides = figure.subplots(1, 2, sharey=True)
    for axes, norm in zip(sides, (True, False), strict=True):
        own = pd.DataFrame([row for row in rows if row["norm"] == norm])
        total = own[kinds].sum(axis=1).to_numpy(float)
        base = np.zeros(len(own))
        for kind, colour in zip(kinds, _KIND_COLOURS, strict=True):
            share = own[kind].to_numpy(float) / total
            axes.bar(range(len(own)), share, bottom=base, color=colour, width=0.85, label=kind)
            base += share
        axes.set_xticks(range(len(own)))
        axes.set_xlabel("encoder layer")
        axes.set_title("with the final norm" if norm else "without", loc="left")
    sides[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    sides[0].set_ylabel("share of outputs")
    sides[1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), reverse=True)
    return figure


def heads_figure(rows: Rows) -> Figure:
    """The value of every head; rows are those of `head_map` (`layer`, `head`, `value`, `marked`)."""
    table = pd.DataFrame(rows).pivot_table(index="layer", columns="head", values="value")
    figure, axes = _empty(0.42 * table.shape[1] + 2.0, 0.42 * table.shape[0] + 1.1)
    widest = float(np.abs(table.to_numpy()).max()) or 1.0
    signed = bool((table.to_numpy() < 0).any())
    image = axes.imshow(
        table.to_numpy(), origin="lower", cmap="PuOr" if signed else "cividis",
        vmin=-widest if signed else 0, vmax=widest,
    )  # fmt: skip
    heads, layers = list(table.columns), list(table.index)
    for row in rows:
        if row["marked"]:
            axes.plot(
                heads.index(row["head"]), layers.index(row["layer"]), "o", color="white", markersize=5,
                markeredgecolor="black", markeredgewidth=0.6,
            )  # fmt: skip
    axes.set_xticks(range(len(heads)), heads)
    axes.set_yticks(range(len(layers)), layers)
    axes.set_xlabel("head" + ("  (○ published)" if any(row["marked"] for row in rows) else ""))
    axes.set_ylabel("layer")
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, format=PercentFormatter(1, decimals=0))
    return figure


def calibration_figure(rows: Rows) -> Figure:
    """Observed rate against predicted probability, by bin; rows are those of `calibration`."""
    figure, axes = _empty(3.6, 3.4)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    axes.plot(
        [row["predicted"] for row in rows], [row["observed"] for row in rows], color=PALETTE[0], marker="o"
    )
    axes.set_xlabel("predicted probability")
    axes.set_ylabel("observed rate")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_title(f"n = {sum(row['clips'] for row in rows):,} in {len(rows)} bins", loc="left", color=GREY)
    return figure


def psychometric_figure(rows: Rows) -> Figure:
    """Choices against acoustic evidence, a curve for each context; rows are those of `psychometric`."""
    table = pd.DataFrame(rows)
    figure = Figure(figsize=(7.0, 3.0), layout="constrained")
    FigureCanvasAgg(figure)
    kinds = list(table["evidence"].unique())
    for axes, kind in zip(np.atleast_1d(figure.subplots(1, len(kinds), sharey=True)), kinds, strict=True):
        own = table[table["evidence"] == kind]
        for colour, (name, curve) in zip(PALETTE, own.groupby("context", sort=False), strict=False):
            axes.plot(curve["level"], curve["chosen"], "o", color=colour, markersize=4)
            x = np.linspace(curve["level"].min(), curve["level"].max(), 100)
            first = curve.iloc[0]
            p = expit(first["slope"] * (x - first["threshold"]))
            p = first["lapse"] / 2 + (1 - first["lapse"]) * p
            axes.plot(x, p, color=colour, label=_CONTEXTS.get(str(name), str(name)))
        axes.axhline(0.5, color=GREY, linewidth=0.6, linestyle=":")
        axes.set_xlabel(_EVIDENCE[kind] + f" (n = {own['n'].iloc[0]} a point)")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylim(-0.03, 1.03)
        axes.legend(loc="best", fontsize=7)
        axes.set_ylabel("chooses the second word" if kind == "step" else "chooses the spoken word")
    return figure


def faithfulness_figure(rows: Rows) -> Figure:
    """Effect of the first k heads of a ranking; rows are those of `faithfulness`: loops resolved, or lost."""
    figure, axes = _empty(4.2, 3.0)
    effect = "resolved" if "resolved" in rows[0] else "lost"
    for at, (_, curve) in enumerate(
        pd.DataFrame(rows).groupby("ranking", sort=False)
    ):  # the ranking is first
        axes.plot(
            curve["heads"], curve[effect], marker="o", markersize=4, zorder=3 - bool(at),
            color=GREY if at else PALETTE[0], label=("by the ranking", "at random")[at] if at < 2 else None,
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xlabel({"resolved": "heads ablated together", "lost": "heads deaf together"}[effect])
    axes.set_ylabel({"resolved": "loops resolved", "lost": "probability lost"}[effect])
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylim(-0.03, 1.03)
    axes.legend(loc="best", fontsize=7)
    return figure


def remedies_figure(rows: Rows) -> Figure:
    """Reduction of words on non-speech against WER increase, a line over strengths; rows of `points`."""
    figure, axes = _empty(5.6, 3.4)
    axes.axvline(0, color=GREY, linewidth=0.6, linestyle=":")
    for number, (name, arm) in enumerate(pd.DataFrame(rows).groupby("arm", sort=False)):
        for at, (_, line) in enumerate(arm.groupby("where", sort=False)):
            axes.plot(
                100 * line["cost"], line["reduction"], marker="os^"[number // len(PALETTE)], markersize=3.5,
                linewidth=0.8, color=PALETTE[number % len(PALETTE)], label=None if at else name,
            )  # fmt: skip
    axes.set_xscale("symlog", linthresh=2)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("rise of WER (points; linear to 2)")
    axes.set_ylabel("sounds silenced")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=7)
    return figure


DRAWINGS: dict[Drawing, Callable[[Rows], Figure]] = {
    "confusions": confusion_figure,
    "lens": lens_figure,
    "kinds": kinds_figure,
    "heads": heads_figure,
    "calibration": calibration_figure,
    "psychometric": psychometric_figure,
    "faithfulness": faithfulness_figure,
    "remedies": remedies_figure,
}
"""Functions that draw a table's rows, by the kind of drawing that a protocol declares."""

CAPTIONS = {
    "layers": "Layer curve, with its random twin and floors",
    "curves": "All layer curves of the result",
}
"""Captions of the pictures that every result may have, by name."""


def caption(result: Result, name: str) -> str:
    """The caption of one of a result's `pictures`."""
    declared = {picture.name: picture.caption for picture in declaration(result.task.protocol).pictures}
    return (CAPTIONS | declared)[name]


_EVIDENCE = {"step": "step from the first word to the second", "dB": "SNR on the differing phone (dB)"}
_CONTEXTS = {"first": "context for the first", "second": "context for the second"}

# empty, correct, loop, partial, gibberish, fluent, as `outputs.Kind` has them
_KIND_COLOURS = ("#DDDDDD", "#009E73", "#E69F00", "#56B4E9", "#999999", "#D55E00")


def _empty(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _piece(text: str) -> str:
    """A token as readable text: a leading space starts a word, and bytes are decoded."""
    from transformers.convert_slow_tokenizer import (
        bytes_to_unicode,
    )  # takes seconds that other figures do not need

    spelt = {"▁": " ", "<|endoftext|>": "(end)", "</s>": "(end)"}
    for mark, meant in spelt.items():
        text = text.replace(mark, meant)
    byte = {letter: value for value, letter in bytes_to_unicode().items()}
    try:  # byte-level tokenizers map each byte to a letter
        return bytes(byte[letter] for letter in text).decode()
    except (KeyError, UnicodeDecodeError):  # another kind of tokenizer, or an incomplete letter
        return text
