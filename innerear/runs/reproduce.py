"""Results measured again from their files alone, and what came out otherwise."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus
from innerear.models.registry import load_spec
from innerear.models.weights import fetch
from innerear.protocols.registry import protocol_of
from innerear.results.reproduction import Reproduction
from innerear.results.schema import Result
from innerear.runs.runner import Options, Plan, run
from innerear.tasks.task import Task
from innerear.util.errors import InnerearError, InputError
from innerear.util.version import __version__


@dataclass(frozen=True)
class _Again:
    """A result that can be measured again here: its place in the list, and its task."""

    at: int
    then: Result
    task: Task

    @property
    def model(self) -> str | None:
        """The model to load; None for a floor or a method, which the task brings along."""
        then = self.then.model
        return None if then.kind in ("floor", "method") else then.twin_of or then.name


def reproduce(
    results: Sequence[Result],
    work: Path,
    data_dir: Path | None = None,
    device: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[int, Reproduction | InnerearError]]:
    """Measure results again, each with its threads, device and batch size; one pass serves those of a model.

    What cannot be repeated here comes first, before anything is measured. Nothing that was measured before is
    taken but what lies in `work`: there a killed reproduction goes on.

    Parameters
    ----------
    work
        Folder of the new results, and of what is kept of clips; one folder in it for each setting.
    device
        Where to measure if not where the result was.

    Yields
    ------
    int
        Index in `results`.
    Reproduction or InnerearError
        An `InputError` if the task, the model or the corpus is not to be had; another error if the corpus or
        the weights are others than those of the result.
    """
    load = cache(partial(load_corpus, data_dir=data_dir))
    passes: dict[tuple[Any, ...], list[_Again]] = defaultdict(list)
    for at, then in enumerate(results):
        try:
            each = _Again(at, then, _task(then))
            here = _corpora_here(each.task, load)
            for what, fingerprint in _corpora(then).items():
                _same(what, fingerprint, here.get(what, "none"))
            if each.model and then.model.kind == "model":
                _same("weights", then.model.weights_sha256, fetch(load_spec(each.model)).weights_sha256)
        except InnerearError as error:
            yield at, error
        else:
            passes[each.model, device or then.run.device, then.run.threads, then.run.batch_size].append(each)
    threads_before = torch.get_num_threads()
    try:
        for (model, where, threads, batch), several in passes.items():
            torch.set_num_threads(threads)
            # what was measured under one setting does not stand for another
            own = work / f"{where.replace(':', '-')}-{threads}-threads-batch-{batch}"
            options = Options(own / "results", where, batch, cache=own / "cache", data_dir=data_dir)
            yield from _measured(model, several, options, say)
    finally:
        torch.set_num_threads(threads_before)


def _measured(
    model: str | None, several: Sequence[_Again], options: Options, say: Callable[[str], None]
) -> Iterator[tuple[int, Reproduction | InnerearError]]:
    """Results of a model (or of floors) again, each against its own."""
    tasks = {each.task.sha256(): each.task for each in several}
    only = frozenset((each.task.sha256(), each.then.model.name) for each in several)
    wanted = Plan((model,) if model else (), tuple(tasks.values()), only)
    try:
        made = {
            (result.task.sha256, result.model.name): result
            for result in run(wanted, options, say, title=f"reproduce {model or 'floors'}")
        }
    except InnerearError as error:
        yield from ((each.at, error) for each in several)
        return
    for each in several:
        try:
            yield each.at, _held(each, made.get((each.task.sha256(), each.then.model.name)))
        except InnerearError as error:
            yield each.at, error


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


def _same(what: str, then: str, here: str) -> None:
    if then != here:
        raise InnerearError(f"{what} {here[:12]} is here, the result was of {then[:12]}; get that")


def _corpora(result: Result) -> dict[str, str]:
    """Fingerprints of the corpora by what they serve for."""
    heard = {"corpus": result.corpus, "training corpus": result.train_corpus}
    return {what: corpus.fingerprint for what, corpus in heard.items() if corpus}


def _corpora_here(task: Task, load: Callable[[str], Corpus]) -> dict[str, str]:
    """The same of what would be heard now."""
    names = {"test": "corpus", "train": "training corpus"}
    found = protocol_of(task, load).corpora
    return {names[role]: corpus.fingerprint() for role, corpus in found.items() if role in names}


def _held(each: _Again, now: Result | None) -> Reproduction:
    """Both results against each other."""
    then = each.then
    if now is None:
        raise InputError(f"{each.task.id} has no {then.model.name} any more; take the innerear of the result")
    _same("weights", then.model.weights_sha256, now.model.weights_sha256)
    return Reproduction.of(then, now, each.task.tolerance)
