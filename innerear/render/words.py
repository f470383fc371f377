"""Render `innerear-words`: single words of known categories, each said alone, spliced into clips.

Splits by word need clips that lie entirely on one side. So the words are divided into blocks, a clip holds
words of one block, and a split holds out blocks. Within a block the order is random, so neighbours carry no
information about the category of a word.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from innerear.data.schema import SAMPLING_RATE, Segment
from innerear.data.word_categories import word_categories
from innerear.render.kokoro import Spoken
from innerear.render.shared import coarse, generator, write_corpus
from innerear.render.splice import room, shifted, started, trimmed
from innerear.render.synthesis import about, calibrated, voice_row
from innerear.render.words_card import card, measure
from innerear.util.progress import bar

NAME = "innerear-words"
SEED = 20250
VOICES = ("af_heart", "am_michael", "bf_emma", "bm_fable")
BLOCKS = 8
WORDS = 14
"""At most, in a clip: Whisper's window is 30 s, and a clip of 20 s fits any other model, too."""

GAP = (0.35, 0.50)
"""Seconds from the end of a word to the start of the next, drawn evenly; also before the first word."""
GAIN = 0.35
"""Gain of every rendering: words said alone are 1 to 3 dB louder than the same voices' sentences."""


def blocks() -> dict[str, str]:
    """Block of each word: a category's words, ordered by a hash of seed and word, are assigned in turn."""
    groups: dict[str, list[str]] = defaultdict(list)
    for word, category in word_categories().items():
        groups[category].append(word)
    dealt = (word for group in groups.values() for word in sorted(group, key=_hashed))
    return {word: f"block-{rank % BLOCKS + 1}" for rank, word in enumerate(dealt)}


def script(voice: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Clips of a voice: name, block and words. Every voice has an order of its own."""
    groups: dict[str, list[str]] = defaultdict(list)
    for word, block in blocks().items():
        groups[block].append(word)
    for block in sorted(groups):
        order = generator(SEED, f"{voice} {block}").permutation(groups[block]).tolist()
        parts = np.array_split(order, -(-len(order) // WORDS))
        for number, part in enumerate(parts, start=1):
            yield f"{voice}-{block}-{number}", block, tuple(part.tolist())


def render(output: Path, work: Path) -> Path:
    """Render the corpus into the folder `output`; `work` is a folder for downloads (about 120 MB).

    The times are those of the synthesiser, corrected by the delay that was measured for `innerear-speech`.
    """
    speaker = calibrated(work)
    rows = []
    with bar("rendering", len(VOICES) * len(word_categories())) as advance:
        for voice in VOICES:
            for name, block, words in script(voice):
                spoken = []
                for word in words:
                    spoken.append(started(speaker.speak(voice, f"{word}.")))
                    advance()
                rows.append(_row(name, voice, block, spoken))
    groups = Counter(word_categories().values())
    return write_corpus(
        output,
        rows,
        card,
        measure,
        name=NAME,
        summary=f"{groups.total()} nouns of {len(groups)} categories, said alone by {len(VOICES)} voices",
        **about(f"voices {', '.join(VOICES)}"),
    )


def splice(
    spoken: Sequence[Spoken], draw: np.random.Generator
) -> tuple[np.ndarray, list[Segment], list[Segment]]:
    """Put renderings of single words into one clip, with faint noise throughout.

    Returns
    -------
    samples
        float32 at `SAMPLING_RATE`.
    words, phones
        With times in the clip.
    """
    gaps = draw.uniform(*GAP, len(spoken) + 1)
    lengths = [one.words[0].end - one.words[0].start for one in spoken]
    samples = room(round((sum(lengths) + sum(gaps)) * SAMPLING_RATE), draw)
    words: list[Segment] = []
    phones: list[Segment] = []
    end = 0.0
    for one, gap in zip(spoken, gaps, strict=False):
        piece, first = trimmed(one)
        start = round((end + gap - one.words[0].start) * SAMPLING_RATE)
        samples[start + first : start + first + len(piece)] += GAIN * piece
        shift = start / SAMPLING_RATE
        words += shifted(one.words, shift)
        phones += shifted(one.phones, shift)
        end = words[-1].end
    return coarse(samples), words, phones


def _row(name: str, voice: str, block: str, spoken: Sequence[Spoken]) -> dict[str, Any]:
    samples, words, phones = splice(spoken, generator(SEED, name))
    return voice_row(
        name,
        samples,
        voice,
        text=" ".join(word.label for word in words),
        words=words,
        phones=phones,
        block=block,
    )


def _hashed(word: str) -> str:
    return sha256(f"{SEED}:{word}".encode()).hexdigest()
