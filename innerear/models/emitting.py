"""Models that emit a token or none at each step of the audio: CTC recognisers and transducers."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from innerear.data.playback import Playback
from innerear.data.schema import SAMPLING_RATE
from innerear.models.base import FrontEnd, Identity, SpeechModel, Transcript
from innerear.models.family import Family
from innerear.models.site import StackName
from innerear.models.spelling import Spelling
from innerear.util.errors import InputError

Stop = Callable[[list[int]], bool]
"""Given the tokens that a row has written so far, whether it may stop."""
CONTEXT = 4.0
"""Seconds that are heard on each side of what is written of a window of a long clip, where there are any."""
Acting = Callable[[StackName, Sequence[int], Sequence[int]], AbstractContextManager[None]]
"""Opens the interventions on a stack while some rows run it, each at a position of its own."""


@dataclass(frozen=True)
class Emissions:
    """What a model would emit from other states than those of its last encoder layer.

    Attributes
    ----------
    log_probs
        [site, step, token], along the steps that the model takes from the last site: the frames in CTC, in a
        transducer the blanks and tokens of greedy decoding. At the last site, the most probable token of a
        step is the one that is emitted.
    texts
        What greedy decoding writes from each site.
    """

    log_probs: Tensor
    texts: list[str]


class EmittingModel(SpeechModel, ABC):
    """A speech model that emits along the audio.

    Parameters
    ----------
    spelling
        Its tokenizer.
    languages
        Codes of the languages that it transcribes; empty where they are not known.

    Attributes
    ----------
    blank_setting
        Where the network's configuration names the blank.
    """

    writes = True
    blank: int
    blank_setting: ClassVar[str]

    def __init__(
        self,
        identity: Identity,
        network: Any,
        family: Family,
        features: FrontEnd,
        spelling: Spelling,
        languages: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(identity, network, family, features, languages)
        self._spelling = spelling
        self.blank = int(getattr(network.config, self.blank_setting))

    @abstractmethod
    def emissions(self, states: Tensor) -> Emissions:
        """What is emitted from states of the encoder's residual stream, [site, frame, dim]."""

    @abstractmethod
    def emit(
        self, encoded: Tensor, max_tokens: int | None, acting: Acting, stop: Stop | None
    ) -> list[Transcript]:
        """As `greedy_decode`, with interventions in what reads the encoder.

        Parameters
        ----------
        acting
            Opens the interventions.
        stop
            Stops a row early; its transcript then counts as not ended.
        """

    @abstractmethod
    def spelt(self, tokens: Sequence[int]) -> str:
        """Text of the tokens of a transcript."""

    @property
    def long_form(self) -> str:
        """Overlapping windows; what is emitted near an edge is taken from the neighbour that heard more."""
        if self.adapted:
            return ""
        window, step = (samples / SAMPLING_RATE for samples in self._long_windows())
        return (
            f"windows of {window:g} s every {step:g} s, of each the tokens that it emits at least "
            f"{CONTEXT:g} s from its edges"
        )

    def _long_windows(self) -> tuple[int, int]:
        """Length of a window and distance between two, in samples: in whole frames."""
        window, stride = int(self.window * SAMPLING_RATE), self.clock.stride
        return window, int(window - 2 * CONTEXT * SAMPLING_RATE) // stride * stride

    def transcribe_long(self, clip: Playback) -> Transcript:
        """As `long_form` says."""
        if not self.long_form:
            return super().transcribe_long(clip)
        window, step = self._long_windows()
        tokens: list[int] = []
        log_probs: list[float] = []
        frames: list[int] = []
        begin, ended = 0.0, True
        while self.unsupported_reason(len(heard := clip.peek(window))) is None:
            last = len(clip.peek(window + 1)) <= window
            (written,) = self.transcribe([heard])
            end = np.inf if last else clip.start + step + CONTEXT * SAMPLING_RATE
            for token, log_prob, frame in zip(written.tokens, written.log_probs, written.frames, strict=True):
                frame += clip.start // self.clock.stride
                if begin <= self.clock.first + self.clock.stride * frame < end:
                    tokens.append(token)
                    log_probs.append(log_prob)
                    frames.append(frame)
            ended &= written.ended
            if last:
                break
            begin = end
            clip.skip(step)
        return Transcript(self.spelt(tokens), tuple(tokens), tuple(log_probs), ended, tuple(frames))

    def log_likelihoods(self, encoded: Tensor, texts: Sequence[Sequence[int]]) -> Tensor:
        """Log-probability [text] (nats, float64) of texts as tokens, over all alignments with one clip.

        Parameters
        ----------
        encoded
            Encoder output of the clip, [1, frame, dim].

        Raises
        ------
        InputError
            If the model has no predictor, so that no token depends on those before it.
        """
        raise InputError(str(self.lacks("choice")))

    def tokenize(self, text: str) -> list[int]:
        """Tokens of `text`, without blanks; without the case or punctuation that the vocabulary lacks."""
        bare = re.sub(r"[^\w' ]", "", text)
        forms = (text, text.lower(), bare.lower(), bare.upper())
        made = [self._spelling.tokenize(form) for form in forms]
        unknown = getattr(self._spelling.tokenizer, "unk_token_id", None)
        return next((tokens for tokens in made if unknown not in tokens), made[0])

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Each token as the tokenizer spells it; letters of tokenizers with a delimiter of words, decoded."""
        return self._spelling.pieces(tokens)

    @property
    def special_tokens(self) -> frozenset[int]:
        """Tokens that stand for no text."""
        return self._spelling.special


def emitting(model: SpeechModel) -> EmittingModel:
    """The same model, known to emit along the audio.

    Raises
    ------
    InputError
        If it does not.
    """
    if not isinstance(model, EmittingModel):
        raise InputError(str(model.lacks("emissions")))
    return model
