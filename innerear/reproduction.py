"""A result measured again from its file alone, and what came out otherwise."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from innerear import __version__
from innerear.errors import InnerearError, InputError
from innerear.results import Result
from innerear.runner import Options, Plan, run
from innerear.tasks import Task


@dataclass(frozen=True)
class Reproduction:
    """Two results of one task on one model.

    Attributes
    ----------
    tolerance
        By how much the headline may differ: 0 on the same kind of machine with the same packages, else what
        the task says.
    moved
        Scores that differ, with both values (None where one has it not), the headline first.
    surroundings
        What differs of machine, versions and settings, as (name, then, now).
    """

    then: Result
    now: Result
    tolerance: float
    moved: tuple[tuple[str, float | None, float | None], ...]
    surroundings: tuple[tuple[str, str, str], ...]

    @property
    def off(self) -> bool:
        """Whether the headline is off, or there is one where there was none."""
        one, other = self.then.score, self.now.score
        if one is None or other is None:
            return (one is None) != (other is None)
        return abs(one.value - other.value) > self.tolerance


def reproduce(
    then: Result, output: Path, data_dir: Path | None = None, say: Callable[[str], None] = lambda _: None
) -> Reproduction:
    """Measure a result again, in an empty folder, with its threads, device and batch size.

    Raises
    ------
    InputError
        If the task, the model or the corpus of the result is not to be had.
    InnerearError
        If the corpus or the weights are others than those of the result.
    """
    task = _task(then)
    torch.set_num_threads(then.run.threads)
    options = Options(output, then.run.device, then.run.batch_size, fresh=True, data_dir=data_dir)
    models = () if then.model.kind == "floor" else (then.model.twin_of or then.model.name,)
    made = run(Plan(models, (task,), then.model.name), options, say, title=f"reproduce {then.model.name}")
    now = next((result for result in made if result.model.name == then.model.name), None)
    if now is None:
        raise InputError(f"{task.id} has no {then.model.name} any more; take the innerear of the result")
    for what, one, other in zip(
        ("corpus", "training corpus", "weights"), _heard(then), _heard(now), strict=True
    ):
        if one != other:
            raise InnerearError(f"{what} {other[:12]} is here, the result was of {one[:12]}; get those")
    around = tuple(_surroundings(then, now))
    elsewhere = {name for name, *_ in around} - {"innerear", "commit"}
    return Reproduction(then, now, task.tolerance if elsewhere else 0.0, tuple(_moved(then, now)), around)


def _task(then: Result) -> Task:
    try:
        task = Task.model_validate(then.task.spec)
    except ValueError as error:
        raise InputError(
            f"{then.task.id} v{then.task.version} is not a task of this innerear ({__version__}); take "
            f"{then.environment.innerear}, commit {then.environment.git_commit}"
        ) from error
    if task.sha256() != then.task.sha256:
        raise InnerearError(
            f"{then.task.id}: this innerear reads another task from the file; take the older one"
        )
    return task


def _heard(result: Result) -> tuple[str, str, str]:
    """Hashes of corpus, training corpus and weights."""
    learnt = result.train_corpus.fingerprint if result.train_corpus else "none"
    return result.corpus.fingerprint, learnt, result.model.weights_sha256


def _moved(then: Result, now: Result) -> Iterator[tuple[str, float | None, float | None]]:
    names = dict.fromkeys([then.headline, *then.scores, *now.scores])
    for name in names:
        one, other = (result.scores.get(name) for result in (then, now))
        values = one.value if one else None, other.value if other else None
        if values[0] != values[1]:
            yield name, *values


def _surroundings(then: Result, now: Result) -> Iterator[tuple[str, str, str]]:
    def facts(result: Result) -> dict[str, Any]:
        where, ran = result.environment, result.run
        return {
            "innerear": where.innerear, "commit": where.git_commit, "Python": where.python, **where.packages,
            "processor": where.cpu, "GPU": where.gpu, "device": ran.device, "threads": ran.threads,
            "batch size": ran.batch_size, "precision": where.precision,
        }  # fmt: skip

    one, other = facts(then), facts(now)
    for name in dict.fromkeys([*one, *other]):
        if one.get(name) != other.get(name):
            yield name, str(one.get(name)), str(other.get(name))
