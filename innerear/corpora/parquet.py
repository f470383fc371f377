"""The file form of embedded corpora: one Parquet file of FLAC clips and labels, pinned in `corpus.json`."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from innerear._io import atomic, sha256_file, write_json
from innerear.corpora.schema import SAMPLING_RATE, Segment
from innerear.errors import InnerearError

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
            "items": len(rows),
        },
    )
    return data


def _rounded(segment: Segment) -> dict[str, Any]:
    return {"label": segment.label, "start": round(segment.start, 3), "end": round(segment.end, 3)}
