"""Clips on which recognisers make words up: `innerear-hard-clips`, made on loading.

Of each voice of `innerear-speech` some sentences are there clean and in noise, in some a word is masked by
noise, and some end at the start of a word. The first clip of each source of `innerear-near-speech` joins
them. Nothing is stored: every draw follows from the clip it is made of.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np

from innerear.data import embedded, near_speech
from innerear.data.noise import NoiseRule, add_noise, drawing
from innerear.data.phones import SILENCE
from innerear.data.schema import SAMPLING_RATE, Corpus, Item, Segment
from innerear.util.io import sha256_json

NAME, SOURCE = "innerear-hard-clips", "innerear-speech"
VERSION = "1"
SENTENCES = 3
"""Sentences of each voice that are in noise, as many others that are masked, and as many that are cut."""
RULE = NoiseRule(snr=(5, 0), kinds=("white", "pink", "babble"))
"""The noise of those that are noisy."""
SPARED = 2
"""Phones that a word has at most if it is neither masked nor cut: nobody would miss it."""
SAID = 0.15
"""Share of a cut word that is heard: its onset."""
FADE = 0.005
"""Seconds of fading at a cut."""
MASKED, CUT, NO_SPEECH = "masked", "cut", "no speech"


def load() -> Corpus:
    """500 clips on which recognisers make words up: noisy, masked, cut or without speech; made on loading."""
    speech, sounds = embedded.load(SOURCE), near_speech.load()
    first = [item for item in sounds if item.id.endswith("-0")]
    return Corpus(
        name=NAME,
        version=VERSION,
        items=(*_speech(speech), *(replace(item, condition=NO_SPEECH) for item in first)),
        source=f"made of {SOURCE} {speech.version} and {near_speech.NAME} {sounds.version}",
        licence=speech.licence,
        citation=speech.citation,
        human=False,
    )


def _speech(speech: Corpus) -> Iterator[Item]:
    """The clips of each voice, so that its first five have one of each condition, and so on."""
    noisy: dict[str, list[Item]] = {voice: [] for voice in speech.speakers}
    changed: dict[str, list[Item]] = {voice: [] for voice in speech.speakers}
    for item in speech:
        first, own = noisy[item.speaker], changed[item.speaker]
        if len(first) < SENTENCES:
            first.append(item)
        elif len(own) < 2 * SENTENCES and (made := (masked, cut)[len(own) % 2](item)):
            own.append(made)
    spoken = iter(add_noise(speech.with_items(item for own in noisy.values() for item in own), RULE))
    for own in changed.values():
        for pair in zip(own[::2], own[1::2], strict=True):
            yield from islice(spoken, 1 + len(RULE.snr))
            yield from pair


def masked(item: Item) -> Item | None:
    """A clip with noise over a word in the middle, which its text lacks; None if every word is short."""
    at = [at for at in _long(item) if 0 < at < len(item.words) - 1]
    if not at:
        return None
    lost = at[len(at) // 2]
    left = [word for each, word in enumerate(item.words) if each != lost]
    phones = [phone for phone in item.phones if not _within(phone, item.words[lost])]
    return replace(
        item,
        id=f"{item.id}@{MASKED}",
        audio=partial(_masked, item, item.words[lost]),
        audio_sha256=sha256_json([VERSION, MASKED, item.audio_sha256, lost]),
        text=_text(left),
        condition=MASKED,
        words=tuple(left),
        phones=tuple(phones),
    )


def cut(item: Item) -> Item | None:
    """A clip that ends at the onset of its last long word, which its text lacks; None if it has none."""
    at = [at for at in _long(item) if at > 1]
    if not at:
        return None
    lost = item.words[at[-1]]
    end = lost.start + SAID * (lost.end - lost.start)
    phones = [phone for phone in item.phones if phone.end <= lost.start]
    return replace(
        item,
        id=f"{item.id}@{CUT}",
        audio=partial(_cut, item, end),
        audio_sha256=sha256_json([VERSION, CUT, item.audio_sha256, end]),
        duration=_samples(end) / SAMPLING_RATE,
        text=_text(item.words[: at[-1]]),
        condition=CUT,
        words=item.words[: at[-1]],
        phones=tuple(phones),
    )


def _long(item: Item) -> list[int]:
    """Indices of words of more than `SPARED` phones."""
    return [
        at
        for at, word in enumerate(item.words)
        if sum(_within(phone, word) for phone in item.phones if phone.label != SILENCE) > SPARED
    ]


def _within(phone: Segment, word: Segment) -> bool:
    return word.start <= phone.middle < word.end


def _text(words: Sequence[Segment]) -> str:
    return " ".join(word.label for word in words)


def _masked(item: Item, word: Segment) -> np.ndarray:
    """White noise in place of a word, at the level of the clip."""
    audio = item.audio().astype(np.float64)
    inside = slice(_samples(word.start), _samples(word.end))
    level = np.sqrt(np.square(audio).mean())
    audio[inside] = level * drawing(f"{VERSION}:{item.audio_sha256}").standard_normal(len(audio[inside]))
    return audio.clip(-1, 1).astype(np.float32)


def _cut(item: Item, end: float) -> np.ndarray:
    audio = item.audio()[: _samples(end)].copy()
    fade = _samples(FADE)
    audio[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return audio


def _samples(seconds: float) -> int:
    return round(seconds * SAMPLING_RATE)
