"""Render `innerear-words`: single words of known categories, each said alone, spliced into clips.

Splits by word need clips that lie on one side whole. So the words are dealt into blocks, a clip holds words
of one block, and a split holds out blocks. Within a block the order is random: neighbours tell nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from innerear.data.categories import categories
from innerear.data.embedded import read
from innerear.data.parquet import coarse, row, write_corpus
from innerear.data.schema import SAMPLING_RATE, Segment
from innerear.render.kokoro import Spoken
from innerear.render.splice import room, shifted, started, trimmed
from innerear.render.synthesis import accent, calibrated, gender
from innerear.render.words_card import card, measure
from innerear.util.io import write_bytes, write_json
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
"""Of every rendering: words said alone are 1 to 3 dB louder than the same voices' sentences."""


def blocks() -> dict[str, str]:
    """Block of each word: within a category by the hash of seed and word, dealt out in turn."""
    groups: dict[str, list[str]] = defaultdict(list)
    for word, category in categories().items():
        groups[category].append(word)
    dealt = (word for group in groups.values() for word in sorted(group, key=_hashed))
    return {word: f"block-{rank % BLOCKS + 1}" for rank, word in enumerate(dealt)}


def script(voice: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Clips of a voice: name, block and words. Every voice has an order of its own."""
    groups: dict[str, list[str]] = defaultdict(list)
    for word, block in blocks().items():
        groups[block].append(word)
    for block in sorted(groups):
        order = _generator(voice, block).permutation(groups[block]).tolist()
        parts = np.array_split(order, -(-len(order) // WORDS))
        for number, part in enumerate(parts, start=1):
            yield f"{voice}-{block}-{number}", block, tuple(part.tolist())


def render(output: Path, work: Path) -> Path:
    """Render the corpus into `output`: `data.parquet`, `measured.json`, `corpus.json`, `README.md`.

    The times are those of the synthesiser, moved by what `innerear-speech` measured (`calibration.json`).

    Parameters
    ----------
    output
        A folder.
    work
        A folder for what is fetched (about 120 MB).
    """
    speaker = calibrated(work)
    rows = []
    with bar("rendering", len(VOICES) * len(categories())) as advance:
        for voice in VOICES:
            for name, block, words in script(voice):
                spoken = []
                for word in words:
                    spoken.append(started(speaker.speak(voice, f"{word}.")))
                    advance()
                rows.append(_row(name, voice, block, spoken))
    groups = Counter(categories().values())
    data = write_corpus(
        output,
        rows,
        name=NAME,
        version="1",
        licence="Apache-2.0",
        source=f"Kokoro-82M v1.0 (int8), voices {', '.join(VOICES)}; rendered once",
        summary=f"{groups.total()} nouns of {len(groups)} categories, said alone by {len(VOICES)} voices",
        citation="Kokoro-82M, hexgrad, 2025 (Apache-2.0)",
    )
    corpus = read(output)
    measured = measure(corpus, categories())
    write_json(output / "measured.json", measured)
    write_bytes(output / "README.md", card(corpus, categories(), measured).encode())
    return data


def splice(
    spoken: Sequence[Spoken], generator: np.random.Generator
) -> tuple[np.ndarray, list[Segment], list[Segment]]:
    """Put renderings of single words into one clip, with faint noise throughout.

    Returns
    -------
    samples
        float32 at `SAMPLING_RATE`.
    words, phones
        With times in the clip.
    """
    gaps = generator.uniform(*GAP, len(spoken) + 1)
    lengths = [one.words[0].end - one.words[0].start for one in spoken]
    samples = room(round((sum(lengths) + sum(gaps)) * SAMPLING_RATE), generator)
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
    samples, words, phones = splice(spoken, _generator(name))
    return row(
        name,
        samples,
        text=" ".join(word.label for word in words),
        speaker=voice,
        gender=gender(voice),
        accent=accent(voice),
        words=words,
        phones=phones,
        block=block,
    )


def _hashed(word: str) -> str:
    return sha256(f"{SEED}:{word}".encode()).hexdigest()


def _generator(*names: str) -> np.random.Generator:
    return np.random.default_rng([SEED, crc32(" ".join(names).encode())])
