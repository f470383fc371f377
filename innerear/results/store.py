"""The store: a folder of results, each a JSON file with its per-item outcomes in Parquet beside it.

The JSON is written last and everything atomically: a killed run leaves a complete result or none.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from pydantic import ValidationError

from innerear.results.schema import SCHEMA_VERSION, ItemsFile, Result
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import atomic, sha256_file, write_bytes
from innerear.util.parquet import Unreadable, read_parquet
from innerear.util.progress import bar
from innerear.util.reading import parse_json, read_bytes
from innerear.util.sanitise import slug
from innerear.util.spread import spread

REMEDY = "restore it, or delete it and run again"
MIGRATES = 3
"""Schema version that `innerear migrate` reads."""
MANY = 500
"""Number of results from which on they are read in several processes."""
BATCH = 50
"""Number of results that a process reads at once."""
NEEDED = {"item", "unit", "speaker", "outcome"}
"""Columns of every per-item file."""


@dataclass(frozen=True)
class Store:
    """Results by task, corpus and model under one folder: `task/corpus/model-key.json`.

    Attributes
    ----------
    without
        Paths of files that are passed over.
    known
        Results that were read from here, by path: they are not read again.
    """

    folder: Path
    without: frozenset[Path] = frozenset()
    known: Mapping[Path, Result] = field(default_factory=dict, repr=False, compare=False)

    def path(self, task_id: str, corpus: str, model: str, key: str) -> Path:
        """Path of the result of this task, corpus and model, existing or not; `key` is `Result.key`."""
        return self.folder / slug(task_id) / slug(corpus) / f"{slug(model)}-{key[:10]}.json"

    def path_of(self, result: Result) -> Path:
        """Path of this result, existing or not."""
        return self.path(result.task.id, result.corpus.name, result.model.name, result.key)

    def find(self, task_id: str, corpus: str, model: str, key: str) -> Result | None:
        """Read a result, or None where there is none.

        Raises
        ------
        InnerearError
            As `read_result`, or if the file does not hold the result that its name says.
        """
        path = self.path(task_id, corpus, model, key)
        if not path.exists():
            return None
        result = read_result(path)
        if result.key != key:
            raise InnerearError(f"{path}: holds the result of another task, model or corpus; {REMEDY}")
        return result

    def save(self, result: Result, items: pd.DataFrame | None = None) -> Path:
        """Write a result and its per-item outcomes, items first; returns the path of the JSON.

        Parameters
        ----------
        items
            One row per item or unit, with at least the columns `NEEDED`, no value of them missing.

        Raises
        ------
        InputError
            If the folder cannot be written or the disk is full; an older result stays.
        """
        with self._writing():
            return self._save(result, items)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Let one process at a time replace results: several runs may share a folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            held = FileLock(self.folder / ".lock").acquire()
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(
                f"cannot write {self.folder}: {reason}; choose another folder or make room"
            ) from error
        with held:
            yield

    def _save(self, result: Result, items: pd.DataFrame | None) -> Path:
        path = self.path_of(result)
        if items is None:
            write_bytes(path, result_bytes(result.with_items(None)))
            return path
        beside, data = path.with_suffix(".items.parquet"), parquet_bytes(items)
        described = ItemsFile(
            path=beside.name, sha256=sha256(data).hexdigest(), rows=len(items), columns=list(items.columns)
        )
        with atomic(path) as temporary:  # both files find room on the disk before an older result goes
            temporary.write_bytes(result_bytes(result.with_items(described)))
            if not beside.exists() or beside.read_bytes() != data:
                with atomic(beside) as temporary_items:
                    temporary_items.write_bytes(data)
                    path.unlink(missing_ok=True)  # an older result would not fit these items
        return path

    def take(self, path: Path, result: Result) -> None:
        """Copy the result at `path` into this store, byte for byte, per-item file first."""
        self.put(result, *file_bytes(path, result))

    def put(self, result: Result, data: bytes, items: bytes | None) -> Path:
        """Write the files of a result, per-item file first, where they are not there already."""
        place = self.path_of(result)
        with self._writing():
            for path, content in ((result.items and place.parent / result.items.path, items), (place, data)):
                if path and content is not None and not (path.exists() and path.read_bytes() == content):
                    write_bytes(path, content)
        return place

    def paths(self) -> list[Path]:
        """Paths of all results, sorted."""
        return sorted(path for path in self.folder.glob("*/*/*.json") if path not in self.without)

    def load_all(self, skip: Callable[[InnerearError], None] | None = None) -> list[Result]:
        """Read every result, in the order of their paths.

        Parameters
        ----------
        skip
            Called with the error of each file that cannot be used, which is then left out.

        Raises
        ------
        InnerearError
            Without `skip`: as `read_result`, or if a file is not at its own path: it might be counted twice.
        """
        paths, results = self.paths(), []
        batches = [paths[at : at + BATCH] for at in range(0, len(paths), BATCH)]
        with bar("reading results", len(paths)) as advance:
            unread = sum(path not in self.known for path in paths)
            for read in spread(self._read, batches, worth=unread >= MANY):
                for found in read:
                    advance()
                    if isinstance(found, Result):
                        results.append(found)
                    elif skip is None:
                        raise found
                    else:
                        skip(found)
        return results

    def _read(self, paths: Sequence[Path]) -> list[Result | InnerearError]:
        """Results at paths, or why they cannot be used."""
        found: list[Result | InnerearError] = []
        for path in paths:
            try:
                result = self.known.get(path) or read_result(path)
            except InnerearError as error:
                found.append(error)
                continue
            if path != (place := self.path_of(result)):
                why = f"{path}: this result belongs to {place}; move it there, or delete it"
                found.append(InnerearError(why))
            else:
                found.append(result)
        return found

    def read_items(self, result: Result) -> pd.DataFrame:
        """Per-item outcomes of a result.

        Raises
        ------
        InputError
            If the result has none.
        InnerearError
            If they are missing or damaged.
        """
        return read_items(self.path_of(result), result)


def result_bytes(result: Result) -> bytes:
    """A result as the bytes of its file, in the order of the schema: what was measured comes first."""
    return result.model_dump_json(indent=1).encode() + b"\n"


def file_bytes(path: Path, result: Result) -> tuple[bytes, bytes | None]:
    """The bytes of the result at `path`, and those of its per-item file if it has one."""
    return path.read_bytes(), (path.parent / result.items.path).read_bytes() if result.items else None


def read_result(path: Path) -> Result:
    """Read one result file; check it and the hash of its per-item file.

    Raises
    ------
    InputError
        If the file cannot be read.
    InnerearError
        If the file is truncated, edited or of another schema version, or its items are missing or damaged.
    """
    try:
        record = parse_json(read_bytes(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InnerearError(f"{path}: not JSON ({error}); {REMEDY}") from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version is None or "task" not in record:
        raise InnerearError(f"{path}: not a result of innerear")
    if version != SCHEMA_VERSION:
        advice = "use the version of innerear that made it, or measure again"
        if version == MIGRATES:
            advice = f"`innerear migrate {path.parent.parent.parent}` makes it readable and changes no number"
        raise InnerearError(
            f"{path}: schema version {version!r}, but this innerear reads {SCHEMA_VERSION}; {advice}"
        )
    try:
        result = Result.model_validate(record)
        if not (record["content_sha256"] and record["record_sha256"]):
            raise ValueError("its hashes are empty")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InnerearError(f"{path}: {where + ': ' if where else ''}{first['msg']}; {REMEDY}") from error
    except (KeyError, ValueError) as error:
        raise InnerearError(f"{path}: its hashes are missing; {REMEDY}") from error
    if result.items is not None:
        _verified(path, result.items)
    return result


def read_items(path: Path, result: Result) -> pd.DataFrame:
    """Per-item outcomes of the result at `path`; errors as `Store.read_items`."""
    if result.items is None:
        raise InputError(f"{path}: this result has no per-item outcomes")
    beside = _verified(path, result.items)
    try:
        items = read_parquet(beside)
    except Unreadable as error:
        reason = " ".join(str(error).split())
        raise InnerearError(f"{beside}: not Parquet ({reason}); {REMEDY}") from error
    if missing := NEEDED - set(items.columns):
        raise InnerearError(f"{beside}: no column {min(missing)!r}; {REMEDY}")
    if not items.columns.is_unique:
        twice = items.columns[items.columns.duplicated()][0]
        raise InnerearError(f"{beside}: the column {twice!r} is there twice; {REMEDY}")
    if (kind := items["outcome"].dtype).kind not in "fiu":
        raise InnerearError(f"{beside}: outcomes are of the type {kind}, not numbers; {REMEDY}")
    return items


def parquet_bytes(items: pd.DataFrame) -> bytes:
    """A table as Parquet, without its index; equal tables give equal bytes in one version of pyarrow."""
    missing = NEEDED - set(items.columns)
    if missing or items[sorted(NEEDED)].isna().any(axis=None):
        raise InnerearError(f"per-item outcomes lack {', '.join(sorted(missing)) or 'values'}")
    table = pa.Table.from_pandas(items, preserve_index=False).replace_schema_metadata(None)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=9, store_schema=False)
    return buffer.getvalue()


def _verified(path: Path, items: ItemsFile) -> Path:
    beside = path.parent / items.path
    if not beside.is_file():
        raise InnerearError(f"{beside}: missing, though {path.name} names it; {REMEDY}")
    if sha256_file(beside) != items.sha256:
        raise InnerearError(f"{beside}: its hash is not the one in {path.name}; {REMEDY}")
    return beside
