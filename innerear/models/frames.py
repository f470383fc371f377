"""Times of encoder frames: the centre of each in seconds, from the model's own convolutions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from innerear.data.schema import SAMPLING_RATE


@dataclass(frozen=True)
class FrameClock:
    """Frames at a fixed stride; frame i is centred at `(first + i * stride) / SAMPLING_RATE` seconds.

    `padded` marks a front end that pads every clip (Whisper): frames past the end of the clip exist, but hold
    no speech and are not valid. `reach` is the length in samples of a clip that has one valid frame, `least`
    of the shortest that the front end takes. `restart` is the number of samples after which frames start anew
    as at the start of the clip; 0 if they never do.
    """

    first: float
    stride: int
    reach: int
    padded: bool
    least: int = 0
    restart: int = 0

    @classmethod
    def of_convolutions(cls, kernels: Sequence[int], strides: Sequence[int]) -> "FrameClock":
        """Clock of unpadded convolutions over raw samples (Moonshine, wav2vec 2.0, HuBERT, WavLM)."""
        stride, reach = 1, 1
        for kernel, step in zip(kernels, strides, strict=True):
            reach += (kernel - 1) * stride
            stride *= step
        return cls(first=(reach - 1) / 2, stride=stride, reach=reach, padded=False)

    @classmethod
    def of_fast_conformer(cls, factor: int) -> "FrameClock":
        """Clock of a subsampling by `factor` over NeMo's log-mel frames (Parakeet, Canary).

        Mel frame j is centred on sample 160 j, and the extractor masks the last, whose hop is not whole; each
        padded convolution of stride 2 puts its frame i on the frame 2 i before it. The extractor divides by
        the deviation over mel frames, of which there must be two.
        """
        return cls(first=0.0, stride=160 * factor, reach=160, padded=False, least=320)

    @classmethod
    def of_causal_conformer(cls, factor: int) -> "FrameClock":
        """Clock of a subsampling by `factor` that sees nothing of the future (Nemotron streaming).

        Each convolution of stride 2 makes its frame i of the frames 2 i - 2 to 2 i before it, so that the
        first frame is centred before the start of the clip; the last ones are made of what there is.
        """
        return cls(-160.0 * (factor - 1), 160 * factor, reach=160 * (2 - factor), padded=False, least=160)

    @classmethod
    def of_pieces(cls, mel_frames: int, factor: int, least: int) -> "FrameClock":
        """Clock of a padded subsampling by `factor` over pieces of `mel_frames` frames each (Qwen3-ASR).

        Mel frame j is centred on sample 160 j; the last hop must be whole.
        """
        return cls(0.0, 160 * factor, reach=160, padded=False, least=least, restart=160 * mel_frames)

    def pooled(self, frames: int) -> "FrameClock":
        """Clock of what is pooled from each `frames` whole frames: their mean time; none pools padding."""
        assert self.padded
        return FrameClock(
            first=self.first + self.stride * (frames - 1) / 2,
            stride=self.stride * frames,
            reach=self.stride * (frames - 1) + 1,
            padded=False,
        )

    def in_windows(self, samples: int) -> "FrameClock":
        """Clock of a clip that is heard in consecutive windows of `samples` samples."""
        assert not self.restart or samples % self.restart == 0
        return self if self.restart else replace(self, restart=samples)

    def count(self, samples: int) -> int:
        """Count the valid frames of a clip of `samples` samples."""
        if samples < self.least:
            return 0
        if not self.restart:
            return self._uninterrupted(samples)
        whole, rest = divmod(samples, self.restart)
        return whole * self._uninterrupted(self.restart) + self._uninterrupted(rest)

    def _uninterrupted(self, samples: int) -> int:
        if self.padded:
            return 1 + (samples - 1) // self.stride
        return max(0, 1 + (samples - self.reach) // self.stride)

    def times(self, samples: int) -> np.ndarray:
        """Centres of the valid frames in seconds, [frame]."""
        frames = np.arange(self.count(samples))
        whole, rest = np.zeros_like(frames), frames
        if self.restart:
            whole, rest = np.divmod(frames, self._uninterrupted(self.restart))
        return np.asarray((self.first + self.stride * rest + self.restart * whole) / SAMPLING_RATE)

    def nearest(self, seconds: np.ndarray, samples: int) -> np.ndarray:
        """Index of the valid frame whose centre is nearest to each time, [time]."""
        if self.restart:
            times = self.times(samples)
            after = np.clip(np.searchsorted(times, seconds), 1, max(1, len(times) - 1))
            before = np.maximum(after - 1, 0)
            late = len(times) > 1 and np.abs(seconds - times[before]) > np.abs(seconds - times[after])
            return np.where(late, after, before)
        index = np.rint((seconds * SAMPLING_RATE - self.first) / self.stride).astype(np.int64)
        return np.clip(index, 0, self.count(samples) - 1)


WHISPER = FrameClock(first=0.0, stride=320, reach=400, padded=True)
"""Mel frame j is centred on sample 160 j; conv2 (stride 2, padded) puts encoder frame i on mel frame 2 i."""
