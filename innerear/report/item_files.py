"""Files of the page of items: a script for each table and each of its models, and one for each corpus.

Scripts, since a page that is opened from a folder may load no data; each is loaded when it is chosen.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from innerear.data.schema import Item
from innerear.report.chart import embedded
from innerear.report.clips import clip_data, clips_of, write_clip
from innerear.report.items import WITH_WORDS, Data, listed, outcome_name, table_data
from innerear.report.leaderboard import Table, arrow
from innerear.report.pages import page_of, task_page
from innerear.results.schema import CorpusInfo
from innerear.results.store import MANY, Store
from innerear.util.io import write_bytes
from innerear.util.progress import bar
from innerear.util.sanitise import clean_lines, slug
from innerear.util.spread import spread

FOLDER = "items"
"""Folder of the scripts in the site."""
BESIDE = ("transcription", "logit-lens", "encoder-lens", "alignment-heads", "phone-probing")
"""Protocols whose items are shown beside every item of the same clip."""


def write_items(
    store: Store, tables: Mapping[str, Table], output: Path
) -> tuple[list[Data], list[Callable[[], None]]]:
    """Write the scripts of all tables that have items.

    Parameters
    ----------
    tables
        By the name of their part of the first page.

    Returns
    -------
    list of dict
        What the page must know of each table before it is chosen.
    list of callable
        Jobs that write sounds and spectrograms.

    Raises
    ------
    InnerearError
        If items are damaged, or an embedded corpus is.
    InputError
        If the folder cannot be written.
    """
    shown = {name: table for name, table in tables.items() if listed(table)}
    many = sum(len(listed(table)) for table in shown.values()) >= MANY
    clips: dict[str, dict[str, Item]] = {}
    index = []
    with bar("joining items", len(shown)) as advance:
        made = spread(partial(_write_table, store, output), list(shown.items()), worth=many)
        for (name, table), (kind, ids) in zip(shown.items(), made, strict=True):
            found, why = clips_of(table.results[0], ids)
            clips.setdefault(table.results[0].corpus.name, {}).update(found)
            index.append(_entry(name, table, kind, found, why))
            advance()
    for corpus, items in clips.items():
        if items:
            file = _file(corpus)
            write_bytes(output / f"{file}.js", script(file, {each: clip_data(items[each]) for each in items}))
    every = {item.audio_sha256: item for items in clips.values() for item in items.values()}
    return index, [partial(write_clip, output, item) for item in every.values()]


def script(name: str, data: Any) -> bytes:
    """Data as a script that gives it to the page, which parses it as JSON: no key has a meaning there."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    quoted = clean_lines(text).replace("\\", "\\\\").replace("'", "\\'")
    return f"give({embedded(name)}, '{quoted}');\n".encode()


def _write_table(store: Store, output: Path, named: tuple[str, Table]) -> tuple[str, set[str]]:
    """Write the scripts of a table; the kind of its outcomes, and the ids of its items."""
    name, table = named
    frames = {model: store.read_items(result) for model, result in listed(table).items()}
    shared, models = table_data(table, frames)
    for file, data in [
        (f"{FOLDER}/{name}", shared),
        *((_model_file(name, each), models[each]) for each in models),
    ]:
        write_bytes(output / f"{file}.js", script(file, data))
    return shared["kind"], {str(item) for frame in frames.values() for item in frame["item"].unique()}


def _entry(name: str, table: Table, kind: str, clips: Mapping[str, Item], why: str) -> Data:
    first = table.results[0]
    return {
        "name": name,
        "heading": table.heading,
        "task": first.task.id,
        "page": f"{task_page(first.task.id)}#{name}",
        "headline": first.headline + arrow(first),
        "beside": first.task.protocol if first.task.protocol in BESIDE else "",
        "timed": first.task.protocol in WITH_WORDS,
        "sources": _sources(first.corpus, bool(clips)),
        "clips": _file(first.corpus.name) if clips else "",
        "why": why,
        "kind": kind,
        "measured": outcome_name(list(listed(table).values()), kind),
        "models": [
            [each, _model_file(name, each), result.model.kind] for each, result in listed(table).items()
        ],
    }


def _sources(corpus: CorpusInfo, installed: bool) -> list[str]:
    """Tables that share one of these have the same clips under the same ids."""
    if installed:
        return corpus.name.split("+")
    own = "" if corpus.human else f" {corpus.fingerprint}"
    return [f"{corpus.name} {corpus.version}{own}"]


def _file(corpus: str) -> str:
    return f"{FOLDER}/clips-{slug(corpus)}"


def _model_file(table: str, model: str) -> str:
    return f"{FOLDER}/{table}/{page_of(model)}"
