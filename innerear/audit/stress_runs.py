"""The runs of an audit: tasks on a model, on damaged variants of it, and under other conditions.

The runner stores the results and does not measure them again, so an interrupted audit can continue.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import torch

from innerear.audit.model_variants import Change, in_type, noisy, shuffled, variant
from innerear.data.registry import load_corpus
from innerear.models.base import SpeechModel
from innerear.models.decoder import decoder_of
from innerear.models.loading import load_model
from innerear.planted.base_model import PlantingBase
from innerear.planted.planting import plant
from innerear.results.environment import environment
from innerear.results.schema import Environment, Result
from innerear.runs.failures import Untracked
from innerear.runs.plans import Options, Plan
from innerear.runs.runner import Notify, run
from innerear.tasks.causal_settings import PlantedCauses
from innerear.tasks.task import Task, load_task, suites
from innerear.util.errors import InnerearError, InputError

HALVES = ("bfloat16", "float16")
"""Types of numbers of half precision."""
LEVELS = (0.03, 0.06, 0.09, 0.12, 0.15)
"""Standard deviations of the noise on the weights, relative to that of each tensor."""
SEEDS = (2, 3, 4)
"""Seeds to run in addition to the task's own."""
BATCH_SIZE = 4
"""Clips per forward pass of the batch check, which compares it with one."""
ERASED, ERASED_FOR = "phones-erased", ("phoneme-probing", "abx")
"""The recipe of `planted-causes` that removes phones at a layer, and tasks whose curves must show it."""
SUITES, SUITE, AROUND = "audit.yaml", "audit", "surroundings"
"""The file of suites; the suite audited by default; that of the checks of batch, precision and threads."""

Load = Callable[..., SpeechModel]
"""Called with the name of a model, and for half precision with `dtype`."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of a task on one variant: its result, or why there is none."""

    result: Result | None = None
    reason: str = ""

    @property
    def value(self) -> float | None:
        """The headline."""
        return self.result.score.value if self.result and self.result.score else None


Outcomes = Mapping[str, Outcome]
"""By task."""


@dataclass
class ModelRuns:
    """All outcomes that an audit measured on one model.

    Attributes
    ----------
    noisy
        By level of noise; a task that is n/a at one level is not run at higher ones.
    seeds
        By seed.
    batch
        With one clip per pass and with several, on the model `batched`, whose clips can share a pass.
    double, half
        In float64; in half precision, by type of numbers.
    threads
        Number of threads that `other` used.
    planted, cause
        With phones removed at one encoder layer, and the component that removes them.
    """

    model: str
    intact: Outcomes
    noisy: dict[float, Outcomes] = field(default_factory=dict)
    shuffled: Outcomes = field(default_factory=dict)
    double: Outcomes = field(default_factory=dict)
    half: dict[str, Outcomes] = field(default_factory=dict)
    other: Outcomes = field(default_factory=dict)
    threads: int = 0
    seeds: dict[int, Outcomes] = field(default_factory=dict)
    batch: tuple[Outcomes, Outcomes] = ({}, {})
    batched: str = ""
    planted: Outcomes = field(default_factory=dict)
    cause: str = ""


def audit_tasks(names: Sequence[str] = (), suite: str = SUITE) -> tuple[Task, ...]:
    """Tasks of a suite on its selection of clips; named tasks outside of it use all their clips.

    Raises
    ------
    InputError
        If a name is unknown.
    """
    own = {entry.id: entry.task() for entry in suites(SUITES)[suite].tasks}
    return tuple(own.get(name) or load_task(name) for name in names) if names else tuple(own.values())


def measure(
    name: str,
    tasks: Sequence[Task],
    options: Options,
    notify: Notify = lambda _: None,
    load: Load = load_model,
) -> ModelRuns:
    """Measure tasks on a model and on its variants.

    Parameters
    ----------
    load
        Loads a model by name, a fresh copy on each call: variants are changed in place.

    Raises
    ------
    InnerearError
        If not one task could be measured on the intact model.
    """

    def run_variant(
        label: str,
        change: Change | None = None,
        *,
        on: Sequence[Task] = tasks,
        batch_size: int | None = None,
        **loaded: str,
    ) -> Outcomes:
        return run_tasks(
            lambda: variant(load(name, **loaded), label, change),
            on,
            replace(options, batch_size=batch_size or options.batch_size),
            notify,
        )

    runs = ModelRuns(name, run_variant("audit"))
    if not any(outcome.result for outcome in runs.intact.values()):
        raise InnerearError(
            f"{name}: no task could be measured; the first: {runs.intact[tasks[0].id].reason}"
        )
    alive = [task for task in tasks if runs.intact[task.id].value is not None]
    for level in LEVELS:
        outcomes = run_variant(f"noise {level:g}", noisy(level, seed=0), on=alive)
        runs.noisy[level] = outcomes
        alive = [task for task in alive if outcomes[task.id].value is not None]
    runs.shuffled = run_variant("shuffled", shuffled(seed=0))
    for seed in SEEDS:
        runs.seeds[seed] = run_variant("audit", on=[reseeded(task, seed) for task in tasks])
    around = [task for task in tasks if task.id in {own.id for own in audit_tasks((), AROUND)}]
    runs.double = run_variant("float64", in_type(torch.float64), on=around)
    for half in HALVES:
        # loaded as by `--dtype`, which leaves some tensors in float32
        runs.half[half] = run_variant(half, on=around, dtype=half)
    runs.threads = 1 if torch.get_num_threads() > 1 else 2
    with _thread_count(runs.threads):
        runs.other = run_variant(f"{runs.threads} threads", on=around)
    if phone_tasks := [task for task in tasks if task.id in ERASED_FOR]:
        runs.cause, runs.planted = measure_erased(load(name), phone_tasks, options, notify)
    if load(name).clock.padded:
        runs.batched, runs.batch = name, (runs.intact, run_variant("batch", on=around, batch_size=BATCH_SIZE))
    return runs


def measure_erased(
    model: SpeechModel, tasks: Sequence[Task], options: Options, notify: Notify = lambda _: None
) -> tuple[str, Outcomes]:
    """Remove phones at one encoder layer, as `planted-causes` does, and measure tasks.

    Returns
    -------
    str
        The component that removes them, empty if they could not be removed.
    dict of Outcome
        By task.
    """
    source = load_task("planted-causes")
    assert isinstance(source.measure, PlantedCauses)
    try:
        corpus = load_corpus(source.corpus)
        base = PlantingBase(decoder_of(model), corpus, source.measure.clips, source.seed)
        planted = plant(base, ERASED, source.seed)
    except InnerearError as error:
        return "", {task.id: Outcome(reason=str(error)) for task in tasks}
    with ExitStack() as stack:
        erased = variant(model, ERASED, lambda _: stack.enter_context(planted.edited()))
        return planted.causes[0], run_tasks(lambda: erased, tasks, options, notify)


def measure_batches(
    name: str,
    tasks: Sequence[Task],
    options: Options,
    notify: Notify = lambda _: None,
    load: Load = load_model,
) -> tuple[Outcomes, Outcomes]:
    """Outcomes of tasks on a model with one clip per pass, and with several."""
    return (
        run_tasks(lambda: variant(load(name), "audit"), tasks, options, notify),
        run_tasks(
            lambda: variant(load(name), "batch"), tasks, replace(options, batch_size=BATCH_SIZE), notify
        ),
    )


def reseeded(task: Task, seed: int) -> Task:
    """The task with another seed, and thereby another split of its clips."""
    split = task.split.model_copy(update={"seed": seed}) if task.split else None
    return task.resolve(seed=seed, split=split)


def run_tasks(
    make: Callable[[], SpeechModel], tasks: Sequence[Task], options: Options, notify: Notify
) -> dict[str, Outcome]:
    """Outcomes of tasks on one model: together, so that they share a pass, or one by one if that fails.

    A damaged model may leave a task nothing to work on, which is an error in the task and a reason here.
    """
    try:
        plan = Plan((), tuple(tasks), only=frozenset())
        results = run(plan, options, notify, "innerear audit", listeners=[make])
    except Untracked as error:
        results = error.results
    except InnerearError as error:
        if len(tasks) == 1:
            return {tasks[0].id: Outcome(reason=str(error))}
        outcomes: dict[str, Outcome] = {}
        for task in tasks:
            outcomes |= run_tasks(make, [task], options, notify)
        return outcomes
    here = environment(options.main_device)
    for result in results:
        _refuse_elsewhere(result, here)
    return {result.task.id: Outcome(result, result.reason or "") for result in results}


def _refuse_elsewhere(result: Result, here: Environment) -> None:
    """A variant is compared with an untouched model of the same machine and packages: refuse what is not."""
    its = result.environment
    found = its.machine if its.machine != here.machine else its.other_packages(here)
    if found:
        raise InputError(
            f"{result.model.name} on {result.task.id} was measured before on another machine or with other "
            f"packages ({found}); give another --work"
        )


@contextmanager
def _thread_count(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
