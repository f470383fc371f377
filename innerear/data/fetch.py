"""Download a corpus archive once, resume interrupted downloads, and record its checksum on first arrival."""

import math
import zipfile
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from filelock import FileLock

from innerear.util.errors import InnerearError, InputError
from innerear.util.io import sha256_file, write_json
from innerear.util.progress import bar
from innerear.util.reading import parse_json, read_bytes

_MIB = 2**20


def fetch_archive(url: str, folder: Path) -> tuple[Path, str]:
    """Return the zip archive of `url` in `folder`, downloaded if it is not there, and its SHA-256.

    The checksum is recorded in `folder/lock.json` when the archive first arrives whole, and verified each
    time after. Archives are read in place, never unpacked.

    Raises
    ------
    InnerearError
        If the server cannot be reached (a partial file stays for the next try), or if the archive is damaged
        or no longer what was recorded.
    InputError
        If `folder` cannot be written.
    """
    path, lock = _path(url, folder), folder / "lock.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = FileLock(path.with_suffix(".wait")).acquire()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot write {folder}: {reason}; set INNEREAR_CACHE to another folder") from error
    with held:  # Two runs at once fetch once.
        recorded = read_record(lock)
        if not path.exists():
            _download(url, path)
        digest = sha256_file(path)
        known = recorded.get(path.name, {}).get("sha256", digest)
        if digest != known:
            raise InnerearError(
                f"{path}: SHA-256 {digest[:12]}… is not {known[:12]}… as recorded when it first arrived;"
                f" delete it to fetch it again (and its entry in {lock} if {url} has published a new version)"
            )
        if path.name not in recorded:
            record = {"url": url, "sha256": digest, "bytes": path.stat().st_size}
            write_json(lock, recorded | {path.name: record})
    return path, digest


def is_fetched(url: str, folder: Path) -> bool:
    """Whether the archive of `url` is in `folder`."""
    return _path(url, folder).exists()


def _path(url: str, folder: Path) -> Path:
    return folder / url.rsplit("/", 1)[-1]


def read_record(path: Path) -> dict[str, Any]:
    """Read the JSON record of what has been fetched; empty if nothing has been."""
    try:
        record = parse_json(read_bytes(path)) if path.exists() else {}
    except ValueError as error:
        raise InnerearError(f"{path}: not JSON ({error}); delete it and what it records beside it") from error
    if not isinstance(record, dict):
        raise InnerearError(f"{path}: not a JSON object; delete it and what it records beside it")
    return record


def _download(url: str, path: Path) -> None:
    """Download `url` to `path` via `path`.part, resuming an earlier attempt."""
    part = path.with_name(path.name + ".part")
    try:
        try:
            _append(url, part)
        except HTTPError as error:
            if error.code != 416:
                raise
            part.unlink()  # The server has no such range: the part is of another version, or too long.
            _append(url, part)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise InnerearError(
            f"cannot download {url} ({reason}); try again (it resumes), or get the archive elsewhere"
        ) from error
    if not _is_whole(part):
        part.unlink()
        raise InnerearError(f"{url} did not send a whole zip archive; nothing was kept, try again")
    part.replace(path)


def _append(url: str, part: Path) -> None:
    done = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"User-Agent": "innerear"} | ({"Range": f"bytes={done}-"} if done else {}))
    with urlopen(request, timeout=60) as answer:
        resumed = done if answer.status == 206 else 0
        left = int(answer.headers.get("Content-Length") or 0)
        total = math.ceil((resumed + left) / _MIB)
        received = 0
        with (
            part.open("ab" if resumed else "wb") as file,
            bar(f"fetching {part.stem} (MiB)", total) as advance,
        ):
            advance(resumed // _MIB)
            while piece := answer.read(_MIB):
                file.write(piece)
                received += len(piece)
                advance()
    if received < left:
        raise OSError(f"the connection broke after {(resumed + received) / _MIB:.1f} MiB")


def _is_whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, EOFError):
        return False
