"""A user's own corpus: a JSONL or CSV manifest of audio files, transcripts, speakers and labels.

A malformed manifest (not JSON, a missing or misspelt column, a repeated id) is an error; a clip that cannot
be used is refused, with its line number. docs/add-a-corpus.md describes the columns.
"""

import csv
import difflib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from innerear.data.clips import Row, Sieve, gender, make_item
from innerear.data.labels import parse_ctm, read_textgrid, split_ctm
from innerear.data.schema import Corpus, Item, Segment
from innerear.util.errors import InputError
from innerear.util.io import sha256_file, write_bytes
from innerear.util.progress import bar

Aligner = Callable[[np.ndarray, str], tuple[Sequence[Segment], Sequence[Segment]]]
"""Audio (float32, 16 kHz) and its text -> words and phones, as `innerear.data.align.align`."""


class _Label(BaseModel):
    model_config = ConfigDict(extra="forbid")

    label: str = Field(validation_alias=AliasChoices("label", "text"))
    start: float
    end: float


def _from_cell(value: Any) -> Any:
    """A CSV cell holds a list as JSON."""
    return json.loads(value) if isinstance(value, str) else value


_Labels = Annotated[list[_Label], BeforeValidator(_from_cell)]


class _Fields(BaseModel):
    """The columns of a manifest; others become `Item.extra`."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True)

    audio: str = Field(min_length=1)
    text: str
    speech: bool = True
    speaker: str = Field(min_length=1)
    id: str = ""
    gender: str = ""
    accent: str = ""
    language: str = "en"
    condition: str = ""
    textgrid: str = ""
    word_tier: str = ""
    phone_tier: str = ""
    ctm: str = ""
    word_ctm: str = ""
    words: _Labels = []
    phones: _Labels = []


_LABEL_COLUMNS = {"textgrid", "word_tier", "phone_tier", "ctm", "word_ctm", "words", "phones"}


class _Line(NamedTuple):
    where: str
    fields: _Fields


def load_manifest(path: Path, strict: bool = False) -> Corpus:
    """Load the corpus that a `.jsonl` or `.csv` manifest describes.

    Raises
    ------
    InputError
        If the manifest is malformed, no clip can be used, or (under `strict`) any clip cannot.
    """
    sieve = Sieve(strict)
    lines = _read_lines(path)
    with bar(f"reading {path.name}", len(lines)) as advance:
        for line in lines:
            with sieve.clip(line.fields.id):
                sieve.items.append(_item(line, path.parent))
            advance()
    digest = sha256_file(path)
    source = f"manifest {path.name} (sha256 {digest})"
    return sieve.corpus(path.stem, version=digest[:12], source=source, licence="not stated in a manifest")


def align_manifest(path: Path, output: Path, align: Aligner, strict: bool = False) -> Corpus:
    """Write the manifest `output` (JSONL): that of `path`, with the words and phones that `align` finds.

    Labels that `path` has are replaced. The audio stays where it is.

    Returns
    -------
    Corpus
        What `output` describes; `refused` lists the clips of `path` that could not be aligned.

    Raises
    ------
    InputError
        As `load_manifest`; and if `output` is not a `.jsonl` file or cannot be written.
    """
    if output.suffix.lower() != ".jsonl":
        raise InputError(f"{output}: an aligned manifest is JSONL; name the output *.jsonl")
    sieve, rows = Sieve(strict), []
    lines = _read_lines(path)
    with bar(f"aligning {path.name}", len(lines)) as advance:
        for line in lines:
            with sieve.clip(line.fields.id):
                plain = line.fields.model_dump(exclude=_LABEL_COLUMNS, exclude_unset=True)
                item = _item(_Line(line.where, _Fields(**plain)), path.parent)
                try:
                    words, phones = align(item.audio(), item.text) if item.is_speech else ((), ())
                except InputError as error:
                    raise InputError(f"{line.where}: {error}") from error
                audio = Path(os.path.relpath(path.parent / line.fields.audio, output.parent)).as_posix()
                found = {
                    "words": [_times(word, "text") for word in words],
                    "phones": [_times(phone, "label") for phone in phones],
                }
                rows.append(plain | {"id": item.id, "audio": audio} | found)
            advance()
    if not rows:
        raise InputError(f"{path}: no clip could be aligned, the first: {sieve.refused[0][1]}")
    write_bytes(output, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    aligned = load_manifest(output, strict)
    return replace(aligned, refused=(*sieve.refused, *aligned.refused))


def _times(segment: Segment, name: str) -> dict[str, Any]:
    return {name: segment.label, "start": round(segment.start, 4), "end": round(segment.end, 4)}


def _read_lines(path: Path) -> list[_Line]:
    """Validate every line of a manifest; ids are filled in (the audio's path without its suffix)."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot read the manifest ({error.strerror or error})") from error
    rows = _csv_rows(text, path) if path.suffix.lower() == ".csv" else _json_rows(text, path)
    lines: list[_Line] = []
    seen: dict[str, str] = {}
    for where, row in rows:
        fields = _validate(row, where)
        fields.id = fields.id or fields.audio.removesuffix(Path(fields.audio).suffix)
        if fields.id in seen:
            raise InputError(f"{where}: id {fields.id!r} is that of {seen[fields.id]}, too; ids must differ")
        seen[fields.id] = where
        lines.append(_Line(where, fields))
    if not lines:
        raise InputError(f"{path}: the manifest is empty; a line for each clip is needed")
    return lines


def _json_rows(text: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    # Only "\n" ends a line: str.splitlines would break at U+2028 inside of a JSON string.
    for number, line in enumerate(text.split("\n"), start=1):
        where = f"{path.name}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: not JSON ({error}); each line is one JSON object") from error
        if not isinstance(row, dict):
            raise InputError(f"{where}: a {type(row).__name__}, not a JSON object with columns")
        yield where, row


def _csv_rows(text: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            where = f"{path.name}:{reader.line_num}"
            if None in row or None in row.values():
                raise InputError(
                    f"{where}: not as many cells as the header has; quote cells that hold commas"
                )
            # An empty cell is an absent value; an empty transcript is reported for what it is.
            yield where, {name: cell for name, cell in row.items() if cell or name == "text"}
    except csv.Error as error:
        raise InputError(f"{path.name}:{reader.line_num}: not CSV ({error}); correct the quotes") from error


def _validate(row: dict[str, Any], where: str) -> _Fields:
    for name in row.keys() - _Fields.model_fields.keys():
        if near := difflib.get_close_matches(name, _Fields.model_fields.keys() - row.keys(), n=1, cutoff=0.8):
            raise InputError(f"{where}: unknown column {name!r}; did you mean {near[0]!r}?")
    try:
        return _Fields.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        column = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing" and len(first["loc"]) == 1:
            raise InputError(f"{where}: the column {column!r} is missing; add it") from error
        raise InputError(f"{where}: {column}: {first['msg']}; correct the value") from error


def _item(line: _Line, folder: Path) -> Item:
    where, fields = line
    try:
        words, phones = _labels(fields, folder)
        return make_item(
            (folder / fields.audio).read_bytes,
            fields.audio,
            words=words,
            phones=phones,
            **fields.model_dump(
                include={"id", "text", "speech", "language", "speaker", "accent", "condition"}
            ),
            gender=gender(fields.gender),
            extra=tuple(
                (name, value if isinstance(value, str) else json.dumps(value))
                for name, value in sorted((fields.model_extra or {}).items())
            ),
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _labels(fields: _Fields, folder: Path) -> tuple[list[Row], list[Row]]:
    inline = fields.words or fields.phones
    if bool(inline) + bool(fields.textgrid) + bool(fields.ctm or fields.word_ctm) > 1:
        raise InputError("labels come from more than one of textgrid, ctm and inline lists; keep one")
    if fields.textgrid:
        tiers = (fields.word_tier, fields.phone_tier)
        return read_textgrid(folder / fields.textgrid, fields.textgrid, fields.speaker, *tiers)
    if fields.ctm or fields.word_ctm:
        return _ctm(fields.word_ctm, fields, folder), _ctm(fields.ctm, fields, folder)
    words, phones = (
        [(row.start, row.end, row.label) for row in rows] for rows in (fields.words, fields.phones)
    )
    return words, phones


def _ctm(name: str, fields: _Fields, folder: Path) -> list[Row]:
    """Labels of one clip, found in the CTM file by the clip's id or by the stem of its audio."""
    if not name:
        return []
    path = folder / name
    try:
        clips = _split_file(path, path.stat().st_mtime_ns)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: cannot read the CTM file ({error}); correct the path") from error
    lines = clips.get(fields.id) or clips.get(Path(fields.audio).stem)
    if not lines:
        raise InputError(f"{name}: no line of clip {fields.id!r}; its first fields name others")
    return parse_ctm(lines, name)


@lru_cache(maxsize=8)
def _split_file(path: Path, modified: int) -> dict[str, list[tuple[int, str]]]:
    """One CTM file serves all clips of a corpus; `modified` keeps an edited file from being served stale."""
    return split_ctm(path.read_text(encoding="utf-8"))
