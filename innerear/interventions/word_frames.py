"""Frames of a word and of its phones in the encoder: which states patching replaces."""

import numpy as np

from innerear.data.minimal_pairs import target
from innerear.data.schema import SAMPLING_RATE, Item
from innerear.models.base import SpeechModel


def frames_around_onset(model: SpeechModel, item: Item, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames of the context of a word, and those from its onset to the end of the clip.

    Parameters
    ----------
    samples
        Length of the audio that the model is given.
    """
    times = model.clock.times(samples)
    onset = target(item).onset / SAMPLING_RATE
    return np.flatnonzero(times < onset), np.flatnonzero(times >= onset)


def frames_in_span(model: SpeechModel, span: tuple[int, int], samples: int) -> np.ndarray:
    """Frames whose centres lie in a span of samples; if there is none, the frame nearest to its middle."""
    times = SAMPLING_RATE * model.clock.times(samples)
    inside = np.flatnonzero((span[0] <= times) & (times < span[1]))
    return inside if len(inside) else model.clock.nearest(np.array([sum(span) / 2 / SAMPLING_RATE]), samples)
