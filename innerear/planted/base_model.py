"""The base model in which a cause is planted, and the clips to plant it with."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from innerear.data.minimal_pairs import SpokenWord, spoken_words
from innerear.data.schema import Corpus, Item
from innerear.data.splits import sentence
from innerear.interventions.run import predict
from innerear.models.base import Identity
from innerear.models.decoder import DecoderModel, decoder_of
from innerear.models.devices import placed
from innerear.models.loading import Opened, adapt, load_model
from innerear.models.networks import dtype_name
from innerear.models.registry import load_spec
from innerear.models.site import Site
from innerear.models.sites import Place, hooked
from innerear.models.twins import RECIPE, random_twin
from innerear.models.weights import fetch, tensors_sha256
from innerear.planted.problem import RunInput, clip_key, pad_to_one_length
from innerear.util.errors import InputError

TINY = "tiny-random-"
"""Prefix of untrained base models, numbered: a narrow Whisper with random weights and a real tokenizer."""
_NARROW = dict(
    d_model=64, encoder_layers=3, decoder_layers=3, encoder_attention_heads=4, decoder_attention_heads=4,
    encoder_ffn_dim=256, decoder_ffn_dim=256,
)  # fmt: skip
MAX_SECONDS = 4.5
"""Duration of the longest clip that is used."""
RANDOM_TEXTS = (4, 16, 16)
"""Clips, texts per clip and tokens per text from which regressions between states and tokens are fitted."""


@dataclass(frozen=True)
class Clips:
    """Clips of one length: some to fit a plan on, others to try it on."""

    fit: tuple[np.ndarray, ...]
    trial: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class PlantingBase:
    """A base model and the clips that causes are planted with; outputs of the unmodified model are cached.

    Attributes
    ----------
    corpus
        Speech, clips without speech (they have a `kind`) and minimal pairs, joined.
    clips_per_kind
        Number of clips of speech, and of clips without, to fit on; as many others are used for trials.
    seed
        Seed of the choice of clips.
    encoded
        Encoder output of the untouched model, by `clip_key`.
    """

    model: DecoderModel
    corpus: Corpus
    clips_per_kind: int
    seed: int
    encoded: dict[bytes, Tensor] = field(default_factory=dict)
    _transcripts: dict[bytes, tuple[int, ...]] = field(default_factory=dict)
    _next_tokens: dict[tuple[bytes, tuple[int, ...]], int] = field(default_factory=dict)

    @cached_property
    def speech_items(self) -> tuple[Item, ...]:
        """Short clips of speech with different sentences: the first half to fit on, the second for trials."""
        spoken = (item for item in self.corpus if item.is_speech and not item.label("pair"))
        return self._sample([*{sentence(item.text): item for item in spoken}.values()])

    @cached_property
    def _clips(self) -> tuple[Clips, Clips]:
        wordless = [item for item in self.corpus if item.label("kind") and not item.is_speech]
        sources = [*{item.cluster: item for item in wordless}.values()]
        both = (*self.speech_items, *self._sample(sources))
        clips, n = tuple(pad_to_one_length([item.audio() for item in both])), self.clips_per_kind
        return Clips(clips[:n], clips[n : 2 * n]), Clips(clips[2 * n : 3 * n], clips[3 * n :])

    @property
    def speech(self) -> Clips:
        """Clips of speech."""
        return self._clips[0]

    @property
    def non_speech(self) -> Clips:
        """Clips without speech, each from a different source."""
        return self._clips[1]

    @cached_property
    def word_pairs(self) -> list[tuple[SpokenWord, SpokenWord]]:
        """Minimal pairs of one voice, in random order."""
        voice = min(item.speaker for item in self.corpus if item.label("pair"))
        own = tuple(item for item in self.corpus if item.label("pair") and item.speaker == voice)
        pairs = spoken_words(self.corpus.with_items(own), 1)
        order = np.random.default_rng(self.seed).permutation(len(pairs))
        return [pairs[at] for at in order]

    def _sample(self, items: Sequence[Item]) -> tuple[Item, ...]:
        short = [item for item in items if item.duration <= MAX_SECONDS]
        if len(short) < 2 * self.clips_per_kind:
            raise InputError(
                f"{self.corpus.name}: {len(short)} clips of at most {MAX_SECONDS:g} s, but "
                f"{2 * self.clips_per_kind} are needed; use innerear-speech+innerear-nonspeech+innerear-pairs"
            )
        order = np.random.default_rng(self.seed).permutation(len(short))
        return tuple(short[at] for at in order[: 2 * self.clips_per_kind])

    def encode(self, audio: np.ndarray) -> Tensor:
        """Encoder output of the untouched model, [1, frame, dim]."""
        key = clip_key(audio)
        if key not in self.encoded:
            with torch.inference_mode():
                self.encoded[key] = self.model.encode([audio])
        return self.encoded[key]

    def transcript(self, audio: np.ndarray) -> tuple[int, ...]:
        """Tokens that the untouched model writes, without end-of-text."""
        key = clip_key(audio)
        if key not in self._transcripts:
            with torch.inference_mode():
                (written,) = self.model.greedy_decode(self.encode(audio), 24)
            self._transcripts[key] = written.tokens[: len(written.tokens) - written.ended]
        return self._transcripts[key]

    def next_token(self, run: RunInput) -> int:
        """The token that the untouched model writes next."""
        key = clip_key(run.audio), run.tokens
        if key not in self._next_tokens:
            logits = predict(self.model, self.encode(run.audio), run.tokens, [()])[0]
            self._next_tokens[key] = self.greedy_token(logits)
        return self._next_tokens[key]

    def greedy_token(self, logits: Tensor) -> int:
        """The token that greedy decoding chooses."""
        return int(logits.index_fill(0, self.model.suppressed_tokens(first=True), -torch.inf).argmax())

    @cached_property
    def word_tokens(self) -> Tensor:
        """Tokens that begin a word and consist of letters, [token]."""
        size = self.model.unembed(torch.zeros(1, self.width)).shape[-1]
        pieces = self.model.pieces(range(size))
        tokens = [at for at, piece in enumerate(pieces) if piece[:1] in "Ġ▁" and piece[1:].isalpha()]
        return torch.tensor(tokens)

    @property
    def width(self) -> int:
        """Dimension of the decoder's residual stream."""
        weight = self.model.network.get_submodule(self.model.family.head).weight
        return int(weight.shape[1])

    def random_text_states(self, module: str, seed: int, words: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Inputs of a decoder module on random texts, [position, dim], and the tokens there, [position].

        Parameters
        ----------
        words
            Tokens from which about half of each text is drawn; the other half are random words.
        """
        clips, texts, length = RANDOM_TEXTS
        random = torch.Generator().manual_seed(seed)
        states, tokens = [], []
        kept: dict[str, Tensor] = {}
        for audio in self.speech.fit[:clips]:
            drawn = self.word_tokens[torch.randint(len(self.word_tokens), (texts, length), generator=random)]
            chosen = torch.tensor(words)[torch.randint(len(words), drawn.shape, generator=random)]
            drawn = torch.where(torch.rand(drawn.shape, generator=random) < 0.5, chosen, drawn)
            given = torch.tensor([self.model.prefix] * texts)
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

    def residual_norm(self, site: Site) -> float:
        """Median norm of the residual stream at the position that predicts the next token."""
        with torch.inference_mode(), self.model.reading([site]) as kept:
            norms = []
            for audio in self.speech.fit[:4]:
                self.model.teacher_force(self.encode(audio), [*self.transcript(audio)[:3], 0])
                norms.append(float(kept[site][0, -1].norm()))
        return float(np.median(norms))


def load_base_model(name: str, seed: int, device: str = "cpu") -> DecoderModel:
    """Load a registered model, or make `tiny-random-N`, whose weights depend on the seed and on N."""
    if not name.startswith(TINY):
        return decoder_of(load_model(name, device=device))
    spec = load_spec("whisper-tiny.en")
    opened = Opened.of(spec, fetch(spec).folder)
    assert opened.generation is not None  # Whisper has a decoder
    opened.config.update(_NARROW)
    opened = replace(opened, generation=replace(opened.generation, alignment_heads=()))
    number = int(name.removeprefix(TINY))
    network = random_twin(lambda: opened.kind(opened.config), 1000 * seed + number)
    identity = Identity(
        name=name, family="whisper", kind="twin", revision=str(seed), source="random weights",
        parts=opened.parts(tensors_sha256(network.state_dict()), dtype_name(network)) | {"recipe": RECIPE},
        parameters=sum(weight.numel() for weight in network.parameters()), licence="Apache-2.0",
        training_data=(), seed=seed,
    )  # fmt: skip
    return decoder_of(adapt(identity, placed(network, device), opened))
