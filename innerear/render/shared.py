"""Shared by all renderers: seeded generators, clips as rows, and writing a corpus with its card."""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from innerear.data.embedded import PARTS, SCHEMA, parts_of, read
from innerear.data.schema import SAMPLING_RATE, Corpus, Segment
from innerear.util.errors import InnerearError
from innerear.util.io import atomic, sha256_file, write_bytes, write_json

STEP = 2.0**-12
"""Difference between neighbouring values of `coarse` samples."""


def generator(seed: int, name: str, *numbers: int) -> np.random.Generator:
    """Random generator that depends on the seed, the name and the numbers only."""
    return np.random.default_rng([seed, crc32(name.encode()), *numbers])


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
    """One clip as a row of an embedded corpus, encoded as 16-bit FLAC; times are rounded to milliseconds.

    Parameters
    ----------
    name
        Id of the clip.
    samples
        Mono floats at `SAMPLING_RATE`.
    extra
        Further columns.

    Raises
    ------
    InnerearError
        If the samples clip.
    """
    if np.abs(samples).max() >= 1:
        raise InnerearError(f"{name}: the rendered samples clip; lower their gain")
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
    """A clip that joins other rows end to end, as a row that names them (`PARTS`) and holds no audio.

    Parameters
    ----------
    name
        Id of the clip.
    parts
        Rows as `row` makes them, in order. They are stored beside the clip, but are not clips of their own.
    extra
        Further columns. Speaker, gender and the like are those of the last part.
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


def write_corpus(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    card: Callable[[Corpus, Mapping[str, Any]], str],
    measure: Callable[[Corpus], Mapping[str, Any]] | None = None,
    *,
    name: str,
    summary: str,
    source: str,
    licence: str,
    citation: str,
    version: str = "1",
) -> Path:
    """Write a rendered corpus: `data.parquet`, `corpus.json` (which pins it), measurements and card.

    Parameters
    ----------
    folder
        Where to write.
    rows
        Clips and their parts, as `row` and `joined` make them.
    card
        Writes `README.md` from the corpus, read back, and what was measured on it.
    measure
        Measures what is too slow to measure again for every card; goes into `measured.json`.
    name, summary, source, licence, citation, version
        Fields of `corpus.json`.

    Returns
    -------
    Path
        Path of `data.parquet`.
    """
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
            "human": False,
            "sha256": sha256_file(data),
            "items": len(rows) - len(parts_of(rows)),
        },
    )
    corpus = read(folder)
    measured = measure(corpus) if measure else {}
    if measure:
        write_json(folder / "measured.json", measured)
    write_bytes(folder / "README.md", card(corpus, measured).encode())
    return data


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay out a table in Markdown."""
    return markdown_rows([header, ["---"] * len(header), *rows])


def markdown_rows(rows: Iterable[Sequence[object]]) -> str:
    """Lay out rows of a table in Markdown, for a template that holds its header."""
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in rows)


def _rounded(segment: Segment) -> dict[str, Any]:
    return {"label": segment.label, "start": round(segment.start, 3), "end": round(segment.end, 3)}
