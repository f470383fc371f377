"""Other rooms, microphones and speakers: synthesised speech, changed so that recorded speech is nearer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr
import torch
from torch import Tensor

from innerear.data.phones import ARPABET
from innerear.data.schema import SAMPLING_RATE, Segment

_RATES = (0.9, 1.0, 1.1)
_COLOUR = 4.0
"""dB: standard deviation of the gain at each of `_KNOTS` frequencies."""
_KNOTS = 7
_REVERBERANT = 0.4
"""Share of the clips in a room, with reverberation times between these seconds."""
_ROOM = (0.1, 0.4)
_SNR = (12.0, 45.0)
"""dB of speech over noise."""

_FREQUENCY_MASKS, _WIDTH = 2, 10
_TIME_MASKS, _SHARE = 2, 0.05
"""SpecAugment (Park et al. 2019): bands of up to 10 of 80 channels, stretches of up to 5 % of a clip."""


@dataclass(frozen=True)
class Changed:
    """A changed clip: float32 samples, and by what factor its times are longer than before."""

    audio: np.ndarray
    stretch: float


def changed(audio: np.ndarray, draw: np.random.Generator) -> Changed:
    """Play a clip faster or slower, in another room, through another microphone, with noise."""
    rate, before = float(draw.choice(_RATES)), len(audio)
    if rate != 1:
        audio = soxr.resample(audio, SAMPLING_RATE * rate, SAMPLING_RATE)
    length = len(audio)
    size = 1 << (length + SAMPLING_RATE // 2).bit_length()
    spectrum = np.fft.rfft(audio, size)
    gains = draw.normal(0, _COLOUR, _KNOTS)
    spectrum *= 10 ** (np.interp(np.linspace(0, _KNOTS - 1, len(spectrum)), np.arange(_KNOTS), gains) / 20)
    if draw.random() < _REVERBERANT:
        spectrum *= np.fft.rfft(_response(draw), size)
    heard = np.fft.irfft(spectrum, size)[:length]
    noise = draw.standard_normal(length)
    if draw.random() < 0.5:  # noise of most rooms is louder at low frequencies
        noise = np.convolve(noise, 0.8 ** np.arange(24))[:length]
    level = np.sqrt(np.square(heard).mean() / np.square(noise).mean())
    heard += noise * level * 10 ** (-draw.uniform(*_SNR) / 20)
    heard *= 10 ** draw.uniform(-1, -0.1) / max(np.abs(heard).max(), 1e-9)
    return Changed(heard.astype(np.float32), length / before)


def _response(draw: np.random.Generator) -> np.ndarray:
    """The direct sound, and what comes after it in a room: noise that decays by 60 dB."""
    seconds = draw.uniform(*_ROOM)
    times = np.arange(int(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    tail = draw.standard_normal(len(times)) * 10 ** (-3 * times / seconds)
    response = tail * draw.uniform(0.1, 0.7) / np.linalg.norm(tail)
    response[0] = 1
    return response


def masked(features: Tensor, lengths: Sequence[int], draw: np.random.Generator) -> Tensor:
    """Hide bands and stretches of normalised features [clip, frame, channel] behind their mean, 0."""
    features = features.clone()
    channels = features.shape[2]
    for clip, length in zip(features, lengths, strict=True):
        for _ in range(_FREQUENCY_MASKS):
            width = int(draw.integers(_WIDTH + 1))
            at = int(draw.integers(channels - width + 1))
            clip[:, at : at + width] = 0
        for _ in range(_TIME_MASKS):
            width = int(draw.integers(int(_SHARE * length) + 1))
            at = int(draw.integers(length - width + 1))
            clip[at : at + width] = 0
    return features


def phones_at(phones: Sequence[Segment], times: np.ndarray) -> Tensor:
    """The class of the phone at each time in seconds; between phones one more than there are classes."""
    number = {label: at for at, label in enumerate(ARPABET)}
    starts = np.array([phone.start for phone in phones])
    at = np.searchsorted(starts, times, side="right") - 1
    classes = [
        number[phones[index].label] if index >= 0 and time < phones[index].end else len(ARPABET)
        for index, time in zip(at, times, strict=True)
    ]
    return torch.tensor(classes)
