"""A model's folder made of its configuration alone: its network will have random weights."""

import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, PreTrainedTokenizerFast

from innerear.models.folders import explained
from innerear.models.registry import ArchitectureSource
from innerear.util.errors import InputError
from innerear.util.io import sha256_json


def write_architecture(source: ArchitectureSource, folder: Path) -> str:
    """Write config.json and a tokenizer of placeholders into a folder; returns the configuration's hash.

    Each word of a prompt is one token, as most are in a real vocabulary.

    Raises
    ------
    InputError
        If the configuration cannot be, or has no place for a special token.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(source.config))
    with explained(folder, "config.json"):
        size = AutoConfig.for_model(**source.config).get_text_config().vocab_size
    spelt = {f"token{at}": at for at in range(size)}
    for spelling, token in source.tokens.items():
        if spelt.pop(f"token{token}", None) is None:
            raise InputError(f"tokens: {spelling} is {token}, which is taken or not one of the {size} tokens")
        spelt[spelling] = token
    if (unknown := next((each for each in spelt if each not in source.tokens), None)) is None:
        raise InputError(f"all {size} tokens are special ones; none is left for words")
    words = Tokenizer(models.WordLevel(spelt, unk_token=unknown))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token=unknown, additional_special_tokens=list(source.tokens)
    ).save_pretrained(folder)
    return sha256_json(source.model_dump(mode="json"))[:12]
