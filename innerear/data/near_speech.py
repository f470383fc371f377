"""Sounds near to speech in which no word can be understood: `innerear-near-speech`, made on loading.

Six kinds are speech of `innerear-speech` taken apart, so that its voices, rhythm and spectrum stay and its
words do not; two are synthesised vocal sounds without words. Nothing is stored: every draw follows from the
clips it is made of. Vocoded and sine-wave speech are made of reversed speech, since listeners understand them
otherwise (Shannon et al. 1995; Remez et al. 1981).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from itertools import pairwise

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import linalg, signal

from innerear.data import embedded
from innerear.data.noise import drawing
from innerear.data.schema import SAMPLING_RATE, Corpus, Item
from innerear.util.io import sha256_json

NAME, SOURCE = "innerear-near-speech", "innerear-speech"
VERSION = "1"
SOURCES, CLIPS = 10, 3
"""Sources of each kind, and clips of each."""
PIECE, FADE = 0.05, 0.005
"""Seconds of a piece of shuffled speech, shorter than a phone, and of the fades at its ends."""
BANDS = 100.0, 350.0, 800.0, 1800.0, 4000.0, 7000.0
"""Edges of the vocoder's bands, Hz."""
SLOW = 16.0
"""Hz up to which an envelope keeps what it has."""
TALKERS = 8
"""Voices in babble."""
ORDER, QUIET = 12, 1e-9
"""Samples that linear prediction looks back, and the energy below which a frame has no formants."""
STEPS = 4096
"""Steps of the amplitude, so that rounding in mathematical libraries hardly ever shows."""
PEAK = 0.9
"""Largest amplitude."""

Samples = NDArray[np.float64]
Kind = Callable[[Sequence[Item], Generator, Generator], Samples]
"""Clips that it is made of (the first gives length and level), generators of the source and of the clip."""


def reversed_speech(clips: Sequence[Item], _source: Generator, _clip: Generator) -> Samples:
    """Speech played backwards."""
    return _audio(clips[0])[::-1]


def shuffled_speech(clips: Sequence[Item], _source: Generator, clip: Generator) -> Samples:
    """Pieces shorter than a phone in random order."""
    audio, length, fade = _audio(clips[0]), round(PIECE * SAMPLING_RATE), round(FADE * SAMPLING_RATE)
    pieces = np.array_split(audio, max(2, len(audio) // length))
    ramp = np.sin(np.linspace(0, np.pi / 2, fade)) ** 2
    for piece in pieces:
        piece[:fade] *= ramp
        piece[-fade:] *= ramp[::-1]
    return np.concatenate([pieces[at] for at in clip.permutation(len(pieces))])


def vocoded_speech(clips: Sequence[Item], source: Generator, clip: Generator) -> Samples:
    """Reversed speech as noise in bands, each with the envelope that the band has."""
    audio = reversed_speech(clips, source, clip)
    carrier = clip.standard_normal(len(audio))
    made = np.zeros(len(audio))
    for edges in pairwise(BANDS):
        band = signal.butter(4, edges, "bandpass", fs=SAMPLING_RATE, output="sos")
        made += _envelope(signal.sosfilt(band, audio)) * signal.sosfilt(band, carrier)
    return made


def sine_wave_speech(clips: Sequence[Item], source: Generator, clip: Generator) -> Samples:
    """Reversed speech as three tones that follow its formants."""
    audio = reversed_speech(clips, source, clip)
    frame, hop = SAMPLING_RATE // 40, SAMPLING_RATE // 100
    sharp = np.pad(signal.lfilter([1.0, -0.97], [1.0], audio), frame // 2)
    frames = np.lib.stride_tricks.sliding_window_view(sharp, frame)[::hop]
    tracks = np.array([_formants(piece * np.hanning(frame)) for piece in frames])
    times, at = np.arange(len(tracks)) * hop, np.arange(len(audio))
    hertz = np.stack([np.interp(at, times, signal.medfilt(track, 5)) for track in tracks.T])
    levels = np.interp(at, times, np.sqrt(np.square(frames).mean(axis=1)))
    phase = 2 * np.pi * np.cumsum(hertz, axis=1) / SAMPLING_RATE
    return np.asarray(levels * (np.array([[1.0], [0.5], [0.25]]) * np.sin(phase)).sum(axis=0))


def babble(clips: Sequence[Item], _source: Generator, clip: Generator) -> Samples:
    """Many voices at once, each begun somewhere in its clip."""
    length = len(_audio(clips[0]))
    voices = [_audio(item) for item in clips]
    turned = (np.roll(voice, clip.integers(len(voice))) / _rms(voice) for voice in voices)
    return np.asarray(sum(np.resize(voice, length) for voice in turned))


def speech_shaped_noise(clips: Sequence[Item], _source: Generator, clip: Generator) -> Samples:
    """Noise with the spectrum of a clip, and its envelope."""
    audio = _audio(clips[0])
    spectrum = np.abs(np.fft.rfft(audio)) * np.exp(2j * np.pi * clip.random(len(audio) // 2 + 1))
    return np.fft.irfft(spectrum, len(audio)) * _envelope(audio)


def laughter(clips: Sequence[Item], source: Generator, clip: Generator) -> Samples:
    """Bouts of breathy vowels at the rate of laughter, each falling in pitch and level."""
    length = len(_audio(clips[0]))
    base, rate, vowel = source.uniform(140, 400), source.uniform(4, 6.5), source.integers(len(VOWELS))
    time, beat = np.arange(length) / SAMPLING_RATE, np.zeros(length)
    pitch, start = np.full(length, base), clip.uniform(0, 0.3)
    while start < time[-1]:
        count = int(clip.integers(3, 9))
        for call in range(count):
            begin, last = start + call / rate, clip.uniform(0.4, 0.6) / rate
            inside = (time >= begin) & (time < begin + last)
            beat[inside] = 0.85**call * np.sin(np.pi * (time[inside] - begin) / last)
            pitch[inside] = base * 1.3 * 0.95**call * (1 - 0.15 * (time[inside] - begin) / last)
        start += count / rate + clip.uniform(0.2, 0.7)
    breath = clip.standard_normal(length) * (0.15 + 0.85 * beat)
    return _voiced(beat * _harmonics(pitch) + 0.05 * breath, VOWELS[vowel])


def song(clips: Sequence[Item], source: Generator, clip: Generator) -> Samples:
    """Vowels sung on a scale, with vibrato, without a consonant."""
    length = len(_audio(clips[0]))
    root, depth, rate = source.uniform(45, 65), source.uniform(0.1, 0.5), source.uniform(4.5, 6.5)
    pitch, parts, degree = np.empty(length), [], int(clip.integers(len(SCALE)))
    vibrato = depth * np.sin(2 * np.pi * rate * np.arange(length) / SAMPLING_RATE)
    start = 0
    while start < length:
        stop = min(length, start + round(clip.uniform(0.25, 0.8) * SAMPLING_RATE))
        degree = int(np.clip(degree + clip.integers(-2, 3), 0, len(SCALE) - 1))
        pitch[start:stop] = root + SCALE[degree]
        parts.append((start, stop, VOWELS[clip.integers(len(VOWELS))]))
        start = stop
    glide = signal.filtfilt(*signal.butter(1, 8, fs=SAMPLING_RATE), pitch)
    tone = _harmonics(440 * 2 ** ((glide + vibrato - 69) / 12))
    sung, fade = np.zeros(length), round(0.04 * SAMPLING_RATE)
    for start, stop, vowel in parts:
        shape = signal.windows.tukey(stop - start, min(1.0, 2 * fade / (stop - start)))
        sung[start:stop] = shape * _voiced(tone[start:stop], vowel)
    return sung


KINDS: dict[str, tuple[Kind, int]] = {
    "reversed": (reversed_speech, 1),
    "shuffled": (shuffled_speech, 1),
    "vocoded": (vocoded_speech, 1),
    "sine-wave": (sine_wave_speech, 1),
    "babble": (babble, TALKERS),
    "speech-shaped-noise": (speech_shaped_noise, 1),
    "laughter": (laughter, 1),
    "song": (song, 1),
}
"""How each kind is made, and of how many voices a clip of it is."""
VOWELS = (
    (730.0, 1090.0, 2440.0),
    (530.0, 1840.0, 2480.0),
    (270.0, 2290.0, 3010.0),
    (570.0, 840.0, 2410.0),
    (300.0, 870.0, 2240.0),
)
"""Formants of five vowels, Hz (Peterson & Barney 1952)."""
SCALE = (0, 2, 4, 5, 7, 9, 11, 12)
"""Semitones of a major scale."""


def load() -> Corpus:
    """240 sounds near to speech, of 8 kinds, in which no word can be understood; made on loading.

    A source is a voice (of babble, several) or one draw of a synthesiser; each has three clips. Lengths and
    levels are those of clips of speech.
    """
    speech = embedded.load(SOURCE)
    return Corpus(
        name=NAME,
        version=VERSION,
        items=tuple(_items(speech)),
        source=f"made of {SOURCE} {speech.version} and synthesised",
        licence=speech.licence,
        citation=speech.citation,
        human=False,
    )


def _items(speech: Corpus) -> Iterator[Item]:
    for kind, (make, voices) in KINDS.items():
        for number, speakers in enumerate(_sources(speech, kind, voices)):
            name, ranked = f"{kind}-{number:02}", [_ranked(speech, speaker, kind) for speaker in speakers]
            for turn in range(CLIPS):
                clips = [own[turn] for own in ranked]
                recipe = [VERSION, name, turn, [clip.audio_sha256 for clip in clips]]
                yield Item(
                    id=f"{name}-{turn}",
                    audio=partial(_made, make, clips, name, turn),
                    audio_sha256=sha256_json(recipe),
                    duration=clips[0].duration,
                    text="",
                    language=clips[0].language,
                    speaker=name,
                    condition=kind,
                    extra=(("kind", kind), ("near_speech", "yes")),
                )


def _sources(speech: Corpus, kind: str, voices: int) -> Sequence[tuple[str, ...]]:
    """Voices of each source of a kind: those that come first by a hash, anew for each kind."""
    order = sorted(speech.speakers, key=lambda name: sha256(f"{kind}:{name}".encode()).hexdigest())
    return [tuple(order[(at + step) % len(order)] for step in range(voices)) for at in range(SOURCES)]


def _ranked(speech: Corpus, speaker: str, kind: str) -> list[Item]:
    own = (item for item in speech if item.speaker == speaker)
    return sorted(own, key=lambda item: sha256(f"{kind}:{item.audio_sha256}".encode()).hexdigest())


def _made(make: Kind, clips: Sequence[Item], name: str, turn: int) -> np.ndarray:
    source, clip = (drawing(f"{NAME} {VERSION} {each}") for each in (name, f"{name}-{turn}"))
    samples = make(clips, source, clip)
    samples *= _rms(_audio(clips[0])) / _rms(samples)
    samples *= min(1.0, PEAK / np.abs(samples).max())
    return (np.round(samples * STEPS) / STEPS).astype(np.float32)


def _audio(item: Item) -> Samples:
    return item.audio().astype(np.float64)


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.square(samples).mean()))


def _envelope(samples: Samples) -> Samples:
    low = signal.butter(2, SLOW, fs=SAMPLING_RATE, output="sos")
    return np.asarray(np.maximum(signal.sosfiltfilt(low, np.abs(samples)), 0))


def _formants(frame: Samples) -> Samples:
    """The three lowest resonances of a frame, Hz, by linear prediction; a neutral vowel's where they lack."""
    neutral = np.array([500.0, 1500.0, 2500.0])
    likeness = signal.correlate(frame, frame)[len(frame) - 1 : len(frame) + ORDER]
    if likeness[0] < QUIET:
        return neutral
    likeness[0] *= 1 + QUIET  # a frame of pure tones has no unique predictor
    roots = np.roots([1.0, *-linalg.solve_toeplitz(likeness[:-1], likeness[1:])])
    roots = roots[np.imag(roots) > 0]
    hertz = np.sort(np.angle(roots[np.abs(roots) > 0.8]) * SAMPLING_RATE / (2 * np.pi))
    found = hertz[(hertz > 200) & (hertz < 5500)][:3]
    return np.asarray([*found, *neutral[len(found) :]])


def _harmonics(pitch: Samples) -> Samples:
    """A buzz of this pitch [sample], Hz: harmonics that fall by 6 dB an octave, none beyond 7.5 kHz."""
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLING_RATE
    orders = range(1, int(7500 / pitch.max()) + 1)
    return np.asarray(sum(np.sin(order * phase) / order for order in orders))


def _voiced(source: Samples, formants: Sequence[float]) -> Samples:
    """A source filtered by the resonances of a vowel, one after the other."""
    for hertz in formants:
        radius = np.exp(-np.pi * (60 + hertz / 20) / SAMPLING_RATE)
        turn = 2 * np.pi * hertz / SAMPLING_RATE
        source = signal.lfilter([1 - radius], [1, -2 * radius * np.cos(turn), radius**2], source)
    return np.asarray(source)
