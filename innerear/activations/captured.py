"""What a capture gives: the readings of each demand, and how long they took."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor

from innerear.util.cached import CacheUse
from innerear.util.errors import InputError
from innerear.util.layers import Layers, OnDisk

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


class Readings(Mapping[int, Values]):
    """Readings by index of the item, in order; what is in the cache stays there until it is asked for.

    Parameters
    ----------
    kept
        The values, or the cached file that holds them.
    """

    def __init__(self, kept: Mapping[int, Values | Path]) -> None:
        self._kept = dict(sorted(kept.items()))

    def __getitem__(self, index: int) -> Values:
        """The values of one item.

        Raises
        ------
        InputError
            If its cached file was damaged or removed since it was captured.
        """
        kept = self._kept[index]
        if not isinstance(kept, Path):
            return kept
        if (data := CacheUse().read(kept)) is None:
            raise InputError(f"{kept}: was damaged or removed during the run; run the same command again")
        return load(data)

    def __iter__(self) -> Iterator[int]:
        """Indices in order."""
        return iter(self._kept)

    def __len__(self) -> int:
        """Number of items."""
        return len(self._kept)


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
    folder
        Where features are kept layer by layer; None keeps them in memory.
    """

    values: Readings
    refused: tuple[tuple[str, str], ...]
    log: CaptureLog
    nothing: str = ""
    folder: Path | None = None

    def require_clips(self) -> None:
        """Raise an `InputError` if no clip could be processed."""
        if self.nothing:
            raise InputError(self.nothing)

    @property
    def indices(self) -> np.ndarray:
        """Indices in the corpus of the items that were read, in order."""
        return np.array(list(self.values), dtype=np.int64)

    def stacked(self, name: str) -> Layers:
        """One tensor [site, dim] of each item, as float32 [site, item, dim] in the order of `indices`."""
        return self._layers(values[name][:, None] for values in self.values.values())

    def joined(self, name: str) -> Layers:
        """Tensors [row, site, dim] of all items, as one float32 block [site, row, dim]."""
        return self._layers(values[name].transpose(0, 1) for values in self.values.values())

    def _layers(self, parts: Iterable[Tensor]) -> Layers:
        """Tensors [site, row, dim] side by side."""
        if self.folder is None:
            return torch.cat(list(parts), dim=1).float().numpy()
        made = OnDisk(self.folder)
        for part in parts:
            made.append(part.numpy())
        made.flush()
        return made
