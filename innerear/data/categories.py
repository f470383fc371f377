"""Semantic categories of the words of `innerear-words`."""

from functools import cache

from innerear.util.errors import InputError
from innerear.util.paths import embedded_corpora


@cache
def categories() -> dict[str, str]:
    """Category of each word, from `words.txt`, in its order.

    Raises
    ------
    InputError
        If a word is there twice, or before any category.
    """
    found: dict[str, str] = {}
    category = ""
    for line in (embedded_corpora() / "innerear-words" / "words.txt").read_text().splitlines():
        if line.startswith("# "):
            category = line.removeprefix("# ")
        elif line:
            if line in found or not category:
                raise InputError(f"words.txt: {line!r} is there twice or before any category; remove it")
            found[line] = category
    return found
