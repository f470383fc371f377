"""What tasks on minimal pairs share: the clips of a word in its carriers, where its phone is, graded clips.

A corpus of minimal pairs labels each clip with `pair`, `word`, `foil` and `carrier`, as `innerear-pairs`
does; a word is the same samples in all its carriers.
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
    """Where the word of a clip is, in samples: its onset, and the span of the differing phone."""

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
        """What is said."""
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
    """Where the word of a clip is; the phone's span, counted from the onset, is the same in all carriers."""
    word = item.words[-1]
    phones = [phone for phone in item.phones if phone.middle > word.start]
    phone = phones[int(item.label("position"))]
    return Target(_sample(word.start), (_sample(phone.start), _sample(phone.end)))


def context(item: Item) -> str:
    """The words before the target, as a sentence begins; empty where the word is alone."""
    before = " ".join(item.text.split()[:-1])
    return before[:1].upper() + before[1:]


def spoken_words(corpus: Corpus, voices: int) -> list[tuple[SpokenWord, SpokenWord]]:
    """Both words of each pair by `voices` of the voices, dealt to the pairs in turn.

    Raises
    ------
    InputError
        If no pair is there with both words in all carriers.
    """
    found: dict[tuple[str, str], dict[tuple[str, str], Item]] = defaultdict(dict)
    for item in corpus:
        if item.label("pair"):
            found[item.label("pair"), item.speaker][item.label("word"), item.label("carrier")] = item
    whole: dict[str, list[tuple[SpokenWord, SpokenWord]]] = defaultdict(list)
    for (pair, _), clips in sorted(found.items()):
        words = sorted({word for word, _ in clips})
        if len(words) == 2 and len(clips) == 2 * len(CARRIERS):
            one, other = (SpokenWord(*(clips[word, carrier] for carrier in CARRIERS)) for word in words)
            whole[pair].append((one, other))
    if not whole:
        raise InputError(
            f"{corpus.name}: no minimal pair has both of its words in all carriers (labels pair, word, foil, "
            "carrier); take innerear-pairs, at least 8 clips a speaker"
        )
    return [
        own[(number + turn) % len(own)]
        for number, own in enumerate(whole.values())
        for turn in range(min(voices, len(own)))
    ]


def steps(pair: tuple[SpokenWord, SpokenWord], count: int) -> list[Item]:
    """A continuum from the first word to the second in each of three carriers: labels `level`, `carrier`.

    `carrier` is `first` or `second` by the word that it favours, or `neutral`; `word` and `foil` are the
    second and the first word, so that evidence for `word` grows with `level`.
    """
    one, other = pair
    made = []
    for name, a, b in (
        ("first", one.favoured, other.against),
        ("second", one.against, other.favoured),
        ("neutral", one.neutral, other.neutral),
    ):
        for step in range(count):
            recipe = [_VERSION, a.audio_sha256, b.audio_sha256, step, count]
            made.append(
                _graded(
                    b, f"{a.id}@step{step}", partial(_step, a, b, step, count), recipe,
                    carrier=name, level=str(step), duration=a.duration,
                )
            )  # fmt: skip
    return made


def noises(word: SpokenWord, levels: Sequence[int]) -> list[Item]:
    """A word with noise on its differing phone, at signal-to-noise ratios in dB, in its three carriers."""
    made = []
    for clip in word.clips[:3]:
        for snr in levels:
            recipe = [_VERSION, clip.audio_sha256, snr]
            made.append(
                _graded(clip, f"{clip.id}@{snr}dB", partial(_masked, clip, snr), recipe, level=str(snr))
            )
    return made


def lengthened(item: Item, samples: int) -> Item:
    """A clip with digital silence put before it, so that its word begins later."""
    shift = samples / SAMPLING_RATE

    def moved(segments: Sequence[Segment]) -> tuple[Segment, ...]:
        return tuple(replace(one, start=one.start + shift, end=one.end + shift) for one in segments)

    if not samples:
        return item
    return replace(
        item,
        id=f"{item.id}+{samples}",
        audio=partial(_lengthened, item, samples),
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
    made = continuum(a.audio(), b.audio(), target(a).span, target(b).span, count)[step]
    return np.asarray(np.clip(made, -1, 1))


def _masked(item: Item, snr: int) -> np.ndarray:
    seed = int(item.audio_sha256[:8], 16)
    return masked(item.audio(), target(item).span, snr, seed)


def _lengthened(item: Item, samples: int) -> np.ndarray:
    return np.concatenate([np.zeros(samples, dtype=np.float32), item.audio()])


def _sample(seconds: float) -> int:
    return round(seconds * SAMPLING_RATE)
