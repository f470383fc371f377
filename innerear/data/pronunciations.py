"""How English words may be said: the CMU dictionary that comes with pocketsphinx."""

from functools import cache
from pathlib import Path

import pocketsphinx

from innerear.data.phones import fold


@cache
def _sounds() -> dict[str, frozenset[tuple[str, ...]]]:
    path = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
    found: dict[str, set[tuple[str, ...]]] = {}
    for line in path.read_text("utf-8").splitlines():
        word, *sounds = line.split()
        found.setdefault(word.split("(")[0], set()).add(tuple(map(fold, sounds)))
    return {word: frozenset(ways) for word, ways in found.items()}


def pronunciations(word: str) -> frozenset[tuple[str, ...]]:
    """Pronunciations of a lower-case word in the classes of `data.phones`; empty where it is unknown."""
    return _sounds().get(word, frozenset())


def homophones(one: str, other: str) -> bool:
    """Whether two words are one, or may be said alike: "road" and "rode"."""
    return one == other or bool(pronunciations(one) & pronunciations(other))
