"""Floors: features computed without a network, such as log-mel frames, in place of a layer's states.

A probe on a floor shows what can be read from the audio alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from innerear.data.schema import SAMPLING_RATE
from innerear.models.base import Identity
from innerear.models.frames import FrameClock
from innerear.models.registry import FLOORS
from innerear.util.errors import InputError
from innerear.util.io import sha256_json

HOP = 160
WINDOW = 400
SITE, PITCH = FLOORS
LOWEST, HIGHEST = 60.0, 400.0
"""Hz: the range in which pitch is estimated."""


@dataclass(frozen=True)
class LogMelSpec:
    """Size of the log-mel floor: `bands` mel bands, and `context` frames of 10 ms on each side."""

    bands: int = 80
    context: int = 5


_ONCE = FrameClock(first=0.0, stride=2**62, reach=WINDOW, padded=True)
"""The clock of a floor that has one vector for a whole clip."""


class Floor(ABC):
    """Features computed on the CPU, with the interface of a model that has one layer.

    Parameters
    ----------
    name
        Of the floor, and of its only site.
    recipe
        What defines the features, its version last; its hash identifies the floor.
    """

    window = 30.0
    """Seconds of a piece of a long clip."""

    def __init__(self, name: str, recipe: Sequence[Any], clock: FrameClock) -> None:
        self.clock = clock
        self.identity = Identity(
            name=name,
            family="floor",
            kind="floor",
            revision=str(recipe[-1]),
            source="innerear",
            parts={"recipe": sha256_json(list(recipe))},
            parameters=0,
            licence="Apache-2.0",
            training_data=(),
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: the floor {self.identity.name}>"

    @property
    def device(self) -> torch.device:
        """Where features are computed: the CPU."""
        return torch.device("cpu")

    @property
    def encoder_sites(self) -> tuple[str, ...]:
        """Its only site."""
        return (self.identity.name,)

    def unsupported_reason(self, samples: int) -> str | None:
        """Why a clip of this length has no features, or None: it is shorter than one analysis window."""
        return None if samples >= WINDOW else f"{samples} samples are fewer than one window of {WINDOW}"

    def batch_key(self, samples: int) -> int:
        """Clips of one length share a batch."""
        return samples

    def states(self, audio: Sequence[np.ndarray], sites: Sequence[str]) -> dict[str, Tensor]:
        """Features [clip, frame, dim] at the only site."""
        (site,) = self.encoder_sites
        if tuple(sites) != (site,):
            raise InputError(f"the {site} floor has one site, {site!r}, not {list(sites)}")
        return {site: torch.from_numpy(np.stack([self.frames(clip) for clip in audio]))}

    @abstractmethod
    def frames(self, clip: np.ndarray) -> np.ndarray:
        """Features of a clip, float32 [frame, dim]."""


class LogMel(Floor):
    """Log-mel energies of a frame and its neighbours.

    Frames of 25 ms every 10 ms, Slaney mel bands from 0 to 8 kHz, log10 floored at 1e-10; the vector of a
    frame is the concatenation of `2 * context + 1` frames, edges repeated.
    """

    def __init__(self, spec: LogMelSpec) -> None:
        clock = FrameClock(first=0.0, stride=HOP, reach=WINDOW, padded=True)
        super().__init__(SITE, ["log-mel", spec.bands, spec.context, 1], clock)
        self.spec = spec
        self._filters = mel_filter_bank(
            num_frequency_bins=1 + WINDOW // 2,
            num_mel_filters=spec.bands,
            min_frequency=0.0,
            max_frequency=SAMPLING_RATE / 2,
            sampling_rate=SAMPLING_RATE,
            norm="slaney",
            mel_scale="slaney",
        )
        self._window = window_function(WINDOW, "hann")

    def frames(self, clip: np.ndarray) -> np.ndarray:
        """Stacked log-mel frames, [frame, bands * (2 * context + 1)]."""
        mel = spectrogram(
            clip,
            self._window,
            frame_length=WINDOW,
            hop_length=HOP,
            power=2.0,
            mel_filters=self._filters,
            log_mel="log10",
        )
        context = self.spec.context
        padded = np.pad(mel, ((0, 0), (context, context)), mode="edge")
        stacked = sliding_window_view(padded, 2 * context + 1, axis=1)  # [band, frame, offset]
        return np.ascontiguousarray(stacked.transpose(1, 2, 0).reshape(mel.shape[1], -1), dtype=np.float32)


class LogMelStatistics(Floor):
    """Mean and standard deviation of each log-mel band over a clip, as its only frame."""

    def __init__(self, bands: int) -> None:
        super().__init__(SITE, ["log-mel statistics", bands, 1], _ONCE)
        self._log_mel = LogMel(LogMelSpec(bands, 0))

    def frames(self, clip: np.ndarray) -> np.ndarray:
        """One vector, [1, 2 * bands]."""
        frames = self._log_mel.frames(clip)
        return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])[None]


class Pitch(Floor):
    """Statistics of the fundamental frequency over a clip: what indicates gender without timbre.

    Median, 10th and 90th percentile and standard deviation of log2 F0 over voiced frames, and the share of
    voiced frames, by probabilistic YIN (Mauch & Dixon 2014; librosa).
    """

    def __init__(self) -> None:
        super().__init__(PITCH, [PITCH, LOWEST, HIGHEST, 1], _ONCE)

    def frames(self, clip: np.ndarray) -> np.ndarray:
        """Five numbers, [1, 5]; all zero where nothing is voiced."""
        import librosa  # slow to import, and needed only here

        pitch, voiced, _ = librosa.pyin(clip, fmin=LOWEST, fmax=HIGHEST, sr=SAMPLING_RATE)
        if not voiced.any():
            return np.zeros((1, 5), dtype=np.float32)
        octaves = np.log2(pitch[voiced])
        low, middle, high = np.quantile(octaves, [0.1, 0.5, 0.9])
        return np.array([[middle, low, high, octaves.std(), voiced.mean()]], dtype=np.float32)
