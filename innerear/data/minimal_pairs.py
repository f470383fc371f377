"""Minimal pairs: the clips of a word in its carriers, the place of its differing phone, and graded clips.

A corpus of minimal pairs labels each clip with `pair`, `word`, `foil` and `carrier`, as `innerear-pairs`
does; the samples of a word are the same in all its carriers.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from innerear.data.continuum import continuum, masked
from innerear.data.schema import SAMPLING_RATE, Corpus, Item, Segment
from innerear.util.errors import InputError
from innerear.util.io import sha256_json

CARRIERS = ("favours-spoken", "favours-foil", "neutral", "alone")
_VERSION = "graded-1"


class Target(NamedTuple):
    """Place of the target word in a clip, in samples: its onset, and the span of the differing phone."""

    onset: int
    span: tuple[int, int]


@dataclass(frozen=True)
class SpokenWord:
    """One word by one voice: in the carrier that favours it, in that of the foil, in a neutral one, alone."""

    favoured: Item
    against: Item
    neutral: Item
    alone: Item

    @property
    def pair(self) -> str:
        """Name of the pair."""
        return self.alone.label("pair")

    @property
    def word(self) -> str:
        """The word that is spoken."""
        return self.alone.label("word")

    @property
    def foil(self) -> str:
        """The other word."""
        return self.alone.label("foil")

    @property
    def clips(self) -> tuple[Item, Item, Item, Item]:
        """All four."""
        return self.favoured, self.against, self.neutral, self.alone


def target(item: Item) -> Target:
    """Place of the target word; the phone's span, counted from the onset, is the same in all carriers."""
    word = item.words[-1]
    phones = [phone for phone in item.phones if phone.middle > word.start]
    phone = phones[int(item.label("position"))]
    return Target(_sample(word.start), (_sample(phone.start), _sample(phone.end)))


def context(item: Item) -> str:
    """The words before the target, capitalised as the start of a sentence; empty where it is alone."""
    before = " ".join(item.text.split()[:-1])
    return before[:1].upper() + before[1:]


def spoken_words(corpus: Corpus, voices: int) -> list[tuple[SpokenWord, SpokenWord]]:
    """Both words of each pair by `voices` of the voices, which take turns over the pairs.

    Raises
    ------
    InputError
        If no pair has both of its words in all carriers.
    """
    clips_of: dict[tuple[str, str], dict[tuple[str, str], Item]] = defaultdict(dict)
    for item in corpus:
        if item.label("pair"):
            clips_of[item.label("pair"), item.speaker][item.label("word"), item.label("carrier")] = item
    complete: dict[str, list[tuple[SpokenWord, SpokenWord]]] = defaultdict(list)
    for (pair, _), clips in sorted(clips_of.items()):
        words = sorted({word for word, _ in clips})
        if len(words) == 2 and len(clips) == 2 * len(CARRIERS):
            one, other = (SpokenWord(*(clips[word, carrier] for carrier in CARRIERS)) for word in words)
            complete[pair].append((one, other))
    if not complete:
        raise InputError(
            f"{corpus.name}: no minimal pair has both of its words in all carriers (labels pair, word, foil, "
            "carrier); use innerear-pairs with at least 8 clips per speaker"
        )
    return [
        spoken[(number + turn) % len(spoken)]
        for number, spoken in enumerate(complete.values())
        for turn in range(min(voices, len(spoken)))
    ]


def spread(pairs: list[tuple[SpokenWord, SpokenWord]], most: int) -> list[tuple[SpokenWord, SpokenWord]]:
    """At most `most` of the pairs, spread evenly over their order."""
    return pairs[:: max(1, len(pairs) // most)][:most]


def one_word_each(
    pairs: Sequence[tuple[SpokenWord, SpokenWord]], most: int
) -> list[tuple[SpokenWord, SpokenWord]]:
    """At most `most` pairs, spread evenly over voices, each as a word and its foil.

    Two pairs in turn give their first words, the next two their second: a half of every other pair has both.
    """
    by_voice = sorted(pairs, key=lambda pair: pair[0].alone.speaker)
    return [pair if number % 4 < 2 else pair[::-1] for number, pair in enumerate(spread(by_voice, most))]


def neutral_by_others(corpus: Corpus) -> dict[str, Item]:
    """By the id of a clip in a neutral carrier, one of the same word by another voice, where there is one."""
    said: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in sorted(corpus, key=lambda each: each.speaker):
        if item.label("carrier") == "neutral":
            said[item.label("pair"), item.label("word")].append(item)
    return {
        item.id: clips[(at + 1) % len(clips)]
        for clips in said.values()
        if len(clips) > 1
        for at, item in enumerate(clips)
    }


def continuum_clips(pair: tuple[SpokenWord, SpokenWord], count: int) -> list[Item]:
    """A continuum from the first word to the second in each of three carriers: labels `level`, `carrier`.

    `carrier` is `first` or `second`, for the word that it favours, or `neutral`. `word` is the second word
    and `foil` the first, so that evidence for `word` grows with `level`.
    """
    one, other = pair
    items = []
    for name, a, b in (
        ("first", one.favoured, other.against),
        ("second", one.against, other.favoured),
        ("neutral", one.neutral, other.neutral),
    ):
        for step in range(count):
            spans = [target(a).span, target(b).span]
            recipe = [_VERSION, a.audio_sha256, b.audio_sha256, spans, step, count]
            items.append(
                _graded(
                    b, f"{a.id}@step{step}", partial(_step, a, b, step, count), recipe,
                    carrier=name, level=str(step), duration=a.duration,
                )
            )  # fmt: skip
    return items


def masked_clips(word: SpokenWord, levels: Sequence[int]) -> list[Item]:
    """A word with noise on its differing phone in its three carriers, at each signal-to-noise ratio in dB."""
    items = []
    for clip in word.clips[:3]:
        for snr in levels:
            recipe = [_VERSION, clip.audio_sha256, target(clip).span, snr]
            items.append(
                _graded(clip, f"{clip.id}@{snr}dB", partial(_masked, clip, snr), recipe, level=str(snr))
            )
    return items


def delayed(item: Item, samples: int) -> Item:
    """A clip with `samples` of digital silence before it, so that its word begins later."""
    shift = samples / SAMPLING_RATE

    def moved(segments: Sequence[Segment]) -> tuple[Segment, ...]:
        return tuple(replace(one, start=one.start + shift, end=one.end + shift) for one in segments)

    if not samples:
        return item
    return replace(
        item,
        id=f"{item.id}+{samples}",
        audio=partial(_delayed, item, samples),
        audio_sha256=sha256_json([_VERSION, item.audio_sha256, samples]),
        duration=item.duration + shift,
        words=moved(item.words),
        phones=moved(item.phones),
    )


def _graded(
    item: Item, name: str, audio: partial[np.ndarray], recipe: list[object], **labels: object
) -> Item:
    duration = float(str(labels.pop("duration", item.duration)))
    extra = dict(item.extra) | {key: str(value) for key, value in labels.items()}
    return replace(
        item, id=name, audio=audio, audio_sha256=sha256_json(recipe), duration=duration,
        words=(), phones=(), extra=tuple(extra.items()),
    )  # fmt: skip


def _step(a: Item, b: Item, step: int, count: int) -> np.ndarray:
    clips = continuum(a.audio(), b.audio(), target(a).span, target(b).span, count)[step]
    return np.asarray(np.clip(clips, -1, 1))


def _masked(item: Item, snr: int) -> np.ndarray:
    seed = int(item.audio_sha256[:8], 16)
    return masked(item.audio(), target(item).span, snr, seed)


def _delayed(item: Item, samples: int) -> np.ndarray:
    return np.concatenate([np.zeros(samples, dtype=np.float32), item.audio()])


def _sample(seconds: float) -> int:
    return round(seconds * SAMPLING_RATE)
