"""What `innerear run --dry-run` prints."""

import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from innerear.cli.console import out, print_line
from innerear.util.paths import cache_folder
from innerear.util.sanitise import clean
from innerear.util.words import counted

if TYPE_CHECKING:
    from innerear.results.schema import Result
    from innerear.runs.estimate import Basis, Cell, Estimate
    from innerear.runs.plans import Options, Plan

_MEANING: dict["Basis", str] = {
    "stored": "the result is there and is not measured again",
    "n/a": "the task does not apply",
    "measured": "from results of the model on this device",
    "scaled": "from results of the model of the nearest size on this device, by the number of parameters",
    "calibrated": "from a network of Whisper base's size timed now, by the number of parameters: hearing and "
    "writing alone, so that probes, sweeps and loading come on top",
    "unknown": "the number of clips or of parameters is not known before they are here",
}


def print_estimate(plan: "Plan", options: "Options") -> None:
    """Print what a run would take."""
    from innerear.results.environment import environment
    from innerear.runs.estimate import BASES, estimate

    found = estimate(plan, options, _results(options.output))
    out.print(_tasks(found))
    out.print(_models(found))
    if found.downloads:
        out.print(_downloads(found))
    known = sum(each.size or 0 for each in found.downloads)
    unknown = sum(each.size is None for each in found.downloads)
    free = shutil.disk_usage(_existing(cache_folder())).free
    print_line(
        f"to download: {_gb(known)}"
        + (f", and {counted(unknown, 'thing')} of unknown size" if unknown else "")
        + f"; features of the clips take up to {_gb(found.features)}"
        + (
            " where that is known"
            if any(cell.features is None for row in found.cells for cell in row)
            else ""
        )
        + f"; {_gb(free)} are free in {cache_folder()}"
        + (", which is not enough" if known + found.features > free else "")
    )
    here = environment(options.main_device, options.dtype)
    print_line(
        f"time on {here.gpu or here.cpu} ({options.dtype}), one model after the other: "
        f"about {_hours(found.seconds)}; the clips of a corpus are heard once, for the first of its tasks"
    )
    for basis in BASES:
        if count := found.count(basis):
            print_line(f"{basis}: {counted(count, 'cell')}, {_MEANING[basis]}")
    if not plan.models:
        print_line("time of methods: not estimated, as they hear no corpus")


def _results(output: Path) -> "list[Result]":
    """Results that rates are taken from: those of the output folder, and published ones that are here."""
    from innerear.results.store import Store

    skipped: list[object] = []
    found = [
        result
        for folder in (output, Path("results"))
        if folder.is_dir()
        for result in Store(folder).load_all(skipped.append)
    ]
    if skipped:
        print_line(f"{counted(len(skipped), 'result')} cannot be read; `innerear verify` says why")
    return found


def _tasks(found: "Estimate") -> Table:
    table = _table("task", "corpus", "clips", "hours", "time of all models")
    for at, (task, extent) in enumerate(zip(found.tasks, found.extents, strict=True)):
        at_most = "" if extent.here else "≤ "
        table.add_row(
            clean(task.id),
            Text(clean(task.corpus)),
            "?" if extent.clips is None else f"{at_most}{extent.clips:,}",
            "?" if extent.seconds is None else f"{at_most}{extent.seconds / 3600:.1f}",
            _sum([cells[at] for cells in found.cells]),
        )
    return table


def _models(found: "Estimate") -> Table:
    table = _table("model", "parameters", "time of all tasks", "features, at most", "cells")
    for spec, cells in zip(found.models, found.cells, strict=True):
        kinds = Counter(cell.basis for cell in cells)
        table.add_row(
            Text(clean(spec.name)),
            f"{spec.parameters / 1e6:,.0f} M" if spec.parameters else "?",
            _sum(cells),
            _gb(sum(cell.features or 0 for cell in cells))
            + " + ?" * any(cell.features is None for cell in cells),
            ", ".join(f"{count} {basis}" for basis, count in kinds.most_common()),
        )
    return table


def _downloads(found: "Estimate") -> Table:
    table = _table("to download", "from", "at most")
    for each in found.downloads:
        size = "?" if each.size is None else _gb(each.size)
        table.add_row(Text(clean(each.name)), Text(clean(each.source)), size)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None)
    for column in columns:
        table.add_column(column)
    return table


def _sum(cells: "list[Cell] | tuple[Cell, ...]") -> str:
    known = _hours(sum(cell.seconds or 0.0 for cell in cells))
    lacking = any(cell.seconds is None or cell.basis == "calibrated" for cell in cells)
    return f"≥ {known}" if lacking else known


def _hours(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
