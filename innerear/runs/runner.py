"""Run a plan: find which results are missing, have them measured, store and log them.

Floors come first, then each model's random twins and the model itself, so that a result can name its
controls. Results in the store are not measured again, so an interrupted run continues where it
stopped. Who measures is the executor's matter; this process alone logs, so that a pass that is lost with its
machine leaves no half run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from innerear.activations.forward import Listener
from innerear.models.devices import usable_dtype
from innerear.report.figures import draw
from innerear.results.collection import Results
from innerear.results.environment import make_deterministic
from innerear.results.schema import Result
from innerear.results.store import Store, read_result
from innerear.runs.failures import Failures, Part
from innerear.runs.jobs import Job, loader
from innerear.runs.passes import Controls, Event, Failed, Pass, Passes
from innerear.runs.plans import Options, Plan
from innerear.runs.records import event_of
from innerear.runs.subjects import Subject
from innerear.runs.tracking import Tracker
from innerear.tasks.task import is_timed
from innerear.util.errors import InnerearError, InputError
from innerear.util.executors import PROCESSES, Executor
from innerear.util.progress import Advance, bar
from innerear.util.steps import Step

Notify = Callable[[str], None]
"""Called with each step, as a line or a `Step`; of one that is for programs alone, the line is empty."""


def run(
    plan: Plan,
    options: Options,
    notify: Notify = lambda _: None,
    title: str = "innerear run",
    listeners: Sequence[Callable[[], Listener]] = (),
    executor: Executor = PROCESSES,
) -> Results:
    """Run a plan; store, log and return its results.

    Parameters
    ----------
    listeners
        Functions that load further models, which are run one after the other on every task.
    notify
        Called with a line about each step.
    title
        Name of the MLflow parent run.
    executor
        Makes the passes, and shares out what methods are scored on.

    Raises
    ------
    InputError
        If the input or the output folder is wrong; no half-written file is left.
    Untracked
        At the end, if results could not be logged, whether or not everything was measured.
    Unmeasured
        At the end, if a model, or a task on a model, could not be measured; the rest is in the store. If no
        model could be measured, the first of their errors is raised itself.
    InnerearError
        If tracking fails. Results are in the store.
    """
    make_deterministic()
    for task in plan.tasks if executor.elsewhere else ():
        if is_timed(task):
            raise InputError(f"{task.id} times the machine of the command; run it there, without --executor")
    if not executor.elsewhere:
        options = options.here()
        usable_dtype(options.dtype, options.device)
    tracker = Tracker(options.tracking_uri, options.output, plan.experiment, title, not executor.elsewhere)
    tracker.check()
    failures = Failures(notify, options.strict)
    load = loader(plan, options)
    built = [
        (task, failures.attempt(Part(task.id, task=task.sha256()), partial(Job.of, task, options, load)))
        for task in plan.tasks
    ]
    jobs = [job for _, job in built if job]
    if not jobs:
        failures.check([])
    for job in jobs:
        job.protocol.executor = executor
    passes = Passes(replace(plan, tasks=tuple(task for task, job in built if job)), options, jobs)
    with tracker, executor:
        models = [
            name for name in plan.models if failures.attempt(Part(name, name), partial(passes.fetched, name))
        ]
        if not models and not listeners:
            failures.check(())  # before floors are measured for nothing
        with bar("results", passes.expected(models) + len(listeners) * len(jobs)) as advance:
            ledger = _Ledger(jobs, Store(options.output), tracker, notify, failures, advance)
            here, there = passes.floors_by_place()
            ledger.take_all(executor, passes, [Pass(floor=sha256) for sha256 in there])
            for sha256 in here:
                for event in passes.make(Pass(floor=sha256, floors=ledger.floors)):
                    ledger.take(event)
            ledger.take_all(executor, passes, [Pass(name, floors=ledger.floors) for name in models])
            for listen in listeners:
                for event in passes.results_of(Subject.loaded(listen()), jobs, Controls(ledger.floors)):
                    ledger.take(event)
        failures.track(tracker.close)
    results = ledger.results
    failures.check(results)
    return Results(results)


@dataclass
class _Ledger:
    """The results of a run as they come, by task: those that come from elsewhere are stored, and all logged.

    Attributes
    ----------
    made
        For each task: results with the number of their pass, by name and hash of the model.
    """

    jobs: Sequence[Job]
    store: Store
    tracker: Tracker
    notify: Notify
    failures: Failures
    advance: Advance
    made: list[dict[tuple[str, str], tuple[int, Result]]] = field(init=False)
    begun: int = 0
    """Number of passes of which something may have come."""

    def __post_init__(self) -> None:
        self.made = [{} for _ in self.jobs]

    @property
    def results(self) -> list[Result]:
        """All results, by task and then in the order of the passes, whichever came first."""
        return [
            result for made in self.made for _, result in sorted(made.values(), key=lambda entry: entry[0])
        ]

    @property
    def floors(self) -> dict[str, dict[str, str]]:
        """By hash of a task: content hashes of the results of its floors by name."""
        return {
            job.asked: {
                result.model.name: result.content_sha256
                for _, result in made.values()
                if result.model.kind == "floor"
            }
            for job, made in zip(self.jobs, self.made, strict=True)
        }

    def take_all(self, executor: Executor, passes: Passes, wanted: Sequence[Pass]) -> None:
        """Have passes made, and take what comes of them."""
        first = self.begun
        self.begun += len(wanted)
        for at, event in executor.passes(passes.make, wanted):
            if isinstance(event, InnerearError):
                name = wanted[at].model or passes.floors[wanted[at].floor][0].name
                event = Failed(Part(name, wanted[at].model), event)
            self.take(event, first + at)

    def take(self, event: Event, number: int | None = None) -> None:
        """Take what a pass tells; `number` is that of the pass."""
        if isinstance(event, Failed):
            if self.failures.strict:
                raise event.error
            self.failures.note(*event)
            return
        self.failures.tell()
        if isinstance(event, str):
            self.notify(event)
            return
        at, result, new, files = event
        job = self.jobs[at]
        if files is not None:
            result = self._brought(job, result, *files)
        if number is None:
            number, self.begun = self.begun, self.begun + 1
        self.made[at][result.model.name, result.model.sha256] = number, result
        controls = [
            other for _, other in self.made[at].values() if other.content_sha256 in result.controls.values()
        ]
        with TemporaryDirectory() as folder:
            plots = draw(result, controls, Path(folder))
            path = self.store.path_of(result)
            self.failures.track(lambda: self.tracker.log(result, path, job.corpora, plots))
        self.notify(Step("", "result", new=new, path=str(path), **event_of(result)))
        self.advance()

    def _brought(self, job: Job, result: Result, data: bytes, items: bytes | None) -> Result:
        """Store a result that another machine measured, unless the folder is shared and has it.

        Raises
        ------
        InnerearError
            If it was measured on another corpus than that of this machine.
        """
        if result.key != job.key(result.model.sha256):
            raise InnerearError(
                f"{result.model.name} · {job.task.id}: a node has another {job.corpora['test'].name} than "
                "this machine; give all the same --data-dir"
            )
        return read_result(self.store.put(result, data, items))
