"""CTC recognisers: wav2vec 2.0, HuBERT, WavLM."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from innerear.models.base import Identity, SpeechModel, Transcript
from innerear.models.frames import FrameClock
from innerear.models.site import Part
from innerear.models.sites import Stack, places
from innerear.util.errors import InputError

WINDOW = 40.0
"""Seconds. These models have no window of their own; attention over longer clips only costs memory."""

_PARTS: dict[Part, str] = {"self_attn": "attention", "mlp": "feed_forward"}


def _stack(base: str, out_projection: str | None) -> Stack:
    return Stack(f"{base}.encoder.layers", _PARTS, "num_attention_heads", out_projection)


FAMILIES: dict[str, Stack] = {
    "wav2vec2": _stack("wav2vec2", "out_proj"),
    "hubert": _stack("hubert", "out_proj"),
    # WavLM passes its projection weights to a fused attention: no module sees the heads
    "wavlm": _stack("wavlm", None),
}


ENCODERS = {
    family: replace(stack, layers=stack.layers.partition(".")[2]) for family, stack in FAMILIES.items()
}
"""The same encoders without a text head."""


def is_headless(kind: type) -> bool:
    """Whether a class of these families is the bare encoder."""
    return kind.__name__.endswith("Model")


class Encoder(SpeechModel):
    """An encoder without a text head (as after pretraining): its states can be read and written.

    Parameters
    ----------
    features
        The front end: clips of equal length → samples, [clip, sample].
    """

    writes = False

    def __init__(
        self,
        identity: Identity,
        network: Any,
        stack: Stack,
        features: Callable[[Sequence[np.ndarray]], Tensor],
    ) -> None:
        config = network.config
        layers = len(network.get_submodule(stack.layers))
        clock = FrameClock.of_convolutions(config.conv_kernel, config.conv_stride)
        super().__init__(identity, network, places("encoder", stack, network), clock, layers, WINDOW)
        self._network: Any = network
        self._features = features

    def front_end(self, audio: Sequence[np.ndarray]) -> Tensor:
        """Samples as the model's feature extractor normalises them, [clip, sample]."""
        return self._features(audio)

    def encode(self, audio: Sequence[np.ndarray]) -> Tensor:
        """Encoder output as a CTC head sees it, [clip, frame, dim]."""
        states: Tensor = self._network.base_model(self.inputs(audio)).last_hidden_state
        return states

    def encoder_norm(self, states: Tensor) -> Tensor:
        """Layer norm after the last block, where the family has it there, [..., dim] → [..., dim]."""
        if not self._network.config.do_stable_layer_norm:
            return states
        normed: Tensor = self._network.base_model.encoder.layer_norm(states)
        return normed

    def unembed(self, states: Tensor) -> Tensor:
        """Refused: there is no text head."""
        raise self._no_text()

    def greedy_decode(self, encoded: Tensor, max_tokens: int | None = None) -> list[Transcript]:
        """Refused: there is no text head."""
        raise self._no_text()

    def teacher_force(self, encoded: Tensor, tokens: Sequence[int]) -> Tensor:
        """Refused: there is no decoder."""
        raise InputError(f"{self.identity.name} has no decoder")

    @property
    def prefix_length(self) -> int:
        """0: there is no decoder."""
        return 0

    @property
    def no_speech_token(self) -> int | None:
        """None: there is no such token."""
        return None

    def suppressed_tokens(self, first: bool) -> Tensor:
        """Nothing is suppressed."""
        return torch.empty(0, dtype=torch.long, device=self.device)

    def tokenize(self, text: str) -> list[int]:
        """Refused: there is no text head."""
        raise self._no_text()

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Refused: there is no text head."""
        raise self._no_text()

    def _no_text(self) -> InputError:
        return InputError(f"{self.identity.name} has no text head")


class CTC(Encoder):
    """A `transformers` CTC recogniser as a `SpeechModel`.

    Parameters
    ----------
    features
        The front end, as in `Encoder`.
    decode
        Token indices, blanks and repetitions included → text.
    tokenize
        Text → tokens, without blanks.
    languages
        Codes of the languages that it transcribes; empty where they are not known.
    """

    writes = True

    def __init__(
        self,
        identity: Identity,
        network: Any,
        stack: Stack,
        features: Callable[[Sequence[np.ndarray]], Tensor],
        decode: Callable[[Sequence[int]], str],
        tokenize: Callable[[str], list[int]],
        languages: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(identity, network, stack, features)
        self.languages = languages
        self._decode = decode
        self._tokenize = tokenize

    def unembed(self, states: Tensor) -> Tensor:
        """Final norm (where one follows the last block) and CTC head, [..., dim] → [..., token]."""
        logits: Tensor = self._network.lm_head(self.encoder_norm(states))
        return logits

    def greedy_decode(self, encoded: Tensor, max_tokens: int | None = None) -> list[Transcript]:
        """Best token of every frame, blanks and repetitions included; `max_tokens` counts frames."""
        with torch.inference_mode():
            log_probs = self._network.lm_head(encoded).log_softmax(-1)[:, :max_tokens]
        best, tokens = log_probs.max(-1)
        return [
            Transcript(self._decode(row), tuple(row), tuple(probs))
            for row, probs in zip(tokens.tolist(), best.tolist(), strict=True)
        ]

    @property
    def blank(self) -> int:
        """Index of the CTC blank."""
        return int(self._network.config.pad_token_id)

    def tokenize(self, text: str) -> list[int]:
        """Tokens of `text`, without blanks."""
        return self._tokenize(text)

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Each token decoded alone."""
        return [self._decode([token]) for token in tokens]
