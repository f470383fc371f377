"""Measure results again from their files alone, and compare old and new."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus
from innerear.models.family import DTYPE
from innerear.models.loading import model_parts_of
from innerear.models.registry import load_spec
from innerear.models.weights import fetch
from innerear.protocols.registry import protocol_of
from innerear.results.environment import origin
from innerear.results.reproduction import Reproduction
from innerear.results.schema import ModelInfo, Result
from innerear.runs.failures import Incomplete
from innerear.runs.plans import Options, Plan
from innerear.runs.runner import run
from innerear.tasks.registered import largest_tolerance, registered_task
from innerear.tasks.task import PROSE, Task
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import sha256_json
from innerear.util.version import __version__


@dataclass(frozen=True)
class _Repeatable:
    """A result that can be measured again here: its index in the caller's list, and its task."""

    at: int
    then: Result
    task: Task

    @property
    def dtype(self) -> str:
        """Type of the numbers of the model; what has no weights has none."""
        return self.then.model.parts.get("dtype", DTYPE)

    @property
    def model(self) -> str | None:
        """The model to load; None for a floor or a method, which come with the task."""
        then = self.then.model
        return None if then.kind in ("floor", "method") else then.twin_of or then.name


def reproduce(
    results: Sequence[Result],
    work: Path,
    data_dir: Path | None = None,
    device: str | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[int, Reproduction | InnerearError]]:
    """Measure results again with the threads, device and batch size they were measured with.

    Results of one model share a forward pass. Results that cannot be repeated here are yielded first, before
    anything is measured. Only what is in `work` is reused, so that an interrupted reproduction can continue.

    Parameters
    ----------
    work
        Folder of the new results and their caches; it has a subfolder for each combination of device,
        threads and batch size, on this machine with these packages.
    device
        Device to measure on; None for the device of each result.
    notify
        Called with a line about each step.

    Yields
    ------
    int
        Index in `results`.
    Reproduction or InnerearError
        An `InputError` if the task, the model or the corpus is not available; another error if the corpus or
        the weights differ from those of the result.
    """
    load = cache(partial(load_corpus, data_dir=data_dir))
    groups: dict[tuple[Any, ...], list[_Repeatable]] = defaultdict(list)
    for at, then in enumerate(results):
        try:
            old = _Repeatable(at, then, task_to_repeat(then))
            found = _corpora_here(old.task, load)
            for name, fingerprint in _corpora(then).items():
                _require_same(f"{name} differs", found.get(name, "none"), fingerprint)
            if old.model and then.model.kind == "model":
                spec = load_spec(old.model)
                _require_same_model(model_parts_of(spec, fetch(spec), old.dtype), then.model)
        except InnerearError as error:
            yield at, error
        else:
            where = device or then.run.device
            groups[old.model, where, old.dtype, then.run.threads, then.run.batch_size].append(old)
    threads_before = torch.get_num_threads()
    try:
        for (model, where, dtype, threads, batch), group in groups.items():
            torch.set_num_threads(threads)
            # measurements with one setting must not be reused with another
            here = sha256_json(origin(where))[:8]
            folder = work / f"{where.replace(':', '-')}-{threads}-threads-batch-{batch}-{here}"
            options = Options(
                folder / "results", where, dtype, batch, cache=folder / "cache", data_dir=data_dir
            )
            yield from _measured_again(model, group, options, notify)
    finally:
        torch.set_num_threads(threads_before)


def _measured_again(
    model: str | None, group: Sequence[_Repeatable], options: Options, notify: Callable[[str], None]
) -> Iterator[tuple[int, Reproduction | InnerearError]]:
    """Measure the results of one model (or of floors) again, and compare each with its old one."""
    tasks = {old.task.sha256(): old.task for old in group}
    only = frozenset((old.task.sha256(), old.then.model.name) for old in group)
    plan = Plan((model,) if model else (), tuple(tasks.values()), only)
    failed: Incomplete | None = None
    try:
        made = run(plan, options, notify, title=f"reproduce {model or 'floors'}")
    except Incomplete as error:
        made, failed = error.results, error
    except InnerearError as error:
        yield from ((old.at, error) for old in group)
        return
    new = {(result.task.sha256, result.model.name): result for result in made}
    for old in group:
        now = new.get((old.task.sha256(), old.then.model.name))
        if now is None and failed is not None:
            yield old.at, failed
            continue
        try:
            yield old.at, _compared(old, now)
        except InnerearError as error:
            yield old.at, error


def task_to_repeat(then: Result) -> Task:
    """The registered task of a result; of another one, no larger tolerance than its protocol has there."""
    if task := registered_task(then.task.spec):
        return task
    try:
        task = Task.model_validate(then.task.spec | then.task.model_dump(include=set(PROSE)))
    except ValueError as error:
        raise InputError(
            f"{then.task.id} v{then.task.version} cannot be read by this innerear ({__version__}); install "
            f"{then.environment.innerear}, commit {then.environment.git_commit}"
        ) from error
    if task.sha256() != then.task.sha256:
        raise InnerearError(
            f"{then.task.id} v{then.task.version}: the task's hash differs in this innerear ({__version__}); "
            f"install {then.environment.innerear}, commit {then.environment.git_commit}"
        )
    return task.resolve(tolerance=min(task.tolerance, largest_tolerance(task.measure.protocol)))


def _require_same(difference: str, found: str, expected: str) -> None:
    if found != expected:
        raise InnerearError(
            f"{difference}: found {found[:12]}, expected {expected[:12]}; the result can only be reproduced "
            "with the latter"
        )


def _require_same_model(found: Mapping[str, str], expected: ModelInfo) -> None:
    names = [name for name in {**expected.parts, **found} if found.get(name) != expected.parts.get(name)]
    if names:
        first, also = names[0], f" (and its {', '.join(names[1:])})" if names[1:] else ""
        _require_same(
            f"{expected.name}: its {first} differs{also}",
            found.get(first, "none"),
            expected.parts.get(first, "none"),
        )


def _corpora(result: Result) -> dict[str, str]:
    """Fingerprints of the corpora of a result, by role."""
    corpora = {"corpus": result.corpus, "training corpus": result.train_corpus}
    return {role: corpus.fingerprint for role, corpus in corpora.items() if corpus}


def _corpora_here(task: Task, load: Callable[[str], Corpus]) -> dict[str, str]:
    """Fingerprints of the corpora that the task would use now, by role."""
    names = {"test": "corpus", "train": "training corpus"}
    corpora = protocol_of(task, load).corpora
    return {names[role]: corpus.fingerprint() for role, corpus in corpora.items() if role in names}


def _compared(old: _Repeatable, now: Result | None) -> Reproduction:
    """Compare an old result with its new one."""
    then = old.then
    if now is None:
        raise InputError(
            f"{old.task.id} no longer has {then.model.name}; install {then.environment.innerear}, commit "
            f"{then.environment.git_commit}"
        )
    _require_same_model(now.model.parts, then.model)
    return Reproduction.of(then, now, old.task.tolerance)
