"""Run a plan: find which results are missing, measure them, store and log them.

Floors come first, then each model's random twins and the model itself, so that a result can name its
controls. Results in the store are not measured again, so an interrupted run continues where it
stopped.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch

from innerear.activations.capture import capture
from innerear.activations.captured import CaptureLog
from innerear.activations.forward import Listener
from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus
from innerear.models.devices import AUTO, usable_device, usable_dtype
from innerear.models.loading import TWIN
from innerear.models.networks import DTYPE
from innerear.models.registry import ModelSpec, load_spec
from innerear.models.weights import Fetched, fetch
from innerear.protocols.base import NO_SPLIT, Measurement, Protocol, corpus_names
from innerear.protocols.registry import protocol_of
from innerear.report.figures import draw
from innerear.results.environment import environment, make_deterministic, peak_memory_mib
from innerear.results.schema import CorpusInfo, Result, Run, result_key
from innerear.results.store import Store, read_result
from innerear.runs.asked import Asked, captured_for, refused_clips
from innerear.runs.failures import Failures, Part
from innerear.runs.records import model_info, task_info
from innerear.runs.subjects import Subject
from innerear.runs.tracking import Tracker
from innerear.tasks.causal_settings import PlantedCauses
from innerear.tasks.task import Task, load_suite, load_task
from innerear.util.errors import InputError
from innerear.util.paths import cache_folder

Notify = Callable[[str], None]
"""Called with a line about each step."""


@dataclass(frozen=True)
class Options:
    """How to run; what is measured is in the `Plan`.

    Attributes
    ----------
    output
        Folder of the results.
    device
        Device of models and probes; `auto` spreads a model over all GPUs.
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
        return str(usable_device(self.device)) if self.device == AUTO else self.device


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
    """Decide what to run: a suite (by default `quick`) or tasks by name, on the suite's models unless named.

    Parameters
    ----------
    full
        Use all clips of the suite's tasks instead of the suite's smaller selection.
    changes
        Settings to change in every task: corpus, train_corpus, clips_per_speaker, limit, seed.

    Raises
    ------
    InputError
        If a name is unknown, or `full` is given with tasks by name.
    """
    if full and tasks:
        raise InputError("--full applies to a suite; tasks given by name use all their clips anyway")
    suite_name = "quick" if suite is None else suite
    chosen = load_suite(suite_name)
    if tasks:
        resolved = tuple(load_task(name).resolve(**changes) for name in tasks)
    else:
        resolved = tuple(entry.task(full).resolve(**changes) for entry in chosen.tasks)
    names = tuple(models) or chosen.models
    for name in names:
        if not Path(name).expanduser().is_dir():  # a folder that holds no model fails alone, in its turn
            load_spec(name)
    return Plan(names, resolved, suite="" if tasks else suite_name)


@dataclass(frozen=True)
class _Job:
    """One task: its protocol and corpora, which all models share, and its results so far by model.

    A model is known by name and hash: models of one architecture have twins of one hash. `asked` is the hash
    of the task of the plan, which its protocol may have resolved further.
    """

    task: Task
    asked: str
    protocol: Protocol
    results: dict[tuple[str, str], Result] = field(default_factory=dict)

    @classmethod
    def of(cls, task: Task, options: Options, load: Callable[[str], Corpus]) -> "_Job":
        if options.dtype != DTYPE and isinstance(task.measure, PlantedCauses):
            raise InputError(f"{task.id}: causes are planted into models in {DTYPE}, not {options.dtype}")
        protocol = protocol_of(task, load)
        if options.strict:
            for corpus in protocol.corpora.values():
                for name, reason in corpus.refused:
                    raise InputError(f"{task.id} cannot use {name} of {corpus.name}: {reason}")
        protocol.cache = None if options.fresh else options.cache
        return cls(protocol.task, task.sha256(), protocol)

    @property
    def corpora(self) -> dict[str, Corpus]:
        return self.protocol.corpora

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        return {role: corpus.fingerprint() for role, corpus in self.corpora.items()}

    def key(self, model_sha256: str) -> str:
        test, train = self.fingerprints["test"], self.fingerprints.get("train")
        return result_key(self.task.sha256(), model_sha256, test, train)

    def corpus_info(self, role: str, refused: Sequence[tuple[str, str]]) -> CorpusInfo:
        corpus = self.corpora[role]
        return CorpusInfo(
            name=corpus.name,
            version=corpus.version,
            fingerprint=self.fingerprints[role],
            items=len(corpus),
            speakers=len(corpus.speakers),
            seconds=round(sum(item.duration for item in corpus), 3),
            human=corpus.human,
            licence=corpus.licence,
            source=corpus.source,
            refused=sorted({*corpus.refused, *refused}),
        )


def run(
    plan: Plan,
    options: Options,
    notify: Notify = lambda _: None,
    title: str = "innerear run",
    listeners: Sequence[Callable[[], Listener]] = (),
) -> list[Result]:
    """Run a plan; store, log and return its results.

    Parameters
    ----------
    listeners
        Functions that load further models, which are run one after the other on every task.
    notify
        Called with a line about each step.
    title
        Name of the MLflow parent run.

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
    usable_dtype(options.dtype, options.device)
    tracker = Tracker(options.tracking_uri, options.output, plan.experiment, title)
    tracker.check()
    failures = Failures(notify, options.strict)
    read = cache(partial(load_corpus, data_dir=options.data_dir, strict=options.strict))
    list(map(read, sorted({name for task in plan.tasks for name in corpus_names(task).values()})))
    built = (
        failures.attempt(Part(task.id, task=task.sha256()), partial(_Job.of, task, options, read))
        for task in plan.tasks
    )
    jobs = [job for job in built if job]
    if not jobs:
        failures.check([])
    with tracker:
        session = _Session(Store(options.output), tracker, options, notify, failures)
        attempts = (failures.attempt(Part(name, name), partial(_fetched, name)) for name in plan.models)
        models = [found for found in attempts if found]
        if not models and not listeners:
            failures.check(())  # before floors are measured for nothing
        floors: dict[str, tuple[Subject, list[_Job]]] = {}
        for job in jobs:
            for floor in job.protocol.floors():
                subject = Subject.loaded(floor)
                floors.setdefault(subject.sha256, (subject, []))[1].append(job)
        for subject, jobs_of_floor in floors.values():
            session.ensure_results(_planned(plan, jobs_of_floor, subject), subject)
        seeds = [job.task.seed for job in jobs if job.protocol.twins]
        known = None if options.fresh else options.cache
        for spec, fetched in models:
            make = partial(Subject.all_of, spec, fetched, seeds, options.device, options.dtype, known)
            subjects = failures.attempt(Part(spec.name, spec.name), make) or []
            while subjects:
                subject = subjects.pop(
                    0
                )  # a twin that was drawn leaves the memory before the model is loaded
                jobs_of_subject = [job for job in jobs if _measured_on(subject, job)]
                if not session.ensure_results(_planned(plan, jobs_of_subject, subject), subject):
                    break  # what does not load as a twin does not load as a model
        for load in listeners:
            session.ensure_results(jobs, Subject.loaded(load()))
        failures.track(tracker.close)
    results = [result for job in jobs for result in job.results.values()]
    failures.check(results)
    return results


def _fetched(name: str) -> tuple[ModelSpec, Fetched]:
    spec = load_spec(name)
    return spec, fetch(spec)


def _measured_on(subject: Subject, job: _Job) -> bool:
    """Whether a subject is part of a task: twins are where the task wants one, drawn from the task's seed."""
    return subject.twin_of is None or (job.protocol.twins and subject.seed == job.task.seed)


def _planned(plan: Plan, jobs: Sequence[_Job], subject: Subject) -> list[_Job]:
    """The jobs that the plan includes for a subject."""
    only = plan.only
    return [job for job in jobs if only is None or (job.task.sha256(), subject.name) in only]


@dataclass
class _Session:
    """One invocation: measures results that the store lacks, stores and logs them."""

    store: Store
    tracker: Tracker
    options: Options
    notify: Notify
    failures: Failures

    def ensure_results(self, jobs: Sequence[_Job], subject: Subject) -> bool:
        """Make sure that the store and MLflow have a subject's results; all jobs share one forward pass.

        False if it cannot be loaded.
        """
        missing = []
        for job in jobs:
            known = self.store.find(
                job.task.id, job.corpora["test"].name, subject.name, job.key(subject.sha256)
            )
            if known is None or self.options.fresh:
                missing.append((job, known))
            else:
                self.notify(f"{_label(job, subject)}: already measured")
                self._remember_and_log(job, known)
        if missing:
            started = perf_counter()
            name = subject.twin_of or subject.name
            listener = self.failures.attempt(Part(name, name), subject.listener)
            if listener is None:
                return False
            self._measure(missing, subject, listener, started)
        return True

    def _measure(
        self,
        missing: Sequence[tuple[_Job, Result | None]],
        subject: Subject,
        listener: Listener,
        started: float,
    ) -> None:
        """Measure what is missing; `started` is when loading began."""
        attempt, load_s = self.failures.attempt, perf_counter() - started
        asked: list[tuple[_Job, Result | None, Asked]] = []
        for job, known in missing:
            self.notify(_label(job, subject))
            asked_for = listener.identity.kind == "model"
            part = Part(_label(job, subject), *((subject.name, job.asked) if asked_for else ()))
            one = attempt(part, partial(Asked.of, part, job.protocol, listener))
            asked += [(job, known, one)] if one else []
        take = partial(
            capture,
            listener,
            cache=self.options.cache / "features",
            batch_size=self.options.batch,
            strict=self.options.strict,
            fresh=self.options.fresh,
            partial=True,
        )
        captured = captured_for([one for *_, one in asked], take, self.failures)
        for (job, known, one), own in zip(asked, captured, strict=True):
            begun = perf_counter()
            if own is None:
                continue
            found = attempt(one.part, partial(one.measure, listener, own, self.options.main_device))
            if found is None:
                continue
            measurement, reason = found
            if reason:
                self.notify(f"{one.part.name}: n/a, {reason}")
            refused = refused_clips(job.corpora, one.demands, own)
            fields = self._result_fields(job, subject, listener, measurement, reason, refused)
            log = next(iter(own.values())).log if own else CaptureLog()
            timed = Run(
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                load_s=load_s,
                encoder_s=log.encoder_s,
                decoder_s=log.decoder_s,
                measure_s=measurement.seconds
                if measurement and measurement.seconds is not None
                else perf_counter() - begun,
                total_s=perf_counter() - started,
                audio_s=log.audio_s,
                encoder_rtfx=log.audio_s / log.encoder_s if log.encoder_s else None,
                rtfx=measurement.rtfx if measurement else None,
                peak_memory_mib=peak_memory_mib(self.options.device),
                gpu_forward_ms=log.gpu_ms,
                cached_items=log.cached,
                device=self.options.device,
                threads=torch.get_num_threads(),
                batch_size=log.batch_size or self.options.batch,
            )
            precision = listener.identity.parts.get("dtype", "float32")  # floors have no weights
            result = Result(**fields, run=timed, environment=environment(self.options.main_device, precision))
            stored = read_result(self.store.save(result, measurement.items if measurement else None))
            if known is not None and known.content_sha256 != stored.content_sha256:
                self.notify(f"{_label(job, subject)}: differs from the stored result and replaces it")
            self._remember_and_log(job, stored)

    def _result_fields(
        self,
        job: _Job,
        subject: Subject,
        listener: Listener,
        measurement: Measurement | None,
        reason: str | None,
        refused: Mapping[str, Sequence[tuple[str, str]]],
    ) -> dict[str, Any]:
        """The fields of a result that a second run must reproduce."""
        fields: dict[str, Any] = {
            "task": task_info(job.task),
            "model": model_info(listener.identity, subject.twin_of, job.corpora["test"]),
            "corpus": job.corpus_info("test", refused["test"]),
            "train_corpus": job.corpus_info("train", refused["train"]) if "train" in job.corpora else None,
            "seeds": {"task": job.task.seed},
            "controls": self._controls(job, subject),
        }
        if measurement is None:
            nothing: dict[str, Any] = {"headline": job.task.metric.name, "scores": {}, "curves": []}
            return fields | nothing | {"split": NO_SPLIT, "status": "n/a", "reason": reason}
        if job.task.split is not None:
            fields["seeds"]["split"] = job.task.split.seed
        names = ("headline", "scores", "curves", "tables", "tuned", "split")
        return fields | {name: getattr(measurement, name) for name in names}

    def _remember_and_log(self, job: _Job, result: Result) -> None:
        """Remember a stored result as a possible control of later ones, and log it with its figures."""
        job.results[result.model.name, result.model.sha256] = result
        controls = [
            other for other in job.results.values() if other.content_sha256 in result.controls.values()
        ]
        with TemporaryDirectory() as folder:
            plots = draw(result, controls, Path(folder))
            path = self.store.path_of(result)
            self.failures.track(lambda: self.tracker.log(result, path, job.corpora, plots))

    def _controls(self, job: _Job, subject: Subject) -> dict[str, str]:
        """Hashes of the results that serve as controls of this one: floors and the random twin."""
        floors = {
            result.model.name: result.content_sha256
            for result in job.results.values()
            if result.model.kind == "floor"
        }
        twin = job.results.get((subject.name + TWIN, subject.twins.get(job.task.seed, "")))
        return floors | ({"random-twin": twin.content_sha256} if twin else {})


def _label(job: _Job, subject: Subject) -> str:
    return f"{subject.name} · {job.task.id} on {job.corpora['test'].name}"
