"""Capture: one pass over the audio that serves the readings of all tasks.

The demands of all tasks are collected first, so that each clip is processed once, however many tasks and
corpora use it. Readings are cached in one file each, keyed by content: model, audio, and what is read. On a
CPU, clips are processed in parallel, each in one process with one thread.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load, save
from torch import Tensor

from innerear.activations.forward import Clip, ForwardPass, Listener, Stopwatch
from innerear.activations.readings import Reading
from innerear.data.language import ENGLISH
from innerear.data.schema import SAMPLING_RATE, Corpus, Item
from innerear.models.base import SpeechModel
from innerear.util.cached import SUFFIX, CacheUse
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import sha256_json
from innerear.util.processes import parallel_map, process_count
from innerear.util.progress import bar

Values = dict[str, Tensor]


@dataclass(frozen=True)
class Demand:
    """A reading of every item of a corpus."""

    corpus: Corpus
    reading: Reading

    def unsupported_reason(self, model: Listener, item: Item) -> str | None:
        """Why the reading cannot be taken from an item: the model does not know the language."""
        if self.reading.needs == "encoder" or not isinstance(model, SpeechModel):
            return None
        return model.untranscribed_reason(item)

    def unsupported_by(self, model: Listener) -> str | None:
        """Why the reading can be taken from no item, or None."""
        reasons = [self.unsupported_reason(model, item) for item in self.corpus]
        return reasons[0] if reasons and all(reasons) else None


@dataclass
class CaptureLog:
    """Counts and timings of a capture.

    `audio_s`, `encoder_s` and `decoder_s` cover the clips that were processed and not cached, after one
    warm-up pass; `encoder_s` includes the front end. Seconds of clips that are processed in parallel add up.
    `gpu_ms` is measured by CUDA events, None on a CPU. `cache_use` counts damaged cached readings.
    """

    audio_s: float = 0.0
    encoder_s: float = 0.0
    decoder_s: float = 0.0
    gpu_ms: float | None = None
    processed: int = 0
    cached: int = 0
    cache_use: CacheUse = field(default_factory=CacheUse)

    def add(self, other: "CaptureLog") -> None:
        """Add the log of another process."""
        self.audio_s += other.audio_s
        self.encoder_s += other.encoder_s
        self.decoder_s += other.decoder_s
        self.processed += other.processed
        self.cache_use.add(other.cache_use)


@dataclass(frozen=True)
class Captured:
    """The readings of one demand.

    Attributes
    ----------
    values
        By index of the item in the corpus; items that were refused or left out are missing.
    refused
        (item id, reason).
    log
        Of the capture, which other demands may share.
    nothing
        Why no clip could be processed; '' if one could.
    """

    values: dict[int, Values]
    refused: tuple[tuple[str, str], ...]
    log: CaptureLog
    nothing: str = ""

    def require_clips(self) -> None:
        """Raise an `InputError` if no clip could be processed."""
        if self.nothing:
            raise InputError(self.nothing)

    @property
    def indices(self) -> np.ndarray:
        """Indices in the corpus of the items that were read, in order."""
        return np.array(sorted(self.values), dtype=np.int64)

    def stacked(self, name: str) -> np.ndarray:
        """One tensor [site, dim] of each item, as float32 [site, item, dim] in the order of `indices`."""
        return torch.stack([self.values[index][name] for index in self.indices], dim=1).numpy()

    def joined(self, name: str) -> np.ndarray:
        """Tensors [row, site, dim] of all items, as one float32 block [site, row, dim]."""
        parts = [self.values[index][name] for index in self.indices]
        _, sites, dim = parts[0].shape
        block = np.empty((sites, sum(map(len, parts)), dim), dtype=np.float32)
        start = 0
        for part in parts:
            block[:, start : start + len(part)] = part.transpose(0, 1).numpy()
            start += len(part)
        return block


@dataclass(frozen=True)
class _Request:
    """One reading of one item, its demand, the language of the prompt, and its file in the cache."""

    demand: int
    index: int
    item: Item
    reading: Reading
    language: str
    path: Path | None


@dataclass
class _ClipReadings:
    """The readings of one clip in the order of its requests, or why it was refused."""

    values: list[Values]
    refused: str
    log: CaptureLog


@dataclass
class _Clip:
    """One clip in one language."""

    audio: np.ndarray
    requests: list[_Request]


@dataclass
class _Collected:
    values: list[dict[int, Values]]
    refused: list[dict[str, str]]
    log: CaptureLog = field(default_factory=CaptureLog)

    def add(self, request: _Request, values: Values) -> None:
        self.values[request.demand][request.index] = values

    def refuse(self, requests: Sequence[_Request], reason: str) -> None:
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
        Folder of cached readings; None caches nothing. Damaged ones are taken again, and where the folder
        cannot be written, nothing is cached; both are logged as a warning.
    batch_size
        Clips in a forward pass. Only clips of one input shape share a pass, so nothing is padded.
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
        If no clip of a demand can be processed (unless `partial`).
    InnerearError
        If a model's states are not finite.
    """
    collected = _Collected([{} for _ in demands], [{} for _ in demands])
    clips = _not_cached(model, demands, cache, fresh, batch_size, collected)
    if model.device.type == "cpu" and batch_size == 1:
        _in_processes(model, clips, strict, collected)
    else:
        _in_batches(model, clips, batch_size, strict, collected)
    if cache:
        collected.log.cache_use.warn(cache)
    made = []
    for demand, values, refused in zip(demands, collected.values, collected.refused, strict=True):
        first = f" (the first: {next(iter(refused.values()))})" if refused else ""
        nothing = f"{demand.corpus.name}: no clip could be processed by {model.identity.name}{first}"
        made.append(
            Captured(
                dict(sorted(values.items())),
                tuple(refused.items()),
                collected.log,
                "" if values else nothing,
            )
        )
        if not partial:
            made[-1].require_clips()
    return made


def _in_processes(
    model: Listener, clips: Sequence[list[_Request]], strict: bool, collected: _Collected
) -> None:
    """Process clips singly, in as many processes as there are threads: results do not depend on how many."""
    watch, warm = Stopwatch(model.device), [False]

    def process(requests: list[_Request]) -> _ClipReadings:
        try:
            clip = _Clip(_audio(model, requests[0].item), requests)
        except InputError as error:
            if strict:
                raise
            return _ClipReadings([], str(error), CaptureLog())
        log, before = CaptureLog(), dict(watch.seconds)
        (values,) = _read(model, [clip], watch, log, warm)
        log.encoder_s, log.decoder_s = (
            watch.seconds[stage] - before[stage] for stage in ("encoder", "decoder")
        )
        return _ClipReadings(values, "", log)

    with bar(f"{model.identity.name}: capturing", len(clips)) as advance:
        processed = parallel_map(process, clips, process_count(len(clips)))
        for requests, readings in zip(clips, processed, strict=True):
            if readings.refused:
                collected.refuse(requests, readings.refused)
            for request, values in zip(requests, readings.values, strict=False):
                collected.add(request, values)
            collected.log.add(readings.log)
            advance()


def _in_batches(
    model: Listener, clips: Sequence[list[_Request]], batch_size: int, strict: bool, collected: _Collected
) -> None:
    """Process clips of one input shape and one language together, in this process."""
    watch, warm = Stopwatch(model.device), [False]
    pending: dict[tuple[int, str], list[_Clip]] = defaultdict(list)
    with bar(f"{model.identity.name}: capturing", len(clips)) as advance:

        def forward(group: list[_Clip]) -> None:
            for clip, readings in zip(group, _read(model, group, watch, collected.log, warm), strict=True):
                for request, values in zip(clip.requests, readings, strict=True):
                    collected.add(request, values)
            advance(len(group))
            group.clear()

        for requests in clips:
            try:
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


def _not_cached(
    model: Listener,
    demands: Sequence[Demand],
    cache: Path | None,
    fresh: bool,
    batch_size: int,
    collected: _Collected,
) -> list[list[_Request]]:
    """Requests that the cache cannot answer, by clip in the order of the demands; collect all others."""
    clips: dict[tuple[str, str], list[_Request]] = defaultdict(list)
    cached: set[tuple[str, str]] = set()
    for number, demand in enumerate(demands):
        for index, item in enumerate(demand.corpus):
            wanted = demand.reading.wanted(item)
            if wanted is None:
                continue
            language = model.prompted_language(item) if isinstance(model, SpeechModel) else ""
            if demand.reading.needs != "encoder" and language not in ("", ENGLISH):
                wanted = [wanted, language]
            path = cache and cache / _key(model, item.audio_sha256, wanted, batch_size)
            request = _Request(number, index, item, demand.reading, language, path)
            if reason := demand.unsupported_reason(model, item):
                collected.refuse([request], reason)
            elif path and not fresh and (kept := collected.log.cache_use.read(path)):
                collected.add(request, load(kept))
                cached.add((item.audio_sha256, language))
            else:
                clips[item.audio_sha256, language].append(request)
    collected.log.cached = len(cached - set(clips))
    return list(clips.values())


def _read(
    model: Listener, group: Sequence[_Clip], watch: Stopwatch, log: CaptureLog, warm: list[bool]
) -> list[list[Values]]:
    """One forward pass of a batch, and all its readings, [clip][request]; `warm` is set by the first pass."""
    audio = [clip.audio for clip in group]
    if not warm[0]:
        model.states(audio, model.encoder_sites)  # untimed
        warm[0] = True
    language = group[0].requests[0].language
    with model.prompted(language) if isinstance(model, SpeechModel) else nullcontext():
        forward_pass = ForwardPass(model, audio, watch)
        readings = [
            _take(model, forward_pass.clip(row), clip, log.cache_use) for row, clip in enumerate(group)
        ]
    log.processed += len(group)
    log.audio_s += sum(map(len, audio)) / SAMPLING_RATE
    return readings


def _take(model: Listener, view: Clip, clip: _Clip, cache_use: CacheUse) -> list[Values]:
    """The readings of one clip in the order of its requests; each is taken once and cached."""
    readings: list[Values] = []
    by_path: dict[Path, Values] = {}
    for request in clip.requests:
        if request.path is None or request.path not in by_path:
            tensors = request.reading.take(view, request.item)
            values = {name: _stored(tensor) for name, tensor in tensors.items()}
            if not all(torch.isfinite(values[name]).all() for name in values):
                raise InnerearError(
                    f"{model.identity.name}: states on {request.item.id} are not finite; "
                    "check the weights (`innerear models fetch` verifies them)"
                )
            if request.path is not None:
                by_path[request.path] = values
                cache_use.write(request.path, save(values))
        readings.append(values if request.path is None else by_path[request.path])
    return readings


def _stored(tensor: Tensor) -> Tensor:
    """The tensor as it is cached: on the CPU, floats as float32."""
    tensor = tensor.float() if tensor.is_floating_point() else tensor
    return tensor.detach().cpu().contiguous().clone()


def _key(model: Listener, audio_sha256: str, wanted: Any, batch_size: int) -> str:
    versions = [torch.__version__, transformers.__version__, model.device.type]
    if batch_size > 1:  # in a batch, the last bits differ from those of a clip alone
        versions.append(str(batch_size))
    digest = sha256_json([model.identity.sha256, audio_sha256, wanted, versions])
    return f"{model.identity.name}/{digest[:2]}/{digest[2:]}{SUFFIX}"
