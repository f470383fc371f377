"""The published results that come with innerear: what another result is held against.

They are trusted, as each was checked before it was published. A result is never held against its own file.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd

from innerear.results.schema import ModelInfo, Result
from innerear.results.store import Store, read_items, read_result
from innerear.util.errors import InnerearError
from innerear.util.paths import data_folder
from innerear.util.sanitise import slug


def peers(path: Path, result: Result) -> Iterator[tuple[Path, Result]]:
    """Published results of the same task (by hash), with their paths, without the file at `path` itself.

    The same task has the same corpora, as it names them.
    """
    own = path.resolve()
    for other in sorted((_store().folder / slug(result.task.id)).glob("*/*.json")):
        published = _read(other)
        if published and _resolved(other) != own and published.task.sha256 == result.task.sha256:
            yield other, published


def rows(path: Path) -> pd.DataFrame | None:
    """Per-item outcomes of a published result by unit; None where there are none, or they are damaged."""
    return _rows(path)


@cache
def models() -> dict[str, ModelInfo]:
    """The published models and random twins, by name."""
    first: dict[str, Path] = {}
    for path in _store().paths():
        first.setdefault(path.stem.rpartition("-")[0], path)
    found = (_read(path) for path in first.values())
    return {each.model.name: each.model for each in found if each and each.model.kind in ("model", "twin")}


_resolved = cache(Path.resolve)


def _store() -> Store:
    return Store(data_folder("results"))


@cache
def _read(path: Path) -> Result | None:
    try:
        return read_result(path)
    except InnerearError:
        return None  # it is told where it is verified itself


@cache
def _rows(path: Path) -> pd.DataFrame | None:
    result = _read(path)
    if result is None or result.items is None:
        return None
    try:
        return read_items(path, result).set_index("unit")
    except (InnerearError, KeyError):
        return None
