"""Prompts of audio language models: text before the audio, and text behind it where the answer begins."""

import re
from dataclasses import dataclass
from typing import Any

from innerear.data.schema import SAMPLING_RATE
from innerear.models.families import FAMILIES
from innerear.models.generation_settings import Files, GenerationSettings
from innerear.util.errors import InputError


@dataclass(frozen=True)
class AudioSettings(GenerationSettings):
    """How a language model writes that is given audio in the middle of its prompt.

    Attributes
    ----------
    before
        The tokens before the audio; `prefix` are those behind it.
    placeholder
        The token in whose place each embedding of the audio comes.
    """

    before: tuple[int, ...] = ()
    placeholder: int = 0

    @property
    def prompt(self) -> tuple[int, ...]:
        """All that the model is given, the audio as one placeholder."""
        return (*self.before, self.placeholder, *self.prefix)


def audio_settings(files: Files, config: Any, language: str = "") -> AudioSettings:
    """The settings of a language model that is given audio; parameters as in `read_settings`."""
    row, text = FAMILIES[config.model_type], config.get_text_config()
    assert row.listening is not None
    placeholder = files.token("audio_token_id", row.listening.placeholder, default=config.audio_token_id)
    if row.listening.placeholder not in files.vocabulary:
        raise InputError(f"the tokenizer has no {row.listening.placeholder}, in whose place the audio comes")
    if placeholder != config.audio_token_id:
        files.disagree(row.listening.placeholder, "config.json", config.audio_token_id)
    nested = text.eos_token_id if isinstance(text.eos_token_id, list) else [text.eos_token_id]
    ends = files.tokens("eos_token_id") or tuple(files.token("eos_token_id", default=each) for each in nested)
    turn = next((each for each in row.listening.prompts if files.vocabulary.get(each) in ends), "")
    ends = tuple(sorted(ends, key=lambda token: token != files.vocabulary.get(turn)))
    template = row.listening.prompts[turn]
    if lacking := next((each for each in _marks(template) if each not in files.vocabulary), ""):
        raise InputError(
            f"the tokenizer has no {lacking}, which is part of the prompt; copy it from the model that this "
            "one was made from"
        )
    before: tuple[int, ...] = ()
    prefixes: dict[str, int | tuple[int, ...]] = {}
    for code in row.languages or ("",):
        told = row.listening.names.get(code, code)
        asked = template.format(audio=row.listening.placeholder, language=told)
        at = (tokens := files.encode(asked)).index(placeholder)
        before, prefixes[code] = tuple(tokens[:at]), tuple(tokens[at + 1 :])
    chosen = files.told(language, prefixes if row.languages else {}, next(iter(prefixes)))
    prefix = prefixes[chosen]
    assert isinstance(prefix, tuple)
    heard = row.listening.positions(config).count(int(row.window(config) * SAMPLING_RATE))
    given = len(before) + heard + len(prefix)
    return AudioSettings(
        prefix=prefix,
        ends=ends,
        pad=files.token("pad_token_id", default=ends[0]),
        max_tokens=files.limit(given, text.max_position_embeddings),
        suppress=files.tokens("suppress_tokens"),
        begin_suppress=files.tokens("begin_suppress_tokens"),
        language=chosen,
        languages=prefixes if row.languages else {},
        before=before,
        placeholder=placeholder,
    )


def encoded(tokenizer: Any, text: str) -> list[int]:
    """Tokens of a text in which special tokens are spelt out; some tokenizers would not read those."""
    vocabulary = tokenizer.get_vocab()
    special = [each for each in _marks(text) if each in vocabulary]
    parts = re.split("|".join(f"({re.escape(each)})" for each in dict.fromkeys(special)) or "$^", text)
    return [
        token
        for part in filter(None, parts)
        for token in (
            [vocabulary[part]] if part in special else tokenizer.encode(part, add_special_tokens=False)
        )
    ]


def _marks(text: str) -> list[str]:
    """What is spelt like a special token in a text, but for a language that is yet to be named."""
    return re.findall(r"<[^<> {]+>|\[[^\[\] {]+\]", text)
