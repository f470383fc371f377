"""The contract of a speech model: audio in; states at sites with their times, and text, out.

Adapters wrap `transformers` models by hooks and copy none of their code; with no hook active the output is
that of the bare model, bit for bit. A batch holds clips of one input shape: nothing is padded beyond what the
model's own front end does, so states never depend on what else was in the batch's padding.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from innerear.corpora.schema import SAMPLING_RATE
from innerear.errors import InputError
from innerear.models.frames import FrameClock
from innerear.models.sites import Action, Place, hooked


@dataclass(frozen=True)
class Transcript:
    """What a model wrote: the text, its tokens, and the log-probability of each (natural log)."""

    text: str
    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]


@dataclass(frozen=True)
class Identity:
    """Who a model is, for results: enough to get the same weights again."""

    name: str
    family: str
    kind: str
    revision: str
    source: str
    weights_sha256: str
    parameters: int
    licence: str
    training_data: tuple[str, ...]
    seed: int | None = None


class SpeechModel(ABC):
    """A speech recogniser under a microscope.

    Attributes
    ----------
    identity
        Name, revision, source and hash of the weights.
    network
        The bare `transformers` model, in evaluation mode.
    places
        The sites that it has, by name.
    clock
        The times of its encoder frames.
    encoder_layers
        L; the residual stream of the encoder has the sites `encoder.0` … `encoder.L`.
    window
        Longest clip in seconds that the model takes in one piece.
    """

    def __init__(
        self,
        identity: Identity,
        network: nn.Module,
        places: Mapping[str, Place],
        clock: FrameClock,
        encoder_layers: int,
        window: float,
    ) -> None:
        self.identity = identity
        self.network = network.eval()
        self.places = places
        self.clock = clock
        self.encoder_layers = encoder_layers
        self.window = window

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    @property
    def encoder_sites(self) -> tuple[str, ...]:
        """The encoder's residual stream, the embedding output included."""
        return tuple(f"encoder.{layer}" for layer in range(self.encoder_layers + 1))

    def refusal(self, samples: int) -> str | None:
        """Tell why a clip of so many samples cannot be heard in one piece, or None."""
        if samples > self.window * SAMPLING_RATE:
            return f"{samples / SAMPLING_RATE:.1f} s is longer than the model's window of {self.window:g} s"
        if self.clock.count(samples) < 1:
            return f"{samples / SAMPLING_RATE:.3f} s is shorter than one frame of the model"
        return None

    def batch_key(self, samples: int) -> int:
        """Clips of equal keys have inputs of one shape and may share a batch."""
        return 0 if self.clock.padded else samples

    def hooks(self, actions: Mapping[str, Action]) -> AbstractContextManager[Counter[str]]:
        """Read or write states at sites while the context is open; see `innerear.models.sites.hooked`."""
        return hooked(self.network, self.places, actions)

    def states(self, audio: Sequence[np.ndarray], sites: Sequence[str]) -> dict[str, Tensor]:
        """States at encoder sites for a batch of clips, from one forward pass of the encoder.

        Returns
        -------
        dict
            For each site a tensor [clip, frame, dim] on the model's device; frames past
            `clock.count(samples)` are padding.
        """
        kept: dict[str, Tensor] = {}

        def keep(site: str) -> Action:
            return lambda states: kept.__setitem__(site, states)

        with torch.inference_mode(), self.hooks({site: keep(site) for site in sites}):
            self.encode(audio)
        return kept

    def inputs(self, audio: Sequence[np.ndarray]) -> Tensor:
        """Bring clips (float32 at `SAMPLING_RATE`) through the model's own front end, as one batch.

        Raises
        ------
        InputError
            If a clip is too long or too short, or the clips have no common input shape.
        """
        for clip in audio:
            if reason := self.refusal(len(clip)):
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
    def unembed(self, states: Tensor) -> Tensor:
        """Logits over the vocabulary from states of the last residual stream, [..., dim] → [..., token]."""

    @abstractmethod
    def transcribe(self, audio: Sequence[np.ndarray]) -> list[Transcript]:
        """Write down what was said, greedily and without fallbacks; one transcript for each clip."""
