"""Semantic categories of the words of `innerear-words`: animals, clothing, vehicles and so on."""

from functools import cache

from innerear.util.errors import InputError
from innerear.util.paths import embedded_corpora


@cache
def word_categories() -> dict[str, str]:
    """Category of each word, in the order of `words.txt`.

    Raises
    ------
    InputError
        If a word is listed twice, or before the first category.
    """
    category_of: dict[str, str] = {}
    category = ""
    for line in (embedded_corpora() / "innerear-words" / "words.txt").read_text().splitlines():
        if line.startswith("# "):
            category = line.removeprefix("# ")
        elif line:
            if line in category_of or not category:
                raise InputError(
                    f"words.txt: {line!r} is listed twice or before the first category; remove it"
                )
            category_of[line] = category
    return category_of
