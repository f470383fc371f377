"""Details of one result: what was measured, on which corpus, how certain it is, how to repeat it."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from innerear.report.leaderboard import headline_layer
from innerear.report.legend import NO_WIDTH
from innerear.report.numbers import NONE, interval, number, unit_of
from innerear.results.headline import headline_rows
from innerear.results.schema import CorpusInfo, Result
from innerear.results.store import read_items
from innerear.util.sanitise import clean
from innerear.util.words import counted


def show(result: Result, path: Path) -> RenderableType:
    """Everything in a result, for the terminal; `path` is its file."""
    parts: list[RenderableType] = [
        _text(f"{result.model.name} on {result.task.title}", "bold"),
        _pairs(facts_of(result, clusters_of(result, read_items(path, result)) if result.items else None)),
        _heading("Commands"),
        *map(_text, commands_for(result, str(path))),
    ]
    if result.scores:
        parts += [_heading("Scores"), _scores(result)]
    if result.main:
        columns, lines = layers_of(result)
        parts += [
            _heading("Layers (← chosen on dev)" if result.main.best else "Layers"),
            _table(columns, lines),
        ]
    if result.split.folds:
        parts += [_heading("Folds (frames / clips / speakers)"), _folds(result)]
    for name, rows in result.tables.items():
        if rows:
            parts += [_heading(name.capitalize().replace("_", " ")), _first_rows(rows)]
    parts += [_heading("Provenance"), _pairs(provenance(result)), _heading("Time"), _pairs(times(result))]
    return Group(*parts)


def commands_for(result: Result, path: str) -> list[str]:
    """Command lines that verify, reproduce and cite a result."""
    commit = result.environment.git_commit
    origin = f"  # made by innerear {result.environment.innerear}" + (
        f", commit {commit[:12]}" if commit else ""
    )
    return [
        f"{shlex.join(['innerear', verb, path])}{origin if verb == 'reproduce' else ''}"
        for verb in ("verify", "reproduce", "cite")
    ]


def clusters_of(result: Result, items: pd.DataFrame) -> int:
    """Number of clusters (speakers or sound sources) of the per-item outcomes behind the headline."""
    return int(headline_rows(result, items)["speaker"].nunique())


def facts_of(result: Result, clusters: int | None) -> Iterator[tuple[str, str]]:
    """Facts about a result as (name, value); `clusters` is from `clusters_of`, None if unknown."""
    score = result.score
    yield "question", result.task.question
    yield "measured", f"{result.task.id} v{result.task.version} ({result.task.protocol}): {result.headline}"
    yield "corpus", _corpus_facts(result.corpus)
    selection = [
        f"--{name.replace('_', '-')} {result.task.spec[name]}"
        for name in ("clips_per_speaker", "limit", "seed")
        if result.task.spec.get(name)
    ]
    if selection:
        yield "selection", " ".join(selection)
    if result.train_corpus:
        yield "trained on", _corpus_facts(result.train_corpus)
    contamination = {
        True: "yes: the score may be too optimistic",
        None: "unknown: its training data are undisclosed",
    }
    if result.model.organism:
        taken = "; a part taken over from another model heard what is undisclosed"
        yield (
            "model organism",
            "trained to be opened, on rendered speech that is known to the clip"
            + taken * (result.model.contaminated is None),
        )
    if (known := result.model.contaminated) is not False and result.model.kind == "model":
        yield "model trained on this corpus", contamination[known]
    if score is None:
        yield "result", f"n/a: {result.reason}"
        return
    better = {
        "higher": "; higher is better",
        "lower": "; lower is better",
        "none": "; neither direction is better",
    }
    yield "result", f"{interval(score)} {unit_of(score)}{better[score.direction]}"
    yield (
        "uncertainty",
        f"brackets: {result.level:.0%} interval over {clusters or 'the'} clusters (speakers or sound "
        f"sources); n = {score.n:,}",
    )
    if score.without_width:
        yield "no width", NO_WIDTH
    if majority := result.scores.get("majority"):
        yield "floor", f"{interval(majority)} {unit_of(score)} by always predicting the most frequent class"
    if layer := headline_layer(result):
        yield "layer", layer


def _corpus_facts(corpus: CorpusInfo) -> str:
    kind = "human speech" if corpus.human else "synthetic speech"
    refused = f"; refused: {len(corpus.refused)}" if corpus.refused else ""
    return (
        f"{corpus.name} {corpus.version}: {counted(corpus.items, 'clip')}, {corpus.seconds / 60:.1f} min, "
        f"{corpus.voices}, {kind}{refused}"
    )


def _scores(result: Result) -> Table:
    table = _grid("score", "value", "n", "unit")
    for name, score in result.scores.items():
        table.add_row(_text(name), _text(interval(score)), _text(f"{score.n:,}"), _text(unit_of(score)))
    return table


def layers_of(result: Result) -> tuple[list[str], list[list[str]]]:
    """Columns and a row for each layer: the main curve with its interval, other curves, and the chosen C."""
    main = result.main
    assert main is not None
    others = [curve for curve in result.curves[1:] if len(curve.points) == len(main.points)]
    tuned = _by_layer(result.tuned.get("c"), len(main.points))
    columns = ["layer", main.name, "low", "high", *(c.name for c in others), *["C by fold"] * bool(tuned)]
    rows = []
    for at, point in enumerate(main.points):
        values = [(value, main.unit) for value in (point.value, point.low, point.high)]
        values += [(curve.points[at].value, curve.unit) for curve in others]
        cells = [NONE if value is None else number(value, unit) for value, unit in values]
        name = f"{point.site}{' ←' if point.site == main.chosen else ''}"
        rows.append([name, *cells, *tuned[at : at + 1]])
    return columns, rows


def _by_layer(chosen: Any, layers: int) -> list[str]:
    """Values [fold][layer] as text for each layer; a single value if all folds agree."""
    if not isinstance(chosen, list) or not all(
        isinstance(fold, list) and len(fold) == layers for fold in chosen
    ):
        return []
    lines = [[f"{fold[layer]:g}" for fold in chosen] for layer in range(layers)]
    return [line[0] if len(set(line)) == 1 else " ".join(line) for line in lines]


def _folds(result: Result) -> Table:
    table = _grid("fold", "train", "dev", "test", "left out")
    for at, fold in enumerate(result.split.folds):
        sides = [
            f"{side.frames:,} / {side.items:,} / {side.speakers:,}"
            for side in (fold.train, fold.dev, fold.test)
        ]
        table.add_row(*map(_text, (str(at), *sides, str(fold.dropped_shared_sentences))))
    return table


def _first_rows(rows: list[dict[str, Any]], most: int = 12) -> RenderableType:
    """The first rows of a protocol's table; if it is too wide to read, only its size."""
    columns = list(rows[0])
    if len(columns) > most:
        return _text(f"{len(rows)} rows of {len(columns)} columns, in the file", "dim")
    table = _table(columns, [table_cells(row, columns) for row in rows[:most]])
    if len(rows) > most:
        table.caption = f"{len(rows) - most} more in the file"
    return table


def table_cells(row: dict[str, Any], columns: list[str]) -> list[str]:
    """Cells of a row of a protocol's table, as text."""
    cells = (row.get(column) for column in columns)
    return [
        f"{cell:.3f}" if isinstance(cell, float) else NONE if cell is None else str(cell) for cell in cells
    ]


def _table(columns: list[str], rows: list[list[str]]) -> Table:
    table = _grid(*columns)
    for row in rows:
        table.add_row(*map(_text, row), style="bold" if row[0].endswith("←") else None)
    return table


def provenance(result: Result) -> Iterator[tuple[str, str]]:
    """Hashes, sources, versions and the machine, as (name, value)."""
    model, corpus, where = result.model, result.corpus, result.environment
    yield (
        "model",
        f"{model.name} ({model.family}), {model.parameters:,} parameters, revision {model.revision}",
    )
    yield "source", f"{model.source}, {model.licence}"
    yield "model hash", model.sha256
    for name, part in model.parts.items():
        yield f"of its {name.replace('_', ' ')}", part
    if model.kind == "twin":
        yield "random twin", f"of {model.twin_of or 'its model'}, initialised from seed {model.seed}"
    yield "training data", "; ".join(model.training_data) or "unknown"
    yield "task hash", result.task.sha256
    yield "corpus", f"{corpus.fingerprint} from {corpus.source}, {corpus.licence}"
    for item, reason in corpus.refused:
        yield "refused", f"{item}: {reason}"
    yield "split", f"{result.split.rule}, seed {result.split.seed}"
    if result.seeds:
        yield "seeds", ", ".join(f"{name} {seed}" for name, seed in result.seeds.items())
    for name, value in result.controls.items():
        yield "control", f"{name}: {value}"
    yield "content", result.content_sha256
    if result.former_sha256:
        yield "formerly", f"{result.former_sha256} (schema 3; the numbers are the same)"
    commit = f", commit {where.git_commit[:12]}" if where.git_commit else ""
    yield "innerear", f"{where.innerear}{commit}, Python {where.python}, {where.precision}"
    yield "packages", ", ".join(f"{name} {version}" for name, version in where.packages.items())
    gpu = f", {where.gpu}" if where.gpu else ""
    yield "machine", f"{where.cpu}, {where.cores} cores{gpu}, {where.platform}"


def times(result: Result) -> Iterator[tuple[str, str]]:
    """When the result was measured, how long it took and how fast it was, as (name, value)."""
    run = result.run
    yield "when", f"{run.created} on {run.device}, {run.threads} threads, batches of {run.batch_size}"
    stages = (
        f"load {run.load_s:.1f} s, encoder {run.encoder_s:.1f} s, decoder {run.decoder_s:.1f} s, "
        f"measuring {run.measure_s:.1f} s"
    )
    yield "took", f"{run.total_s:.1f} s: {stages}"
    audio = f"{run.audio_s:.0f} s of audio processed, {run.cached_items} clips from the cache"
    mean = result.corpus.seconds / max(1, result.corpus.items)
    speed = (
        f"encoder {run.encoder_rtfx:.1f} times real time on clips of {mean:.1f} s; "
        if run.encoder_rtfx
        else ""
    )
    yield "speed", speed + audio
    if run.rtfx is not None:
        yield "RTFx", f"{run.rtfx:.1f} (front end, model and decoding)"
    if run.gpu_forward_ms is not None:
        yield "GPU", f"{run.gpu_forward_ms:.0f} ms in the forward pass (CUDA events)"
    yield "memory", f"{run.peak_memory_mib:,.0f} MiB at the peak"


def _text(text: str, style: str = "") -> Text:
    """Text without markup and control characters, as it may come from anybody's files."""
    return Text(clean(text), style=style)


def _heading(text: str) -> Text:
    return Text(f"\n{clean(text)}", style="bold")


def _grid(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    for at, column in enumerate(columns):
        table.add_column(_text(column), justify="left" if at == 0 else "right")
    return table


def _pairs(pairs: Any) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(_text(name), _text(value))
    return table
