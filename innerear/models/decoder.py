"""Models with a decoder: they write one token after another, and can be led through any text."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from innerear.data.schema import Item
from innerear.models.base import FrontEnd, Identity, SpeechModel, Transcript
from innerear.models.family import Family
from innerear.models.generation_settings import GenerationSettings
from innerear.models.site import Part
from innerear.models.sites import places, wide
from innerear.models.spelling import Spelling
from innerear.util.errors import InputError


class Decoding(Protocol):
    """A decoder stepping through some rows, with cached keys and values of their tokens and of the audio."""

    @property
    def length(self) -> int:
        """Number of tokens that each row was given."""

    def restarted(self) -> "Decoding":
        """The same rows with no token given yet."""

    def step(self, tokens: Tensor, last: bool = False, sees: Tensor | None = None) -> Tensor:
        """Logits [row, token, vocabulary] of more tokens [row, token]; with `last`, of the last one only.

        `sees` [token, token], in the first step alone: which tokens each one attends to, itself included;
        by default all up to itself.
        """

    def keep(self, rows: Tensor) -> None:
        """Drop all other rows."""


class DecoderModel(SpeechModel, ABC):
    """A speech model with a decoder.

    Parameters
    ----------
    spelling
        Its tokenizer.
    generation
        What the decoder starts from, which tokens end an output or never enter it, and its length.
    languages
        Codes of the languages of a model whose decoder is told none; empty where they are not known.
    """

    writes = True
    listening_part: ClassVar[Part] = "cross_attn"
    """The attention by which the decoder hears the audio."""

    def __init__(
        self,
        identity: Identity,
        network: Any,
        family: Family,
        features: FrontEnd,
        spelling: Spelling,
        generation: GenerationSettings,
        languages: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(identity, network, family, features, frozenset(generation.languages) or languages)
        assert family.decoder is not None  # the family has a decoder
        self.places |= places("decoder", family.decoder, network)
        self.decoder_layers = len(network.get_submodule(family.decoder.layers))
        self._spelling = spelling
        self.generation = generation

    @property
    def generation(self) -> GenerationSettings:
        """How the decoder writes; the network's own generation configuration is made from it."""
        return self._generation

    @generation.setter
    def generation(self, settings: GenerationSettings) -> None:
        self._generation = settings
        self.network.generation_config = settings.greedy()

    @property
    def language(self) -> str:
        """The language of its generation settings, or its only one, or English."""
        return self.generation.language or super().language

    def prompted_language(self, item: Item) -> str:
        """That of the clip if the decoder can be told it, else the model's own; empty if it is told none."""
        return item.language if item.language in self.generation.languages else self.generation.language

    @contextmanager
    def prompted(self, language: str) -> Iterator[None]:
        """Start the decoder from the prefix of a language."""
        own = self.generation
        if language == own.language:
            yield
            return
        self.generation = own.in_language(language)
        try:
            yield
        finally:
            self.generation = own

    @property
    def decoder_norm(self) -> nn.Module:
        """The norm at the end of the decoder."""
        norm: nn.Module = self.network.get_submodule(self.family.decoder_norm)
        return norm

    def unembed(self, states: Tensor) -> Tensor:
        """Final decoder norm and unembedding, [..., dim] → [..., token]."""
        return self.logits(self.decoder_norm(states.to(self.network.dtype)))

    def logits(self, states: Tensor) -> Tensor:
        """Unembedding of normed states, [..., dim] → [..., token]."""
        logits: Tensor = self.network.get_submodule(self.family.head)(states)
        return wide(logits).to(self.device)

    @abstractmethod
    def decoding(self, encoded: Tensor, *, gradients: bool = False) -> AbstractContextManager[Decoding]:
        """Decode rows step by step; the output of one clip, [1, frame, dim], serves any number of rows.

        With `gradients`, they flow through the decoder, and into the encoder if its output requires them.
        """

    @abstractmethod
    def teacher_force(self, encoded: Tensor, tokens: Sequence[int]) -> Tensor:
        """Teacher-force the decoder on tokens.

        Parameters
        ----------
        encoded
            Encoder output of one clip, [1, frame, dim].

        Returns
        -------
        Tensor
            Logits [position, vocabulary]; row `prefix_length - 1 + p` predicts `tokens[p]`. States at decoder
            sites are in the same order: none has seen the token that it predicts.
        """

    @abstractmethod
    def attention(self, encoded: Tensor, tokens: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Attention weights of each decoder head, teacher-forced on tokens.

        Returns
        -------
        own, audio
            Self-attention [layer, head, position, position], the prefix included, and attention to the audio
            [layer, head, position, frame]; layer 0 is the first block. Position `prefix_length - 1 + p`
            predicts `tokens[p]`. The first frames are those of `heard_times`, others are padding.
        """

    def heard_times(self, samples: int) -> np.ndarray:
        """Times in seconds of the frames of a clip that the decoder attends to, [frame]."""
        heard = self.family.heard
        return (heard(self.network.config) if heard else self.clock).times(samples)

    @property
    def prefix(self) -> tuple[int, ...]:
        """The tokens that the decoder starts from."""
        return self.generation.prefix

    @property
    def prefix_length(self) -> int:
        """Number of tokens that the decoder is given before it writes."""
        return len(self.generation.prefix)

    @property
    def max_tokens(self) -> int:
        """Maximum number of tokens written."""
        return self.generation.max_tokens

    @property
    def end_of_text(self) -> int:
        """The token that ends an output; the first of them, where there are several."""
        return self.generation.ends[0]

    @property
    def alignment_heads(self) -> frozenset[tuple[int, int]]:
        """(layer from 0, head) of the heads that the model's publisher lists as alignment heads."""
        return frozenset(self.generation.alignment_heads)

    @property
    def no_speech_token(self) -> int | None:
        """The token whose probability at the first position is that of no speech; None except in Whisper."""
        return self.generation.no_speech

    def suppressed_tokens(self, first: bool) -> Tensor:
        """Indices of tokens that greedy decoding never writes (`first`: as its first token)."""
        begin = self.generation.begin_suppress if first else ()
        return torch.tensor([*self.generation.suppress, *begin], dtype=torch.long, device=self.device)

    def tokenize(self, text: str) -> list[int]:
        """Tokens of `text` as it is written after other words."""
        return self._spelling.tokenize(text)

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Each token as the tokenizer spells it."""
        return self._spelling.pieces(tokens)

    @property
    def special_tokens(self) -> frozenset[int]:
        """Tokens that stand for no text."""
        return self._spelling.special

    def transcripts(self, generated: Any) -> list[Transcript]:
        """Transcripts of what `generate` returned as a dictionary with logits, one for each row."""
        logits = torch.stack(generated.logits, dim=1)
        written = generated.sequences[:, -logits.shape[1] :]
        log_probs = logits.log_softmax(-1).gather(-1, written[..., None])[..., 0]
        return [
            self.transcript(row, probs)
            for row, probs in zip(written.tolist(), log_probs.tolist(), strict=True)
        ]

    def spoken(self, tokens: Sequence[int]) -> list[int]:
        """The tokens without end-of-text."""
        return [token for token in tokens if token not in self.generation.ends]

    def transcript(self, tokens: Sequence[int], log_probs: Sequence[float]) -> Transcript:
        """Transcript of the tokens up to the first end-of-text."""
        ends = [at for at, token in enumerate(tokens) if token in self.generation.ends]
        stop = ends[0] + 1 if ends else len(tokens)
        text = self._spelling.decode(tokens[:stop]).strip()
        return Transcript(text, tuple(tokens[:stop]), tuple(log_probs[:stop]), ended=bool(ends))


def decoder_of(model: SpeechModel) -> DecoderModel:
    """The same model, known to have a decoder.

    Raises
    ------
    InputError
        If it has no decoder.
    """
    if not isinstance(model, DecoderModel):
        raise InputError(f"{model.identity.name} has no decoder")
    return model
