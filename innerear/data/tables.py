"""Tables of clips: JSON lines and delimited text; other tools' names of the same columns."""

import csv
import difflib
import io
import json
import math
import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from innerear.util.errors import InputError
from innerear.util.reading import parse_json

Row = tuple[str, dict[str, Any]]
"""Where a row is, for messages (`my.jsonl:3`), and its columns."""


class Rows(NamedTuple):
    """What a corpus on disk lists: its layout, the folder that its paths are relative to, and a row a clip.

    `files` hold the labels; their hash is the corpus's version. `refused` are clips that are no row, and why.
    """

    layout: str
    name: str
    folder: Path
    rows: list[Row]
    files: tuple[Path, ...]
    refused: tuple[tuple[str, str], ...] = ()


SYNONYMS: dict[str, tuple[str, ...]] = {
    "audio": (
        "audio_filepath", "audio_file", "audio_path", "file_name", "filename", "file_path", "filepath",
        "path", "wav", "wav_path", "wav_filename", "file",
    ),
    "text": ("transcript", "transcription", "sentence", "wrd", "normalized_text"),
    "speaker": ("speaker_id", "client_id", "spk", "spk_id", "spkid", "speaker_name", "reader_id"),
    "id": ("utt_id", "utterance_id", "segment_id", "utt", "uttid", "key"),
    "gender": ("sex",),
    "accent": ("accents", "dialect"),
    "language": ("locale", "lang", "source_lang"),
    "recording": ("recording_id", "rec_id"),
    "start": ("offset", "start_time", "begin", "begin_time", "start_sec", "start_s"),
    "end": ("end_time", "stop", "stop_time", "end_sec", "end_s"),
}  # fmt: skip
"""Names of columns in NeMo, Common Voice, Hugging Face and SpeechBrain tables; ours comes first."""

_ABSENT = {"nan", "none", "null", "<na>", "n/a"}
"""What pandas and databases write for no value, in lower case."""

_ABSENT_ANYWHERE = {"nan", "null", "<na>"}
"""Those that are no word of a user's own column, such as "none" for a kind of noise."""

_WIDEST = 1000
"""Columns; every name is compared with every other."""

_FREE = {"audio", "text"}
"""Columns in which such a word may be meant: "None" is a sentence."""


def json_rows(text: str, name: str) -> Iterator[Row]:
    """Rows of JSON lines, or of one JSON list of objects.

    Raises
    ------
    InputError
        Naming the line that is not a JSON object.
    """
    if text.lstrip().startswith("[") and (listed := _json_list(text)) is not None:
        for number, row in enumerate(listed, start=1):
            yield _object(row, f"{name}, clip {number}")
        return
    # Only "\n" ends a line: str.splitlines would break at U+2028 inside of a JSON string.
    for number, line in enumerate(text.split("\n"), start=1):
        where = f"{name}:{number}"
        if not line.strip():
            continue
        try:
            row = parse_json(line, nan=True)
        except ValueError as error:
            raise InputError(f"{where}: not JSON ({error}); each line is one JSON object") from error
        yield _object(row, where)


def _json_list(text: str) -> list[Any] | None:
    """A whole file that is one list of objects, as pandas writes it; None for JSON lines."""
    try:
        value = parse_json(text, nan=True)
    except ValueError:
        return None
    return value if isinstance(value, list) and any(isinstance(row, dict) for row in value) else None


def _object(row: Any, where: str) -> Row:
    if not isinstance(row, dict):
        raise InputError(f"{where}: a {type(row).__name__}, not a JSON object with columns")
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: half of a character (a lone surrogate, \\ud800); correct it") from error
    return where, row


def delimited_rows(text: str, name: str) -> Iterator[Row]:
    """Rows of text with a header; commas, tabs, semicolons or bars part the cells. Empty rows are no clips.

    Raises
    ------
    InputError
        Naming the line whose cells are not those of the header.
    """
    body = re.sub(r"\A\s*sep=.\r?\n", "", text).lstrip("\r\n")  # Excel's first line
    above = text[: len(text) - len(body)].count("\n")
    delimiter = _delimiter(body.partition("\n")[0], f"{name}:{above + 1}") if body.strip() else ","
    # Common Voice and other tab-separated tables do not quote: a sentence may begin with a quotation mark.
    reader = csv.DictReader(
        io.StringIO(body, newline=""),
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL,
        strict=True,
    )
    names = [column for column in reader.fieldnames or () if column]
    _check_width(names, f"{name}:{above + 1}")
    if twice := [column for column in names if names.count(column) > 1]:
        raise InputError(f"{name}:{above + 1}: the column {twice[0]!r} is there twice; keep one")
    try:
        for row in reader:
            where = f"{name}:{above + reader.line_num}"
            if None in row or None in row.values():
                raise InputError(
                    f"{where}: not as many cells as the header has; complete the line, or quote cells that"
                    f" hold {delimiter!r}"
                )
            if any(cell.strip() for cell in row.values()):
                yield (
                    where,
                    {column: _unquoted(cell) if delimiter == "\t" else cell for column, cell in row.items()},
                )
    except csv.Error as error:
        raise InputError(
            f"{name}:{above + reader.line_num}: not CSV ({error}); correct the quotes"
        ) from error


def _check_width(columns: Collection[str], where: str) -> None:
    if len(columns) > _WIDEST:
        raise InputError(f"{where}: {len(columns):,} columns; a clip has at most {_WIDEST:,}")


def _delimiter(header: str, where: str) -> str:
    """The character that parts the names of columns: the one that leaves a name of audio whole."""

    def names(character: str) -> set[str]:
        return {_spelt(cell.strip().strip('"')) for cell in header.split(character)}

    ours = {"audio", *SYNONYMS["audio"]}
    found = max(",\t;|", key=lambda character: (bool(names(character) & ours), header.count(character)))
    if not names(found) & ours:
        there = ", ".join(repr(cell.strip()) for cell in header.split(found))
        raise InputError(
            f"{where}: no column of audio among {there}; the first line names the columns (audio, text, …)"
        )
    return found


@lru_cache(maxsize=4 * _WIDEST)
def _spelt(column: str) -> str:
    """A name of a column in lower case, its words joined as ours are."""
    return re.sub(r"[\s-]+", "_", column.strip().lower())


def _unquoted(cell: str) -> str:
    """A cell without the quotation marks that pandas puts around one that holds any."""
    inside = cell[1:-1].replace('""', "")
    return (
        cell[1:-1].replace('""', '"')
        if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inside
        else cell
    )


def cleaned(row: dict[str, Any], where: str, known: Collection[str]) -> dict[str, Any]:
    """A row with our names of its columns, without values that mean none; 1001.0 becomes 1001.

    Raises
    ------
    InputError
        If a column is nearly named as one of `known`, or two columns could be the same one of ours.
    """
    _check_width(row, where)
    spelt: dict[str, str] = {}
    for original in row:
        name = _spelt(original)
        if name in spelt:
            raise InputError(f"{where}: the columns {spelt[name]!r} and {original!r} are the same; keep one")
        spelt[name] = original
    values: dict[str, Any] = {}
    taken = set()
    for column in known:
        names = [name for name in (column, *SYNONYMS.get(column, ())) if name in spelt]
        stated = {name: row[spelt[name]] for name in names if not _is_absent(column, row[spelt[name]])}
        if column in stated:
            taken |= {name for name, value in stated.items() if value == stated[column]}
            stated = {column: stated[column]}
        if len({str(value) for value in stated.values()}) > 1:
            raise InputError(
                f"{where}: columns {' and '.join(map(repr, stated))} could both be {column!r}; name one so"
            )
        for name, value in stated.items():
            values[column] = _plain(column, value)
            taken.add(name)
        if names and not stated:
            taken.update(names)
            if column in _FREE:  # An empty cell is reported for what it is.
                values[column] = ""
    for name, original in spelt.items():
        value = row[original]
        if (
            name in taken
            or name in SYNONYMS["audio"]
            or value is None
            or value == ""
            or (isinstance(value, float) and math.isnan(value))
            or (isinstance(value, str) and value.strip().lower() in _ABSENT_ANYWHERE)
        ):
            continue
        if name not in known and name not in _OTHERS:
            near = difflib.get_close_matches(name, set(known) - spelt.keys(), n=1, cutoff=0.81)
            if near:
                raise InputError(f"{where}: unknown column {original!r}; did you mean {near[0]!r}?")
        values[original] = int(value) if isinstance(value, float) and value.is_integer() else value
    return values


_OTHERS = {"channels", *(name for names in SYNONYMS.values() for name in names)}
"""Names that are nearly ours and mean what they say."""


def _is_absent(column: str, value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, str):
        return not value.strip() or (column not in _FREE and value.strip().lower() in _ABSENT)
    return value is None


def _plain(column: str, value: Any) -> Any:
    """A value as text or number: integral floats (pandas) are integers, a datasets audio record its path."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if column in ("speaker", "id") and isinstance(value, str):
        return re.sub(r"^(-?\d+)\.0+$", r"\1", value.strip())
    if column == "audio" and isinstance(value, dict) and isinstance(value.get("path"), str):
        return value["path"]
    return value
