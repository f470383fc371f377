"""Whether a result file is whole and agrees with itself, without a model: what a reviewer can check."""

from collections.abc import Iterator
from pathlib import Path

from innerear._io import sha256_json
from innerear.headlines import CLOSE, headline
from innerear.results import Result
from innerear.store import Store, read_items, read_result, written


def verify(path: Path) -> list[str]:
    """Check one result; what is wrong comes back, one line each.

    Schema, hashes and the hash of the per-item file are checked on reading. Then: that the bytes are as
    innerear writes them, that the file is named for what it holds, that the task's hash is that of its
    specification, that the headline is what the per-item outcomes give, that intervals hold their values, and
    that curves fit their layers.

    Raises
    ------
    InnerearError
        As `read_result`.
    """
    result = read_result(path)
    return list(_problems(path, result))


def files(folders: list[Path]) -> list[Path]:
    """Result files: as named, and all that lie in folders of results."""
    return [path for given in folders for path in (Store(given).paths() if given.is_dir() else [given])]


def _problems(path: Path, result: Result) -> Iterator[str]:
    if path.read_bytes() != written(result):
        yield "its bytes are not as innerear writes them: the file was edited"
    expected = Store(path.parent.parent.parent).path_of(result)
    if path.name != expected.name:
        yield f"its name should be {expected.name}: it holds another task, model or corpus"
    if sha256_json(result.task.spec) != result.task.sha256:
        yield "the task's hash is not that of its specification"
    for name, score in result.scores.items():
        if score.low is not None and score.high is not None and not score.low <= score.value <= score.high:
            yield f"{name} = {score.value:g} lies outside its interval [{score.low:g}, {score.high:g}]"
        if score.n < 1:
            yield f"{name} was taken over nothing"
    for curve in result.curves:
        if curve.chosen is not None and curve.best is None:
            yield f"the curve {curve.name} has no layer {curve.chosen}, which it names as chosen"
        if any(not 0 <= point.depth <= 1 for point in curve.points):
            yield f"the curve {curve.name} has a depth outside 0 to 1"
    if result.items is None:
        return
    items = read_items(path, result)
    if len(items) != result.items.rows or list(items.columns) != result.items.columns:
        yield f"{result.items.path} has other rows or columns than the result says"
    elif result.score is not None:
        again = headline(result.headline, items).value()
        if abs(again - result.score.value) > CLOSE:
            yield f"{result.headline} = {result.score.value:g}, but its per-item outcomes give {again:g}"
