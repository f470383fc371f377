"""What a decoder starts from and ends with, as a value, and the files of a model's folder that say it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from transformers import GenerationConfig

from innerear.data.language import language_code
from innerear.util.errors import InputError

LONGEST = 448
"""Maximum number of tokens that any decoder writes: the positions of Whisper's, so that loops end where
Whisper's do and not after thousands of tokens."""


@dataclass(frozen=True)
class GenerationSettings:
    """How a decoder writes.

    Attributes
    ----------
    prefix
        The tokens that it starts from (for Whisper: start, language, task, no timestamps).
    ends
        The tokens that end an output; the first is *the* end of text where one is asked for.
    pad
        Fills rows of a batch after their end.
    max_tokens
        Maximum number of tokens written.
    suppress, begin_suppress
        Tokens never written, and never written first.
    alignment_heads
        (layer from 0, head) of the heads that the publisher lists as alignment heads.
    no_speech
        The token whose probability at the first position is that of no speech; only Whisper has one.
    language
        Code of the language in the prefix, '' if it has none.
    languages
        What tells each language, by its code: its token in the prefix, or the prefix for it; empty in models
        that are told no language.
    """

    prefix: tuple[int, ...]
    ends: tuple[int, ...]
    pad: int
    max_tokens: int
    suppress: tuple[int, ...] = ()
    begin_suppress: tuple[int, ...] = ()
    alignment_heads: tuple[tuple[int, int], ...] = ()
    no_speech: int | None = None
    language: str = ""
    languages: Mapping[str, int | tuple[int, ...]] = field(default_factory=dict)

    @property
    def first_timestamp(self) -> int | None:
        """The token of the time 0, which follows those of no speech and of no timestamps; only in Whisper."""
        return None if self.no_speech is None else self.no_speech + 2

    @property
    def prompt(self) -> tuple[int, ...]:
        """All the tokens that the model is given before it writes."""
        return self.prefix

    def prefix_for(self, language: str) -> tuple[int, ...]:
        """The prefix for a language: a code (`de`, `de-AT`) or an English name; models told none have one.

        Raises
        ------
        InputError
            If the model has no token for the language.
        """
        if not self.languages:
            return self.prefix
        token = self.languages.get(language_code(language))
        if token is None:
            raise InputError(f"the model has no token for the language {language!r}")
        if isinstance(token, tuple):
            return token
        own = self.languages[self.language]
        return tuple(token if each == own else each for each in self.prefix)

    def in_language(self, language: str) -> "GenerationSettings":
        """The same settings with the prefix of another language."""
        return replace(self, prefix=self.prefix_for(language), language=language_code(language))

    def greedy(self, max_tokens: int | None = None) -> GenerationConfig:
        """The same for `transformers`; `max_tokens` lowers the limit."""
        limit = self.max_tokens if max_tokens is None else min(max_tokens, self.max_tokens)
        return GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=limit,
            decoder_start_token_id=self.prefix[0],
            eos_token_id=list(self.ends),
            pad_token_id=self.pad,
            suppress_tokens=list(self.suppress) or None,
            begin_suppress_tokens=list(self.begin_suppress) or None,
        )


@dataclass(frozen=True)
class Files:
    """What a model's folder says about generation; `size` is that of the network's vocabulary.

    `own_prefix` is what the tokenizer puts around a text: fine-tunes have their language in it. `encode`
    gives the tokens of a text with special tokens in it.
    """

    generation: Mapping[str, Any] | None
    config: Mapping[str, Any]
    vocabulary: Mapping[str, int]
    own_prefix: Sequence[int]
    size: int
    encode: Callable[[str], list[int]]

    def stated(self, key: str) -> tuple[str, Any]:
        """The file that states a setting, and its value; ('', None) if none does."""
        for name, values in (("generation_config.json", self.generation or {}), ("config.json", self.config)):
            if values.get(key) is not None:
                return name, values[key]
        return "", None

    def tokens(self, key: str) -> tuple[int, ...]:
        """The tokens of a setting; empty if no file states it."""
        name, value = self.stated(key)
        values = value if isinstance(value, list) else [] if value is None else [value]
        for each in values:
            self.check(f"{name}: {key}", each)
        return tuple(values)

    def token(self, key: str, spelling: str = "", default: int | None = None) -> int:
        """One token: as a file states it, as the tokenizer spells it, or a default.

        Raises
        ------
        InputError
            If there is none, or the file and the tokenizer disagree.
        """
        known = self.vocabulary.get(spelling) if spelling else None
        values = self.tokens(key)
        if not values:
            found = default if known is None else known
            if found is None:
                where = "generation_config.json, config.json or the tokenizer's files"
                raise InputError(
                    f"{where}: none has {key}; copy them from the model that this one was made from"
                )
            self.check(f"config.json: {key}", found)  # a default, or what is nested, where nobody looked
            return found
        if known not in (None, values[0]):
            self.disagree(spelling, self.stated(key)[0], values[0])
        return values[0]

    def told(self, language: str, languages: Mapping[str, Any], otherwise: str) -> str:
        """Code of the language that a decoder is told: the registered one, or `otherwise` if none is.

        Raises
        ------
        InputError
            If the decoder cannot be told the registered one.
        """
        code = language_code(language)
        if not code or not languages:
            return otherwise
        if code not in languages:
            raise InputError(
                f"the model is registered for the language {language!r}, and its decoder can be told only "
                f"{', '.join(languages)}"
            )
        return code

    def check(self, what: str, value: Any) -> None:
        """Raise an `InputError` if a value is no token of the network."""
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < self.size:
            raise InputError(f"{what} is {value!r}, not one of the model's {self.size} tokens")

    def disagree(self, spelling: str, name: str, value: int) -> None:
        """Raise the `InputError` for a token that the tokenizer has elsewhere."""
        raise InputError(
            f"{name}: {spelling} is token {value}, but {self.vocabulary[spelling]} in the tokenizer; "
            "they are from different models"
        )

    def limit(self, prefix: int, positions: int) -> int:
        """Maximum number of tokens written after `prefix` tokens by a decoder of `positions` positions."""
        positions = min(positions, prefix + LONGEST)
        if positions <= prefix:
            raise InputError(f"config.json: {positions} positions leave no token to write")
        for key, given in (("max_new_tokens", 0), ("max_length", prefix)):
            name, value = self.stated(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value <= given:
                raise InputError(f"{name}: {key} is {value!r}, which leaves no token to write")
            return min(value - given, positions - prefix)
        return positions - prefix
