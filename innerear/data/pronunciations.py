"""English words and their pronunciations, from the CMU Pronouncing Dictionary that pocketsphinx carries."""

from collections import defaultdict
from functools import cache
from pathlib import Path

import pocketsphinx

from innerear.data.phones import fold


@cache
def _dictionary() -> dict[str, list[str]]:
    """The phones of each pronunciation of each word, as the dictionary writes them."""
    path = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
    entries: dict[str, list[str]] = defaultdict(list)
    for line in path.read_text("utf-8").splitlines():
        entry, phones = line.split(maxsplit=1)
        entries[entry.split("(")[0]].append(phones)  # further pronunciations are numbered: read(2)
    return dict(entries)


@cache
def pronunciations(word: str) -> frozenset[tuple[str, ...]]:
    """Pronunciations of a lower-case word in the classes of `data.phones`; empty for an unknown word."""
    return frozenset(tuple(map(fold, phones.split())) for phones in _dictionary().get(word, ()))


@cache
def english_words() -> frozenset[str]:
    """The words of the dictionary. Of single letters, only those that are words: "a", "i" and "o"."""
    return frozenset(word for word in _dictionary() if len(word) > 1 or word in "aio")


def homophones(one: str, other: str) -> bool:
    """Whether two words are the same or share a pronunciation, as "road" and "rode" do."""
    return one == other or bool(pronunciations(one) & pronunciations(other))
