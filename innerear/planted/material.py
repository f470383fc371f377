"""What causes are planted with: a base model, clips of each kind, and what the model makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, GenerationConfig, WhisperForConditionalGeneration

from innerear.data.minimal_pairs import SpokenWord, spoken_words
from innerear.data.schema import Corpus, Item
from innerear.data.splits import sentence
from innerear.interventions.run import decoder_of, predict
from innerear.models.base import Identity
from innerear.models.encoder_decoder import EncoderDecoder
from innerear.models.loading import adapted, load_model, usable_device
from innerear.models.registry import load_spec
from innerear.models.sites import Place, hooked
from innerear.models.weights import fetch, tensors_sha256
from innerear.planted.problem import ForcedRun, key, together
from innerear.util.errors import InputError

TINY = "tiny-random-"
"""Bases that no one trained, by number: a narrow Whisper with random weights and a real tokenizer."""
_NARROW = dict(
    d_model=64, encoder_layers=3, decoder_layers=3, encoder_attention_heads=4, decoder_attention_heads=4,
    encoder_ffn_dim=256, decoder_ffn_dim=256,
)  # fmt: skip
LONGEST = 4.5
"""Seconds of the clips that are used."""
SAMPLES = (4, 16, 16)
"""Clips, rows and tokens of the random texts from which maps between states and tokens are learnt."""


@dataclass(frozen=True)
class Clips:
    """Clips of one length: to learn from, and to try on."""

    learn: tuple[np.ndarray, ...]
    trial: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Material:
    """A base model and the clips that it hears.

    Attributes
    ----------
    corpus
        Speech, clips without speech (they have a `kind`) and minimal pairs, joined.
    count
        Clips of each kind to learn from, and as many to try on.
    seed
        Of the choice of clips.
    """

    model: EncoderDecoder
    corpus: Corpus
    count: int
    seed: int
    encoded: dict[bytes, Tensor] = field(default_factory=dict)
    _texts: dict[bytes, tuple[int, ...]] = field(default_factory=dict)
    _next: dict[tuple[bytes, tuple[int, ...]], int] = field(default_factory=dict)

    @cached_property
    def speech_items(self) -> tuple[Item, ...]:
        """Short clips of speech, each of another sentence: the first half is learnt from."""
        spoken = (item for item in self.corpus if item.is_speech and not item.label("pair"))
        return self._drawn([*{sentence(item.text): item for item in spoken}.values()])

    @cached_property
    def _heard(self) -> tuple[Clips, Clips]:
        quiet = [item for item in self.corpus if item.label("kind") and not item.is_speech]
        sources = [*{item.cluster: item for item in quiet}.values()]
        both = (*self.speech_items, *self._drawn(sources))
        clips, n = tuple(together([item.audio() for item in both])), self.count
        return Clips(clips[:n], clips[n : 2 * n]), Clips(clips[2 * n : 3 * n], clips[3 * n :])

    @property
    def speech(self) -> Clips:
        """Speech."""
        return self._heard[0]

    @property
    def sounds(self) -> Clips:
        """Clips without speech, each from another source."""
        return self._heard[1]

    @cached_property
    def words(self) -> list[tuple[SpokenWord, SpokenWord]]:
        """Minimal pairs of one voice, shuffled."""
        voice = min(item.speaker for item in self.corpus if item.label("pair"))
        own = tuple(item for item in self.corpus if item.label("pair") and item.speaker == voice)
        pairs = spoken_words(self.corpus.with_items(own), 1)
        order = np.random.default_rng(self.seed).permutation(len(pairs))
        return [pairs[at] for at in order]

    def _drawn(self, items: Sequence[Item]) -> tuple[Item, ...]:
        short = [item for item in items if item.duration <= LONGEST]
        if len(short) < 2 * self.count:
            raise InputError(
                f"{self.corpus.name}: {len(short)} clips of at most {LONGEST:g} s where {2 * self.count} are "
                "needed; take innerear-speech+innerear-nonspeech+innerear-pairs"
            )
        order = np.random.default_rng(self.seed).permutation(len(short))
        return tuple(short[at] for at in order[: 2 * self.count])

    def encode(self, audio: np.ndarray) -> Tensor:
        """Encoder output of the untouched model, [1, frame, dim]."""
        known = key(audio)
        if known not in self.encoded:
            with torch.inference_mode():
                self.encoded[known] = self.model.encode([audio])
        return self.encoded[known]

    def text(self, audio: np.ndarray) -> tuple[int, ...]:
        """Tokens that the untouched model writes, the end left out."""
        known = key(audio)
        if known not in self._texts:
            with torch.inference_mode():
                (made,) = self.model.greedy_decode(self.encode(audio), 24)
            self._texts[known] = made.tokens[: len(made.tokens) - made.ended]
        return self._texts[known]

    def next_token(self, heard: ForcedRun) -> int:
        """What the untouched model writes next."""
        known = key(heard.audio), heard.tokens
        if known not in self._next:
            logits = predict(self.model, self.encode(heard.audio), heard.tokens, [()])[0]
            self._next[known] = self.best(logits)
        return self._next[known]

    def best(self, logits: Tensor) -> int:
        """The token that greedy decoding takes."""
        return int(logits.index_fill(0, self.model.suppressed_tokens(first=True), -torch.inf).argmax())

    @cached_property
    def plain(self) -> Tensor:
        """Tokens that begin a word and are made of letters, [token]."""
        size = self.model.unembed(torch.zeros(1, self.width)).shape[-1]
        pieces = self.model.pieces(range(size))
        found = [at for at, piece in enumerate(pieces) if piece[:1] in "Ġ▁" and piece[1:].isalpha()]
        return torch.tensor(found)

    @property
    def width(self) -> int:
        """Dimension of the decoder's residual stream."""
        weight = self.model.network.get_parameter("proj_out.weight")
        return int(weight.shape[1])

    def random_texts(self, module: str, seed: int, words: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Inputs of a decoder module over random words, [position, dim], and their tokens [position].

        Parameters
        ----------
        words
            Tokens of which every second one is, beside random words.
        """
        clips, rows, length = SAMPLES
        random = torch.Generator().manual_seed(seed)
        states, tokens = [], []
        kept: dict[str, Tensor] = {}
        for audio in self.speech.learn[:clips]:
            drawn = self.plain[torch.randint(len(self.plain), (rows, length), generator=random)]
            chosen = torch.tensor(words)[torch.randint(len(words), drawn.shape, generator=random)]
            drawn = torch.where(torch.rand(drawn.shape, generator=random) < 0.5, chosen, drawn)
            given = torch.tensor([self.model.prefix] * rows)
            with (
                torch.inference_mode(),
                hooked(
                    self.model.network,
                    {"here": Place(module, "input")},
                    {"here": lambda states: kept.__setitem__("here", states)},
                ),
                self.model.decoding(self.encode(audio)) as decoding,
            ):
                decoding.step(torch.cat([given, drawn], dim=1).to(self.model.device), last=True)
            states.append(kept["here"][:, given.shape[1] :].flatten(0, 1).clone().cpu())
            tokens.append(drawn.flatten())
        return torch.cat(states), torch.cat(tokens)

    def scale(self, site: str) -> float:
        """Typical norm of the residual stream where the next token is written."""
        with torch.inference_mode(), self.model.reading([site]) as kept:
            norms = []
            for audio in self.speech.learn[:4]:
                self.model.teacher_force(self.encode(audio), [*self.text(audio)[:3], 0])
                norms.append(float(kept[site][0, -1].norm()))
        return float(np.median(norms))


def base_model(name: str, seed: int, device: str = "cpu") -> EncoderDecoder:
    """A registered model, or `tiny-random-N`, drawn from a seed and its number."""
    if not name.startswith(TINY):
        return decoder_of(load_model(name, device=device))
    fetched = fetch(load_spec("whisper-tiny.en"))
    config = AutoConfig.from_pretrained(fetched.folder, trust_remote_code=False, local_files_only=True)
    config.update(_NARROW)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1000 * seed + int(name.removeprefix(TINY)))
        network: Any = WhisperForConditionalGeneration(config)
    network.generation_config = GenerationConfig.from_pretrained(fetched.folder)
    identity = Identity(
        name=name, family="whisper", kind="twin", revision=str(seed), source="random weights",
        weights_sha256=tensors_sha256(network.state_dict()),
        parameters=sum(each.numel() for each in network.parameters()), licence="Apache-2.0",
        training_data=(), seed=seed,
    )  # fmt: skip
    return decoder_of(adapted(identity, network.to(usable_device(device)), fetched.folder))
