"""Cut rendered words and phrases out of the silence around them, to be joined with others."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy.signal import lfilter

from innerear.data.schema import SAMPLING_RATE, Segment
from innerear.render.kokoro import RATE, Spoken
from innerear.render.synthesis import resampled

BEFORE, AFTER = 0.06, 0.12
"""Seconds of a rendering that are kept before and after the speech, for onset and decay."""
EARLY = 0.15
"""Seconds before its predicted start in which a word may begin. After silence predictions run late by 35 ms
more than within sentences, before /f/ and /s/ by up to 90."""
FADE_IN, FADE_OUT = 0.01, 0.04
"""Seconds of fading at the edges of the kept part."""
ROOM = 1e-4
"""RMS of the room noise, full scale being 1: -80 dB, about what the voices themselves have in pauses."""


def started(spoken: Spoken) -> Spoken:
    """Move the start of speech to where it first comes within 30 dB of its loudest 10 ms."""
    word, phone = spoken.words[0], spoken.phones[0]
    hop = RATE // 100
    power = np.square(spoken.audio[: len(spoken.audio) // hop * hop]).reshape(-1, hop).mean(axis=1)
    first = max(0, round(100 * (word.start - EARLY)))
    loud = np.flatnonzero(power[first:] > power.max() / 1000)
    start = min((first + int(loud[0])) / 100, phone.end - 0.03)  # no phone lasts less than 30 ms
    words, phones = ((replace(one[0], start=start), *one[1:]) for one in (spoken.words, spoken.phones))
    return Spoken(spoken.audio, words, phones)


def trimmed(spoken: Spoken) -> tuple[np.ndarray, int]:
    """Samples of the speech with its margins, faded, at `SAMPLING_RATE`; and the index of the first one."""
    first = max(0, round((spoken.words[0].start - BEFORE) * SAMPLING_RATE))
    piece = resampled(spoken)[first : round((spoken.words[-1].end + AFTER) * SAMPLING_RATE)]
    rise, fall = (round(seconds * SAMPLING_RATE) for seconds in (FADE_IN, FADE_OUT))
    piece[:rise] *= np.sin(np.linspace(0, np.pi / 2, rise)) ** 2
    piece[-fall:] *= np.cos(np.linspace(0, np.pi / 2, fall)) ** 2
    return piece, first


def room(length: int, generator: np.random.Generator) -> np.ndarray:
    """Noise that falls by 6 dB an octave above some 250 Hz, as that of a quiet room does."""
    noise = lfilter([1], [1, -0.9], generator.standard_normal(length))
    return np.asarray(ROOM / noise.std() * noise, dtype=np.float32)


def shifted(segments: Sequence[Segment], shift: float) -> Iterator[Segment]:
    """Move segments in time by `shift` seconds."""
    return (replace(one, start=one.start + shift, end=one.end + shift) for one in segments)
