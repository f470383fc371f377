"""The tokenizer of a model's folder, checked against the vocabulary of the network."""

from pathlib import Path
from typing import Any

from transformers import (
    AutoTokenizer,
    LasrTokenizer,
    ParakeetTokenizer,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2PhonemeCTCTokenizer,
)

from innerear.models.families import FAMILIES
from innerear.models.folders import explained
from innerear.util.errors import InputError

_WHISPER_SIZES = {384: "tiny", 512: "base", 768: "small", 1024: "medium", 1280: "large-v2"}
"""OpenAI's Whispers by width (Radford et al. 2022, table 1)."""
_FIRST_WITH_CANTONESE = 51866
"""Size of the vocabulary from large-v3 on; the English-only one has two tokens less, the others one."""

_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "tekken.json", "*.model")
"""What holds a vocabulary; tokenizer_config.json alone has none."""
_COLLAPSING = (Wav2Vec2CTCTokenizer, Wav2Vec2PhonemeCTCTokenizer, ParakeetTokenizer, LasrTokenizer)
"""Tokenizers that leave out CTC's blanks and repetitions as they decode."""


def load_tokenizer(family: str, config: Any, folder: Path, language: str = "") -> Any:
    """The tokenizer of a folder, for one of its languages where each has a vocabulary of its own.

    Raises
    ------
    InputError
        If there is none, it does not cover the network's vocabulary, or does not read CTC's output.
    """
    size = config.get_text_config().vocab_size
    if not any(path.is_file() for pattern in _FILES for path in folder.glob(pattern)):
        raise InputError(f"{folder}: there is no tokenizer; copy {_advice(family, config)}")
    with explained(folder, "tokenizer"):
        target = {"target_lang": language} if language else {}
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True, **target
        )
        vocabulary = tokenizer.get_vocab()
        tokenizer("a")  # some settings only fail in use
        tokenizer.decode([token for token in vocabulary.values() if token < size])
    last = size
    if family == "whisper":  # timestamps, which Whispers of 2022 lack, are not written after <|notimestamps|>
        last = vocabulary.get("<|notimestamps|>", size)
    elif FAMILIES[family].kind == "audio LM":  # their embeddings are padded to a round number
        last = max(vocabulary.values(), default=size) + 1
    missing = set(range(min(last, size))) - set(vocabulary.values())
    if missing:
        raise InputError(
            f"{folder}: the tokenizer has no spelling for {len(missing)} of the model's {size} tokens; copy "
            f"{_advice(family, config)}"
        )
    if FAMILIES[family].kind != "CTC":
        if beyond := sum(token >= size for token in vocabulary.values()):
            raise InputError(
                f"{folder}: the tokenizer has {beyond} tokens more than the model's {size}; it is of another "
                f"model, or was extended without the network: copy {_advice(family, config)}"
            )
        return tokenizer
    if not isinstance(tokenizer, _COLLAPSING):
        raise InputError(
            f"{folder}: {type(tokenizer).__name__} is no CTC tokenizer: it keeps blanks and repetitions; "
            f"copy {_advice(family, config)}"
        )
    if tokenizer.pad_token_id != config.pad_token_id:
        raise InputError(
            f"{folder}: the blank is token {config.pad_token_id} in config.json (pad_token_id), but "
            f"{tokenizer.pad_token_id} in the tokenizer (pad_token); correct the wrong one"
        )
    return tokenizer


def _advice(family: str, config: Any) -> str:
    """The files of a tokenizer, and the model that has them."""
    if family != "whisper" and FAMILIES[family].kind in ("audio LM", "encoder-decoder"):
        return "tokenizer.json and tokenizer_config.json from the model that this one was made from"
    if family != "whisper":
        return "vocab.json and tokenizer_config.json (`processor.save_pretrained`) from where it was trained"
    size = _WHISPER_SIZES.get(config.d_model, "")
    if config.vocab_size == _FIRST_WITH_CANTONESE:
        size = "large-v3"
    elif config.vocab_size == _FIRST_WITH_CANTONESE - 2:
        size += ".en"
    source = f"openai/whisper-{size}" if size else "the Whisper that this one was made from"
    return f"tokenizer.json and tokenizer_config.json from {source}"
