"""Plan → run → result: which models meet which tasks, what is already known, and what has to be measured.

Floors come first, then for each model its random twin and itself, so that a result can name its controls.
Whatever the store holds is not measured again; a killed run goes on where it stopped.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch

from innerear.activations.capture import Captured, CaptureLog, Demand, capture
from innerear.activations.forward import Listener
from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus
from innerear.models.base import Identity
from innerear.models.loading import TWIN, assemble, usable_device
from innerear.models.registry import ModelSpec, load_spec
from innerear.models.weights import fetch
from innerear.protocols.base import NO_SPLIT, Measurement, NotApplicable, Protocol
from innerear.protocols.registry import protocol_of
from innerear.report.figures import draw
from innerear.results.environment import environment, make_deterministic, peak_memory_mib
from innerear.results.schema import CorpusInfo, ModelInfo, Result, Run, TaskInfo, result_key
from innerear.results.store import Store, read_result
from innerear.runs.tracking import Tracker
from innerear.tasks.task import Task, load_suite, load_task
from innerear.util.errors import InnerearError, InputError
from innerear.util.paths import cache_folder

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """How to run, beyond what is measured.

    Attributes
    ----------
    output
        Folder of the results.
    device
        Where models and probes run.
    batch_size
        Clips in a forward pass; None takes 1 on a CPU and 16 elsewhere.
    strict
        Stop at the first clip that cannot be used.
    fresh
        Measure again what the store and the cache know.
    cache
        Folder of what is kept of clips and of planted models, so that no run measures it twice.
    data_dir
        Folder of human corpora.
    tracking_uri
        MLflow server; None logs to SQLite beside the results.
    """

    output: Path
    device: str = "cpu"
    batch_size: int | None = None
    strict: bool = False
    fresh: bool = False
    cache: Path = field(default_factory=cache_folder)
    data_dir: Path | None = None
    tracking_uri: str | None = None

    @property
    def batch(self) -> int:
        """Clips in a forward pass."""
        return self.batch_size or (1 if self.device == "cpu" else 16)


@dataclass(frozen=True)
class Plan:
    """Models by name, and resolved tasks.

    Attributes
    ----------
    only
        What of it is measured, as pairs of a task's hash and a name; None for all.
    suite
        Where the tasks come from, if from a suite.
    """

    models: tuple[str, ...]
    tasks: tuple[Task, ...]
    only: frozenset[tuple[str, str]] | None = None
    suite: str = ""

    @property
    def experiment(self) -> str:
        """Name of the MLflow experiment: one for each suite, one for tasks by name."""
        return f"innerear/{self.suite}" if self.suite else "innerear"


def plan(
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    suite: str | None = None,
    full: bool = False,
    **changes: Any,
) -> Plan:
    """Decide what to run: a suite (by default `quick`), or tasks by name; models of the suite unless named.

    Parameters
    ----------
    full
        Take as much as the tasks of the suite say, and not as little as the suite.
    changes
        What the run changes in every task: corpus, train_corpus, clips_per_speaker, limit, seed.

    Raises
    ------
    InputError
        If a name is unknown, or `full` is asked of tasks that are not a suite's.
    """
    if full and tasks:
        raise InputError("--full belongs to a suite; tasks by name take all their clips anyway")
    named = suite or "quick"
    chosen = load_suite(named)
    if tasks:
        resolved = tuple(load_task(name).resolve(**changes) for name in tasks)
    else:
        resolved = tuple(entry.task(full).resolve(**changes) for entry in chosen.tasks)
    names = tuple(models) or chosen.models
    for name in names:
        load_spec(name)
    return Plan(names, resolved, suite="" if tasks else named)


@dataclass(frozen=True)
class _Job:
    """One task, with what all models share, and its results so far by model."""

    task: Task
    protocol: Protocol
    results: dict[str, Result] = field(default_factory=dict)

    @classmethod
    def of(cls, task: Task, options: Options) -> "_Job":
        def load(name: str) -> Corpus:
            return load_corpus(name, data_dir=options.data_dir, strict=options.strict)

        protocol = protocol_of(task, load)
        protocol.cache = None if options.fresh else options.cache
        return cls(task, protocol)

    @property
    def corpora(self) -> dict[str, Corpus]:
        return self.protocol.corpora

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        return {role: corpus.fingerprint() for role, corpus in self.corpora.items()}

    def key(self, weights_sha256: str) -> str:
        prints = self.fingerprints
        return result_key(self.task.sha256(), weights_sha256, prints["test"], prints.get("train"), {})

    def info(self, role: str, refused: Sequence[tuple[str, str]]) -> CorpusInfo:
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


@dataclass(frozen=True)
class _Subject:
    """A listener to be made when it is needed: most runs find all its results in the store."""

    name: str
    weights_sha256: str
    load: Callable[[], Listener]
    twin_of: str | None = None

    @classmethod
    def all_of(cls, spec: ModelSpec, seeds: Sequence[int], device: str) -> list["_Subject"]:
        """The twins of a model, one for each seed in use, and the model itself."""
        fetched = fetch(spec)
        twins = [assemble(spec, fetched, device=device, twin_seed=seed) for seed in sorted(set(seeds))]
        subjects = [cls.ready(twin, spec.name) for twin in twins]
        return [
            *subjects,
            cls(spec.name, fetched.weights_sha256, lambda: assemble(spec, fetched, device=device)),
        ]

    @classmethod
    def ready(cls, listener: Listener, twin_of: str | None = None) -> "_Subject":
        identity = listener.identity
        return cls(identity.name, identity.weights_sha256, lambda: listener, twin_of)


def run(
    wanted: Plan,
    options: Options,
    say: Say = lambda _: None,
    title: str = "innerear run",
    listeners: Sequence[Callable[[], Listener]] = (),
) -> list[Result]:
    """Run a plan and store, log and give back its results.

    Parameters
    ----------
    listeners
        Makers of models beside those that the plan names, measured one after the other; each needs a
        `weights_sha256` of its own.
    say
        Is told in a line what happens.
    title
        Name of the MLflow parent run.

    Raises
    ------
    InputError
        If the input or the folder is wrong; nothing half-written is left.
    InnerearError
        If a check fails. What was measured before is in the store.
    """
    make_deterministic()
    usable_device(options.device)
    tracker = Tracker(options.tracking_uri, options.output, wanted.experiment, title)
    tracker.check()
    jobs = [_Job.of(task, options) for task in wanted.tasks]
    with tracker:
        session = _Session(Store(options.output), tracker, options, say)
        floors: dict[str, tuple[_Subject, list[_Job]]] = {}
        for job in jobs:
            for floor in job.protocol.floors():
                subject = _Subject.ready(floor)
                floors.setdefault(subject.weights_sha256, (subject, []))[1].append(job)
        for subject, asking in floors.values():
            session.do(_asked(wanted, asking, subject), subject)
        probed = [job for job in jobs if job.protocol.twins]
        for name in wanted.models:
            for subject in _Subject.all_of(
                load_spec(name), [job.task.seed for job in probed], options.device
            ):
                session.do(_asked(wanted, jobs if subject.twin_of is None else probed, subject), subject)
        for make in listeners:
            session.do(jobs, _Subject.ready(make()))
    if session.untracked:
        raise InnerearError(session.untracked[0])
    return [result for job in jobs for result in job.results.values()]


def _asked(wanted: Plan, jobs: Sequence[_Job], subject: _Subject) -> list[_Job]:
    """Those of the jobs that the plan wants of a subject."""
    only = wanted.only
    return [job for job in jobs if only is None or (job.task.sha256(), subject.name) in only]


@dataclass
class _Session:
    """One invocation: measures what the store does not know, stores it, then logs it."""

    store: Store
    tracker: Tracker
    options: Options
    say: Say
    untracked: list[str] = field(default_factory=list)

    def do(self, jobs: Sequence[_Job], subject: _Subject) -> None:
        """Have the results of jobs on a subject, in the store and in MLflow; one pass serves all jobs."""
        missing = []
        for job in jobs:
            known = self.store.find(
                job.task.id, job.corpora["test"].name, subject.name, job.key(subject.weights_sha256)
            )
            if known is None or self.options.fresh:
                missing.append((job, known))
            else:
                self.say(f"{_label(job, subject)}: already measured")
                self._keep(job, known)
        if missing:
            self._measure(missing, subject)

    def _measure(self, missing: Sequence[tuple[_Job, Result | None]], subject: _Subject) -> None:
        started = perf_counter()
        listener = subject.load()
        load_s = perf_counter() - started
        asked: list[dict[str, Demand]] = []
        reasons: list[str | None] = []
        for job, _ in missing:
            self.say(_label(job, subject))
            reasons.append(job.protocol.unsupported_reason(listener))
            asked.append({} if reasons[-1] else job.protocol.demands(listener))
        captured = capture(
            listener,
            [demand for demands in asked for demand in demands.values()],
            cache=self.options.cache / "features",
            batch_size=self.options.batch,
            strict=self.options.strict,
            fresh=self.options.fresh,
        )
        answers = iter(captured)
        for (job, known), reason, demands in zip(missing, reasons, asked, strict=True):
            heard = {name: next(answers) for name in demands}
            begun = perf_counter()
            try:
                found = None if reason else job.protocol.measure(listener, heard, self.options.device)
            except NotApplicable as said:
                found, reason = None, str(said)
            if reason:
                self.say(f"{_label(job, subject)}: n/a, {reason}")
            result = self._result(job, subject, listener, found, reason, _refused(job, demands, heard))
            log = next(iter(heard.values())).log if heard else CaptureLog()
            timed = Run(
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                load_s=load_s,
                encoder_s=log.encoder_s,
                decoder_s=log.decoder_s,
                measure_s=found.seconds if found and found.seconds is not None else perf_counter() - begun,
                total_s=perf_counter() - started,
                audio_s=log.audio_s,
                encoder_rtfx=log.audio_s / log.encoder_s if log.encoder_s else None,
                rtfx=found.rtfx if found else None,
                peak_memory_mib=peak_memory_mib(self.options.device),
                gpu_forward_ms=log.gpu_ms,
                cached_items=log.cached,
                device=self.options.device,
                threads=torch.get_num_threads(),
                batch_size=self.options.batch,
            )
            made = Result(**result, run=timed, environment=environment(self.options.device))
            stored = read_result(self.store.save(made, found.items if found else None))
            if known is not None and known.content_sha256 != stored.content_sha256:
                self.say(f"{_label(job, subject)}: differs from the stored result, which was replaced")
            self._keep(job, stored)

    def _result(
        self,
        job: _Job,
        subject: _Subject,
        listener: Listener,
        found: Measurement | None,
        reason: str | None,
        refused: Mapping[str, Sequence[tuple[str, str]]],
    ) -> dict[str, Any]:
        """The fields of a result that a re-run must give again."""
        said: dict[str, Any] = {
            "task": _task_info(job.task),
            "model": _model_info(listener.identity, subject.twin_of, job.corpora["test"]),
            "corpus": job.info("test", refused["test"]),
            "train_corpus": job.info("train", refused["train"]) if "train" in job.corpora else None,
            "seeds": {"task": job.task.seed},
            "controls": self._controls(job, subject),
        }
        if found is None:
            nothing: dict[str, Any] = {"headline": job.task.metric.name, "scores": {}, "curves": []}
            return said | nothing | {"split": NO_SPLIT, "status": "n/a", "reason": reason}
        if job.task.split is not None:
            said["seeds"]["split"] = job.task.split.seed
        names = ("headline", "scores", "curves", "tables", "tuned", "split")
        return said | {name: getattr(found, name) for name in names}

    def _keep(self, job: _Job, result: Result) -> None:
        """Remember a stored result for its controls, and log it with its plots."""
        job.results[result.model.name] = result
        shown = [other for other in job.results.values() if other.content_sha256 in result.controls.values()]
        with TemporaryDirectory() as folder:
            plots = draw(result, shown, Path(folder))
            try:
                self.tracker.log(result, self.store.path_of(result), job.corpora, plots)
            except InnerearError as error:
                self.untracked.append(str(error))

    def _controls(self, job: _Job, subject: _Subject) -> dict[str, str]:
        """Hashes of the results that this one is to be held against."""
        known = {name: result.content_sha256 for name, result in job.results.items()}
        floors = {name: sha for name, sha in known.items() if job.results[name].model.kind == "floor"}
        twin = known.get(subject.name + TWIN)
        return floors | ({"random-twin": twin} if twin else {})


def _label(job: _Job, subject: _Subject) -> str:
    return f"{subject.name} · {job.task.id} on {job.corpora['test'].name}"


def _refused(
    job: _Job, demands: Mapping[str, Demand], heard: Mapping[str, Captured]
) -> dict[str, list[tuple[str, str]]]:
    """Clips of each corpus that could not be heard, with their reasons.

    A protocol may have asked for a part of a corpus: its clips are then told by their names.
    """
    whole = {id(corpus): role for role, corpus in job.corpora.items()}
    found: dict[str, list[tuple[str, str]]] = {role: [] for role in job.corpora}
    for name, demand in demands.items():
        for entry in heard[name].refused:
            own = whole.get(id(demand.corpus))
            for role, corpus in job.corpora.items():
                if role == own or (own is None and any(item.id == entry[0] for item in corpus)):
                    found[role].append(entry)
    return found


def _task_info(task: Task) -> TaskInfo:
    return TaskInfo(
        id=task.id,
        version=task.version,
        sha256=task.sha256(),
        title=task.title,
        protocol=task.measure.protocol,
        spec=task.canonical(),
    )


def _model_info(identity: Identity, twin_of: str | None, corpus: Corpus) -> ModelInfo:
    return ModelInfo(**asdict(identity), twin_of=twin_of, contaminated=_contaminated(identity, corpus))


def _contaminated(identity: Identity, corpus: Corpus) -> bool | None:
    """Whether a model was trained on a corpus, by its register; None where its data are undisclosed."""
    known = [name.lower() for name in identity.training_data]
    if not known or not corpus.human:  # synthesised corpora were made for innerear
        return False
    if any(corpus.name.lower().startswith(name) for name in known):
        return True
    return None if any("undisclosed" in name for name in known) else False
