"""Clips that are longer than a model's window: states of consecutive windows, and the model's own long form.

Windows begin where the last one ended, so that each hears nothing of the others; a rest that is too short for
the model is left out. Only what is read of a window is kept: the memory that a clip takes does not depend on
its length.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from innerear.activations.forward import Clip, ForwardPass, Listener, Stopwatch
from innerear.activations.readings import EncoderReading, Picked, Reading, Text, text_values
from innerear.data.playback import Playback
from innerear.data.schema import SAMPLING_RATE, Item
from innerear.models.base import SpeechModel
from innerear.util.errors import InputError

NAME = "windows-1"
"""Part of the key of what is cached; when any of this computes something else, it needs another."""


def take_in_windows(
    model: Listener, items: Sequence[Item], readings: Sequence[Reading], watch: Stopwatch
) -> list[dict[str, Tensor]]:
    """Take readings of a clip that is longer than the model's window, its windows one after another.

    Parameters
    ----------
    items, readings
        Items of one clip, and what is read of each: frames of the encoder, or the text.

    Raises
    ------
    InputError
        If the audio cannot be decoded, or the model has no long form for its text.
    """
    item = items[0]
    window = int(model.window * SAMPLING_RATE)
    clock = model.clock.in_windows(window)
    samples = int(item.duration * SAMPLING_RATE + 1e-6)
    if model.unsupported_reason(samples % window):
        samples -= samples % window
    gathered = {
        at: _Gathered(reading.pick(clock, samples, items[at]))
        for at, reading in enumerate(readings)
        if isinstance(reading, EncoderReading)
    }
    if gathered:
        first = 0
        for audio in _windows(item, window, samples):
            frames = clock.count(len(audio))
            parts = [each for each in gathered.values() if each.has(first, first + frames)]
            if parts:
                clip = ForwardPass(model, [audio], watch).clip(0)
                for each in parts:
                    each.add(clip, first, first + frames)
            first += frames
        if any(not each.whole for each in gathered.values()):
            raise InputError(
                f"{item.id}: the audio ends before the {item.duration:.3f} s that its header promises; "
                "copy it again"
            )
    return [
        reading.finished(gathered[at].states(), gathered[at].picked)
        if isinstance(reading, EncoderReading)
        else _text(model, item, reading, watch)
        for at, reading in enumerate(readings)
    ]


def _windows(item: Item, window: int, samples: int) -> Iterator[np.ndarray]:
    playback = Playback(item.pieces())
    while (size := min(window, samples - playback.start)) > 0 and len(audio := playback.peek(size)) == size:
        yield audio
        playback.skip(size)


def _text(model: Listener, item: Item, reading: Reading, watch: Stopwatch) -> dict[str, Tensor]:
    assert isinstance(reading, Text)
    assert isinstance(model, SpeechModel)
    with watch.time("decoder"):
        return text_values(model, model.transcribe_long(Playback(item.pieces())))


class _Gathered:
    """The states of the frames that a reading takes, or their means, as windows give them."""

    def __init__(self, picked: Picked) -> None:
        self.picked = picked
        lengths = np.array(picked.lengths)
        self._rows = len(lengths) if picked.mean else len(picked.index)
        self._row = np.repeat(np.arange(len(lengths)), lengths) if picked.mean else np.arange(self._rows)
        self._missing = np.bincount(self._row, minlength=self._rows)
        self._sums: Tensor | None = None

    @property
    def whole(self) -> bool:
        """Whether every frame has come."""
        return not self._missing.any()

    def _inside(self, first: int, last: int) -> np.ndarray:
        return np.flatnonzero((first <= self.picked.index) & (self.picked.index < last))

    def has(self, first: int, last: int) -> bool:
        """Whether any of these frames is taken."""
        return bool(len(self._inside(first, last)))

    def add(self, clip: Clip, first: int, last: int) -> None:
        """Take those of frames `first` to `last`, which a window holds."""
        inside = self._inside(first, last)
        rows, counts = np.unique(self._row[inside], return_counts=True)
        states = clip.frames(self.picked.index[inside] - first).float()
        sums = torch.stack([part.sum(dim=0) for part in states.split(counts.tolist())]).cpu()
        if self._sums is None:
            self._sums = torch.zeros(self._rows, *sums.shape[1:])
        self._sums[torch.from_numpy(rows)] += sums
        self._missing[rows] -= counts

    def states(self) -> Tensor:
        """[row, site, dim], float32."""
        assert self._sums is not None
        if not self.picked.mean:
            return self._sums
        return self._sums / torch.tensor(self.picked.lengths)[:, None, None]
