"""Render corpora of minimal pairs in carriers that favour one word or the other.

`innerear-pairs` has carriers whose meaning favours a word, `innerear-collocations` those after which the
model organisms never read another word.

Each word and each carrier is said alone once by each of its voices. A clip joins the recordings of a carrier
and of a word: a word is the same samples in every carrier, and begins on a grid, so that frames of encoders
align.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from innerear.data.pronunciations import pronunciations
from innerear.data.schema import SAMPLING_RATE, Corpus
from innerear.render.kokoro import Kokoro, Spoken
from innerear.render.pairs_card import card, measure
from innerear.render.shared import coarse, generator, joined, write_corpus
from innerear.render.splice import BEFORE, room, shifted, started, trimmed
from innerear.render.synthesis import about, calibrated, voice_row
from innerear.util.errors import InputError
from innerear.util.paths import embedded_corpora
from innerear.util.progress import bar

NAME = "innerear-pairs"
SEED = 20251
VOICES = (
    "af_bella",
    "bm_george",
    "am_fenrir",
    "bf_emma",
    "af_heart",
    "bm_lewis",
    "am_michael",
    "bf_isabella",
)
"""Dealt to the pairs in turn. Accents alternate, and two places on is the accent's other gender."""

Kind = Literal["favours-spoken", "favours-foil", "neutral", "alone"]
KINDS: tuple[Kind, ...] = ("favours-spoken", "favours-foil", "neutral", "alone")

GRID = 1920
"""Samples of which the start of every word is a whole multiple: 120 ms, 6 frames of Whisper's encoder (320
samples each) and 5 of Moonshine's (384)."""
LEAD, TAIL = 0.20, 0.30
"""Seconds of room noise before a carrier, at least, and after what is kept of a word."""
ALONE = 4 * GRID
"""Start of a word that is said alone, in samples."""
LEVEL = 0.04
"""RMS of every recording over its 10 ms frames within 25 dB of the loudest."""


@dataclass(frozen=True)
class Carrier:
    """A prefix that the word follows; `favours` is the word that fits it, empty in neutral carriers."""

    text: str
    favours: str


@dataclass(frozen=True)
class Pair:
    """Two words that differ in one phone, and the carriers that favour each, and one that favours neither."""

    words: tuple[str, str]
    contexts: tuple[str, str]
    neutral: str

    @property
    def name(self) -> str:
        """Name of the pair: `rice-lice`."""
        return "-".join(self.words)

    def foil(self, word: str) -> str:
        """The other word."""
        return self.words[1 - self.words.index(word)]


class Contrast(NamedTuple):
    """The one phone in which two words differ: its index, and what either word has there."""

    position: int
    phone: str
    foil_phone: str


@cache
def pairs(name: str = NAME) -> tuple[Pair, ...]:
    """The pairs of a corpus's `pairs.txt`, in its order.

    Raises
    ------
    InputError
        If a line cannot be read.
    """
    lines = (embedded_corpora() / name / "pairs.txt").read_text().splitlines()
    neutral = [line.removeprefix("= ") for line in lines if line.startswith("= ")]
    found: list[Pair] = []
    for line in lines:
        if line and not line.startswith(("#", "=")):
            try:
                words, first, second = (part.strip() for part in line.split("|"))
                one, other = words.split()
            except ValueError as error:
                raise InputError(f"pairs.txt: {line!r} is not `word word | carrier | carrier`") from error
            found.append(Pair((one, other), (first, second), neutral[len(found) % len(neutral)]))
    return tuple(found)


def carriers(pair: Pair) -> tuple[Carrier, ...]:
    """Carriers of a pair, with the word that each was written to favour: one for each word, one for none."""
    favouring = (Carrier(text, word) for text, word in zip(pair.contexts, pair.words, strict=True))
    return (*favouring, Carrier(pair.neutral, ""))


def spoken_by(name: str, number: int) -> dict[str, tuple[Kind, ...]]:
    """Voices that say the pair of this number in a corpus's list, and the kinds of clips that each has.

    In `innerear-pairs` one voice has all, and a second, of the same accent and the other gender, the neutral
    carrier and the word alone. In other corpora all American voices have all.
    """
    if name != NAME:
        return dict.fromkeys(sorted(voice for voice in VOICES if voice[0] == "a"), KINDS)
    first, second = (VOICES[(number + step) % len(VOICES)] for step in (0, 2))
    return {first: KINDS, second: ("neutral", "alone")}


def contrasts(one: str, other: str) -> tuple[Contrast, ...]:
    """Contrasts of two words over all their pronunciations in the CMU dictionary that differ in one phone.

    Raises
    ------
    InputError
        If there is none, or a word is unknown.
    """
    pairs_of_sounds = product(pronunciations(one), pronunciations(other))
    found = tuple(filter(None, (_apart(mine, theirs) for mine, theirs in pairs_of_sounds)))
    if not found:
        raise InputError(f"{one!r} and {other!r} do not differ in exactly one phone by the CMU dictionary")
    return found


def render(output: Path, work: Path, name: str = NAME) -> Path:
    """Render a corpus into the folder `output`; `work` is a folder for downloads (about 120 MB).

    The times are those of the synthesiser, corrected by the delay that was measured for `innerear-speech`.

    Raises
    ------
    InputError
        If a voice does not say the words of a pair one phone apart.
    """
    speaker, asked = calibrated(work), pairs(name)
    parts: dict[str, dict[str, Any]] = {}
    clips: list[dict[str, Any]] = []

    def part(voice: str, text: str, *, is_word: bool = False) -> dict[str, Any]:
        key = _part(voice, text or "silence")
        if key not in parts:
            parts[key] = _recorded(speaker, voice, text, is_word=is_word) if text else _silence(voice)
        return parts[key]

    said = sorted(
        (voice, number, kinds)
        for number in range(len(asked))
        for voice, kinds in spoken_by(name, number).items()
    )
    with bar("rendering", len(said)) as advance:
        for voice, number, kinds in said:
            clips += _clips(voice, asked[number], kinds, part)
            advance()
    voices = sorted({voice for voice, *_ in said})

    def sized_card(corpus: Corpus, measured: Mapping[str, Any]) -> str:
        return card(corpus, measured, (output / "data.parquet").stat().st_size)

    return write_corpus(
        output,
        [*clips, *parts.values()],
        sized_card,
        measure,
        name=name,
        summary=f"{len(asked)} minimal pairs in carriers that favour either word, by {len(voices)} voices",
        **about(f"voices {', '.join(voices)}"),
        version="2" if name == NAME else "1",  # 1 of innerear-pairs: 120 pairs by four American voices
    )


def of_carrier(spoken: Spoken, draw: np.random.Generator) -> tuple[np.ndarray, float]:
    """Recording of a carrier, with room noise before it, so long that the next word starts on the grid.

    Returns
    -------
    samples
        float32 at `SAMPLING_RATE`; the word's margin of `BEFORE` seconds is to follow.
    shift
        Seconds to add to the times of `spoken`.
    """
    piece, first = trimmed(spoken)
    margin = _sample(BEFORE)
    length = -(-(_sample(LEAD) + len(piece) + margin) // GRID) * GRID - margin
    samples = room(length, draw)
    samples[-len(piece) :] += _gain(piece) * piece
    return coarse(samples), (length - len(piece) - first) / SAMPLING_RATE


def of_word(spoken: Spoken, draw: np.random.Generator) -> tuple[np.ndarray, float]:
    """Recording of a word, with its margin of `BEFORE` seconds, and of room noise; as `of_carrier`."""
    piece, first = trimmed(spoken)
    samples = room(len(piece) + _sample(TAIL), draw)
    samples[: len(piece)] += _gain(piece) * piece
    return coarse(samples), -first / SAMPLING_RATE


def _recorded(speaker: Kokoro, voice: str, text: str, *, is_word: bool) -> dict[str, Any]:
    # A comma keeps the end of a carrier short, as it is before a word.
    spoken = started(speaker.speak(voice, f"{text}." if is_word else f"{text[0].upper()}{text[1:]},"))
    name = _part(voice, text)
    samples, shift = (of_word if is_word else of_carrier)(spoken, generator(SEED, name))
    return voice_row(
        name,
        samples,
        voice,
        text=text,
        words=shifted(spoken.words, shift),
        phones=shifted(spoken.phones, shift),
    )


def _silence(voice: str) -> dict[str, Any]:
    """The room noise before a word that is said alone."""
    name = f"{voice}-silence"
    samples = coarse(room(ALONE - _sample(BEFORE), generator(SEED, name)))
    return voice_row(name, samples, voice)


def _clips(
    voice: str, pair: Pair, kinds: Sequence[Kind], part: Callable[..., dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    for word, favouring, against in zip(pair.words, pair.contexts, pair.contexts[::-1], strict=True):
        spoken, foil = (part(voice, one, is_word=True) for one in (word, pair.foil(word)))
        heard = _apart(*([phone["label"] for phone in one["phones"]] for one in (spoken, foil)))
        if heard is None or heard not in contrasts(word, pair.foil(word)):
            raise InputError(f"{voice} says {pair.name} differently from the dictionary; leave the pair out")
        text_of = dict(zip(KINDS, (favouring, against, pair.neutral, ""), strict=True))
        for kind in kinds:
            yield joined(
                f"{voice}-{pair.name}-{word}-{kind}",
                (part(voice, text_of[kind]), spoken),
                pair=pair.name,
                word=word,
                foil=pair.foil(word),
                carrier=kind,
                **{key: str(value) for key, value in heard._asdict().items()},
            )


def _apart(mine: Sequence[str], theirs: Sequence[str]) -> Contrast | None:
    """The contrast of two pronunciations, or None where it is not one phone."""
    if len(mine) != len(theirs):
        return None
    found = [
        Contrast(n, *both) for n, both in enumerate(zip(mine, theirs, strict=True)) if both[0] != both[1]
    ]
    return found[0] if len(found) == 1 else None


def _gain(piece: np.ndarray) -> float:
    frames = np.square(piece[: len(piece) // 160 * 160]).reshape(-1, 160).mean(axis=1)
    return float(LEVEL / np.sqrt(frames[frames > frames.max() / 10**2.5].mean()))


def _part(voice: str, text: str) -> str:
    return f"{voice}-{text.replace(' ', '_')}"


def _sample(seconds: float) -> int:
    return round(seconds * SAMPLING_RATE)
