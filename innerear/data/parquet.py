"""The file form of embedded corpora: one Parquet file of FLAC clips and labels, pinned in `corpus.json`."""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from innerear.data.schema import SAMPLING_RATE, Segment
from innerear.util.errors import InnerearError
from innerear.util.io import atomic, sha256_file, write_json

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
"""Columns of every corpus; any further column is text, and becomes `Item.extra`."""

PARTS = "parts"
"""A further column: ids of the rows, in order, whose audio, end to end, is that of a row that holds none."""

STEP = 2.0**-12
"""Of `coarse` samples."""


def coarse(samples: np.ndarray) -> np.ndarray:
    """Round samples to 13 bits: an error of -83 dB, for two thirds of the bytes in FLAC."""
    return np.round(samples / STEP) * STEP


def row(
    name: str,
    samples: np.ndarray,
    *,
    text: str = "",
    language: str = "en",
    speaker: str = "",
    gender: str = "",
    accent: str = "",
    condition: str = "clean",
    words: Iterable[Segment] = (),
    phones: Iterable[Segment] = (),
    **extra: str,
) -> dict[str, Any]:
    """One clip as a row: mono float samples at `SAMPLING_RATE`, encoded as 16-bit FLAC; times to the ms.

    Raises
    ------
    InnerearError
        If the samples clip.
    """
    if np.abs(samples).max() >= 1:
        raise InnerearError(f"{name}: the rendering clips")
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLING_RATE, format="FLAC", subtype="PCM_16", compression_level=1.0)
    return {
        "id": name,
        "audio": buffer.getvalue(),
        "sampling_rate": SAMPLING_RATE,
        "samples": len(samples),
        "text": text,
        "language": language,
        "speaker": speaker,
        "gender": gender,
        "accent": accent,
        "condition": condition,
        "words": [_rounded(word) for word in words],
        "phones": [_rounded(phone) for phone in phones],
        **extra,
    }


def joined(name: str, parts: Sequence[Mapping[str, Any]], **extra: str) -> dict[str, Any]:
    """A clip that joins other rows end to end, as a row: it names them (`PARTS`) and holds no audio.

    Parameters
    ----------
    name
        Id of the clip.
    parts
        Rows as `row` makes them, in order. They are stored beside the clip, but are no clips themselves.
    extra
        Further columns; speaker and the like are those of the last part.
    """
    words: list[dict[str, Any]] = []
    phones: list[dict[str, Any]] = []
    start = 0
    for part in parts:
        for segments, kind in ((words, "words"), (phones, "phones")):
            moved = (Segment(**one) for one in part[kind])
            shift = start / part["sampling_rate"]
            segments += [_rounded(Segment(one.label, one.start + shift, one.end + shift)) for one in moved]
        start += part["samples"]
    return {
        **parts[-1],
        "id": name,
        "audio": None,
        "samples": start,
        "text": " ".join(part["text"] for part in parts if part["text"]),
        "words": words,
        "phones": phones,
        PARTS: " ".join(part["id"] for part in parts),
        **extra,
    }


def parts_of(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """Ids of the rows that are parts of others, and no clips themselves."""
    return {name for row in rows for name in (row.get(PARTS) or "").split()}


def write_corpus(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    *,
    name: str,
    version: str,
    summary: str,
    source: str,
    licence: str,
    citation: str,
    human: bool = False,
) -> Path:
    """Write `data.parquet`, then `corpus.json`, which pins it, into `folder`; the data file comes back."""
    data = folder / "data.parquet"
    extra = [pa.field(column, pa.string()) for column in rows[0] if column not in SCHEMA.names]
    table = pa.Table.from_pylist(list(rows), schema=pa.schema([*SCHEMA, *extra]))
    with atomic(data) as temporary:
        pq.write_table(table, temporary, compression="none", row_group_size=len(rows), store_schema=False)
    write_json(
        folder / "corpus.json",
        {
            "name": name,
            "version": version,
            "licence": licence,
            "source": source,
            "summary": summary,
            "citation": citation,
            "human": human,
            "sha256": sha256_file(data),
            "items": len(rows) - len(parts_of(rows)),
        },
    )
    return data


def _rounded(segment: Segment) -> dict[str, Any]:
    return {"label": segment.label, "start": round(segment.start, 3), "end": round(segment.end, 3)}
