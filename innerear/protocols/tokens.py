"""The tokens that a model writes, and their classes: right or wrong, function or content, first or later."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from innerear.activations.readings import unpacked
from innerear.data.language import ENGLISH
from innerear.data.schema import Item
from innerear.data.text import find_loop, is_function, misheard, word_alignment, word_pieces
from innerear.models.base import SpeechModel
from innerear.util.errors import InnerearError


@dataclass(frozen=True)
class WrittenTokens:
    """The tokens of a transcript.

    Attributes
    ----------
    index
        Index of the clip in the corpus.
    written
        The tokens, including end-of-text.
    tokens
        One row per token: `item`, `unit`, `speaker`, `condition`, `token`, `piece`, `word` (its index in the
        text, -1 for end-of-text and where the text has no word), `right` ("right", "wrong", or "" without a
        word), `kind` ("function", "content", or "" without a word and for other languages than English),
        `place` ("first", "later" or "end") and `looped`.
    misheard
        The reference word for each wrongly written word, by the index of the latter.
    """

    index: int
    item: Item
    text: str
    written: tuple[int, ...]
    tokens: pd.DataFrame
    misheard: dict[int, str]
    model: SpeechModel

    @property
    def first(self) -> Tensor:
        """Whether a token is the first, [token]."""
        return torch.arange(len(self.written)) == 0

    def diverging(self, word: int, reference: str) -> list[tuple[int, int]]:
        """For each spelling of another word, where its tokens first differ: (position, its token there)."""
        positions = np.flatnonzero(self.tokens["word"] == word)
        places = []
        for spelling in (reference, reference.capitalize()):
            for at, token in zip(positions, self.model.tokenize(spelling), strict=False):
                if self.written[at] != token:
                    places.append((int(at), token))
                    break
        return places


def written_tokens(model: SpeechModel, index: int, item: Item, packed: Tensor) -> WrittenTokens:
    """The tokens of a transcript that the reading `Text` gave.

    Raises
    ------
    InnerearError
        If the tokens have other words than the text.
    """
    transcript = unpacked(packed)
    spoken = len(transcript["tokens"]) - bool(transcript["ended"])
    words, silent = transcript["text"].split(), model.special_tokens
    tokens, pieces = transcript["tokens"][:spoken], transcript["pieces"][:spoken]
    word_of = word_pieces(
        ["" if token in silent else piece for token, piece in zip(tokens, pieces, strict=True)]
    )
    if word_of and word_of[-1] >= len(words):
        raise InnerearError(
            f"{model.identity.name}: {item.id} has {word_of[-1] + 1} words by its tokens but {len(words)} by "
            "its text; the tokenizer's spelling is not understood"
        )
    language = model.language_of(item)
    kinds = word_alignment(item.text, transcript["text"], language)
    loop = find_loop(tokens)
    rows = []
    for at, token in enumerate(transcript["tokens"]):
        end = at >= spoken
        word = -1 if end else word_of[at]
        wordless = word == -1
        outcome = "unscored" if wordless else kinds[word]
        rows.append(
            {
                "item": item.id,
                "unit": f"{item.id}@{at}",
                "speaker": item.cluster,
                "condition": item.condition,
                "token": token,
                "piece": transcript["pieces"][at],
                "word": word,
                "right": {"right": "right", "unscored": ""}.get(outcome, "wrong"),
                "kind": "" if wordless or language != ENGLISH else _kind(words[word]),
                "place": "end" if end else "later" if at and word_of[at - 1] == word else "first",
                "looped": loop is not None and loop.start <= at < spoken,
            }
        )
    misheard_words = misheard(item.text, transcript["text"], language)
    return WrittenTokens(
        index,
        item,
        transcript["text"],
        tuple(transcript["tokens"]),
        pd.DataFrame(rows),
        misheard_words,
        model,
    )


def _kind(word: str) -> str:
    return "function" if is_function(word) else "content"


def classes_of(tokens: pd.DataFrame) -> Sequence[tuple[str, np.ndarray]]:
    """Classes of tokens, each with a mask of its members, [token]; end-of-text is a class of its own."""
    names = {
        "right": ("right", "wrong"), "kind": ("function", "content"), "place": ("first", "later", "end"),
    }  # fmt: skip
    members = [
        (name, (tokens[column] == name).to_numpy()) for column, values in names.items() for name in values
    ]
    return [*members, ("looped", tokens["looped"].to_numpy(bool))]
