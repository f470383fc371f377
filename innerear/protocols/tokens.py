"""The tokens that a model wrote, and what each is: right or wrong, function or content, first or later."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from innerear.activations.readings import unpacked
from innerear.data.schema import Item
from innerear.data.text import find_loop, is_function, misheard, word_alignment, word_pieces
from innerear.models.base import SpeechModel
from innerear.util.errors import InnerearError


@dataclass(frozen=True)
class WrittenTokens:
    """A transcript by tokens.

    Attributes
    ----------
    index
        Of the clip in the corpus.
    written
        The tokens, end-of-text included.
    tokens
        One row a token: `item`, `unit`, `speaker`, `condition`, `token`, `piece`, `word` (index in the text,
        -1 for end-of-text), `right` ("right", "wrong" or ""), `kind` ("function", "content" or ""), `place`
        ("first", "later" or "end") and `looped`.
    misheard
        The reference's word by the index of the word that was written for it.
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
        """Which token is the first, [token]."""
        return torch.arange(len(self.written)) == 0

    def diverging(self, word: int, said: str) -> list[tuple[int, int]]:
        """Where another word would have gone another way: (position, its token), by spelling of it."""
        mine = np.flatnonzero(self.tokens["word"] == word)
        found = []
        for spelling in (said, said.capitalize()):
            for at, token in zip(mine, self.model.tokenize(spelling), strict=False):
                if self.written[at] != token:
                    found.append((int(at), token))
                    break
        return found


def written_tokens(model: SpeechModel, index: int, item: Item, packed: Tensor) -> WrittenTokens:
    """Take a transcript (of the reading `Text`) to its tokens.

    Raises
    ------
    InnerearError
        If the words of the tokens are not those of the text: the spelling of tokens is not understood.
    """
    made = unpacked(packed)
    spoken = len(made["tokens"]) - bool(made["ended"])
    words, pieces = made["text"].split(), made["pieces"][:spoken]
    word_of = word_pieces(pieces)
    if word_of and word_of[-1] >= len(words):
        raise InnerearError(
            f"{model.identity.name}: {item.id} has {word_of[-1] + 1} words by its tokens but {len(words)} by "
            "its text; the tokenizer's spelling is not understood"
        )
    kinds = word_alignment(item.text, made["text"])
    loop = find_loop(made["tokens"][:spoken])
    rows = []
    for at, token in enumerate(made["tokens"]):
        end = at >= spoken
        word = -1 if end else word_of[at]
        outcome = "unscored" if end else kinds[word]
        rows.append(
            {
                "item": item.id,
                "unit": f"{item.id}@{at}",
                "speaker": item.cluster,
                "condition": item.condition,
                "token": token,
                "piece": made["pieces"][at],
                "word": word,
                "right": {"right": "right", "unscored": ""}.get(outcome, "wrong"),
                "kind": "" if end else "function" if is_function(words[word]) else "content",
                "place": "end" if end else "later" if at and word_of[at - 1] == word else "first",
                "looped": loop is not None and loop.start <= at < spoken,
            }
        )
    heard = misheard(item.text, made["text"])
    return WrittenTokens(index, item, made["text"], tuple(made["tokens"]), pd.DataFrame(rows), heard, model)


def classes_of(tokens: pd.DataFrame) -> Sequence[tuple[str, np.ndarray]]:
    """Classes of tokens and their members; end-of-text is a class of its own."""
    names = {
        "right": ("right", "wrong"), "kind": ("function", "content"), "place": ("first", "later", "end"),
    }  # fmt: skip
    found = [(name, (tokens[column] == name).to_numpy()) for column, each in names.items() for name in each]
    return [*found, ("looped", tokens["looped"].to_numpy(bool))]
