"""Corpora that come with innerear: one Parquet file each, pinned by its hash in `corpus.json`."""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from innerear.data.audio import decode, sha256_bytes
from innerear.data.schema import Corpus, Item, Segment
from innerear.util.errors import InnerearError
from innerear.util.io import sha256_json
from innerear.util.paths import embedded_corpora

_SEGMENTS = pa.list_(pa.struct([("label", pa.string()), ("start", pa.float64()), ("end", pa.float64())]))
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("audio", pa.binary()),
        ("sampling_rate", pa.int32()),
        ("samples", pa.int32()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("speaker", pa.string()),
        ("gender", pa.string()),
        ("accent", pa.string()),
        ("condition", pa.string()),
        ("words", _SEGMENTS),
        ("phones", _SEGMENTS),
    ]
)
"""Columns of every embedded corpus; any further column is text and becomes part of `Item.extra`."""

PARTS = "parts"
"""A further column of rows without audio of their own: ids of the rows whose audio they join, in order."""


def names() -> dict[str, str]:
    """Names of the embedded corpora, each with one line on what it is."""
    cards = (json.loads(path.read_text()) for path in sorted(embedded_corpora().glob("*/corpus.json")))
    return {card["name"]: card["summary"] for card in cards}


def load(name: str) -> Corpus:
    """Load an embedded corpus by its name; as `read`."""
    return read(embedded_corpora() / name)


def read(folder: Path) -> Corpus:
    """Load the corpus in a folder (`corpus.json`, `data.parquet`), and verify it.

    Raises
    ------
    InnerearError
        If a file is missing, or the Parquet file is not the pinned one.
    """
    path = folder / "data.parquet"
    try:
        card = json.loads((folder / "corpus.json").read_text())
        data = path.read_bytes()
    except OSError as error:
        raise InnerearError(
            f"{error.filename}: {error.strerror}; install innerear again, or render the corpus"
        ) from error
    if sha256(data).hexdigest() != card["sha256"]:
        raise InnerearError(f"{path}: its hash is not the pinned one; install innerear again")
    rows = {row["id"]: row for row in pq.read_table(pa.BufferReader(data)).to_pylist()}
    parts = parts_of(rows.values())
    return Corpus(
        name=card["name"],
        version=card["version"],
        items=tuple(_item(row, rows) for name, row in rows.items() if name not in parts),
        source=card["source"],
        licence=card["licence"],
        citation=card["citation"],
        human=card.get("human", False),
    )


def _item(row: dict[str, Any], rows: Mapping[str, dict[str, Any]]) -> Item:
    name = row["id"]
    joined = [rows[part]["audio"] for part in (row.get(PARTS) or "").split()]
    data = joined or [row["audio"]]

    def audio() -> np.ndarray:
        return np.concatenate([decode(part, name) for part in data])

    hashes = [sha256_bytes(part) for part in data]
    return Item(
        id=name,
        audio=audio,
        audio_sha256=sha256_json(hashes) if joined else hashes[0],
        duration=row["samples"] / row["sampling_rate"],
        words=tuple(Segment(**word) for word in row["words"]),
        phones=tuple(Segment(**phone) for phone in row["phones"]),
        extra=tuple((column, row[column]) for column in row if column not in {*SCHEMA.names, PARTS}),
        **{key: row[key] for key in ("text", "language", "speaker", "gender", "accent", "condition")},
    )


def parts_of(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """Ids of the rows that are only parts of other rows, not clips of their own."""
    return {name for row in rows for name in (row.get(PARTS) or "").split()}
