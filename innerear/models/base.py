"""The interface of a speech model: audio in; states at sites with their times, and text, out.

Adapters wrap `transformers` models by hooks and copy none of their code; with no hook active the output is
that of the bare model, bit for bit. A batch holds clips of one input shape: nothing is padded beyond what the
model's own front end does, so states never depend on the padding of other clips.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from innerear.data.language import ENGLISH
from innerear.data.schema import SAMPLING_RATE, Item
from innerear.models.frames import FrameClock
from innerear.models.site import Site
from innerear.models.sites import Action, Place, hooked
from innerear.util.errors import InputError
from innerear.util.io import sha256_json

Name = TypeVar("Name", bound=str)


@dataclass(frozen=True)
class Transcript:
    """What a model wrote.

    Attributes
    ----------
    tokens, log_probs
        The written tokens (end-of-text last, if it was written) and the log-probability of each (nats).
    ended
        Whether the model wrote end-of-text itself, before its length limit.
    """

    text: str
    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]
    ended: bool = True


@dataclass(frozen=True)
class Identity:
    """What results record about a model: enough to get the same one again.

    Attributes
    ----------
    parts
        What decides what the model does: see `innerear.models.identity`.
    """

    name: str
    family: str
    kind: str
    revision: str
    source: str
    parts: Mapping[str, str]
    parameters: int
    licence: str
    training_data: tuple[str, ...]
    seed: int | None = None

    @cached_property
    def sha256(self) -> str:
        """Hash of all parts: the key of results and of cached readings."""
        return sha256_json(dict(self.parts))

    @property
    def weights_sha256(self) -> str:
        """Hash of the tensors alone; empty where there are none."""
        return self.parts.get("weights", "")


class SpeechModel(ABC):
    """A speech recogniser whose states can be read and written.

    Attributes
    ----------
    identity
        Name, revision, source and hash of the weights.
    network
        The bare `transformers` model, in evaluation mode.
    places
        Its sites, and where each is in the network.
    languages
        Codes of the languages that it transcribes; empty where that is not known.
    clock
        The times of its encoder frames.
    encoder_layers, decoder_layers
        L; the residual stream has the sites `encoder.0` … `encoder.L` and `decoder.0` … `decoder.L`. A model
        without a decoder has 0 decoder layers and no such sites.
    window
        Longest clip in seconds that the model takes in one piece.
    writes
        Whether it has a text head; an encoder alone has none, and what asks for text raises an `InputError`.
    """

    writes: ClassVar[bool] = True

    def __init__(
        self,
        identity: Identity,
        network: nn.Module,
        places: Mapping[Site, Place],
        clock: FrameClock,
        encoder_layers: int,
        window: float,
        decoder_layers: int = 0,
        languages: frozenset[str] = frozenset(),
    ) -> None:
        self.identity = identity
        self.network = network.eval()
        self.places = places
        self.clock = clock
        self.encoder_layers = encoder_layers
        self.window = window
        self.decoder_layers = decoder_layers
        self.languages = languages

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    @property
    def encoder_sites(self) -> tuple[Site, ...]:
        """The encoder's residual stream, the embedding output included."""
        return tuple(Site("encoder", layer) for layer in range(self.encoder_layers + 1))

    @property
    def decoder_sites(self) -> tuple[Site, ...]:
        """The decoder's residual stream, the embedding output included; empty where there is no decoder."""
        if not self.decoder_layers:
            return ()
        return tuple(Site("decoder", layer) for layer in range(self.decoder_layers + 1))

    @property
    def language(self) -> str:
        """Code of the language that a clip without a stated one is taken for."""
        return next(iter(self.languages)) if len(self.languages) == 1 else ENGLISH

    def language_of(self, item: Item) -> str:
        """Code of the language of a clip."""
        return item.language or self.language

    def untranscribed_reason(self, item: Item) -> str | None:
        """Why the model cannot transcribe what is said in a clip, or None if it may."""
        language = self.language_of(item)
        if not item.is_speech or not self.languages or language in self.languages:
            return None
        known = "only " + ", ".join(sorted(self.languages)) if len(self.languages) < 4 else "other languages"
        return f"{self.identity.name} transcribes {known}, and the clip is in {language}"

    def prompted_language(self, item: Item) -> str:
        """Code of the language that the decoder is prompted with for a clip; empty where it is told none."""
        return ""

    @contextmanager
    def prompted(self, language: str) -> Iterator[None]:
        """Prompt the decoder with a language, of `prompted_language`, while the context is open."""
        yield

    def unsupported_reason(self, samples: int) -> str | None:
        """Why the model cannot process a clip of this length in one piece, or None if it can."""
        if samples > self.window * SAMPLING_RATE:
            return f"{samples / SAMPLING_RATE:.1f} s is longer than the model's window of {self.window:g} s"
        if self.clock.count(samples) < 1:
            return f"{samples / SAMPLING_RATE:.3f} s is shorter than one frame of the model"
        return None

    def batch_key(self, samples: int) -> int:
        """Clips with equal keys have inputs of one shape and may share a batch."""
        return 0 if self.clock.padded else samples

    def hooks(self, actions: Mapping[Site, Action]) -> AbstractContextManager[Counter[str]]:
        """Read or write states at sites while the context is open; see `innerear.models.sites.hooked`."""
        return hooked(self.network, self.places, actions)

    def states(self, audio: Sequence[np.ndarray], sites: Sequence[Name]) -> dict[Name, Tensor]:
        """States at encoder sites for a batch of clips, from one forward pass of the encoder.

        Returns
        -------
        dict
            For each site a tensor [clip, frame, dim] on the model's device; frames past
            `clock.count(samples)` are padding.
        """
        with torch.inference_mode(), self.reading(sites) as kept:
            self.encode(audio)
        return kept

    @contextmanager
    def reading(self, sites: Sequence[Name]) -> Iterator[dict[Name, Tensor]]:
        """Collect the states at sites while the context is open; a later forward pass replaces them."""
        kept: dict[Name, Tensor] = {}

        def keep(site: Name) -> Action:
            return lambda states: kept.__setitem__(site, states)

        with self.hooks({Site.parse(site): keep(site) for site in sites}):
            yield kept

    def inputs(self, audio: Sequence[np.ndarray]) -> Tensor:
        """Run clips (float32 at `SAMPLING_RATE`) through the model's own front end, as one batch.

        Raises
        ------
        InputError
            If a clip is too long or too short, or the clips have no common input shape.
        """
        for clip in audio:
            if reason := self.unsupported_reason(len(clip)):
                raise InputError(f"{self.identity.name}: a clip of {reason}; split or remove it")
        if len({self.batch_key(len(clip)) for clip in audio}) > 1:
            raise InputError(f"{self.identity.name}: clips of unequal length cannot share a batch")
        return self.front_end(audio).to(self.device)

    @abstractmethod
    def front_end(self, audio: Sequence[np.ndarray]) -> Tensor:
        """Turn clips into the input tensor of the network, on the CPU."""

    @abstractmethod
    def encode(self, audio: Sequence[np.ndarray]) -> Tensor:
        """Encoder output after the final norm, as decoder or CTC head sees it, [clip, frame, dim]."""

    @abstractmethod
    def encoder_norm(self, states: Tensor) -> Tensor:
        """Norm between the last encoder layer and what reads the encoder, [..., dim] → [..., dim]."""

    @abstractmethod
    def unembed(self, states: Tensor) -> Tensor:
        """Logits over the vocabulary from states of the last residual stream, [..., dim] → [..., token]."""

    @abstractmethod
    def greedy_decode(self, encoded: Tensor, max_tokens: int | None = None) -> list[Transcript]:
        """Text from encoder output [clip, frame, dim], greedily and without fallbacks, one for each clip.

        Parameters
        ----------
        max_tokens
            Maximum number of tokens written; None, or a larger number, is the model's own limit.
        """

    def transcribe(self, audio: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcribe clips greedily and without fallbacks; one transcript for each."""
        with torch.inference_mode():
            return self.greedy_decode(self.encode(audio))

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

        Raises
        ------
        InputError
            If the model has no decoder.
        """

    def attention(self, encoded: Tensor, tokens: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Attention weights of each decoder head, teacher-forced on tokens.

        Returns
        -------
        own, cross
            Self-attention [layer, head, position, position], the prefix included, and cross-attention
            [layer, head, position, frame]; layer 0 is the first block. Position `prefix_length - 1 + p`
            predicts `tokens[p]`.

        Raises
        ------
        InputError
            If the model has no decoder.
        """
        raise InputError(f"{self.identity.name} has no decoder whose attention could be read")

    @property
    def alignment_heads(self) -> frozenset[tuple[int, int]]:
        """(layer from 0, head) of the heads that the model's publisher lists as alignment heads."""
        return frozenset()

    @property
    @abstractmethod
    def prefix_length(self) -> int:
        """Number of tokens that the decoder is given before it writes; 0 without a decoder."""

    @property
    @abstractmethod
    def no_speech_token(self) -> int | None:
        """The token whose probability at the first position is that of no speech; None except in Whisper."""

    @abstractmethod
    def suppressed_tokens(self, first: bool) -> Tensor:
        """Indices of tokens that greedy decoding never writes (`first`: as its first token)."""

    @abstractmethod
    def tokenize(self, text: str) -> list[int]:
        """Tokens of `text` as the model writes it after other words, without special tokens."""

    @abstractmethod
    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Each token as the tokenizer spells it; a leading "▁", "Ġ" or space starts a word."""
