"""How a model's tokenizer reads and writes text."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Spelling:
    """A tokenizer in use.

    Attributes
    ----------
    tokenizer
        The `transformers` tokenizer.
    lead
        What comes before a word that follows others: " " where tokens include the space before a word.
    """

    tokenizer: Any
    lead: str = ""

    def tokenize(self, text: str) -> list[int]:
        """Tokens of `text` as it is written after other words, without special tokens."""
        return list(self.tokenizer.encode(self.lead + text, add_special_tokens=False))

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of written tokens, special ones left out."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def collapse(self, tokens: Sequence[int]) -> str:
        """Text of the best token of each frame: CTC's blanks and repetitions removed."""
        return str(self.tokenizer.decode(list(tokens)))

    def uncollapsed(self, tokens: Sequence[int]) -> str:
        """Text of a transducer's tokens, special ones left out: a repeated token is written twice."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True, group_tokens=False))

    @cached_property
    def special(self) -> frozenset[int]:
        """Tokens that stand for no text: also the marks of a prompt, if the model writes one."""
        marks = getattr(self.tokenizer, "added_tokens_decoder", {})
        return frozenset(getattr(self.tokenizer, "all_special_ids", ())) | {
            token for token, added in marks.items() if added.special
        }

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Each token as the tokenizer spells it; a leading "▁", "Ġ" or space starts a word."""
        if hasattr(self.tokenizer, "word_delimiter_token"):  # letters, one of which stands for the space
            return [self.collapse([token]) for token in tokens]
        return [str(piece) for piece in self.tokenizer.convert_ids_to_tokens(list(tokens))]
