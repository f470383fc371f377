"""Read activations: one pass over the audio yields every layer's features for the frames asked for.

The frames are taken on the device, before anything is copied or kept, so memory holds what the probe needs
and nothing else. Features are cached one file an item, keyed by content: weights, audio, sites, frames.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Protocol

import numpy as np
import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from innerear._io import atomic, sha256_json
from innerear.corpora.schema import SAMPLING_RATE, Corpus
from innerear.errors import InnerearError, InputError
from innerear.models.base import Identity
from innerear.models.frames import FrameClock
from innerear.progress import bar


class Listener(Protocol):
    """What capture needs of a model or of a floor: states at sites, and when its frames are."""

    identity: Identity
    clock: FrameClock

    @property
    def device(self) -> torch.device:
        """Where the states are computed."""

    @property
    def encoder_sites(self) -> tuple[str, ...]:
        """The sites that make up its layer curve."""

    def refusal(self, samples: int) -> str | None:
        """Tell why a clip cannot be heard, or None."""

    def batch_key(self, samples: int) -> int:
        """Clips of equal keys may share a batch."""

    def states(self, audio: Sequence[np.ndarray], sites: Sequence[str]) -> dict[str, Tensor]:
        """States [clip, frame, dim] by site."""


@dataclass
class CaptureLog:
    """What a capture did.

    `audio_s` and `forward_s` cover the clips that were heard and not cached, after one warm-up pass;
    `forward_s` is front end and encoder. `gpu_ms` is the CUDA events' time, None on a CPU. `refused` lists
    (item id, reason).
    """

    audio_s: float = 0.0
    forward_s: float = 0.0
    gpu_ms: float | None = None
    heard: int = 0
    cached: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)

    def joined(self, other: "CaptureLog") -> "CaptureLog":
        """The log of two captures by one model."""
        gpu = None if self.gpu_ms is None else self.gpu_ms + (other.gpu_ms or 0.0)
        return CaptureLog(
            self.audio_s + other.audio_s,
            self.forward_s + other.forward_s,
            gpu,
            self.heard + other.heard,
            self.cached + other.cached,
            self.refused + other.refused,
        )


@dataclass(frozen=True)
class Features:
    """States of the frames that were asked for.

    Attributes
    ----------
    values
        float32 [site, frame, dim].
    item
        Index of each frame's item in the corpus, [frame].
    position
        Index of each frame's time among those asked of its item, [frame].
    log
        What the capture did.
    """

    values: np.ndarray
    item: np.ndarray
    position: np.ndarray
    log: CaptureLog


@dataclass(frozen=True)
class _Clip:
    index: int
    audio: np.ndarray
    frames: np.ndarray
    path: Path | None


class _Table:
    """The features under construction: one block, filled item by item, so nothing is held twice."""

    def __init__(self, counts: Sequence[int]) -> None:
        self._ends = np.cumsum(counts)
        self._counts = np.asarray(counts)
        self._values: np.ndarray | None = None
        self.filled = np.zeros(len(counts), dtype=bool)

    def put(self, index: int, states: Tensor) -> None:
        """Keep the states [frame, site, dim] of one item."""
        if self._values is None:
            _, sites, dim = states.shape
            self._values = np.empty((sites, int(self._ends[-1]), dim), dtype=np.float32)
        start = self._ends[index] - self._counts[index]
        self._values[:, start : self._ends[index]] = states.transpose(0, 1).numpy()
        self.filled[index] = True

    def features(self, log: CaptureLog) -> Features:
        """Close the table: the frames of items that were refused are left out."""
        assert self._values is not None
        item = np.repeat(np.arange(len(self._counts)), self._counts)
        position = np.concatenate([np.arange(count) for count in self._counts])
        heard = self.filled[item]
        values = self._values if heard.all() else self._values[:, heard]
        return Features(values, item[heard], position[heard], log)


def capture(
    model: Listener,
    corpus: Corpus,
    sites: Sequence[str],
    times: Sequence[np.ndarray],
    *,
    cache: Path | None = None,
    batch_size: int = 1,
    strict: bool = False,
    fresh: bool = False,
) -> Features:
    """Capture the states at `sites` in the frames nearest to `times`, in one pass over the corpus.

    Parameters
    ----------
    model
        A speech model, or a floor with the same face.
    corpus
        The clips; those without times are not heard.
    sites
        Names of encoder sites.
    times
        For each item the times (seconds) of the frames wanted.
    cache
        Folder of cached features; None keeps nothing.
    batch_size
        Clips in a forward pass. Only clips of one input shape share a pass, so nothing is padded.
    strict
        Raise on the first clip that cannot be heard, instead of counting it.
    fresh
        Hear everything again, whatever is cached.

    Raises
    ------
    InputError
        If no clip could be heard, or the cache folder cannot be written.
    InnerearError
        If a model's states are not finite.
    """
    log = CaptureLog()
    table = _Table([len(asked) for asked in times])
    pending: dict[int, list[_Clip]] = defaultdict(list)
    wanted = [index for index, asked in enumerate(times) if len(asked)]
    with bar(f"{model.identity.name}: listening", len(wanted)) as advance:

        def forward(group: list[_Clip]) -> None:
            for clip, states in zip(group, _listen(model, sites, group, log), strict=True):
                if not torch.isfinite(states).all():
                    raise InnerearError(
                        f"{model.identity.name}: states on {corpus.items[clip.index].id} are not finite; "
                        "check the weights (`innerear models fetch` verifies them)"
                    )
                if clip.path is not None:
                    with atomic(clip.path) as temporary:
                        save_file({"states": states}, temporary)
                table.put(clip.index, states)
                advance()
            group.clear()

        for index in wanted:
            item = corpus.items[index]
            path = cache and cache / _key(model, item.audio_sha256, sites, times[index])
            if path and not fresh and (cached := _load(path)) is not None:
                table.put(index, cached)
                log.cached += 1
                advance()
                continue
            try:
                audio = item.audio()
                if reason := model.refusal(len(audio)):
                    raise InputError(f"{item.id}: {reason}")
            except InputError as error:
                if strict:
                    raise
                log.refused.append((item.id, str(error)))
                advance()
                continue
            group = pending[model.batch_key(len(audio))]
            group.append(_Clip(index, audio, model.clock.nearest(times[index], len(audio)), path))
            if len(group) == batch_size:
                forward(group)
            elif sum(map(len, pending.values())) >= 8 * batch_size:  # bounds the audio that waits
                forward(max(pending.values(), key=len))
        for group in pending.values():
            if group:
                forward(group)
    if not table.filled.any():
        first = f" (the first: {log.refused[0][1]})" if log.refused else ""
        raise InputError(f"{corpus.name}: no clip could be heard by {model.identity.name}{first}")
    return table.features(log)


def _listen(model: Listener, sites: Sequence[str], group: Sequence[_Clip], log: CaptureLog) -> list[Tensor]:
    """One timed forward pass; for each clip the wanted frames, [frame, site, dim] on the CPU."""
    audio = [clip.audio for clip in group]
    if not log.heard:
        model.states(audio, sites)  # warm-up, untimed
    gpu = model.device.type == "cuda"
    if gpu:
        torch.cuda.synchronize(model.device)
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
    started = perf_counter()
    states = model.states(audio, sites)
    if gpu:
        after.record()
        torch.cuda.synchronize(model.device)
        log.gpu_ms = (log.gpu_ms or 0.0) + before.elapsed_time(after)
    log.forward_s += perf_counter() - started
    log.audio_s += sum(map(len, audio)) / SAMPLING_RATE
    log.heard += len(group)
    taken = []
    for row, clip in enumerate(group):
        frames = torch.from_numpy(clip.frames).to(model.device)
        sampled = torch.stack([states[site][row].index_select(0, frames) for site in sites], dim=1)
        taken.append(sampled.float().cpu().contiguous())
    return taken


def _key(model: Listener, audio_sha256: str, sites: Sequence[str], times: np.ndarray) -> str:
    versions = [torch.__version__, transformers.__version__, model.device.type]
    content = [model.identity.weights_sha256, audio_sha256, list(sites), times.tolist(), versions]
    digest = sha256_json(content)
    return f"{model.identity.name}/{digest[:2]}/{digest[2:]}.safetensors"


def _load(path: Path) -> Tensor | None:
    """Cached states, or None where there are none or the file is damaged (it is then made again)."""
    try:
        return load_file(path)["states"]
    except (FileNotFoundError, SafetensorError, KeyError):
        return None
