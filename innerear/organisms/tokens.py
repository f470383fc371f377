"""The organisms' tokenizers: byte-pair encodings of the training text."""

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import ParakeetTokenizer, PreTrainedTokenizerFast

UNKNOWN, PAD, BLANK = "<unk>", "<pad>", "<blank>"
END, AUDIO = "<|endoftext|>", "<|AUDIO|>"
LANGUAGE = "<|en|>"
_SPECIALS = (END, AUDIO, "<|audio_bos|>", "<|audio_eos|>", LANGUAGE)
BEFORE = "<|audio_bos|>"
BEHIND = f"<|audio_eos|>Detect the language and recognize the speech: {LANGUAGE}"
"""The prompt of Qwen2-Audio around the audio, as `innerear.models.audio_families` has it."""

_PIECES = 256
"""Tokens of the Fast Conformer: fewer than its frames in any clip, as CTC needs, and each one often heard."""
_BYTE_PIECES = 576
"""Tokens of the language model, among which are all bytes and special tokens."""
_TIMES = 5000
"""How often the prompt counts: often enough for its words to be tokens."""


def pieces(text: Sequence[str]) -> Tokenizer:
    """Pieces of words, after `<unk>` and `<pad>`."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=_PIECES, special_tokens=[UNKNOWN, PAD], show_progress=False)
    tokenizer.train_from_iterator(text, trainer)
    return tokenizer


def parakeet_tokenizer(tokenizer: Tokenizer, *, transducer: bool) -> Any:
    """The tokenizer of a CTC model, whose blank is `<pad>`, or of a transducer, whose blank comes last."""
    own = Tokenizer.from_str(tokenizer.to_str())
    if transducer:
        own.add_special_tokens([BLANK])
    return ParakeetTokenizer(tokenizer_object=own, unk_token=UNKNOWN, pad_token=PAD)


def byte_tokenizer(text: Sequence[str]) -> Any:
    """Bytes and pieces of words, after the special tokens of an audio language model."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_BYTE_PIECES,
        special_tokens=list(_SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    asked = BEHIND.removeprefix("<|audio_eos|>").removesuffix(LANGUAGE)
    tokenizer.train_from_iterator([*(f" {sentence}" for sentence in text), *_TIMES * [asked]], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, additional_special_tokens=list(_SPECIALS), pad_token=END, eos_token=END
    )
