"""Synthesised sounds that are not speech: noise, hums, tones, clicks, music, machines, near-silence.

Each synthesiser is a `Sound`: `source` draws what makes one source (its colour, its instrument, its engine),
`clip` what differs between the clips of one source. Levels are arbitrary, except for `quiet`.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import signal

from innerear.data.schema import SAMPLING_RATE

Samples = NDArray[np.float64]
Sound = Callable[[int, Generator, Generator, int], Samples]
"""Number of the source, its generator, the clip's generator, samples -> floats at `SAMPLING_RATE`."""

NYQUIST = SAMPLING_RATE / 2
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))
"""Major, minor and the two pentatonic scales, in semitones."""


def noise(number: int, source: Generator, clip: Generator, samples: int) -> Samples:
    """White, pink or brown noise, or white noise in a band."""
    exponent = (0.0, 1.0, 2.0, 0.0)[number % 4]
    return coloured(clip, samples, exponent, *(_band(source) if number % 4 == 3 else (30.0, NYQUIST)))


def slow_noise(number: int, source: Generator, clip: Generator, samples: int) -> Samples:
    """Noise whose amplitude rises and falls at 0.5 to 4 Hz: as a sine, in bursts, or at random."""
    time = _time(samples)
    rate, depth = source.uniform(0.5, 4), source.uniform(0.7, 1)
    phase = 2 * np.pi * (rate * time + clip.random())
    shape = (
        (1 + np.sin(phase)) / 2,
        1 / (1 + np.exp(-20 * np.sin(phase))),
        np.abs(coloured(clip, samples, 0, 0.0, rate)) / 2,
    )[number % 3]
    low, high = _band(source) if number % 2 else (30.0, NYQUIST)
    return coloured(clip, samples, source.uniform(0, 2), low, high) * (1 - depth + depth * shape)


def hum(number: int, source: Generator, clip: Generator, samples: int) -> Samples:
    """Mains hum (50 or 60 Hz and harmonics), or a fan: the tones of its blades over a rush of air."""
    time = _time(samples)
    mains = number % 2 == 0
    base = (50.0, 60.0)[number // 2 % 2] if mains else source.uniform(70, 240)
    orders = np.arange(1, source.integers(6, 30))
    levels = orders ** -source.uniform(0.5, 1.5) * source.uniform(0.2, 1, len(orders))
    drift = 0.0 if mains else source.uniform(0.002, 0.01) * np.sin(2 * np.pi * clip.uniform(0.1, 0.5) * time)
    turns = base * np.cumsum(1 + drift + np.zeros(samples)) / SAMPLING_RATE
    tones = sum(
        level * np.sin(2 * np.pi * (order * turns + clip.random()))
        for order, level in zip(orders, levels, strict=True)
    )
    air = coloured(clip, samples, 1, 30, source.uniform(500, 3000))
    return _unit(tones) + (source.uniform(0.003, 0.03) if mains else source.uniform(0.2, 0.7)) * air


def tones(number: int, source: Generator, clip: Generator, samples: int) -> Samples:
    """Steady tones, sweeps, beeps, two-tone alarms, sirens."""
    time = _time(samples)
    low = source.uniform(200, 800)
    high = low * source.uniform(1.2, 3)
    rate, detune = source.uniform(0.5, 4), float(2 ** clip.uniform(-0.2, 0.2))
    swing = 2 * np.pi * (rate * time + clip.random())
    match number % 5:
        case 0:  # one to three partials, held
            partials = (low, high, high * 1.5)[: 1 + number // 5 % 3]
            return sum((np.sin(2 * np.pi * detune * hertz * time) for hertz in partials), np.zeros(samples))
        case 1:
            sweep = (np.linspace, np.geomspace)[number // 5 % 2](low, high, samples)
            hertz = sweep if clip.random() < 0.5 else sweep[::-1]
        case 2:
            gate = np.convolve(np.sin(swing) > source.uniform(-0.5, 0.8), np.ones(80) / 80, "same")
            return gate * np.sin(2 * np.pi * detune * high * time)
        case 3:
            hertz = np.where(np.sin(swing) > 0, low, high)
        case _:
            hertz = low + (high - low) * (1 + np.sin(swing)) / 2
    phase = 2 * np.pi * detune * np.cumsum(hertz) / SAMPLING_RATE
    return np.sin(phase) + source.uniform(0, 0.5) * np.sin(3 * phase)


def clicks(number: int, source: Generator, clip: Generator, samples: int) -> Samples:
    """Trains of clicks: a regular ticking, a Geiger counter, knocks in groups, a rattle."""
    seconds = samples / SAMPLING_RATE
    match number % 4:
        case 0:
            times = np.arange(clip.uniform(0, 0.3), seconds, 1 / source.uniform(1.5, 8))
        case 1:
            times = clip.uniform(0, seconds, clip.poisson(source.uniform(5, 40) * seconds) + 1)
        case 2:
            group = np.arange(source.integers(2, 6)) * source.uniform(0.12, 0.25)
            starts = np.arange(clip.uniform(0, 0.3), seconds, group[-1] + source.uniform(0.3, 0.9))
            times = (starts[:, None] + group + clip.normal(0, 0.008, (len(starts), len(group)))).ravel()
        case _:
            times = np.cumsum(1 / source.uniform(12, 40) * clip.uniform(0.7, 1.3, int(60 * seconds)))
    train = _impulses(times, samples, clip.uniform(0.6, 1, len(times)))
    return signal.oaconvolve(train, _knock(source))[:samples]


def music(number: int, source: Generator, clip: Generator, samples: int) -> Samples:
    """A melody, chords, broken chords or a melody over drums, on one of five synthesised instruments."""
    instrument = _INSTRUMENTS[number % len(_INSTRUMENTS)]
    form = ("melody", "chords", "broken", "drums")[number % 4]
    beat = 60 / source.uniform(70, 160)
    scale, root = _SCALES[source.integers(len(_SCALES))], int(source.integers(45, 62))
    out = np.zeros(samples + 4 * SAMPLING_RATE)
    step, start, degree = 0, 0.0, int(clip.integers(7))
    while start * SAMPLING_RATE < samples:
        length = 2 * beat if form == "chords" else beat * clip.choice([0.5, 0.5, 1.0, 1.5])
        degree = int(np.clip(degree + clip.integers(-2, 3), 0, 13))
        chord = [degree, degree + 2, degree + 4]
        played = chord if form == "chords" else [chord[step % 3]] if form == "broken" else [degree]
        for note in played:
            pitch = root + scale[note % len(scale)] + 12 * (note // len(scale))
            sound = instrument(440 * 2 ** ((pitch - 69) / 12), min(1.2 * length, 3.0), clip)
            _add(out, sound * clip.uniform(0.7, 1), start)
        start, step = start + length, step + 1
    if form == "drums":
        for strike, when in enumerate(np.arange(0, samples / SAMPLING_RATE, beat / 2)):
            _add(out, (_kick, _hat, _snare, _hat)[strike % 4](clip), when)
    return out[:samples]


def machine(number: int, source: Generator, clip: Generator, samples: int) -> Samples:
    """An engine: uneven pulses at 12 to 120 Hz through fixed resonances, with a rush; every third revs."""
    rate = source.uniform(12, 60) if number % 2 else source.uniform(40, 120)
    cylinders = source.uniform(0.5, 1, source.integers(2, 7))  # each has its own strength
    speed = np.ones(samples)
    if number % 3 == 2:
        speed += 0.4 * np.sin(2 * np.pi * (source.uniform(0.2, 0.6) * _time(samples) + clip.random()))
    fired = np.flatnonzero(np.diff(np.floor(np.cumsum(rate * speed) / SAMPLING_RATE)))
    strength = cylinders[np.arange(len(fired)) % len(cylinders)] * clip.uniform(0.8, 1, len(fired))
    times = (fired + clip.normal(0, 0.02 / rate * SAMPLING_RATE, len(fired))) / SAMPLING_RATE
    pulses = _impulses(times, samples, strength)
    sound = sum(
        _resonate(pulses, hertz, source.uniform(2, 12)) * hertz**-0.5
        for hertz in np.geomspace(60, 3000, 6) * source.uniform(0.7, 1.4, 6)
    )
    rush = coloured(clip, samples, 1, 100, source.uniform(1000, 5000))
    return _unit(sound) + source.uniform(0.05, 0.3) * rush


def quiet(number: int, source: Generator, clip: Generator, samples: int) -> Samples:
    """Near-silence, at its final level: digital silence (source 0), one-bit dither (1), room tone."""
    if number == 0:
        return np.zeros(samples)
    if number == 1:
        return clip.integers(-1, 2, samples) / 32768
    room = coloured(clip, samples, source.uniform(1, 2), 30, source.uniform(1000, 6000))
    mains = np.sin(2 * np.pi * ((50.0, 60.0)[number % 2] * _time(samples) + clip.random()))
    return 10 ** (source.uniform(-78, -55) / 20) * _unit(room + source.uniform(0, 0.7) * mains)


SOUNDS: dict[str, Sound] = {
    "noise": noise,
    "slow-noise": slow_noise,
    "hum": hum,
    "tones": tones,
    "clicks": clicks,
    "music": music,
    "machine": machine,
    "quiet": quiet,
}
"""The synthesised kinds by name."""


def coloured(
    rng: Generator, samples: int, exponent: float, low: float = 30.0, high: float = NYQUIST
) -> Samples:
    """Gaussian noise of unit RMS with power as 1/f^`exponent` from `low` to `high` Hz, shaped whole."""
    length = samples + SAMPLING_RATE  # the end is cut off, so that a clip is not periodic
    hertz = np.fft.rfftfreq(length, 1 / SAMPLING_RATE)
    gain = np.maximum(hertz, 20) ** (-exponent / 2)
    gain[(hertz < low) | (hertz > high)] = 0
    spectrum = np.fft.rfft(rng.standard_normal(length)) * gain
    return _unit(np.fft.irfft(spectrum, length)[:samples])


def _band(source: Generator) -> tuple[float, float]:
    """A band of 0.5 to 3 octaves between 150 and 8000 Hz."""
    low = 150 * 2 ** source.uniform(0, 4)
    return low, min(low * 2 ** source.uniform(0.5, 3), NYQUIST)


def _time(samples: int) -> Samples:
    return np.arange(samples) / SAMPLING_RATE


def _unit(samples: Samples) -> Samples:
    return samples / float(np.sqrt(np.square(samples).mean()))


def _impulses(times: Samples, samples: int, strengths: Samples) -> Samples:
    """A train of impulses; those outside the clip are dropped."""
    where = np.round(times * SAMPLING_RATE).astype(int)
    inside = (where >= 0) & (where < samples)
    train = np.zeros(samples)
    np.add.at(train, where[inside], strengths[inside])
    return train


def _resonate(samples: Samples, hertz: float, quality: float) -> Samples:
    return signal.lfilter(*signal.iirpeak(hertz, quality, SAMPLING_RATE), samples)


def _knock(source: Generator) -> Samples:
    """The sound of one click: three damped modes of a body and a short burst of noise."""
    time = _time(SAMPLING_RATE // 4)
    modes = source.uniform(150, 5000, 3)
    decays = source.uniform(0.004, 0.04, 3)
    body = sum(
        np.exp(-time / decay) * np.sin(2 * np.pi * hertz * time)
        for hertz, decay in zip(modes, decays, strict=True)
    )
    return np.asarray(body + source.uniform(0, 1) * _burst(source, 0.002, len(time)))


def _burst(rng: Generator, decay: float, samples: int) -> Samples:
    return rng.standard_normal(samples) * np.exp(-_time(samples) / decay)


def _add(out: Samples, sound: Samples, start: float) -> None:
    first = int(start * SAMPLING_RATE)
    sound = sound[: len(out) - first]
    out[first : first + len(sound)] += sound


def _envelope(samples: int, attack: float, decay: float) -> Samples:
    """Rise, exponential decay and a release of 20 ms."""
    time = _time(samples)
    release = np.clip((time[-1] - time) / 0.02, 0, 1)
    return np.asarray(np.clip(time / attack, 0, 1) * np.exp(-time / decay) * release)


def _string(hertz: float, seconds: float, rng: Generator) -> Samples:
    """A plucked string (Karplus & Strong, 1983)."""
    samples, period = int(seconds * SAMPLING_RATE), round(SAMPLING_RATE / hertz)
    pluck = np.zeros(samples)
    pluck[:period] = rng.uniform(-1, 1, min(period, samples))
    loop = np.zeros(period + 2)
    loop[0], loop[period:] = 1, -0.498
    return signal.lfilter([1.0], loop, pluck) * _envelope(samples, 0.001, 2)


def _organ(hertz: float, seconds: float, rng: Generator) -> Samples:
    """Drawbars: sines at the ranks of pipes."""
    time = _time(int(seconds * SAMPLING_RATE))
    ranks = [(1, 0.8), (2, 0.6), (3, 0.3), (4, 0.3), (6, 0.1), (8, 0.1)]
    sound = sum(level * np.sin(2 * np.pi * (rank * hertz * time + rng.random())) for rank, level in ranks)
    return 0.4 * sound * _envelope(len(time), 0.03, 50)


def _bell(hertz: float, seconds: float, rng: Generator) -> Samples:
    """Frequency modulation with an inharmonic ratio (Chowning, 1973)."""
    time = _time(int(seconds * SAMPLING_RATE))
    modulator = 4 * np.exp(-time / 0.6) * np.sin(2 * np.pi * (1.4 * hertz * time + rng.random()))
    return np.asarray(0.5 * np.sin(2 * np.pi * hertz * time + modulator) * _envelope(len(time), 0.002, 0.8))


def _bowed(hertz: float, seconds: float, rng: Generator) -> Samples:
    """A sawtooth with vibrato through a low-pass."""
    time = _time(int(seconds * SAMPLING_RATE))
    vibrato = 0.15 * np.sin(2 * np.pi * (5.5 * time + rng.random()))
    saw = signal.sawtooth(2 * np.pi * hertz * time + vibrato)
    low_pass = signal.butter(2, min(6 * hertz, 6000), fs=SAMPLING_RATE)
    return 0.4 * signal.lfilter(*low_pass, saw) * _envelope(len(time), 0.08, 50)


def _piano(hertz: float, seconds: float, rng: Generator) -> Samples:
    """Stiff-string partials, the high ones decaying first."""
    time = _time(int(seconds * SAMPLING_RATE))
    sound = np.zeros(len(time))
    for order in range(1, 9):
        partial = order * hertz * np.sqrt(1 + 4e-4 * order**2)
        if partial < NYQUIST:
            sound += np.sin(2 * np.pi * (partial * time + rng.random())) * np.exp(-time * order) / order
    return 0.5 * sound * _envelope(len(time), 0.003, 1)


_INSTRUMENTS: Sequence[Callable[[float, float, Generator], Samples]] = (
    _string, _organ, _bell, _bowed, _piano,
)  # fmt: skip


def _kick(rng: Generator) -> Samples:
    time = _time(SAMPLING_RATE // 4)
    return np.asarray(np.sin(2 * np.pi * (50 * time + 4 * (1 - np.exp(-time / 0.03)))) * np.exp(-time / 0.08))


def _snare(rng: Generator) -> Samples:
    return 0.25 * _burst(rng, 0.05, SAMPLING_RATE // 4)


def _hat(rng: Generator) -> Samples:
    return 0.15 * np.diff(_burst(rng, 0.015, SAMPLING_RATE // 10), prepend=0)
