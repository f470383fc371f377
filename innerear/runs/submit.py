"""Check results and copy them into the folder of published results, for a pull request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from innerear.results.reproduction import is_repetition
from innerear.results.schema import Result
from innerear.results.store import Store, read_result
from innerear.results.verify import verify
from innerear.tasks.task import task_names
from innerear.util.errors import InnerearError


@dataclass(frozen=True)
class Submission:
    """Paths of results that were added, of those already there, and why others were refused."""

    added: tuple[Path, ...]
    known: tuple[Path, ...]
    refused: tuple[str, ...]


def submit(paths: Sequence[Path], into: Store) -> Submission:
    """Check results and copy those that may be published, byte for byte, the per-item file first.

    A result is refused if `verify` finds a problem, if it has a score but no per-item outcomes, if its task
    does not come with innerear, or if a result of the same task, weights and corpus is already published of
    which it is no repetition (`is_repetition`).

    Raises
    ------
    InputError
        If a file cannot be read, or the folder cannot be written.
    """
    added, known, refused = [], [], []
    for path in paths:
        try:
            problems = verify(path)
            result = read_result(path)
            target = into.path_of(result)
            problems += _reasons_to_refuse(result, target)
        except InnerearError as error:
            refused.append(str(error))
            continue
        if problems:
            refused += [f"{path}: {problem}" for problem in problems]
        elif target.exists():
            known.append(target)
        else:
            into.take(path, result)
            added.append(target)
    return Submission(tuple(added), tuple(known), tuple(refused))


def _reasons_to_refuse(result: Result, target: Path) -> Iterator[str]:
    task = result.task
    if result.score and not result.items:
        yield "it has no per-item outcomes, so its headline cannot be recomputed"
    if task.id not in task_names():
        yield f"{task.id} does not come with innerear; propose the task first (tasks/README.md)"
    if target.exists() and not is_repetition(read_result(target), result):
        yield f"{target} has other scores for the same task, weights and corpus; `innerear reproduce` both"
