"""Capture: one pass over the audio that serves the readings of all tasks.

The demands of all tasks are collected first, so that each clip is processed once, however many tasks and
corpora use it. Readings are cached in one file each, keyed by content: model, audio, and what is read; with a
cache they are not kept in memory. On a CPU, clips are processed in parallel, each in one process with one
thread.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from innerear.activations.captured import Captured, CaptureLog, Readings, Values
from innerear.activations.forward import Clip, ForwardPass, Listener, Stopwatch, width
from innerear.activations.readings import Reading
from innerear.activations.windows import NAME, take_in_windows
from innerear.data.language import ENGLISH
from innerear.data.schema import SAMPLING_RATE, Corpus, Item
from innerear.models.base import SpeechModel
from innerear.results.environment import origin
from innerear.util.cached import SUFFIX, CacheUse
from innerear.util.errors import InnerearError, InputError
from innerear.util.executors import PROCESSES
from innerear.util.io import sha256_json
from innerear.util.progress import bar

_log = logging.getLogger("innerear")

ROUNDING = 1.0
"""Seconds by which a header may miss a clip that is decoded to know its length."""
_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")
"""What torch says on a GPU, and on a CPU on one system or another."""


@dataclass(frozen=True)
class Demand:
    """A reading of every item of a corpus.

    Attributes
    ----------
    long_form
        Whether clips that are longer than the model's window are heard in windows
        (`innerear.activations.windows`), and not refused; of readings for which that is defined.
    """

    corpus: Corpus
    reading: Reading
    long_form: bool = False

    def unsupported_reason(self, model: Listener, item: Item) -> str | None:
        """Why the reading cannot be taken from an item: its language, or its length."""
        reads_text = self.reading.needs != "encoder"
        if reads_text and isinstance(model, SpeechModel) and (reason := model.untranscribed_reason(item)):
            return reason
        if item.duration <= model.window + ROUNDING or (self.long_form and not reads_text):
            return None
        reason = model.unsupported_reason(int(item.duration * SAMPLING_RATE))
        if reason is None or (self.long_form and isinstance(model, SpeechModel) and model.long_form):
            return None
        return f"{item.id}: {reason}" + (", and it has no long form" if self.long_form else "")

    def in_windows(self, model: Listener, item: Item) -> bool:
        """Whether an item is heard in windows."""
        return self.long_form and item.duration > model.window

    def unsupported_by(self, model: Listener) -> str | None:
        """Why the reading can be taken from no item, or None."""
        reasons = [self.unsupported_reason(model, item) for item in self.corpus]
        return reasons[0] if reasons and all(reasons) else None


@dataclass(frozen=True)
class Request:
    """One reading of one item: its demand, the prompt's language, its cached file, and how it is heard."""

    demand: int
    index: int
    item: Item
    reading: Reading
    language: str
    path: Path | None
    in_windows: bool


@dataclass
class _ClipReadings:
    """The readings of one clip in the order of its requests, or why it was refused."""

    values: list[Values | Path]
    refused: str
    log: CaptureLog


@dataclass
class _Clip:
    """One clip in one language."""

    audio: np.ndarray
    requests: list[Request]


@dataclass
class _Collected:
    values: list[dict[int, Values | Path]]
    refused: list[dict[str, str]]
    log: CaptureLog = field(default_factory=CaptureLog)

    def add(self, request: Request, values: Values | Path) -> None:
        self.values[request.demand][request.index] = values

    def refuse(self, requests: Sequence[Request], reason: str) -> None:
        for request in requests:
            self.refused[request.demand][request.item.id] = reason


def capture(
    model: Listener,
    demands: Sequence[Demand],
    *,
    cache: Path | None = None,
    batch_size: int = 1,
    strict: bool = False,
    fresh: bool = False,
    partial: bool = False,
) -> list[Captured]:
    """Take all readings that are demanded, in one pass over the clips of all demands.

    Parameters
    ----------
    model
        A speech model or a floor.
    cache
        Folder of cached readings; None caches nothing and keeps all in memory. Damaged ones are taken again,
        and where the folder cannot be written, nothing is cached; both are logged as a warning.
    batch_size
        Clips in a forward pass. Only clips of one input shape share a pass, so nothing is padded. Where
        memory does not suffice, half of it is tried, with a warning: the numbers are those of the half.
    strict
        Raise on the first clip that cannot be processed, instead of listing it as refused.
    fresh
        Process everything again, whatever is cached.
    partial
        Return demands of which no clip could be processed, too, with the reason (`Captured.nothing`).

    Returns
    -------
    list
        One for each demand.

    Raises
    ------
    InputError
        If no clip of a demand can be processed (unless `partial`), or memory does not suffice for one clip.
    InnerearError
        If a model's states are not finite.
    """
    while (collected := _collected(model, demands, cache, batch_size, strict, fresh)) is None:
        if batch_size == 1:
            raise InputError(
                f"{model.identity.name}: memory does not suffice for a single clip on {model.device}; use "
                "--dtype bfloat16, --device auto where there are several GPUs, or shorter clips"
            )
        _log.warning(
            "%s: memory does not suffice for %d clips per pass; going on with %d",
            model.identity.name, batch_size, batch_size // 2,
        )  # fmt: skip
        batch_size //= 2
        if model.device.type == "cuda":
            torch.cuda.empty_cache()
    if cache:
        collected.log.cache_use.warn(cache)
    made = []
    for demand, values, refused in zip(demands, collected.values, collected.refused, strict=True):
        first = f" (the first: {next(iter(refused.values()))})" if refused else ""
        nothing = f"{demand.corpus.name}: no clip could be processed by {model.identity.name}{first}"
        made.append(
            Captured(
                Readings(values),
                tuple(refused.items()),
                collected.log,
                "" if values else nothing,
                None if collected.log.cache_use.unwritten else cache,
            )
        )
        if not partial:
            made[-1].require_clips()
    return made


def _collected(
    model: Listener, demands: Sequence[Demand], cache: Path | None, batch_size: int, strict: bool, fresh: bool
) -> _Collected | None:
    """All readings with this many clips in a pass, or None if memory does not suffice for them."""
    collected = _Collected([{} for _ in demands], [{} for _ in demands])
    collected.log.batch_size = batch_size
    clips = _not_cached(model, demands, cache, fresh, batch_size, collected)
    try:
        if model.device.type == "cpu" and batch_size == 1:
            _in_processes(model, clips, strict, collected)
        else:
            _in_batches(model, clips, batch_size, strict, collected)
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or any(sign in str(error) for sign in _OUT_OF_MEMORY):
            return None
        raise
    return collected


def _in_processes(
    model: Listener, clips: Sequence[list[Request]], strict: bool, collected: _Collected
) -> None:
    """Process clips singly, in as many processes as there are threads: results do not depend on how many."""
    watch = Stopwatch(model.device)

    def process(requests: list[Request]) -> _ClipReadings:
        log, before = CaptureLog(), dict(watch.seconds)
        try:
            if requests[0].in_windows:
                values = _read_in_windows(model, requests, watch, log)
            else:
                clip = _Clip(_audio(model, requests[0].item), requests)
                (values,) = _read(model, [clip], watch, log)
        except InputError as error:
            if strict:
                raise
            return _ClipReadings([], str(error), CaptureLog())
        log.encoder_s, log.decoder_s = (
            watch.seconds[stage] - before[stage] for stage in ("encoder", "decoder")
        )
        return _ClipReadings(values, "", log)

    with bar(f"{model.identity.name}: capturing", len(clips)) as advance:
        processed = PROCESSES.map(process, clips)
        for requests, readings in zip(clips, processed, strict=True):
            if readings.refused:
                collected.refuse(requests, readings.refused)
            for request, values in zip(requests, readings.values, strict=False):
                collected.add(request, values)
            collected.log.add(readings.log)
            advance()


def _in_batches(
    model: Listener, clips: Sequence[list[Request]], batch_size: int, strict: bool, collected: _Collected
) -> None:
    """Process clips of one input shape and one language together, in this process."""
    watch = Stopwatch(model.device)
    pending: dict[tuple[int, str], list[_Clip]] = defaultdict(list)
    with bar(f"{model.identity.name}: capturing", len(clips)) as advance:

        def forward(group: list[_Clip]) -> None:
            for clip, readings in zip(group, _read(model, group, watch, collected.log), strict=True):
                for request, values in zip(clip.requests, readings, strict=True):
                    collected.add(request, values)
            advance(len(group))
            group.clear()

        for requests in clips:
            try:
                if requests[0].in_windows:
                    values = _read_in_windows(model, requests, watch, collected.log)
                    for request, tensors in zip(requests, values, strict=True):
                        collected.add(request, tensors)
                    advance()
                    continue
                audio = _audio(model, requests[0].item)
            except InputError as error:
                if strict:
                    raise
                collected.refuse(requests, str(error))
                advance()
                continue
            group = pending[model.batch_key(len(audio)), requests[0].language]
            group.append(_Clip(audio, requests))
            if len(group) == batch_size:
                forward(group)
            elif sum(map(len, pending.values())) >= 8 * batch_size:  # limits the audio in memory
                forward(max(pending.values(), key=len))
        for group in pending.values():
            if group:
                forward(group)
    log = collected.log
    log.encoder_s, log.decoder_s = watch.seconds["encoder"], watch.seconds["decoder"]
    log.gpu_ms = watch.gpu_ms if model.device.type == "cuda" else None


def _audio(model: Listener, item: Item) -> np.ndarray:
    """The audio of an item.

    Raises
    ------
    InputError
        If it cannot be decoded, or the model cannot process it.
    """
    audio = item.audio()
    if reason := model.unsupported_reason(len(audio)):
        raise InputError(f"{item.id}: {reason}")
    return audio


def requests_of(
    model: Listener, demands: Sequence[Demand], cache: Path | None, batch_size: int
) -> Iterator[Request]:
    """One request for each item of each demand that the reading does not leave out."""
    for number, demand in enumerate(demands):
        for index, item in enumerate(demand.corpus):
            wanted = demand.reading.wanted(item)
            if wanted is None:
                continue
            language = model.prompted_language(item) if isinstance(model, SpeechModel) else ""
            if demand.reading.needs != "encoder" and language not in ("", ENGLISH):
                wanted = [wanted, language]
            in_windows = demand.in_windows(model, item)
            if in_windows:
                wanted = [wanted, NAME]
            path = cache and cache / _key(model, item.audio_sha256, wanted, batch_size)
            yield Request(number, index, item, demand.reading, language, path, in_windows)


def _not_cached(
    model: Listener,
    demands: Sequence[Demand],
    cache: Path | None,
    fresh: bool,
    batch_size: int,
    collected: _Collected,
) -> list[list[Request]]:
    """Requests that the cache cannot answer, by clip in the order of the demands; collect all others."""
    clips: dict[tuple[str, str, bool], list[Request]] = defaultdict(list)
    cached: set[tuple[str, str, bool]] = set()
    for request in requests_of(model, demands, cache, batch_size):
        item, path = request.item, request.path
        clip = item.audio_sha256, request.language, request.in_windows
        if reason := demands[request.demand].unsupported_reason(model, item):
            collected.refuse([request], reason)
        elif path and not fresh and collected.log.cache_use.read(path) is not None:
            collected.add(request, path)
            cached.add(clip)
        else:
            clips[clip].append(request)
    collected.log.cached = len(cached - set(clips))
    return list(clips.values())


def _read(
    model: Listener, group: Sequence[_Clip], watch: Stopwatch, log: CaptureLog
) -> list[list[Values | Path]]:
    """One forward pass of a batch, and all its readings, [clip][request]."""
    audio = [clip.audio for clip in group]
    asked = {
        site
        for clip in group
        for request in clip.requests
        for site in request.reading.sites(model.encoder_sites)
    }
    width(model, audio)
    language = group[0].requests[0].language
    with model.prompted(language) if isinstance(model, SpeechModel) else nullcontext():
        sites = [site for site in model.encoder_sites if site in asked]
        forward_pass = ForwardPass(model, audio, watch, sites)
        readings = [
            _take(model, forward_pass.clip(row), clip, log.cache_use) for row, clip in enumerate(group)
        ]
    log.processed += len(group)
    log.audio_s += sum(map(len, audio)) / SAMPLING_RATE
    return readings


def _read_in_windows(
    model: Listener, requests: Sequence[Request], watch: Stopwatch, log: CaptureLog
) -> list[Values | Path]:
    """All readings of a clip that is longer than the model's window."""
    item, readings = requests[0].item, [request.reading for request in requests]
    with model.prompted(requests[0].language) if isinstance(model, SpeechModel) else nullcontext():
        taken = take_in_windows(model, [request.item for request in requests], readings, watch)
    log.processed += 1
    log.audio_s += item.duration
    by_request = dict(zip(map(id, requests), taken, strict=True))
    return _kept(model, requests, lambda request: by_request[id(request)], log.cache_use)


def _take(model: Listener, view: Clip, clip: _Clip, cache_use: CacheUse) -> list[Values | Path]:
    """The readings of one clip in the order of its requests."""
    return _kept(model, clip.requests, lambda request: request.reading.take(view, request.item), cache_use)


def _kept(
    model: Listener,
    requests: Sequence[Request],
    take: Callable[[Request], Values],
    cache_use: CacheUse,
) -> list[Values | Path]:
    """What requests take, in their order; each is taken once and cached."""
    readings: list[Values | Path] = []
    by_path: dict[Path, Values | Path] = {}
    for request in requests:
        if request.path is None or request.path not in by_path:
            values = {name: _stored(tensor) for name, tensor in take(request).items()}
            if not all(torch.isfinite(values[name]).all() for name in values):
                raise InnerearError(
                    f"{model.identity.name}: states on {request.item.id} are not finite; "
                    "check the weights (`innerear models fetch` verifies them), or, in float16, use bfloat16"
                )
            if request.path is not None:
                written = cache_use.write(request.path, save(values))
                by_path[request.path] = request.path if written else values
        readings.append(values if request.path is None else by_path[request.path])
    return readings


def _stored(tensor: Tensor) -> Tensor:
    """The tensor as it is cached: on the CPU, floats as float32."""
    tensor = tensor.float() if tensor.is_floating_point() else tensor
    return tensor.detach().cpu().contiguous().clone()


def _key(model: Listener, audio_sha256: str, wanted: Any, batch_size: int) -> str:
    # in a batch, the last bits differ from those of a clip alone
    batch = [batch_size] if batch_size > 1 else []
    here = [*origin(str(model.device)), *batch]
    digest = sha256_json([model.identity.sha256, audio_sha256, wanted, here])
    return f"{model.identity.name}/{digest[:2]}/{digest[2:]}{SUFFIX}"
