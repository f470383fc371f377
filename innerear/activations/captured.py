"""What a capture gives: the readings of each demand, and how long they took."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from innerear.util.cached import CacheUse
from innerear.util.errors import InputError

Values = dict[str, Tensor]
"""What a reading took from one clip, by name."""


@dataclass
class CaptureLog:
    """Counts and timings of a capture.

    `audio_s`, `encoder_s` and `decoder_s` cover the clips that were processed and not cached, after one
    warm-up pass; `encoder_s` includes the front end. Seconds of clips that are processed in parallel add up.
    `gpu_ms` is measured by CUDA events, None on a CPU. `batch_size` is what memory allowed (0:
    nothing was captured). `cache_use` counts damaged cached readings.
    """

    audio_s: float = 0.0
    encoder_s: float = 0.0
    decoder_s: float = 0.0
    gpu_ms: float | None = None
    processed: int = 0
    cached: int = 0
    batch_size: int = 0
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
