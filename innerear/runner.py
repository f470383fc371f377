"""Plan → run → result: which models meet which tasks, what is already known, and what has to be measured.

Floors come first, then for each model its random twin and itself, so that a result can name its controls.
Whatever the store holds is not measured again; a killed run goes on where it stopped.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch

from innerear._paths import cache_folder
from innerear.capture import CaptureLog, Features, Listener, capture
from innerear.corpora.registry import load_corpus
from innerear.corpora.schema import Corpus
from innerear.environment import environment, make_deterministic, peak_memory_mib
from innerear.errors import InnerearError
from innerear.models.base import Identity
from innerear.models.floors import SITE, LogMel
from innerear.models.loading import TWIN, assemble, usable_device
from innerear.models.registry import ModelSpec, load_spec
from innerear.models.weights import fetch
from innerear.plots import layer_curves
from innerear.protocols import phone_probing
from innerear.protocols.phone_probing import Labelled, PhoneFrames, phone_frames
from innerear.results import (
    CorpusInfo,
    FoldInfo,
    ModelInfo,
    Result,
    Run,
    Side,
    SplitInfo,
    TaskInfo,
    result_key,
)
from innerear.splits import Fold, make_folds, transfer_fold
from innerear.store import Store, read_result
from innerear.tasks import Task, load_suite, load_task
from innerear.tracking import Tracker

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
    data_dir: Path | None = None
    tracking_uri: str | None = None

    @property
    def batch(self) -> int:
        """Clips in a forward pass."""
        return self.batch_size or (1 if self.device == "cpu" else 16)


@dataclass(frozen=True)
class Plan:
    """Models by name, and resolved tasks."""

    models: tuple[str, ...]
    tasks: tuple[Task, ...]


def plan(
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    suite: str | None = None,
    **changes: Any,
) -> Plan:
    """Decide what to run: a suite (by default `quick`), or tasks by name; models of the suite unless named.

    Parameters
    ----------
    changes
        What the run changes in every task: corpus, train_corpus, clips_per_speaker, limit, seed.

    Raises
    ------
    InputError
        If a name is unknown.
    """
    chosen = load_suite(suite or "quick")
    if tasks:
        resolved = tuple(load_task(name).resolve(**changes) for name in tasks)
    else:
        resolved = tuple(
            load_task(entry.id).resolve(**entry.model_dump(exclude={"id"})).resolve(**changes)
            for entry in chosen.tasks
        )
    names = tuple(models) or chosen.models
    for name in names:
        load_spec(name)
    return Plan(names, resolved)


@dataclass(frozen=True)
class _Heard:
    """A corpus as a task sees it: its selected clips and the frames asked of them."""

    corpus: Corpus
    frames: PhoneFrames
    left_out: int

    @classmethod
    def of(cls, task: Task, name: str, options: Options) -> "_Heard":
        whole = load_corpus(name, data_dir=options.data_dir, strict=options.strict)
        selected = task.select(whole)
        return cls(selected, phone_frames(selected), len(whole) - len(task.split.usable(whole)))

    def features(self, model: Listener, options: Options) -> Features:
        return capture(
            model,
            self.corpus,
            model.encoder_sites,
            self.frames.times,
            cache=cache_folder() / "features",
            batch_size=options.batch,
            strict=options.strict,
            fresh=options.fresh,
        )

    def info(self, log: CaptureLog) -> CorpusInfo:
        corpus = self.corpus
        return CorpusInfo(
            name=corpus.name,
            version=corpus.version,
            fingerprint=corpus.fingerprint(),
            items=len(corpus),
            speakers=len(corpus.speakers),
            seconds=round(sum(item.duration for item in corpus), 3),
            human=corpus.human,
            licence=corpus.licence,
            source=corpus.source,
            refused=[*corpus.refused, *log.refused],
        )


@dataclass(frozen=True)
class _Job:
    """One task, with everything that all models share, and its results so far by model."""

    task: Task
    test: _Heard
    train: _Heard | None
    folds: list[Fold]
    results: dict[str, Result] = field(default_factory=dict)

    @classmethod
    def of(cls, task: Task, options: Options) -> "_Job":
        test = _Heard.of(task, task.corpus, options)
        if task.train_corpus is None:
            return cls(task, test, None, make_folds(test.corpus, task.split))
        train = _Heard.of(task, task.train_corpus, options)
        return cls(task, test, train, [transfer_fold(train.corpus, test.corpus, task.split)])

    @property
    def corpora(self) -> dict[str, Corpus]:
        return {"test": self.test.corpus} | ({"train": self.train.corpus} if self.train else {})

    def key(self, weights_sha256: str) -> str:
        train = self.train.corpus.fingerprint() if self.train else None
        return result_key(self.task.sha256(), weights_sha256, self.test.corpus.fingerprint(), train, {})

    def split(self, test: Labelled, train: Labelled | None) -> SplitInfo:
        source = train or test

        def side(heard: Labelled, items: Sequence[int]) -> Side:
            speakers = {heard.corpus.items[index].speaker for index in items}
            return Side(items=len(items), speakers=len(speakers), frames=len(heard.rows(items)))

        learnt = self.train or self.test
        lost = len(source.corpus) - len(self.folds[0].train) - len(self.folds[0].dev) if train else 0
        return SplitInfo(
            rule=self.task.split.kind + ("" if train is None else ", all of the test corpus tested"),
            seed=self.task.split.seed,
            folds=[
                FoldInfo(
                    train=side(source, fold.train),
                    dev=side(source, fold.dev),
                    test=side(test, fold.test),
                    dropped_shared_sentences=learnt.left_out + lost,
                )
                for fold in self.folds
            ],
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
        subjects = [cls._ready(twin, spec.name) for twin in twins]
        return [
            *subjects,
            cls(spec.name, fetched.weights_sha256, lambda: assemble(spec, fetched, device=device)),
        ]

    @classmethod
    def _ready(cls, listener: Listener, twin_of: str | None = None) -> "_Subject":
        identity = listener.identity
        return cls(identity.name, identity.weights_sha256, lambda: listener, twin_of)


def run(
    wanted: Plan, options: Options, say: Say = lambda _: None, title: str = "innerear run"
) -> list[Result]:
    """Run a plan and store, log and give back its results.

    Parameters
    ----------
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
    tracker = Tracker(options.tracking_uri, options.output, title=title)
    tracker.check()
    jobs = [_Job.of(task, options) for task in wanted.tasks]
    with tracker:
        session = _Session(Store(options.output), tracker, options, say)
        for job in jobs:
            session.do(job, _Subject._ready(LogMel(job.task.log_mel.spec())))
        for name in wanted.models:
            for subject in _Subject.all_of(load_spec(name), [job.task.seed for job in jobs], options.device):
                for job in jobs:
                    session.do(job, subject)
    if session.untracked:
        raise InnerearError(session.untracked[0])
    return [result for job in jobs for result in job.results.values()]


@dataclass
class _Session:
    """One invocation: measures what the store does not know, stores it, then logs it."""

    store: Store
    tracker: Tracker
    options: Options
    say: Say
    untracked: list[str] = field(default_factory=list)

    def do(self, job: _Job, subject: _Subject) -> None:
        """Have the result of a job on a subject, in the store and in MLflow."""
        task, corpus = job.task, job.test.corpus
        label = f"{subject.name} · {task.id} on {corpus.name}"
        known = self.store.find(task.id, corpus.name, subject.name, job.key(subject.weights_sha256))
        if known is not None and not self.options.fresh:
            self.say(f"{label}: already measured")
            result = known
        else:
            result = self._measure(job, subject)
            if known is not None and known.content_sha256 != result.content_sha256:
                self.say(f"{label}: differs from the stored result, which was replaced")
        job.results[subject.name] = result
        with TemporaryDirectory() as folder:
            plot = Path(folder) / "layers.png"
            shown = [
                other for other in job.results.values() if other.content_sha256 in result.controls.values()
            ]
            layer_curves([*shown, result], plot)
            try:
                self.tracker.log(result, self.store.path_of(result), job.corpora, plot)
            except InnerearError as error:
                self.untracked.append(str(error))

    def _measure(self, job: _Job, subject: _Subject) -> Result:
        started = perf_counter()
        listener = subject.load()
        loaded = perf_counter()
        self.say(f"{subject.name} · {job.task.id} on {job.test.corpus.name}")
        heard = job.test.features(listener, self.options)
        test = Labelled.of(job.test.corpus, job.test.frames, heard)
        log, train, learnt = heard.log, None, None
        if job.train is not None:
            learnt = job.train.features(listener, self.options)
            train = Labelled.of(job.train.corpus, job.train.frames, learnt)
            log = log.joined(learnt.log)
        captured = perf_counter()
        device = self.options.device
        found = phone_probing.measure(job.task, listener.encoder_sites, job.folds, test, train, device)
        ended = perf_counter()
        result = Result(
            task=_task_info(job.task),
            model=_model_info(listener.identity, subject.twin_of, job.test.corpus),
            corpus=job.test.info(heard.log),
            train_corpus=job.train.info(learnt.log) if job.train and learnt else None,
            split=job.split(test, train),
            headline=found.headline,
            scores=found.scores,
            curves=found.curves,
            tables=found.tables,
            tuned=found.tuned,
            seeds={"task": job.task.seed, "split": job.task.split.seed},
            controls=self._controls(job, subject),
            run=Run(
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                load_s=loaded - started,
                forward_s=log.forward_s,
                probe_s=ended - captured,
                total_s=ended - started,
                audio_s=log.audio_s,
                rtfx=log.audio_s / log.forward_s if log.heard else None,
                peak_memory_mib=peak_memory_mib(device),
                gpu_forward_ms=log.gpu_ms,
                cached_items=log.cached,
                device=device,
                threads=torch.get_num_threads(),
                batch_size=self.options.batch,
            ),
            environment=environment(device),
        )
        return read_result(self.store.save(result, found.items))

    def _controls(self, job: _Job, subject: _Subject) -> dict[str, str]:
        """Hashes of the results that this one is to be held against."""
        named = {"log-mel": SITE, "random-twin": subject.name + TWIN}
        return {
            control: job.results[name].content_sha256
            for control, name in named.items()
            if name in job.results
        }


def _task_info(task: Task) -> TaskInfo:
    return TaskInfo(
        id=task.id,
        version=task.version,
        sha256=task.sha256(),
        title=task.title,
        protocol=task.protocol,
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
