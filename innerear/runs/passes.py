"""One pass: a model with its random twins, or a floor, measured on all tasks that share the pass.

It is the unit of work of a run. It may be made in another process, on another machine: what it is told and
what it tells is pickled, and its results are in the store of that machine, which may be a shared folder.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

import torch

from innerear.activations.capture import capture
from innerear.activations.captured import CaptureLog
from innerear.activations.disk import claim
from innerear.activations.forward import Listener
from innerear.models.devices import usable_dtype
from innerear.models.loading import TWIN
from innerear.models.registry import ModelSpec, load_spec
from innerear.models.weights import Fetched, fetch
from innerear.protocols.base import NO_SPLIT, Measurement
from innerear.results.environment import environment, make_deterministic, packages, peak_memory_mib
from innerear.results.schema import Result, Run
from innerear.results.store import Store, file_bytes, read_result
from innerear.runs.asked import Asked, captured_for
from innerear.runs.failures import Failures, Part
from innerear.runs.jobs import Job, loader, subjects_that_come_with
from innerear.runs.plans import Options, Plan
from innerear.runs.records import model_info, task_info
from innerear.runs.subjects import Subject
from innerear.util.errors import InnerearError
from innerear.util.steps import Step
from innerear.util.version import __version__


@dataclass(frozen=True)
class Pass:
    """What to measure in one pass.

    Attributes
    ----------
    model
        A model as the plan names it; '' for a floor.
    floor
        Hash of a floor.
    floors
        By hash of a task: content hashes of the results of its floors by name, which are controls.
    """

    model: str = ""
    floor: str = ""
    floors: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Stored(NamedTuple):
    """A result in the store: of which task of the plan, whether it was measured now, and its files.

    These are bytes, if they may not be here.
    """

    job: int
    result: Result
    new: bool
    files: tuple[bytes, bytes | None] | None


class Failed(NamedTuple):
    """A part that could not be measured."""

    part: Part
    error: BaseException


Event: TypeAlias = str | Stored | Failed
"""What a pass tells as it goes on: a line about a step, a result, or a failure."""


@dataclass
class Controls:
    """Content hashes of the results that serve as controls: floors by hash of the task, twins of the pass."""

    floors: Mapping[str, Mapping[str, str]]
    twins: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def add(self, job: Job, result: Result) -> None:
        """Remember a result as a possible control of later ones of this pass."""
        if result.model.kind == "twin":  # models of one architecture have twins of one hash
            self.twins[job.asked, result.model.name, result.model.sha256] = result.content_sha256

    def of(self, job: Job, subject: Subject) -> dict[str, str]:
        """The controls of a subject's result: floors and the random twin."""
        twin = self.twins.get((job.asked, subject.name + TWIN, subject.twins.get(job.task.seed, "")))
        return {**self.floors.get(job.asked, {})} | ({"random-twin": twin} if twin else {})


class Passes:
    """What is needed to make any pass of a plan; where it is unpickled, it loads the corpora of that machine.

    Parameters
    ----------
    jobs
        The tasks of `plan`, in its order.
    """

    def __init__(self, plan: Plan, options: Options, jobs: Sequence[Job]) -> None:
        self.plan, self.options, self.jobs = plan, options, list(jobs)
        self.elsewhere = False
        self._store = Store(options.output)
        self._versions = _versions()
        self._fetched: dict[str, tuple[ModelSpec, Fetched]] = {}

    def __getstate__(self) -> dict[str, Any]:
        places = {name: getattr(self.options, name) for name in ("output", "cache", "data_dir")}
        absolute = {name: path and path.expanduser().absolute() for name, path in places.items()}
        options = replace(self.options, **absolute)
        own = {"plan": self.plan, "options": options, "_versions": self._versions, "_fetched": {}}
        return own | {"jobs": [], "elsewhere": True, "_store": Store(options.output)}

    @cached_property
    def floors(self) -> dict[str, tuple[Subject, list[Job]]]:
        """Floors and methods of the tasks by hash, each with the tasks that it belongs to."""
        return subjects_that_come_with(self.jobs)

    def floors_by_place(self) -> tuple[list[str], list[str]]:
        """Hashes of what is measured in this process, and of what is a pass.

        A method needs no reading of a model: its protocol shares its work out itself.
        """
        here = [
            sha256
            for sha256, (subject, jobs) in self.floors.items()
            if not any(job.protocol.demands(subject.listener()) for job in jobs)
        ]
        return here, [sha256 for sha256 in self.floors if sha256 not in here]

    def fetched(self, name: str) -> tuple[ModelSpec, Fetched]:
        """A model of the plan and its weights, fetched once."""
        if name not in self._fetched:
            spec = load_spec(name)
            self._fetched[name] = spec, fetch(spec)
        return self._fetched[name]

    def expected(self, models: Sequence[str]) -> int:
        """Number of results of the floors, and of models that were fetched, if nothing fails."""
        planned = [self._planned(jobs, subject.name) for subject, jobs in self.floors.values()]
        with_twins = [job for job in self.jobs if job.protocol.twins]
        for name in (self.fetched(model)[0].name for model in models):
            planned += [self._planned(self.jobs, name), self._planned(with_twins, name + TWIN)]
        return sum(map(len, planned))

    def make(self, wanted: Pass) -> Iterator[Event]:
        """Make one pass.

        Raises
        ------
        InnerearError
            With `strict`, the first failure; elsewhere, if that machine cannot do what this one asked for.
        """
        make_deterministic()
        if self.elsewhere:
            self._get_ready()
        controls = Controls(wanted.floors)
        if wanted.floor:
            subject, jobs = self.floors[wanted.floor]
            yield from self.results_of(subject, self._planned(jobs, subject.name), controls)
            return
        failures = Failures(_unheard, self.options.strict)
        subjects = failures.attempt(Part(wanted.model, wanted.model), partial(self._subjects, wanted.model))
        yield from _drained(failures)
        while subjects:
            subject = subjects.pop(0)  # a twin that was drawn leaves the memory before the model is loaded
            jobs = self._planned(self._jobs_of(subject), subject.name)
            if not (yield from self.results_of(subject, jobs, controls)):
                break  # what does not load as a twin does not load as a model

    def _get_ready(self) -> None:
        """Load the corpora of this machine, which must have the packages of the one of the command."""
        here = _versions()
        for name, version in self._versions.items():
            if here.get(name) != version:
                raise InnerearError(
                    f"a node has {name} {here.get(name)}, and the machine of the command has {version}: "
                    "numbers of both would be mixed; install the same versions everywhere"
                )
        self.options = self.options.here()
        usable_dtype(self.options.dtype, self.options.device)
        if not self.jobs:
            load = loader(self.plan, self.options)
            self.jobs = [Job.of(task, self.options, load) for task in self.plan.tasks]

    def _subjects(self, name: str) -> list[Subject]:
        seeds = [job.task.seed for job in self.jobs if job.protocol.twins]
        known = None if self.options.fresh else self.options.cache
        spec, fetched = self.fetched(name)
        return Subject.all_of(spec, fetched, seeds, self.options.device, self.options.dtype, known)

    def _jobs_of(self, subject: Subject) -> list[Job]:
        """The tasks of a subject: twins are where a task wants one, drawn from the task's seed."""
        whole = subject.twin_of is None
        return [job for job in self.jobs if whole or (job.protocol.twins and subject.seed == job.task.seed)]

    def _planned(self, jobs: Sequence[Job], name: str) -> list[Job]:
        """The tasks that the plan includes for the subject of this name."""
        only = self.plan.only
        return [job for job in jobs if only is None or (job.task.sha256(), name) in only]

    def results_of(
        self, subject: Subject, jobs: Sequence[Job], controls: Controls
    ) -> Generator[Event, None, bool]:
        """Results of a subject, from the store or measured in one forward pass for all tasks.

        Returns
        -------
        bool
            False if it cannot be loaded.
        """
        missing = []
        for job in jobs:
            known = self._store.find(
                job.task.id, job.corpora["test"].name, subject.name, job.key(subject.sha256)
            )
            if known is None or self.options.fresh:
                missing.append((job, known))
            else:
                yield Step(f"{job.label(subject)}: already measured")
                yield self._stored(job, known, controls, new=False)
        if not missing:
            return True
        started = perf_counter()
        name = subject.twin_of or subject.name
        yield Step("", "model", model=subject.name)
        failures = Failures(_unheard, self.options.strict)
        listener = failures.attempt(Part(name, name), subject.listener)
        yield from _drained(failures)
        if listener is None:
            return False
        yield from self._measured(missing, subject, listener, controls, started)
        return True

    def _stored(self, job: Job, result: Result, controls: Controls, new: bool) -> Stored:
        controls.add(job, result)
        files = file_bytes(self._store.path_of(result), result) if self.elsewhere else None
        at = next(at for at, each in enumerate(self.jobs) if each is job)
        return Stored(at, result, new, files)

    def _measured(
        self,
        missing: Sequence[tuple[Job, Result | None]],
        subject: Subject,
        listener: Listener,
        controls: Controls,
        started: float,
    ) -> Iterator[Event]:
        """Measure what is missing; `started` is when loading began, which the first result counts."""
        failures = Failures(_unheard, self.options.strict)
        load_s = perf_counter() - started
        asked: list[tuple[Job, Result | None, Asked]] = []
        for job, known in missing:
            yield Step(
                job.label(subject), "task",
                task=job.task.id, corpus=job.corpora["test"].name, model=subject.name,
            )  # fmt: skip
            asked_for = listener.identity.kind in ("model", "architecture")
            part = Part(job.label(subject), *((subject.name, job.asked) if asked_for else ()))
            one = failures.attempt(part, partial(Asked.of, part, job.protocol, listener))
            yield from _drained(failures)
            asked += [(job, known, one)] if one else []
        cache, demands = (
            self.options.cache / "features",
            [each for *_, one in asked for each in one.demands.values()],
        )
        room = partial(claim, listener, demands, cache, self.options.batch, self.options.fresh)
        name = subject.twin_of or subject.name
        told = failures.attempt(Part(name, name), room)
        yield from _drained(failures)
        if told is None:
            return
        if told:
            yield told
        take = partial(
            capture,
            listener,
            cache=cache,
            batch_size=self.options.batch,
            strict=self.options.strict,
            fresh=self.options.fresh,
            partial=True,
        )
        captured = captured_for([one for *_, one in asked], take, failures)
        yield from _drained(failures)
        for (job, known, one), own in zip(asked, captured, strict=True):
            begun = perf_counter()
            if own is None:
                continue
            found = failures.attempt(one.part, partial(one.measure, listener, own, self.options.main_device))
            yield from _drained(failures)
            if found is None:
                continue
            measurement, reason = found
            if reason:
                yield Step(f"{one.part.name}: n/a, {reason}")
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
            refused = one.refused(job.corpora, own)
            result = Result(
                **_fields(job, subject, listener, measurement, reason, refused),
                controls=controls.of(job, subject),
                run=timed,
                environment=environment(self.options.main_device, precision),
            )
            stored = read_result(self._store.save(result, measurement.items if measurement else None))
            if known is not None and known.content_sha256 != stored.content_sha256:
                yield f"{job.label(subject)}: differs from the stored result and replaces it"
            yield self._stored(job, stored, controls, new=True)
            started = perf_counter()


def _versions() -> dict[str, str]:
    """What must be the same on all machines of a run."""
    return {"innerear": __version__} | packages()


def _fields(
    job: Job,
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
    }
    if measurement is None:
        nothing: dict[str, Any] = {"headline": job.task.metric.name, "scores": {}, "curves": []}
        return fields | nothing | {"split": NO_SPLIT, "status": "n/a", "reason": reason}
    if job.task.split is not None:
        fields["seeds"]["split"] = job.task.split.seed
    names = ("headline", "scores", "curves", "tables", "tuned", "split")
    return fields | {name: getattr(measurement, name) for name in names}


def _unheard(line: str) -> None:
    """Failures of a pass are told by who asked for it."""


def _drained(failures: Failures) -> Iterator[Failed]:
    """The failures so far, which are forgotten."""
    while failures.entries:
        yield Failed(*failures.entries.pop(0))
