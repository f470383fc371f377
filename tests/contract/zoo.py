"""Tiny random models of every architecture, each saved with a tokenizer and a front end of its own.

A folder is what `load_model` takes, and what `transformers` alone loads and runs: `bare` says what it writes
then. The modules `zoo_*` beside this one have the architectures of one kind each.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from innerear.data.schema import SAMPLING_RATE
from innerear.models.bare import bare_recogniser

Save = Callable[[Path], None]
Bare = Callable[[Path, np.ndarray], list[int]]


@dataclass(frozen=True)
class Architecture:
    """An architecture and its tiny model.

    Attributes
    ----------
    save
        Saves the model into a folder.
    bare
        Tokens that `transformers` alone writes for a clip, greedily, without what it starts from; for a model
        that emits along the audio, the token of each step.
    blur
        Frames by which the strongest effect of an impulse on `encoder.0` may miss its time.
    """

    save: Save
    bare: Bare | None = None
    blur: int = 1


def alone(family: str) -> Bare:
    """What `transformers` alone writes, as `innerear models check` asks it."""
    return lambda folder, audio: bare_recogniser(family, folder)(audio)


ARCHITECTURES: dict[str, Architecture] = {}
"""By `model_type`, or a variant's name."""


def sentences() -> list[str]:
    """English sentences to train small tokenizers on."""
    import innerear.data

    folder = Path(innerear.data.__file__).parent / "corpora" / "innerear-speech"
    return (folder / "sentences.txt").read_text().splitlines()


def bpe(size: int, specials: list[str], *, metaspace: bool = True) -> Tokenizer:
    """A byte-pair tokenizer; `specials` are its first tokens."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>" if metaspace else None))
    alphabet: list[str] = []
    if metaspace:
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sentences(), trainer)
    return tokenizer


def saving(root: Path) -> Callable[[str], Path]:
    """A function that saves an architecture by name under `root`, once, and returns its folder."""

    @cache
    def folder(name: str) -> Path:
        ARCHITECTURES[name].save(root / name)
        return root / name

    return folder


def letters(folder: Path) -> int:
    """Save wav2vec 2.0's vocabulary of letters, and return its size."""
    known = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({letter: at for at, letter in enumerate(known)}))
    return len(known)


def clip(seconds: float = 1.3, seed: int = 0) -> np.ndarray:
    """Quiet noise."""
    samples = np.random.default_rng(seed).standard_normal(int(seconds * SAMPLING_RATE))
    return (0.1 * samples).astype(np.float32)


def sharpened(network: torch.nn.Module, head: str) -> torch.nn.Module:
    """Scale an output projection up, so that no two tokens are nearly as probable."""
    with torch.no_grad():
        network.get_parameter(f"{head}.weight").mul_(20)
    return network
