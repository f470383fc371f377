"""What is to be run, and how: models by tasks, and the options of a run.

Names are checked before torch is imported, which takes seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from innerear.models.family import DTYPE
from innerear.models.registry import FLOORS, load_spec, registered_name
from innerear.tasks.declarations import declaration
from innerear.tasks.task import Task, is_timed, load_suite, load_task
from innerear.util.errors import InputError, unknown_name
from innerear.util.paths import cache_folder


@dataclass(frozen=True)
class Options:
    """How to run; what is measured is in the `Plan`.

    Attributes
    ----------
    output
        Folder of the results.
    device
        Device of models and probes; `auto` is what the machine has, see `innerear.models.devices.settled`.
    dtype
        Type of the numbers that models compute in.
    batch_size
        Clips per forward pass; None means 1 on a CPU and 16 elsewhere.
    strict
        Stop at the first clip that cannot be used.
    fresh
        Measure again even if the store or the cache has it.
    cache
        Folder in which captured features and planted models are kept for later runs.
    data_dir
        Folder of human corpora.
    tracking_uri
        MLflow server; None logs to SQLite beside the results.
    """

    output: Path
    device: str = "cpu"
    dtype: str = DTYPE
    batch_size: int | None = None
    strict: bool = False
    fresh: bool = False
    cache: Path = field(default_factory=cache_folder)
    data_dir: Path | None = None
    tracking_uri: str | None = None

    @property
    def batch(self) -> int:
        """Clips per forward pass."""
        return self.batch_size or (1 if self.device == "cpu" else 16)

    @property
    def main_device(self) -> str:
        """Where all is computed but the models that are spread over several devices."""
        from innerear.models.devices import AUTO, usable_device

        return str(usable_device(self.device)) if self.device == AUTO else self.device

    def here(self) -> "Options":
        """The same on this machine: the device `auto` is what it has."""
        from innerear.models.devices import settled

        return replace(self, device=settled(self.device))


@dataclass(frozen=True)
class Plan:
    """Names of models, and resolved tasks.

    Attributes
    ----------
    only
        If not None, only these pairs (hash of a task, name of a model, twin, floor or method) are measured.
    suite
        The suite that the tasks come from, if any.
    """

    models: tuple[str, ...]
    tasks: tuple[Task, ...]
    only: frozenset[tuple[str, str]] | None = None
    suite: str = ""

    @property
    def experiment(self) -> str:
        """Name of the MLflow experiment: one for each suite, one for tasks given by name."""
        return f"innerear/{self.suite}" if self.suite else "innerear"


def plan(
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    suite: str | None = None,
    full: bool = False,
    **changes: Any,
) -> Plan:
    """Decide what to run: a suite (by default `quick`), some tasks of a suite, or tasks by name.

    Models are those of the suite unless named.

    Parameters
    ----------
    suite
        If given, `tasks` are tasks of it, as it runs them.
    full
        Use all clips of the suite's tasks instead of the suite's smaller selection.
    changes
        Settings to change in every task: corpus, train_corpus, clips_per_speaker, limit, seed.

    Raises
    ------
    InputError
        If a name is unknown, of a floor, or of no task of the suite, `full` is given with tasks by name and
        no suite, or a task needs the weights of a model that is an architecture alone.
    """
    by_name = bool(tasks) and suite is None
    if full and by_name:
        raise InputError("--full applies to a suite; tasks given by name use all their clips anyway")
    suite_name = "quick" if suite is None else suite
    chosen = load_suite(suite_name)
    if by_name:
        wanted = [load_task(name) for name in tasks]
    else:
        own = list(dict.fromkeys(entry.id for entry in chosen.tasks))
        if lost := next((name for name in tasks if name not in own), None):
            raise InputError(f"suite {suite_name}: {unknown_name('task', lost, own)}")
        wanted = [entry.task(full) for entry in chosen.tasks if not tasks or entry.id in tasks]
    resolved = tuple(task.resolve(**changes) for task in wanted)
    names = tuple(dict.fromkeys(map(registered_name, models))) or chosen.models
    for name in names:
        if name in FLOORS:
            raise InputError(
                f"{name} is a floor, not a model: a task that has it (`innerear tasks show TASK`) measures "
                "it beside whatever models are named, so leave it out of --models"
            )
        if Path(name).expanduser().is_dir():  # a folder that holds no model fails alone, in its turn
            continue
        spec = load_spec(name)
        if not spec.trained and (task := next((each for each in resolved if not is_timed(each)), None)):
            reason = declaration(task.measure.protocol).lacking(spec.capabilities)
            raise InputError(f"{task.id}: {reason}; run it with --tasks speed")
    return Plan(names, resolved, suite="" if by_name else suite_name)
