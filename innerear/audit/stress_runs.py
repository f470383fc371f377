"""What an audit measures: tasks on a model, on its damaged variants, and under other circumstances.

The runner measures and keeps; what is known is not measured again, so an audit that is interrupted goes on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import torch

from innerear.audit.model_variants import Change, in_double, noisy, shuffled, variant
from innerear.data.registry import load_corpus
from innerear.interventions.run import decoder_of
from innerear.models.base import SpeechModel
from innerear.models.loading import load_model
from innerear.planted.base_model import PlantingBase
from innerear.planted.planting import plant
from innerear.results.schema import Result
from innerear.runs.runner import Options, Plan, Say, run
from innerear.tasks.settings import PlantedCauses
from innerear.tasks.task import Task, load_task, suites
from innerear.util.errors import InnerearError

LEVELS = (0.03, 0.06, 0.09, 0.12, 0.15)
"""Noise on the weights, in standard deviations of each tensor."""
SEEDS = (2, 3, 4)
"""Seeds beside the task's own."""
TOGETHER = 4
"""Clips of a pass, against one."""
ERASED, ERASED_FOR = "phones-erased", ("phoneme-probing", "abx")
"""The recipe of `planted-causes` that takes something away at a layer, and tasks whose curves must tell."""
SUITES, SUITE, AROUND = "audit.yaml", "audit", "surroundings"

Load = Callable[[str], SpeechModel]


@dataclass(frozen=True)
class Outcome:
    """A task on one variant: its result, or why there is none."""

    result: Result | None = None
    reason: str = ""

    @property
    def value(self) -> float | None:
        """The headline."""
        return self.result.score.value if self.result and self.result.score else None


Outcomes = Mapping[str, Outcome]
"""By task."""


@dataclass
class Measured:
    """All that an audit measured of one model, by task.

    Attributes
    ----------
    noisy
        By degree of noise; a task that was n/a at one degree was not asked at the next.
    seeds
        By seed.
    batch
        With one clip in a pass and with several, of the model whose clips can share one.
    threads
        How many `other` has used.
    planted, cause
        With phones taken away at one encoder layer, and the component that takes them.
    """

    model: str
    intact: Outcomes
    noisy: dict[float, Outcomes] = field(default_factory=dict)
    shuffled: Outcomes = field(default_factory=dict)
    double: Outcomes = field(default_factory=dict)
    other: Outcomes = field(default_factory=dict)
    threads: int = 0
    seeds: dict[int, Outcomes] = field(default_factory=dict)
    batch: tuple[Outcomes, Outcomes] = ({}, {})
    batched: str = ""
    planted: Outcomes = field(default_factory=dict)
    cause: str = ""


def shares(names: Sequence[str] = (), suite: str = SUITE) -> tuple[Task, ...]:
    """Tasks of the suite on their share of clips; by name also others, on all of theirs.

    Raises
    ------
    InputError
        If a name is unknown.
    """
    own = {entry.id: entry.task() for entry in suites(SUITES)[suite].tasks}
    return tuple(own.get(name) or load_task(name) for name in names) if names else tuple(own.values())


def measure(
    name: str, tasks: Sequence[Task], options: Options, say: Say = lambda _: None, load: Load = load_model
) -> Measured:
    """Measure tasks on a model and on its variants.

    Parameters
    ----------
    load
        Gives a model by its name, anew on each call: variants are changed in place.
    """

    def go(
        label: str,
        change: Change | None = None,
        *,
        asked: Sequence[Task] = tasks,
        together: int | None = None,
    ) -> Outcomes:
        return _outcomes(
            lambda: variant(load(name), label, change),
            asked,
            replace(options, batch_size=together or options.batch_size),
            say,
        )

    found = Measured(name, go("audit"))
    alive = [task for task in tasks if found.intact[task.id].value is not None]
    for level in LEVELS:
        made = go(f"noise {level:g}", noisy(level, seed=0), asked=alive)
        found.noisy[level] = made
        alive = [task for task in alive if made[task.id].value is not None]  # n/a at a degree, n/a beyond
    found.shuffled = go("shuffled", shuffled(seed=0))
    for seed in SEEDS:
        found.seeds[seed] = go("audit", asked=[reseeded(task, seed) for task in tasks])
    around = [task for task in tasks if task.id in {own.id for own in shares((), AROUND)}]
    found.double = go("float64", in_double, asked=around)
    found.threads = 1 if torch.get_num_threads() > 1 else 2
    with _threads(found.threads):
        found.other = go(f"{found.threads} threads", asked=around)
    if of_phones := [task for task in tasks if task.id in ERASED_FOR]:
        found.cause, found.planted = erased(load(name), of_phones, options, say)
    if load(name).clock.padded:
        found.batched, found.batch = name, (found.intact, go("batch", asked=around, together=TOGETHER))
    return found


def erased(
    model: SpeechModel, tasks: Sequence[Task], options: Options, say: Say = lambda _: None
) -> tuple[str, Outcomes]:
    """Take phones away at one encoder layer, as `planted-causes` does, and measure tasks.

    Returns
    -------
    str
        The component that takes them, empty where they could not be taken.
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
    with ExitStack() as held:
        robbed = variant(model, ERASED, lambda _: held.enter_context(planted.edited()))
        return planted.causes[0], _outcomes(lambda: robbed, tasks, options, say)


def batched(
    name: str, tasks: Sequence[Task], options: Options, say: Say = lambda _: None, load: Load = load_model
) -> tuple[Outcomes, Outcomes]:
    """Tasks on a model with one clip in a pass, and with several."""
    return (
        _outcomes(lambda: variant(load(name), "audit"), tasks, options, say),
        _outcomes(lambda: variant(load(name), "batch"), tasks, replace(options, batch_size=TOGETHER), say),
    )


def reseeded(task: Task, seed: int) -> Task:
    """The task with another seed, and another division of its clips."""
    split = task.split.model_copy(update={"seed": seed}) if task.split else None
    return task.resolve(seed=seed, split=split)


def _outcomes(
    make: Callable[[], SpeechModel], tasks: Sequence[Task], options: Options, say: Say
) -> dict[str, Outcome]:
    """Tasks on one listener; together, so that they share a pass, and one by one where that fails.

    A ruined model may leave a task without anything to work on, which is an error there: here it is a reason.
    """

    def go(asked: Sequence[Task]) -> list[Result]:
        return run(Plan((), tuple(asked), only=frozenset()), options, say, "innerear audit", listeners=[make])

    try:
        results = go(tasks)
    except InnerearError as error:
        if len(tasks) == 1:
            return {tasks[0].id: Outcome(reason=str(error))}
        made: dict[str, Outcome] = {}
        for task in tasks:
            made |= _outcomes(make, [task], options, say)
        return made
    return {result.task.id: Outcome(result, result.reason or "") for result in results}


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
