"""Grade the acoustic evidence for one phone: a continuum between two recordings, or noise on the phone alone.

Psychometric curves of recognisers need steps between "rice" and "lice" that differ in nothing else
(Borsky, Tuller & Shapiro 1998, for human listeners). Both functions change one phone of a clip and leave the
rest as it is, so they work in any carrier sentence. No length changes, so frames stay aligned.

librosa does the short-time Fourier transforms and the phase vocoder. scipy has no phase vocoder, and its
`ShortTimeFFT` pads, scales and sums in another order, so its samples differ in their last bits, and with them
the published curves. librosa is imported where it is used: few users of this module render a continuum.
"""

import numpy as np

from innerear.data.schema import SAMPLING_RATE
from innerear.util.errors import InputError

CONTEXT = 0.04
"""Seconds on either side of the phone over which the change fades out: transitions belong to the phone."""
RAMP = 0.005
"""Seconds over which masking noise rises and falls, inside the phone."""

_WINDOW, _HOP = 256, 64
"""Samples: 16 ms resolve a stop's burst, and harmonics that are 125 Hz or more apart."""
_ITERATIONS = 30
_QUIET = 1e-4
"""Added to magnitudes, so that the logarithm of silence is finite: below the noise of a quiet room."""


def continuum(
    a: np.ndarray, b: np.ndarray, span_a: tuple[int, int], span_b: tuple[int, int], steps: int = 9
) -> np.ndarray:
    """Morph one phone of a clip into that of another clip, in equal steps.

    The phone of `b` is stretched to the length of that of `a` (phase vocoder); magnitudes of the short-time
    spectra are interpolated logarithmically; phases start from those of the nearer endpoint and are made
    consistent iteratively (Griffin & Lim 1984). The change fades out over `CONTEXT` on either side.

    Parameters
    ----------
    a, b
        Clips of the same voice, float32 at `SAMPLING_RATE`, that differ in one phone.
    span_a, span_b
        First sample of the phone and the one after its last, in each clip.
    steps
        Number of steps, both endpoints included.

    Returns
    -------
    array
        [step, sample], float32, each as long as `a`. The first equals `a` exactly; the last has the
        spectrum of `b` on the phone. Outside the phone and its context, all equal `a`.

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
    piece_a = a[start:end]
    piece_b = b[max(0, round(span_b[0] - ratio * context)) : round(span_b[1] + ratio * context)]
    spectrum_a, spectrum_b = _spectrum(piece_a), _spectrum(_stretched(piece_b, len(piece_a)))
    fade = [0, context, len(piece_a) - context, len(piece_a)]
    centres = np.minimum(np.arange(spectrum_a.shape[1]) * _HOP, len(piece_a))
    weight = np.interp(centres, fade, [0, 1, 1, 0]) if context else np.ones(len(centres))
    # At its edges the piece keeps the clip's own samples, so that it joins without a click.
    edge = max(1, context // 4)
    keep = np.clip(np.minimum(np.arange(len(piece_a)), np.arange(len(piece_a))[::-1]) / edge, 0, 1)
    clips = np.repeat(a[None], steps, axis=0).astype(np.float32)
    for step in range(1, steps):
        weights = step / (steps - 1) * weight
        clips[step, start:end] = _morphed(piece_a, spectrum_a, spectrum_b, weights, keep)
    return clips


def masked(clip: np.ndarray, span: tuple[int, int], snr: float, seed: int) -> np.ndarray:
    """Add white noise to one phone of a clip, and to nothing else.

    Parameters
    ----------
    clip
        float32 at `SAMPLING_RATE`.
    span
        First sample of the phone and the one after its last.
    snr
        Power of the phone relative to that of the noise, in dB.
    seed
        Seed of the noise.

    Returns
    -------
    array
        The clip with the noise, which rises and falls over `RAMP` inside the phone. The whole clip is made
        softer if it would clip otherwise.

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
        raise InputError(
            f"a phone at samples {span[0]} to {span[1]} of a clip of {len(clip)} samples; it must lie inside "
            "the clip and last 10 ms or more"
        )


def _morphed(
    piece_a: np.ndarray,
    spectrum_a: np.ndarray,
    spectrum_b: np.ndarray,
    weight: np.ndarray,
    keep: np.ndarray,
) -> np.ndarray:
    """Samples whose spectrum lies between two spectra.

    Parameters
    ----------
    piece_a
        [sample]: the clip's own samples.
    spectrum_a, spectrum_b
        [frequency, frame].
    weight
        [frame]: 0 gives `spectrum_a`, 1 `spectrum_b`.
    keep
        [sample]: 0 where the clip's own samples stay, 1 where they are replaced.
    """
    import librosa

    magnitude = np.exp(
        (1 - weight) * np.log(np.abs(spectrum_a) + _QUIET) + weight * np.log(np.abs(spectrum_b) + _QUIET)
    )
    phase = np.angle(np.where(weight <= 0.5, spectrum_a, spectrum_b))
    piece = piece_a
    # Not librosa.griffinlim, which starts from random or zero phases only.
    for _ in range(_ITERATIONS):
        piece = librosa.istft(magnitude * np.exp(1j * phase), hop_length=_HOP, length=len(piece_a))
        piece = keep * piece + (1 - keep) * piece_a
        phase = np.angle(_spectrum(piece))
    return piece


def _spectrum(samples: np.ndarray) -> np.ndarray:
    import librosa

    return np.asarray(librosa.stft(samples, n_fft=_WINDOW, hop_length=_HOP))


def _stretched(samples: np.ndarray, length: int) -> np.ndarray:
    import librosa

    rate = len(samples) / length  # the result has round(len(samples) / rate) samples, which is `length`
    return np.asarray(librosa.effects.time_stretch(samples, rate=rate, n_fft=_WINDOW, hop_length=_HOP))
