"""Grade the evidence for one phone: a continuum between two recordings, or noise on the phone alone.

Psychometric curves of recognisers need steps between "rice" and "lice" that differ in nothing else
(Borsky, Tuller & Shapiro 1998, for listeners). Both functions change a phone inside a clip and leave what is
around it as it is, so they work in any carrier; frames stay aligned, since no length changes.
"""

import librosa
import numpy as np

from innerear.data.schema import SAMPLING_RATE
from innerear.util.errors import InputError

CONTEXT = 0.04
"""Seconds on either side of the phone in which the change fades: transitions belong to the phone."""
RAMP = 0.005
"""Seconds in which masking noise rises and falls, inside the phone."""

_WINDOW, _HOP = 256, 64
"""Samples: 16 ms resolve a stop's burst, and every harmonic from 125 Hz apart."""
_ITERATIONS = 30
_QUIET = 1e-4
"""Added to magnitudes, so that the logarithm of silence is finite: below the noise of a quiet room."""


def continuum(
    a: np.ndarray, b: np.ndarray, span_a: tuple[int, int], span_b: tuple[int, int], steps: int = 9
) -> np.ndarray:
    """Morph one phone of a clip into that of another clip, in equal steps.

    The phone of `b` is stretched to the length of that of `a` (phase vocoder); magnitudes of the short-time
    spectra are interpolated logarithmically; phases begin as those of the nearer endpoint and are made
    consistent (Griffin & Lim 1984). The change fades over `CONTEXT` on either side.

    Parameters
    ----------
    a, b
        Clips of the same voice, float32 at `SAMPLING_RATE`, that differ in one phone.
    span_a, span_b
        First sample of the phone and the one after its last, in either clip.
    steps
        How many, both endpoints included.

    Returns
    -------
    array
        [step, sample], float32, each as long as `a`. The first is `a` bit for bit; the last has the
        spectrum of `b` on the phone. All are `a` outside the phone and its context.

    Raises
    ------
    InputError
        If there are fewer than two steps, or a span lies outside its clip or lasts less than 10 ms.
    """
    if steps < 2:
        raise InputError(f"a continuum of {steps} steps; it needs two or more")
    _check(a, span_a)
    _check(b, span_b)
    ratio = (span_b[1] - span_b[0]) / (span_a[1] - span_a[0])
    room = min(span_a[0], len(a) - span_a[1], span_b[0] / ratio, (len(b) - span_b[1]) / ratio)
    context = int(min(CONTEXT * SAMPLING_RATE, room))
    start, end = span_a[0] - context, span_a[1] + context
    mine = a[start:end]
    theirs = b[max(0, round(span_b[0] - ratio * context)) : round(span_b[1] + ratio * context)]
    own, other = _spectrum(mine), _spectrum(_stretched(theirs, len(mine)))
    fade = [0, context, len(mine) - context, len(mine)]
    centres = np.minimum(np.arange(own.shape[1]) * _HOP, len(mine))
    weight = np.interp(centres, fade, [0, 1, 1, 0]) if context else np.ones(len(centres))
    # At its edges the piece is the clip's own samples, so that it joins without a click.
    edge = max(1, context // 4)
    keep = np.clip(np.minimum(np.arange(len(mine)), np.arange(len(mine))[::-1]) / edge, 0, 1)
    made = np.repeat(a[None], steps, axis=0).astype(np.float32)
    for step in range(1, steps):
        made[step, start:end] = _morphed(mine, own, other, step / (steps - 1) * weight, keep)
    return made


def masked(clip: np.ndarray, span: tuple[int, int], snr: float, seed: int) -> np.ndarray:
    """Add white noise to one phone of a clip alone.

    Parameters
    ----------
    clip
        float32 at `SAMPLING_RATE`.
    span
        First sample of the phone and the one after its last.
    snr
        Power of the phone against that of the noise, in dB.
    seed
        Of the noise.

    Returns
    -------
    array
        The clip with the noise, which rises and falls over `RAMP` inside the phone; softer as a whole where
        it would clip.

    Raises
    ------
    InputError
        If the span lies outside the clip or lasts less than 10 ms.
    """
    _check(clip, span)
    phone = clip[slice(*span)]
    edge = np.minimum(np.arange(len(phone)) + 1, np.arange(len(phone), 0, -1)) / (RAMP * SAMPLING_RATE)
    noise = np.random.default_rng(seed).standard_normal(len(phone)) * np.minimum(1, edge)
    gain = np.sqrt(np.square(phone).mean() / np.square(noise).mean()) * 10 ** (-snr / 20)
    mixed = np.array(clip, dtype=np.float32)
    mixed[slice(*span)] += gain * noise
    return np.asarray(mixed / max(1.0, np.abs(mixed).max()), dtype=np.float32)


def _check(clip: np.ndarray, span: tuple[int, int]) -> None:
    if not 0 <= span[0] < span[1] <= len(clip) or span[1] - span[0] < SAMPLING_RATE // 100:
        raise InputError(f"a phone at samples {span[0]} to {span[1]} of a clip of {len(clip)} samples")


def _morphed(
    mine: np.ndarray, own: np.ndarray, other: np.ndarray, weight: np.ndarray, keep: np.ndarray
) -> np.ndarray:
    """Samples whose spectrum lies between two spectra: `weight` [frame] is 0 for `own`, 1 for `other`."""
    magnitude = np.exp((1 - weight) * np.log(np.abs(own) + _QUIET) + weight * np.log(np.abs(other) + _QUIET))
    phase = np.angle(np.where(weight <= 0.5, own, other))
    piece = mine
    # librosa.griffinlim starts from random phases or from none.
    for _ in range(_ITERATIONS):
        piece = librosa.istft(magnitude * np.exp(1j * phase), hop_length=_HOP, length=len(mine))
        piece = keep * piece + (1 - keep) * mine
        phase = np.angle(_spectrum(piece))
    return piece


def _spectrum(samples: np.ndarray) -> np.ndarray:
    return np.asarray(librosa.stft(samples, n_fft=_WINDOW, hop_length=_HOP))


def _stretched(samples: np.ndarray, length: int) -> np.ndarray:
    rate = len(samples) / length
    stretched = librosa.effects.time_stretch(samples, rate=rate, n_fft=_WINDOW, hop_length=_HOP)
    return np.asarray(librosa.util.fix_length(stretched, size=length))
