"""Silence in place of a clip: what a model makes of a text, or of nothing, without any sound."""

from collections.abc import Iterable
from functools import partial

import numpy as np

from innerear.data.schema import SAMPLING_RATE, Corpus, Item
from innerear.util.io import sha256_json


def silence(samples: int, language: str) -> Item:
    """Digital silence of a length in samples, as a clip in which a language would be spoken."""
    return Item(
        id=f"silence-{samples}-{language}", audio=partial(np.zeros, samples, np.float32),
        audio_sha256=sha256_json(["silence", samples]), duration=samples / SAMPLING_RATE, text="",
        language=language,
    )  # fmt: skip


def silences(items: Iterable[Item]) -> tuple[Corpus, list[int]]:
    """Silence as long as each item, in its language, each length once, and the index of that of each item."""
    wanted = [(round(item.duration * SAMPLING_RATE), item.language) for item in items]
    distinct = list(dict.fromkeys(wanted))
    made = Corpus("silence", "1", tuple(silence(*each) for each in distinct), "zeros", "none")
    return made, [distinct.index(each) for each in wanted]
