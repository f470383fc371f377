"""Layouts of corpora in Parquet: which columns they have, and how a row becomes the fields of an item."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from innerear.data.clips import Row, gender
from innerear.data.human import TIMIT_RATE, TIMIT_REGIONS
from innerear.data.language import ENGLISH
from innerear.data.phones import timit_segments
from innerear.util.errors import InputError

Columns = Mapping[str, Any]
"""A row: values by the names of their columns."""


@dataclass(frozen=True)
class Layout:
    """One layout.

    Attributes
    ----------
    columns
        Columns that identify it.
    fields
        Turns a row into the fields of an item.
    name
        The column that names a clip in messages; '' where only its number does.
    """

    columns: tuple[str, ...]
    fields: Callable[[Columns], dict[str, Any]]
    name: str = "id"


ROW = "__row__"
"""The number of a row, which is added to its columns."""


def layout_of(columns: Collection[str], where: str) -> Layout:
    """The layout that has these columns.

    Raises
    ------
    InputError
        If none has.
    """
    for layout in LAYOUTS:
        if set(columns).issuperset(layout.columns):
            return layout
    known = "; or ".join(", ".join(layout.columns) for layout in LAYOUTS)
    raise InputError(f"{where}: columns {', '.join(sorted(columns))} are of no known layout; need {known}")


def _librispeech(row: Columns) -> dict[str, Any]:
    """Times in seconds; the reader is the first number of an id such as 61-70968-0000."""
    return {
        "id": _name(row["id"]),
        "text": _text(row["transcript"]),
        "language": ENGLISH,
        "speaker": _name(row["id"]).split("-")[0],
        "gender": gender(_text(row.get("sex"))),
        "words": [(word["start"], word["end"], word["word"]) for word in _records(row["words"])],
        "phones": [(phone["start"], phone["end"], phone["phoneme"]) for phone in _records(row["phonemes"])],
    }


def _timit(row: Columns) -> dict[str, Any]:
    """Times as positions of samples; ids as the TIMIT sample writes them: dr1-fvmh0/sa1."""
    speaker, sentence, region = (_name(row[name]).lower() for name in ("speaker_id", "id", "dialect_region"))
    return {
        "id": f"{region}-{speaker}/{sentence}",
        "text": _text(row["text"]),
        "language": ENGLISH,
        "speaker": speaker,
        "gender": gender(speaker[:1]),
        "accent": TIMIT_REGIONS.get(region.removeprefix("dr"), region),
        "words": _timit_rows(row["word_detail"]),
        "phones": timit_segments(_timit_rows(row["phonetic_detail"])),
        "extra": (("sentence_id", sentence), ("sentence_type", sentence[:2])),
    }


def _timit_rows(value: Any) -> list[Row]:
    return [
        (int(record["start"]) / TIMIT_RATE, int(record["stop"]) / TIMIT_RATE, record["utterance"])
        for record in _records(value)
    ]


def _common_voice(row: Columns) -> dict[str, Any]:
    """Readers may say their gender and accent; several accents, or a story of one, are no class."""
    said = _text(row.get("accent", row.get("accents"))).strip()
    own = _text(row.get("gender"))
    alone = not re.search(r"[,|;]", re.sub(r"\(.*?\)", "", said))
    return {
        "id": PurePosixPath(_name(row["path"])).stem,
        "text": _text(row["sentence"]),
        "language": _text(row["locale"]),
        "speaker": _name(row["client_id"]),
        "gender": "" if own == "do_not_wish_to_say" else gender(own),
        "accent": said if alone else "",
        "extra": tuple(
            (name, value)
            for name, value in (("age", _text(row.get("age"))), ("accents", "" if alone else said))
            if value
        ),
    }


def _edacc(row: Columns) -> dict[str, Any]:
    """Turns of conversations; tags of events (`<laugh>`) are taken out of the text.

    Raises
    ------
    InputError
        If its makers marked it as not to be scored, or what is said in another language is not written.
    """
    text = _text(row["text"])
    for mark in ("IGNORE_TIME_SEGMENT_IN_SCORING", "<FOREIGN>"):
        if mark in text.upper():
            raise InputError(f"its transcript has {mark}: it is not what is said")
    return {
        "id": f"{_name(row['speaker'])}-{row[ROW]:05}",
        "text": " ".join(re.sub(r"<\w+>", " ", text).split()),
        "language": ENGLISH,
        "speaker": _name(row["speaker"]),
        "gender": gender(_text(row.get("gender"))),
        "accent": _text(row["accent"]).strip(),
        "extra": (("first_language", _text(row["l1"])),),
    }


def _esc50(row: Columns) -> dict[str, Any]:
    """Clips in which nobody speaks; those cut from one recording are of one source."""
    return {
        "id": PurePosixPath(_name(row["filename"])).stem,
        "text": "",
        "speech": False,
        "speaker": f"recording-{row['src_file']}",
        "extra": (("kind", _name(row["category"])), ("fold", str(row["fold"]))),
    }


LAYOUTS = (
    Layout(("id", "audio", "transcript", "words", "phonemes"), _librispeech),
    Layout(("id", "audio", "text", "speaker_id", "dialect_region", "word_detail", "phonetic_detail"), _timit),
    Layout(("path", "audio", "sentence", "client_id", "locale"), _common_voice, name="path"),
    Layout(("audio", "text", "speaker", "accent", "l1"), _edacc, name=""),
    Layout(("filename", "audio", "category", "src_file", "fold"), _esc50, name="filename"),
)
"""All known layouts; the first that fits is taken."""


def _text(value: Any) -> str:
    """A text, or none."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} in the place of text")
    return value or ""


def _name(value: Any) -> str:
    """A text that is not empty."""
    if not (text := _text(value)):
        raise ValueError("a name is missing")
    return text


def _records(value: Any) -> list[dict[str, Any]]:
    """Lists of records come as such or, from older Parquet, as a record of lists."""
    if isinstance(value, dict):
        return [dict(zip(value, entries, strict=True)) for entries in zip(*value.values(), strict=True)]
    return list(value)
