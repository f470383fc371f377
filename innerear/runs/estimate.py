"""What a run would take, told before anything is downloaded or measured: clips, disk, time on this device.

Times come from stored results of this device where there are any, else from a short calibration; every cell
says which. Nothing is written.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from math import log, sqrt
from statistics import median
from typing import Literal, NamedTuple

import torch

from innerear.data.hub import SPECS
from innerear.data.registry import load_corpus, parts_of
from innerear.data.schema import SAMPLING_RATE, Corpus
from innerear.models.calibration import WINDOW, Calibration, calibrate
from innerear.models.devices import usable_dtype
from innerear.models.floors import LogMel, LogMelSpec
from innerear.models.frames import WHISPER
from innerear.models.registry import ModelSpec, load_spec
from innerear.models.weights import source_here
from innerear.protocols.base import corpus_names
from innerear.protocols.registry import twins_of
from innerear.results.environment import environment
from innerear.results.schema import Result
from innerear.results.store import Store
from innerear.runs.jobs import Job
from innerear.runs.plans import Options, Plan
from innerear.tasks.declarations import declaration
from innerear.tasks.task import Task, load_task, task_names
from innerear.util.errors import NotHere

Basis = Literal["stored", "n/a", "measured", "scaled", "calibrated", "unknown"]
"""Where a time comes from.

`stored`: the result is in the output folder. `measured`: results of this model and task on this device, by
seconds of audio. `scaled`: the same of the model of the nearest size, by parameters. `calibrated`: a network
timed now, by parameters, for hearing and writing alone. `unknown`: the number of clips or of parameters is.
"""
BASES: tuple[Basis, ...] = ("stored", "n/a", "measured", "scaled", "calibrated", "unknown")
TOKENS_PER_SECOND = 4.0
"""Tokens that are written for a second of audio: some 2.7 words of English, and what words are cut into."""
EMBEDDED = 6
"""Clips of each speaker of an embedded corpus that tell how many states a task keeps of a second of audio."""
DENSER = 1.5
"""By how much people may speak faster, and with fewer pauses, than its voices do."""
DEEPEST = 48
"""Blocks of the deepest encoder that is registered (HuBERT XLarge)."""


class Extent(NamedTuple):
    """The clips of a task: how many and of how many seconds; None where nobody knows before they are here.

    `states` are those that it keeps at each layer, of frames, words or whole clips.
    """

    clips: int | None
    seconds: float | None
    here: bool
    states: int | None = 0


class Cell(NamedTuple):
    """Seconds that a model and its twins take for a task, and bytes of features; None if they are not known.

    `features` are those of all of them, which stay in the cache; while one is measured, its own are on disk
    once more.
    """

    seconds: float | None
    basis: Basis
    features: int | None = 0
    once_more: int = 0


class Download(NamedTuple):
    """What has to be downloaded first: bytes, None where they are not known, and from where."""

    name: str
    size: int | None
    source: str


@dataclass(frozen=True)
class Estimate:
    """What a run would take.

    Attributes
    ----------
    models
        Entries of the registry.
    extents
        Of each task.
    cells
        For each model, those of all tasks.
    downloads
        Of corpora, then of weights.
    """

    models: tuple[ModelSpec, ...]
    tasks: tuple[Task, ...]
    extents: tuple[Extent, ...]
    cells: tuple[tuple[Cell, ...], ...]
    downloads: tuple[Download, ...]

    @property
    def seconds(self) -> float:
        """Sum of all times that are known."""
        return sum(cell.seconds or 0.0 for cells in self.cells for cell in cells)

    @property
    def features(self) -> int:
        """Most bytes that features take at a time, as far as they are known."""
        cells = [cell for cells in self.cells for cell in cells]
        return sum(cell.features or 0 for cell in cells) + max((cell.once_more for cell in cells), default=0)

    def count(self, basis: Basis) -> int:
        """Number of cells of a basis."""
        return sum(cell.basis == basis for cells in self.cells for cell in cells)


def estimate(plan: Plan, options: Options, results: Sequence[Result]) -> Estimate:
    """Estimate a run.

    Parameters
    ----------
    results
        Those that rates are taken from, of any device.

    Raises
    ------
    InputError
        If this machine has no such device, or not in this type, or a corpus is wrong for a task.
    """
    options = options.here()
    usable_dtype(options.dtype, options.device)
    load = cache(partial(load_corpus, data_dir=options.data_dir, strict=options.strict, fetch=False))
    specs = tuple(map(load_spec, plan.models))
    dense = cache(partial(_density, options=options, load=load))
    extents = tuple(_extent(task, options, load, dense) for task in plan.tasks)
    rates = _Rates(options, results)
    stored = {(result.model.name, result.task.sha256) for result in _in(options, results)}
    cells = tuple(_row(rates, spec, plan.tasks, extents, stored) for spec in specs)
    names = (name for task in plan.tasks for name in corpus_names(task).values())
    parts = dict.fromkeys(part for name in names for part in parts_of(name))
    downloads = (*_corpora(parts, load), *_weights(specs))
    return Estimate(specs, plan.tasks, extents, cells, downloads)


def _row(
    rates: "_Rates",
    spec: ModelSpec,
    tasks: Sequence[Task],
    extents: Sequence[Extent],
    stored: set[tuple[str, str]],
) -> tuple[Cell, ...]:
    """The cells of a model. Tasks on one corpus share a pass, in which its clips are heard once."""
    cells, heard = [], dict.fromkeys((task.corpus for task in tasks), 0.0)
    for task, extent in zip(tasks, extents, strict=True):
        done = heard[task.corpus]
        cell = rates.cell(spec, task, extent, stored, done)
        if cell.basis not in ("n/a", "stored"):
            one = _features(spec, extent)
            cell = cell._replace(features=one and one * (1 + twins_of(task)), once_more=one or 0)
        cells.append(cell)
        if cell.seconds:
            heard[task.corpus] = max(done, extent.seconds or 0.0)
    return tuple(cells)


def _features(spec: ModelSpec, extent: Extent) -> int | None:
    """Most bytes of the states of a task in one model.

    L blocks of width d have P = 12 L d² parameters. So a state at all layers has L d = √(P L / 12) numbers:
    most where all of the model is encoder, and that as deep as any.
    """
    if extent.states is None:
        return None
    return round(4 * extent.states * sqrt(spec.parameters * DEEPEST / 12)) if spec.parameters else None


def _in(options: Options, results: Iterable[Result]) -> Iterable[Result]:
    """Results of the output folder are done, unless all is measured again."""
    if options.fresh:
        return
    store = Store(options.output)
    yield from (result for result in results if store.path_of(result).exists())


def _extent(
    task: Task, options: Options, load: Callable[[str], Corpus], dense: Callable[[str], float | None]
) -> Extent:
    """The clips of a task as it selects them, or what is published of a corpus that is not here."""
    try:
        job = Job.of(task, options, load)
    except NotHere:
        found, states = _published(task, load), dense(task.id)
        if states is None or found.seconds is None:
            return found._replace(states=None)
        return found._replace(states=round(states * found.seconds))
    return Extent(len(job.corpora["test"]), _seconds(job), True, _states(job))


def _seconds(job: Job) -> float:
    return sum(item.duration for item in job.corpora["test"])


def _states(job: Job) -> int:
    """States that a task keeps at each layer: of frames of 20 ms, as most encoders have them."""
    asked = job.protocol.demands(LogMel(LogMelSpec()))
    return sum(
        demand.reading.rows(WHISPER, int(item.duration * SAMPLING_RATE), item, 1)
        for demand in asked.values()
        for item in demand.corpus
        if demand.reading.wanted(item) is not None
    )


def _density(task: str, options: Options, load: Callable[[str], Corpus]) -> float | None:
    """Most states that a task keeps of a second, by its embedded corpus; None if that is not here."""
    if task not in task_names():
        return None
    try:
        job = Job.of(load_task(task).resolve(clips_per_speaker=EMBEDDED), options, load)
    except NotHere:
        return None
    return DENSER * _states(job) / _seconds(job)


def _published(task: Task, load: Callable[[str], Corpus]) -> Extent:
    """At most so many clips, of the mean length."""
    clips, seconds = 0, 0.0
    for part in parts_of(task.corpus):
        try:
            corpus = load(part)
            own = len(corpus), sum(item.duration for item in corpus), len(corpus.speakers) or None
        except NotHere:
            spec = SPECS.get(part)
            if spec is None or spec.clips is None or spec.hours is None:
                return Extent(None, None, False)
            own = spec.clips, spec.hours * 3600, spec.speakers
        count, length, speakers = own
        taken = (
            min(count, speakers * task.clips_per_speaker) if speakers and task.clips_per_speaker else count
        )
        clips += taken
        seconds += length * taken / count
    most = min(clips, task.limit or clips)
    times = 1 + len(task.noise.snr) if task.noise else 1
    return Extent(most * times, seconds * times * most / clips, False)


def _corpora(names: Iterable[str], load: Callable[[str], Corpus]) -> Iterable[Download]:
    for name in names:
        try:
            load(name)
        except NotHere:
            spec = SPECS.get(name)
            where = f"hub {spec.repository}" if spec else "its publisher"
            yield Download(name, spec.size if spec else None, where)


def _weights(specs: Sequence[ModelSpec]) -> Iterable[Download]:
    """Weights take at most four bytes a parameter."""
    for spec in specs:
        if source_here(spec) is None and spec.sources[0].kind not in ("stored", "architecture"):
            yield Download(spec.name, 4 * spec.parameters or None, spec.sources[0].label)


class _Rates:
    """Seconds that models take on this device, by results of it.

    Parameters
    ----------
    results
        Results of any device.
    """

    def __init__(self, options: Options, results: Sequence[Result]) -> None:
        self.options = options
        here = environment(options.main_device, options.dtype)
        threads = None if here.gpu else torch.get_num_threads()
        self._results = [
            result
            for result in results
            if result.status == "ok"
            and (result.environment.gpu, result.environment.precision) == (here.gpu, here.precision)
            and (threads is None or (result.environment.cpu, result.run.threads) == (here.cpu, threads))
        ]

    @cached_property
    def calibration(self) -> Calibration:
        """Timed when first asked for."""
        return calibrate(self.options.main_device, self.options.dtype, self.options.batch)

    def cell(
        self, spec: ModelSpec, task: Task, extent: Extent, stored: set[tuple[str, str]], done: float
    ) -> Cell:
        """The time of a model and its twins on a task, of whose audio `done` seconds are heard anyway."""
        declared = declaration(task.measure.protocol)
        if (needs := declared.needs) is None or declared.lacking(spec.capabilities):
            return Cell(0.0, "n/a")
        if (spec.name, task.sha256()) in stored:
            return Cell(0.0, "stored")
        if extent.seconds is None or extent.clips is None:
            return Cell(None, "unknown")
        writes, subjects = set(needs) != {"encoder"}, 1 + twins_of(task)
        new = max(0.0, extent.seconds - done)
        if (found := self._as(spec.name, task, extent.seconds, new, writes, subjects)) is not None:
            return Cell(found, "measured")
        if not spec.parameters:
            return Cell(None, "unknown")
        for name, parameters in self._nearest(spec.parameters):
            if (found := self._as(name, task, extent.seconds, new, writes, subjects)) is not None:
                return Cell(found * spec.parameters / parameters, "scaled")
        windows = max(extent.clips, extent.seconds / WINDOW) * new / extent.seconds
        heard = subjects * self.calibration.window_s * windows
        written = TOKENS_PER_SECOND * extent.seconds * self.calibration.token_s if writes else 0.0
        return Cell((heard + written) * spec.parameters / self.calibration.parameters, "calibrated")

    def _nearest(self, parameters: int) -> list[tuple[str, int]]:
        """Models of results, those of the nearest size first."""
        known = {
            result.model.name: result.model.parameters
            for result in self._results
            if result.model.kind == "model" and result.model.parameters
        }
        return sorted(known.items(), key=lambda each: abs(log(each[1] / parameters)))

    def _as(
        self, name: str, task: Task, seconds: float, new: float, writes: bool, subjects: int
    ) -> float | None:
        """Time by results of a model or its twin, which is as fast, for one or both.

        Hearing (of `new` seconds) and writing by their audio, the rest by that of the task.
        """
        own = [result for result in self._results if name in (result.model.name, result.model.twin_of)]
        heard = self._by_audio(own, lambda result: result.run.encoder_s)
        written = self._by_audio(own, lambda result: result.run.decoder_s) if writes else 0.0
        measured = self._measuring([result for result in own if result.task.id == task.id], seconds)
        if heard is None or written is None or measured is None:
            return None
        return subjects * (new * heard + measured) + seconds * written

    @staticmethod
    def _by_audio(results: Sequence[Result], of: Callable[[Result], float]) -> float | None:
        """Seconds for a second of audio: the median of results whose clips were not cached.

        On a CPU, seconds of clips that are heard side by side add up.
        """
        found = [
            of(result) / result.run.audio_s / (1 if result.environment.gpu else result.run.threads)
            for result in results
            if result.run.audio_s and not result.run.cached_items and of(result)
        ]
        return median(found) if found else None

    @staticmethod
    def _measuring(results: Sequence[Result], seconds: float) -> float | None:
        """What a protocol takes by itself, of the result whose audio is the most alike."""
        known = [result for result in results if result.corpus.seconds]
        if not known:
            return None
        nearest = min(known, key=lambda result: abs(log(result.corpus.seconds / max(seconds, 1e-9))))
        return nearest.run.measure_s * seconds / nearest.corpus.seconds
