"""Files: atomic writes, hashes, canonical JSON."""

import fcntl
import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from innerear.util.errors import InputError
from innerear.util.reading import regular


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success fsync it and rename it to `path`.

    A killed process leaves either the old file or the new one, never half of one; the temporary file that it
    leaves is removed by the next write of `path`. While a process writes, it holds a lock on its temporary
    file, by which others see that it lives; where the file system has no locks, leftovers stay.

    Raises
    ------
    InputError
        If the folder cannot be written or the disk is full; nothing is left behind.
    """
    temporary, handle = None, -1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        while True:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:  # no other process took it for abandoned before it was locked
                break
            os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot write {path}: {reason}; choose another folder or make room") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
            os.close(handle)


def _remove_abandoned(path: Path) -> None:
    """Remove temporary files of killed processes, which hold no lock any more, and what lies beside them."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for each in left.parent.glob(f"{glob.escape(left.name)}*"):  # such as a journal of SQLite
                each.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, atomically; NaN is refused."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


def canonical_json(value: Any) -> bytes:
    """The canonical bytes of `value`, which hashes are computed over."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as a JSON list, one on each line."""
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)  # C code, unlike with an indent
    return "[" + ",\n".join(lines) + "]\n"


def sha256_json(value: Any) -> str:
    """SHA-256 of the canonical form of `value`."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
