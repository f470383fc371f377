"""The columns of a row of any layout: validated, with ids, and paths that results may show."""

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from innerear.data.recordings import is_there, local_path
from innerear.data.tables import Rows, cleaned
from innerear.util.errors import InputError
from innerear.util.reading import parse_json


class _Label(BaseModel):
    model_config = ConfigDict(extra="forbid")

    label: str = Field(validation_alias=AliasChoices("label", "text"))
    start: float
    end: float


def _from_cell(value: Any) -> Any:
    """A CSV cell holds a list as JSON."""
    return parse_json(value, nan=True) if isinstance(value, str) else value


_Labels = Annotated[list[_Label], BeforeValidator(_from_cell)]


class Fields(BaseModel):
    """The columns of a manifest; others become `Item.extra`."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True)

    audio: str
    text: str
    speech: bool = True
    speaker: str = ""
    id: str = ""
    gender: str = ""
    accent: str = ""
    language: str = ""
    condition: str = ""
    start: float | None = None
    end: float | None = None
    duration: float | None = None
    channel: str = ""
    textgrid: str = ""
    word_tier: str = ""
    phone_tier: str = ""
    phone_set: str = ""
    recording: str = ""
    ctm: str = ""
    word_ctm: str = ""
    words: _Labels = []
    phones: _Labels = []


LABEL_COLUMNS = {
    "textgrid", "word_tier", "phone_tier", "phone_set", "recording", "ctm", "word_ctm", "words", "phones"
}  # fmt: skip
"""What an alignment replaces."""

BOUND = re.compile(
    r"((seg|segment|clip|chunk|utt|utterance|audio|frame|sample)[ _]?)?(start|end|begin|stop|offset|onset)"
    r"([ _]?time)?([ _]?\W?(ms|msecs?|samples?|frames?|secs?|s|seconds)\W?)?|t_?(0|1|start|end|min|max)"
)
"""Names of columns that bound a clip, but not as we read them: to pass over one is to hear another clip."""


class Line(NamedTuple):
    """One row: where it is, for messages, and its columns."""

    where: str
    fields: Fields
    name: str
    """The path of the audio as messages and ids write it."""


def validated(found: Rows) -> list[Line]:
    """Validate every row; ids are filled in (the audio's path without its suffix, and the part of it).

    Raises
    ------
    InputError
        Naming the first row that is malformed, or whose id another has; or if there is no row.
    """
    rows = [(where, _validate(cleaned(row, where, Fields.model_fields), where)) for where, row in found.rows]
    for where, fields in rows:
        if "\0" in fields.audio:
            raise InputError(f"{where}: audio: {fields.audio!r} is no path; correct the value")
    shown = _shown([fields.audio for _, fields in rows], found.folder)
    lines = [Line(where, fields, shown[fields.audio]) for where, fields in rows]
    seen: dict[str, str] = {}
    for where, fields, name in lines:
        if not fields.id or Path(fields.id).is_absolute():
            fields.id = _default_id(fields, name)
        if fields.id in seen:
            raise InputError(f"{where}: id {fields.id!r} is that of {seen[fields.id]}, too; ids must differ")
        seen[fields.id] = where
    if not lines and not found.refused:
        raise InputError(f"{found.name}: the manifest is empty; a line for each clip is needed")
    return lines


def _default_id(fields: Fields, name: str) -> str:
    start, end = fields.start, fields.end
    if start is not None and end is None and fields.duration is not None:
        end = start + fields.duration
    part = [f"{round(value, 3):.12g}" for value in (start, end) if value is not None]
    return "_".join([name.removesuffix(Path(name).suffix), *part, *filter(None, [fields.channel])])


def local(name: str, folder: Path) -> Path:
    """Where a path of a manifest points: relative to its folder, `~`, absolute, or a `file://` address."""
    if "://" in name.removeprefix("file://"):
        raise InputError(f"{name}: an address, not a file; fetch it and give its path")
    path = folder / local_path(name)
    if is_there(path):
        return path
    # Common Voice names files of a folder beside its tables, its first versions without a suffix; Windows
    # writes backslashes, and macOS letters and their accents apart.
    others = (
        folder / "clips" / name,
        folder / "clips" / f"{name}.mp3",
        folder / name.replace("\\", "/"),
        *(folder / unicodedata.normalize(form, name) for form in ("NFC", "NFD")),
    )
    return next((other for other in others if is_there(other)), path)


def _shown(names: Iterable[str], folder: Path) -> dict[str, str]:
    """Paths as ids and messages write them: none is absolute, since results travel.

    Absolute paths are taken from the manifest's folder or, outside of it, from the folder that they share.
    """
    shown = {name: name for name in names}
    for name in shown:
        if name.startswith(("file://", "~")) or Path(name).is_absolute():
            shown[name] = str(local(name, folder))
    base = folder.resolve()
    outside = {}
    for name, path in shown.items():
        if path != name or Path(path).is_absolute():
            if Path(path).resolve().is_relative_to(base):
                shown[name] = Path(path).resolve().relative_to(base).as_posix()
            else:
                outside[name] = path
    if outside:
        common = os.path.commonpath([Path(path).parent for path in outside.values()])
        shown |= {name: Path(path).relative_to(common).as_posix() for name, path in outside.items()}
    return shown


def _validate(row: dict[str, Any], where: str) -> Fields:
    try:
        return Fields.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        column = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing" and len(first["loc"]) == 1:
            there = ", ".join(map(repr, row))
            raise InputError(
                f"{where}: the column {column!r} is missing; add it (there are {there})"
            ) from error
        raise InputError(
            f"{where}: {column}: {first['msg']}, not {str(first['input'])[:60]!r}; correct the value"
        ) from error
