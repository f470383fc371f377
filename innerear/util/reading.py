"""Read files that others made: regular files only, of bounded size, in UTF-8, and JSON without surprises.

Everything that a user, a hub or a server hands over is opened here, or by a library after `regular`.
"""

import gzip
import io
import json
import os
import stat
import zlib
from pathlib import Path
from typing import Any

from innerear.util.errors import InputError

MIB = 1 << 20
MOST_TEXT = 1 << 30
"""Bytes of text after decompression: some three million lines of a manifest."""
MOST_JSON = 256 * MIB
"""Bytes of a JSON document; the largest tokenizers have some thirty MiB."""


def regular(path: Path, most: int | None = None, where: str = "") -> os.stat_result:
    """The status of a file that can be read to its end: no folder, pipe or device.

    Parameters
    ----------
    most
        Maximum of its size in bytes; None: any.
    where
        Its name in messages, where that is not the path.

    Raises
    ------
    InputError
        If it is something else, or larger.
    OSError
        If there is no such file.
    """
    status = path.stat()
    name = where or path
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{name}: a folder, where a file is expected; give a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{name}: a pipe, socket or device, not a file; save what it gives to a file")
    if most is not None and status.st_size > most:
        size = f"{status.st_size / MIB:,.0f} MiB, more than the {most / MIB:,.0f} MiB that are read"
        raise InputError(f"{name}: it has {size}; give the file that is meant, or split it")
    return status


def read_bytes(path: Path, most: int = MOST_JSON, where: str = "") -> bytes:
    """All bytes of a file; errors as `regular`."""
    regular(path, most, where)
    return path.read_bytes()


def read_text(path: Path, where: str = "", most: int = MOST_TEXT) -> str:
    """The text of a file, gzipped if its name says so, without its byte-order mark.

    Raises
    ------
    InputError
        If it cannot be read, is no regular file, is too large, or is not UTF-8.
    """
    name = where or path
    try:
        data = read_bytes(path, most, where)
        return decoded(_decompressed(data, most, where or str(path)) if path.suffix == ".gz" else data)
    except UnicodeError as error:
        raise InputError(f"{name}: {error}; save it as UTF-8") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{name}: cannot be read ({reason})") from error


def decoded(data: bytes) -> str:
    """Bytes of UTF-8 as text, without a byte-order mark; other encodings are a `UnicodeError` of one line."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnicodeError("it is UTF-16 or UTF-32, not UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnicodeError(f"not UTF-8 ({error.reason} at byte {error.start})") from error


def _decompressed(data: bytes, most: int, name: str) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        text = file.read(most + 1)
    if len(text) > most:
        raise InputError(f"{name}: more than {most / MIB:,.0f} MiB when decompressed; split it")
    return text


def parse_json(data: bytes | str, nan: bool = False) -> Any:
    """The value of a JSON document in UTF-8.

    Parameters
    ----------
    nan
        Whether NaN and infinity, which are no JSON, are read as pandas and `json` write them.

    Raises
    ------
    ValueError
        Of one line, if it is no JSON, is nested too deeply, or has a key twice.
    """
    try:
        text = decoded(data) if isinstance(data, bytes) else data
        return json.loads(text, object_pairs_hook=_unique, parse_constant=None if nan else _no_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return made


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON; write null where there is no number")
