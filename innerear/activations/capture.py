"""Capture: one pass over the audio gives every task what it reads.

What tasks demand of clips is gathered first; each clip is then heard once, however many tasks and corpora it
serves. Readings are kept one file each, keyed by content: weights, audio, and what was wanted. On a CPU clips
are heard side by side, one process and one thread each.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from innerear.activations.forward import ForwardPass, Listener, Stopwatch
from innerear.activations.readings import Reading
from innerear.data.schema import SAMPLING_RATE, Corpus, Item
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import atomic, sha256_json
from innerear.util.processes import parallel_map, process_count
from innerear.util.progress import bar

Values = dict[str, Tensor]


@dataclass(frozen=True)
class Demand:
    """A reading, wanted of every item of a corpus."""

    corpus: Corpus
    reading: Reading


@dataclass
class CaptureLog:
    """What a pass did.

    `audio_s`, `encoder_s` and `decoder_s` cover the clips that were heard and not cached, after one warm-up
    pass; `encoder_s` is front end and encoder. Seconds of clips heard side by side add up. `gpu_ms` is the
    CUDA events' time, None on a CPU.
    """

    audio_s: float = 0.0
    encoder_s: float = 0.0
    decoder_s: float = 0.0
    gpu_ms: float | None = None
    heard: int = 0
    cached: int = 0

    def add(self, other: "CaptureLog") -> None:
        """Add what another process heard."""
        self.audio_s += other.audio_s
        self.encoder_s += other.encoder_s
        self.decoder_s += other.decoder_s
        self.heard += other.heard


@dataclass(frozen=True)
class Captured:
    """What one demand gave.

    Attributes
    ----------
    values
        By index of the item in the corpus; items that were refused or not wanted are missing.
    refused
        (item id, reason).
    log
        Of the pass, which several demands may have shared.
    """

    values: dict[int, Values]
    refused: tuple[tuple[str, str], ...]
    log: CaptureLog

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
        made = np.empty((sites, sum(map(len, parts)), dim), dtype=np.float32)
        start = 0
        for part in parts:
            made[:, start : start + len(part)] = part.transpose(0, 1).numpy()
            start += len(part)
        return made


@dataclass(frozen=True)
class _Want:
    """One reading of one item, and where the answer goes."""

    demand: int
    index: int
    item: Item
    reading: Reading
    path: Path | None


@dataclass
class _Answer:
    """What one clip gave, in the order of its wants; or why it was refused."""

    values: list[Values]
    refused: str
    log: CaptureLog


@dataclass
class _Clip:
    audio: np.ndarray
    wants: list[_Want]


@dataclass
class _Sink:
    values: list[dict[int, Values]]
    refused: list[dict[str, str]]
    log: CaptureLog = field(default_factory=CaptureLog)

    def put(self, want: _Want, values: Values) -> None:
        self.values[want.demand][want.index] = values

    def refuse(self, wants: Sequence[_Want], reason: str) -> None:
        for want in wants:
            self.refused[want.demand][want.item.id] = reason


def capture(
    model: Listener,
    demands: Sequence[Demand],
    *,
    cache: Path | None = None,
    batch_size: int = 1,
    strict: bool = False,
    fresh: bool = False,
) -> list[Captured]:
    """Read what is demanded, in one pass over all clips of all demands.

    Parameters
    ----------
    model
        A speech model, or a floor with the same face.
    cache
        Folder of cached readings; None keeps nothing.
    batch_size
        Clips in a forward pass. Only clips of one input shape share a pass, so nothing is padded.
    strict
        Raise on the first clip that cannot be heard, instead of counting it.
    fresh
        Hear everything again, whatever is cached.

    Returns
    -------
    list
        One answer for each demand.

    Raises
    ------
    InputError
        If no clip of a demand could be heard, or the cache folder cannot be written.
    InnerearError
        If a model's states are not finite.
    """
    sink = _Sink([{} for _ in demands], [{} for _ in demands])
    clips = _missing(model, demands, cache, fresh, batch_size, sink)
    if model.device.type == "cpu" and batch_size == 1:
        _side_by_side(model, clips, strict, sink)
    else:
        _in_batches(model, clips, batch_size, strict, sink)
    for demand, values, refused in zip(demands, sink.values, sink.refused, strict=True):
        if not values:
            first = f" (the first: {next(iter(refused.values()))})" if refused else ""
            raise InputError(f"{demand.corpus.name}: no clip could be heard by {model.identity.name}{first}")
    return [
        Captured(dict(sorted(values.items())), tuple(refused.items()), sink.log)
        for values, refused in zip(sink.values, sink.refused, strict=True)
    ]


def _side_by_side(model: Listener, clips: Sequence[list[_Want]], strict: bool, sink: _Sink) -> None:
    """Hear clips one by one, in as many processes as there are threads: bits do not depend on how many."""
    watch, warm = Stopwatch(model.device), [False]

    def hear(wants: list[_Want]) -> _Answer:
        try:
            clip = _Clip(_audio(model, wants[0].item), wants)
        except InputError as error:
            if strict:
                raise
            return _Answer([], str(error), CaptureLog())
        log, before = CaptureLog(), dict(watch.seconds)
        (values,) = _hear(model, [clip], watch, log, warm)
        log.encoder_s, log.decoder_s = (
            watch.seconds[stage] - before[stage] for stage in ("encoder", "decoder")
        )
        return _Answer(values, "", log)

    with bar(f"{model.identity.name}: listening", len(clips)) as advance:
        for wants, made in zip(clips, parallel_map(hear, clips, process_count(len(clips))), strict=True):
            if made.refused:
                sink.refuse(wants, made.refused)
            for want, values in zip(wants, made.values, strict=False):
                sink.put(want, values)
            sink.log.add(made.log)
            advance()


def _in_batches(
    model: Listener, clips: Sequence[list[_Want]], batch_size: int, strict: bool, sink: _Sink
) -> None:
    """Hear clips of one input shape together, in this process."""
    watch, warm = Stopwatch(model.device), [False]
    pending: dict[int, list[_Clip]] = defaultdict(list)
    with bar(f"{model.identity.name}: listening", len(clips)) as advance:

        def forward(group: list[_Clip]) -> None:
            for clip, values in zip(group, _hear(model, group, watch, sink.log, warm), strict=True):
                for want, each in zip(clip.wants, values, strict=True):
                    sink.put(want, each)
            advance(len(group))
            group.clear()

        for wants in clips:
            try:
                audio = _audio(model, wants[0].item)
            except InputError as error:
                if strict:
                    raise
                sink.refuse(wants, str(error))
                advance()
                continue
            group = pending[model.batch_key(len(audio))]
            group.append(_Clip(audio, wants))
            if len(group) == batch_size:
                forward(group)
            elif sum(map(len, pending.values())) >= 8 * batch_size:  # bounds the audio that waits
                forward(max(pending.values(), key=len))
        for group in pending.values():
            if group:
                forward(group)
    log = sink.log
    log.encoder_s, log.decoder_s = watch.seconds["encoder"], watch.seconds["decoder"]
    log.gpu_ms = watch.gpu_ms if model.device.type == "cuda" else None


def _audio(model: Listener, item: Item) -> np.ndarray:
    """The clip, an `InputError` where the model cannot hear it."""
    audio = item.audio()
    if reason := model.unsupported_reason(len(audio)):
        raise InputError(f"{item.id}: {reason}")
    return audio


def _missing(
    model: Listener, demands: Sequence[Demand], cache: Path | None, fresh: bool, together: int, sink: _Sink
) -> list[list[_Want]]:
    """What the cache does not know, clip by clip in the order of the demands; what it knows is put."""
    clips: dict[str, list[_Want]] = defaultdict(list)
    cached: set[str] = set()
    for number, demand in enumerate(demands):
        for index, item in enumerate(demand.corpus):
            wanted = demand.reading.wanted(item)
            if wanted is None:
                continue
            path = cache and cache / _key(model, item.audio_sha256, wanted, together)
            want = _Want(number, index, item, demand.reading, path)
            if path and not fresh and (values := _load(path)) is not None:
                sink.put(want, values)
                cached.add(item.audio_sha256)
            else:
                clips[item.audio_sha256].append(want)
    sink.log.cached = len(cached - set(clips))
    return list(clips.values())


def _hear(
    model: Listener, group: Sequence[_Clip], watch: Stopwatch, log: CaptureLog, warm: list[bool]
) -> list[list[Values]]:
    """One pass of a batch, and every reading that is wanted of it: [clip, want]."""
    audio = [clip.audio for clip in group]
    if not warm[0]:
        model.states(audio, model.encoder_sites)  # untimed
        warm[0] = True
    made = ForwardPass(model, audio, watch)
    answers: list[list[Values]] = []
    for row, clip in enumerate(group):
        heard = made.clip(row)
        answers.append([])
        same: dict[Path, Values] = {}
        for want in clip.wants:
            if want.path is None or want.path not in same:
                read = want.reading.take(heard, want.item)
                values = {name: _kept(tensor) for name, tensor in read.items()}
                if not all(torch.isfinite(values[name]).all() for name in values):
                    raise InnerearError(
                        f"{model.identity.name}: states on {want.item.id} are not finite; "
                        "check the weights (`innerear models fetch` verifies them)"
                    )
                if want.path is not None:
                    same[want.path] = values
                    with atomic(want.path) as temporary:
                        save_file(values, temporary)
            answers[-1].append(values if want.path is None else same[want.path])
    log.heard += len(group)
    log.audio_s += sum(map(len, audio)) / SAMPLING_RATE
    return answers


def _kept(tensor: Tensor) -> Tensor:
    """On the CPU, floats as float32."""
    tensor = tensor.float() if tensor.is_floating_point() else tensor
    return tensor.detach().cpu().contiguous().clone()


def _key(model: Listener, audio_sha256: str, wanted: Any, together: int) -> str:
    versions = [torch.__version__, transformers.__version__, model.device.type]
    if together > 1:  # a clip among others has other last bits than alone
        versions.append(str(together))
    digest = sha256_json([model.identity.weights_sha256, audio_sha256, wanted, versions])
    return f"{model.identity.name}/{digest[:2]}/{digest[2:]}.safetensors"


def _load(path: Path) -> Values | None:
    """Cached values, or None where there are none or the file is damaged (it is then made again)."""
    try:
        return load_file(path)
    except (FileNotFoundError, SafetensorError):
        return None
