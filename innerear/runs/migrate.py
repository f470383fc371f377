"""Migrate results of schema 3: every number as it is, hashes and file names made anew.

Schema 4 identifies a model by more than its weights. What schema 3 did not record (configuration, tokenizer,
front end, generation settings) is read from the model itself, whose weights must be those of the result.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from innerear.models.loading import model_parts_of
from innerear.models.registry import load_spec
from innerear.models.weights import fetch
from innerear.results.schema import SCHEMA_VERSION, Result
from innerear.results.store import MIGRATES, REMEDY, Store, result_bytes
from innerear.results.verify import inconsistencies
from innerear.tasks.task import PROSE
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import sha256_file, sha256_json, write_bytes
from innerear.util.reading import parse_json, read_bytes

_UNHASHED = {"run", "environment", "content_sha256", "record_sha256"}
"""Fields outside the content hash of schema 3."""
_KEPT = (
    "corpus",
    "train_corpus",
    "split",
    "status",
    "reason",
    "headline",
    "scores",
    "curves",
    "tables",
    "tuned",
)
"""Fields that must come out as they went in."""


@dataclass(frozen=True)
class Migrated:
    """Paths of the new results, and why others could not be migrated (they are left as they were)."""

    results: tuple[Path, ...]
    refused: tuple[str, ...]


def migrate(store: Store, notify: Callable[[str], None] = lambda _: None) -> Migrated:
    """Migrate all results of schema 3 in a folder; results of the current schema are left alone.

    New files are written and verified first; old ones are deleted last, so that a migration that was stopped
    can be started again.

    Raises
    ------
    InputError
        If the folder holds no result of schema 3, or cannot be written.
    """
    records: dict[Path, dict[str, Any]] = {}
    refused = []
    for path in store.paths():
        try:
            records[path] = _record(path)
        except InnerearError as error:
            refused.append(str(error))
    old = {path: record for path, record in records.items() if record.get("schema_version") == MIGRATES}
    if not old and not refused:
        raise InputError(f"{store.folder}: no results of schema {MIGRATES}; there is nothing to migrate")
    made: dict[Path, Result] = {}
    for path, record in old.items():
        try:
            made[path] = _new(path, record)
        except InnerearError as error:
            refused.append(f"{path}: {error}")
    contents = {  # those of a migration that was stopped, too
        record.get("former_sha256"): record.get("content_sha256") for record in records.values()
    } | {old[path]["content_sha256"]: result.content_sha256 for path, result in made.items()}
    written: dict[Path, Path] = {}
    for path, result in made.items():
        named = {name: contents.get(sha, sha) for name, sha in old[path]["controls"].items()}
        try:
            written[path] = _write(store, path, old[path], result, named)
        except InputError:  # no other could be written either
            raise
        except InnerearError as error:
            refused.append(f"{path}: {error}")
        else:
            notify(f"{path.name} → {written[path].name}")
    for path in written:
        _remove(path)
    return Migrated(tuple(written.values()), tuple(refused))


def _remove(path: Path) -> None:
    path.unlink()
    path.with_suffix(".items.parquet").unlink(missing_ok=True)


def _record(path: Path) -> dict[str, Any]:
    """A result file of any schema as JSON; empty if it holds something else."""
    try:
        record = parse_json(read_bytes(path))
    except ValueError as error:
        raise InnerearError(f"{path}: not JSON ({error}); {REMEDY}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    return record if isinstance(record, dict) else {}


def _new(path: Path, record: Mapping[str, Any]) -> Result:
    """The result under the current schema, without its controls.

    Raises
    ------
    InnerearError
        If the old file is damaged, or its model is not the one that can be had here.
    """
    try:
        _check_hashes(path, record)
        task, items = dict(record["task"]), record["items"]
        spec = {name: value for name, value in task["spec"].items() if name not in PROSE}
        prose = {name: task["spec"][name] for name in PROSE}
        model = {name: value for name, value in record["model"].items() if name != "weights_sha256"}
        parts = _parts(record["model"])
        unchanged = {name: record[name] for name in (*_KEPT, "seeds", "run", "environment")}
        return Result.model_validate(
            unchanged
            | {
                "schema_version": SCHEMA_VERSION,
                "task": task | prose | {"spec": spec, "sha256": sha256_json(spec)},
                "model": model | {"parts": parts, "sha256": sha256_json(parts)},
                "items": items,
                "former_sha256": record["content_sha256"],
            }
        )
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise InnerearError(f"not a whole result of schema {MIGRATES} ({reason}); {REMEDY}") from error


def _check_hashes(path: Path, record: Mapping[str, Any]) -> None:
    """Check the hashes of schema 3."""
    content = sha256_json({name: value for name, value in record.items() if name not in _UNHASHED})
    whole = sha256_json({name: value for name, value in record.items() if name != "record_sha256"})
    task = record["task"]
    given = (record["content_sha256"], record["record_sha256"], task["sha256"])
    if given != (content, whole, sha256_json(task["spec"])):
        raise InnerearError(f"its hashes do not match: the file was edited or damaged; {REMEDY}")
    if record["options"]:
        raise InnerearError("it was measured with options that no version of innerear had; measure again")
    if record["items"]:
        beside = path.parent / record["items"]["path"]
        if not beside.is_file() or sha256_file(beside) != record["items"]["sha256"]:
            raise InnerearError(f"its per-item file is not the one that it names; {REMEDY}")


def _parts(model: Mapping[str, Any]) -> dict[str, str]:
    """The parts of a model's identity, of which schema 3 recorded the weights."""
    name, weights = model["name"], model["weights_sha256"]
    if model["family"] == "method":
        own = model["source"].startswith("innerear.")
        return {"method": f"innerear:{name}@1" if own else model["source"], "recipe": "planted-causes-1"}
    if model["kind"] == "floor":
        return {"recipe": weights}
    if model["kind"] == "twin":
        return _known_parts(model["twin_of"]) | {"weights": weights, "recipe": "random-weights-1"}
    parts = _known_parts(name)
    if parts["weights"] != weights:
        raise InnerearError(
            f"{name} has the weights {parts['weights'][:12]} here, but the result is of {weights[:12]}; "
            "measure again"
        )
    return parts


@cache
def _known_parts(name: str) -> dict[str, str]:
    spec = load_spec(name)
    return model_parts_of(spec, fetch(spec))


def _write(
    store: Store, path: Path, record: Mapping[str, Any], result: Result, controls: Mapping[str, str]
) -> Path:
    """Write a migrated result and check it; one that does not pass is removed."""
    target = store.path_of(result)
    fields: dict[str, Any] = dict(result) | {"controls": controls, "record_sha256": ""}
    if result.items is not None:
        beside = target.with_suffix(".items.parquet")
        write_bytes(beside, (path.parent / record["items"]["path"]).read_bytes())
        fields["items"] = result.items.model_copy(update={"path": beside.name})
    new = Result(**fields)
    write_bytes(target, result_bytes(new))
    if problems := [*inconsistencies(target, new, placed=True), *_moved(record, new)]:
        _remove(target)
        raise InnerearError(f"migrated, {problems[0]}")
    return target


def _moved(record: Mapping[str, Any], result: Result) -> Iterator[str]:
    """Parts that differ from those of the old record: none may."""
    new = json.loads(result_bytes(result))
    for name in _KEPT:
        if new[name] != record[name]:
            yield f"{name} came out otherwise"
