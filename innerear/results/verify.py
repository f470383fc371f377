"""Check result files without running a model: whole, consistent, and as the register has it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from innerear.results.recount import disagreements
from innerear.results.register import register_problems
from innerear.results.schema import Result
from innerear.results.store import BATCH, MANY, Store, read_items, read_result, result_bytes
from innerear.tasks.declarations import declaration
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import sha256_json
from innerear.util.progress import bar
from innerear.util.spread import spread


def verify(path: Path, placed: bool = False) -> list[str]:
    """Check one result; returns its problems, one line each.

    It must be consistent (`inconsistencies`), and agree with the registered task and model, the corpora and
    the published results (`innerear.results.register`).

    Parameters
    ----------
    placed
        The file is in a folder of results: the names of its folders are checked, too.

    Raises
    ------
    InnerearError
        As `read_result`.
    """
    return _verified(path, placed)[1]


def _verified(path: Path, placed: bool) -> tuple[Result, list[str]]:
    """A result and its problems; parameters and errors as `verify`."""
    result = read_result(path)
    items = read_items(path, result) if result.items else None
    found = list(_problems(path, result, items, placed))
    return result, [*found, *register_problems(path, result, None if found else items)]


def inconsistencies(path: Path, result: Result, placed: bool = False) -> list[str]:
    """Check a result against itself alone; parameters and errors as `verify`.

    Schema, hashes and the hash of the per-item file are checked on reading. Then: that the bytes are as
    innerear writes them, that the file name fits the content, that the task agrees with its hash and its
    specification, that the per-item outcomes are in range and give the numbers that the result states, that
    values lie within their intervals, and that curves fit their layers.
    """
    return list(_problems(path, result, read_items(path, result) if result.items else None, placed))


def sound(folder: Path) -> tuple[Store, list[str]]:
    """A folder of results without those that do not verify, and a line on each of these.

    Only what verifies may be ranked or compared: a file that is not what it says would change the others.
    """
    told: dict[Path, str] = {}
    known: dict[Path, Result] = {}
    paths = Store(folder).paths()
    batches = [paths[at : at + BATCH] for at in range(0, len(paths), BATCH)]
    with bar("verifying results", len(paths)) as advance:
        for batch, made in zip(batches, spread(_judged, batches, worth=len(paths) >= MANY), strict=True):
            for path, found in zip(batch, made, strict=True):
                if isinstance(found, Result):
                    known[path] = found
                else:
                    told[path] = f"{path}: {found}"
                advance()
    return Store(folder, frozenset(told), known), list(told.values())


def _judged(paths: Sequence[Path]) -> list[Result | str]:
    """Results in their places that verify, or what is wrong with them."""
    judged: list[Result | str] = []
    for path in paths:
        try:
            result, problems = _verified(path, placed=True)
        except InputError:
            raise
        except InnerearError as error:
            judged.append(str(error).removeprefix(f"{path}: "))
            continue
        more = f" ({len(problems) - 1} more)" if problems[1:] else ""
        judged.append(problems[0] + more if problems else result)
    return judged


def files(folders: list[Path]) -> list[Path]:
    """Result files: those given, and all in the given folders (of results, of one task, or of one corpus)."""
    return [path for given in folders for path in (_within(given) if given.is_dir() else [given])]


def _within(folder: Path) -> list[Path]:
    depths = ("*/*/*.json", "*/*.json", "*.json")
    return next((found for depth in depths if (found := sorted(folder.glob(depth)))), [])


def _problems(path: Path, result: Result, items: pd.DataFrame | None, placed: bool) -> Iterator[str]:
    if path.read_bytes() != result_bytes(result):
        yield "not the bytes that innerear writes for this result: the file was edited"
    names = 3 if placed else 1
    expected = Store(Path()).path_of(result)
    if path.absolute().parts[-names:] != expected.parts[-names:]:
        yield f"should be {'/'.join(expected.parts[-names:])}: it holds another task, model or corpus"
    task = result.task
    if sha256_json(task.spec) != task.sha256:
        yield "the task's hash does not match its specification"
    measure = task.spec.get("measure")
    protocol = measure.get("protocol") if isinstance(measure, dict) else None
    own = task.spec | {"protocol": protocol}
    for name in ("id", "version", "protocol"):
        if own.get(name) != getattr(task, name):
            yield f"the task's {name} is {getattr(task, name)!r}, but {own.get(name)!r} in its specification"
    metric = task.spec.get("metric")
    direction = metric.get("direction") if isinstance(metric, dict) else None
    if result.score is not None and result.score.direction != direction:
        yield f"the direction of {result.headline} is {result.score.direction}, but {direction} in the task"
    for name, score in result.scores.items():
        if score.low is not None and score.high is not None and not score.low <= score.value <= score.high:
            yield f"{name} = {score.value:g} lies outside its interval [{score.low:g}, {score.high:g}]"
        if score.n < 1:
            yield f"{name} is over no units at all (n = {score.n})"
    for curve in result.curves:
        if curve.chosen is not None and curve.best is None:
            yield f"the curve {curve.name} has no point at its chosen layer {curve.chosen}"
        if any(not 0 <= point.depth <= 1 for point in curve.points):
            yield f"the curve {curve.name} has a depth outside 0 to 1"
    try:
        declaration(task.protocol)
    except InnerearError as error:
        yield str(error)
        return
    if result.items is None or items is None:
        return
    if result.items.path != (beside := expected.with_suffix(".items.parquet").name):
        yield f"its per-item file should be {beside}"
    if len(items) != result.items.rows or list(items.columns) != result.items.columns:
        yield f"rows or columns of {result.items.path} differ from what the result states"
    elif "unit" in items and (twice := items["unit"].duplicated()).any():
        yield f"its per-item outcomes have {items['unit'][twice].iloc[0]} more than once"
    elif result.score is not None:
        try:
            yield from disagreements(result, items)
        except (InnerearError, TypeError, ValueError) as error:
            yield f"its per-item outcomes give no {result.headline}: {error}"
