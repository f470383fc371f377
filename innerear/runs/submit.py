"""Results on their way into the published ones: checked, and put where a pull request has them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from innerear.results.schema import Result
from innerear.results.store import Store, read_result
from innerear.results.verify import verify
from innerear.tasks.task import load_task, task_names
from innerear.util.errors import InnerearError


@dataclass(frozen=True)
class Submission:
    """Where results were put, those that were there already, and what was refused and why."""

    added: tuple[Path, ...]
    known: tuple[Path, ...]
    refused: tuple[str, ...]


def submit(paths: Sequence[Path], into: Store) -> Submission:
    """Check results and copy those that may be published, byte for byte, per-item file first.

    One is refused if `verify` finds anything, if it has no per-item outcomes though it has a score, if its
    task is not the current version of a task that comes with innerear, or if another result of the same task,
    weights and corpus with other scores is published.

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
            place = into.path_of(result)
            problems += _unfit(result, place)
        except InnerearError as error:
            refused.append(str(error))
            continue
        if problems:
            refused += [f"{path}: {problem}" for problem in problems]
        elif place.exists():
            known.append(place)
        else:
            into.take(path, result)
            added.append(place)
    return Submission(tuple(added), tuple(known), tuple(refused))


def _unfit(result: Result, place: Path) -> Iterator[str]:
    task = result.task
    if result.score and not result.items:
        yield "it has no per-item outcomes, so nobody can recompute its headline"
    if task.id not in task_names():
        yield f"{task.id} is no task that comes with innerear; propose the task first (tasks/README.md)"
    elif task.version != (current := load_task(task.id).version):
        yield f"it is of version {task.version} of {task.id}, which is at {current}; run it again"
    if place.exists() and read_result(place).content_sha256 != result.content_sha256:
        yield f"{place} has other scores for the same task, weights and corpus; `innerear reproduce` both"
