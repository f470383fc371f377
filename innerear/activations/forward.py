"""One forward pass of a batch of clips; each stage runs once, when a reading first needs it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from innerear.models.base import Identity, SpeechModel, Transcript
from innerear.models.decoder import decoder_of
from innerear.models.frames import FrameClock
from innerear.util.errors import InnerearError


class Listener(Protocol):
    """What a forward pass needs from a model or a floor: states at sites, and the times of its frames.

    `window` is the longest clip in seconds that it hears in one piece.
    """

    identity: Identity
    clock: FrameClock
    window: float

    @property
    def device(self) -> torch.device:
        """Where the states are computed."""

    @property
    def encoder_sites(self) -> tuple[str, ...]:
        """The sites of its layer curve: those of a model, or the name of a floor."""

    def unsupported_reason(self, samples: int) -> str | None:
        """Why a clip of this length cannot be processed, or None if it can."""

    def batch_key(self, samples: int) -> int:
        """Clips with equal keys may share a batch."""

    def states(self, audio: Sequence[np.ndarray], sites: Sequence[str]) -> dict[str, Tensor]:
        """States [clip, frame, dim] by site."""


_WIDTHS: WeakKeyDictionary[Listener, int] = WeakKeyDictionary()


def width(model: Listener, audio: Sequence[np.ndarray]) -> int:
    """Dimension of its encoder's states, by a pass over some clips: once for a model, whose warm-up it is."""
    if model not in _WIDTHS:
        states = model.states(audio, model.encoder_sites)
        _WIDTHS[model] = next(iter(states.values())).shape[-1]
    return _WIDTHS[model]


class Stopwatch:
    """Seconds by stage (`encoder`, `decoder`); on a GPU also milliseconds measured by CUDA events."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = {"encoder": 0.0, "decoder": 0.0}
        self.gpu_ms = 0.0

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Time the body, with the device synchronised before and after."""
        gpu = self.device.type == "cuda"
        if gpu:
            torch.cuda.synchronize(self.device)
            before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            before.record()
        started = perf_counter()
        yield
        if gpu:
            after.record()
            torch.cuda.synchronize(self.device)
            self.gpu_ms += before.elapsed_time(after)
        self.seconds[stage] += perf_counter() - started


class ForwardPass:
    """One pass of a batch of clips through a model or a floor.

    Parameters
    ----------
    audio
        Clips of one input shape, float32 at `SAMPLING_RATE`.
    sites
        Those of the encoder's sites that are read; by default all.
    """

    def __init__(
        self,
        model: Listener,
        audio: Sequence[np.ndarray],
        watch: Stopwatch,
        sites: Sequence[str] | None = None,
    ) -> None:
        self.listener = model
        self.audio = audio
        self.watch = watch
        self.sites = tuple(model.encoder_sites if sites is None else sites)

    @property
    def model(self) -> SpeechModel:
        """The model; a floor has none.

        Raises
        ------
        InnerearError
            If the listener is a floor.
        """
        if not isinstance(self.listener, SpeechModel):
            raise InnerearError(f"{self.listener.identity.name} is a floor: it has no text and no decoder")
        return self.listener

    @cached_property
    def states(self) -> dict[str, Tensor]:
        """States at the encoder's sites, [clip, frame, dim], padding included."""
        if not isinstance(self.listener, SpeechModel):
            with self.watch.time("encoder"):
                return self.listener.states(self.audio, self.listener.encoder_sites)
        return self._encoded[0]

    @property
    def encoded(self) -> Tensor:
        """Encoder output after the final norm, [clip, frame, dim]."""
        return self._encoded[1]

    @cached_property
    def _encoded(self) -> tuple[dict[str, Tensor], Tensor]:
        model = self.model
        with (
            self.watch.time("encoder"),
            torch.inference_mode(),
            model.reading(self.sites) as kept,
        ):
            encoded = model.encode(self.audio)
        return kept, encoded

    @cached_property
    def transcripts(self) -> list[Transcript]:
        """The model's transcript of each clip."""
        encoded = self.encoded
        with self.watch.time("decoder"):
            return self.model.greedy_decode(encoded)

    def clip(self, row: int) -> "Clip":
        """One clip of the batch."""
        return Clip(self, row)


class Clip:
    """One clip of a forward pass, as readings see it."""

    def __init__(self, forward_pass: ForwardPass, row: int) -> None:
        self._pass = forward_pass
        self._row = row
        self.samples = len(forward_pass.audio[row])
        self.clock = forward_pass.listener.clock
        self.sites = forward_pass.sites

    @property
    def model(self) -> SpeechModel:
        """The model of the pass."""
        return self._pass.model

    @property
    def states(self) -> Tensor:
        """States of the valid frames at every encoder site, [site, frame, dim]."""
        states = self._pass.states
        valid = self.clock.count(self.samples)
        return torch.stack([states[site][self._row, :valid] for site in self.sites])

    @property
    def padded_states(self) -> Tensor:
        """States at every encoder site, the padding of the front end included, [site, frame, dim]."""
        return torch.stack([self._pass.states[site][self._row] for site in self.sites])

    def frames(self, index: np.ndarray, sites: Sequence[str] | None = None) -> Tensor:
        """States in the frames with these indices at some sites (by default all), [frame, site, dim]."""
        states = self._pass.states
        chosen = torch.from_numpy(index).to(next(iter(states.values())).device)
        own = [states[site][self._row].index_select(0, chosen) for site in sites or self.sites]
        return torch.stack(own, dim=1)

    @property
    def encoded(self) -> Tensor:
        """Encoder output, padding included, [1, frame, dim]."""
        return self._pass.encoded[self._row : self._row + 1]

    @property
    def transcript(self) -> Transcript:
        """The model's transcript."""
        return self._pass.transcripts[self._row]

    @cached_property
    def written(self) -> "TeacherForced":
        """The decoder teacher-forced on the model's own transcript."""
        return self._teacher_force(self.transcript.tokens)

    @cached_property
    def start(self) -> "TeacherForced":
        """The decoder before its first token, given the prefix alone."""
        return self._teacher_force([0])  # the last token is only predicted, never fed

    def _teacher_force(self, tokens: Sequence[int]) -> "TeacherForced":
        model, encoded = decoder_of(self.model), self.encoded
        with self._pass.watch.time("decoder"), model.reading(model.decoder_sites) as kept:
            logits = model.teacher_force(encoded, tokens)
        first = model.prefix_length - 1
        no_speech = None
        if model.no_speech_token is not None:
            no_speech = float(logits[0].softmax(dim=-1)[model.no_speech_token])
        return TeacherForced(
            torch.stack([kept[site][0, first:] for site in model.decoder_sites]), logits[first:], no_speech
        )


@dataclass(frozen=True)
class TeacherForced:
    """A teacher-forced pass of the decoder.

    Attributes
    ----------
    states
        [site, token, dim], at the position that predicts each token.
    logits
        [token, vocabulary].
    no_speech
        Probability of the no-speech token at the first position (Radford et al. 2022, §4.5), if there is one.
    """

    states: Tensor
    logits: Tensor
    no_speech: float | None
