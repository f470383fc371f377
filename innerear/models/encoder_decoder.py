"""Encoder-decoder recognisers: a decoder that attends to the encoder's output."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from transformers import (
    Cache,
    DynamicCache,
    EncoderDecoderCache,
    GenerationConfig,
    GenerationMixin,
    LogitsProcessorList,
    WhisperTimeStampLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutput

from innerear.data.playback import Playback
from innerear.data.schema import SAMPLING_RATE
from innerear.models.base import Transcript
from innerear.models.decoder import DecoderModel
from innerear.models.shared import CROSS, added_mask, attending
from innerear.models.sites import wide

LATEST_START = 50
"""Steps of 20 ms by which the first segment of a window must begin, as OpenAI has it."""


@dataclass
class Encoded(BaseModelOutput):
    """Encoder output as decoders take it; some ask it for a mask of padding, of which there is none."""

    attention_mask: Tensor | None = None

    @classmethod
    def of(cls, states: Tensor) -> Self:
        """A copy of encoder output: some decoders add positions to it in place."""
        return cls(last_hidden_state=states.clone())


class EncoderDecoder(DecoderModel):
    """A `transformers` encoder-decoder recogniser."""

    def encode(self, audio: Sequence[np.ndarray]) -> Tensor:
        """What the decoder attends to, [clip, frame, dim]: the output of the encoder, or of its adapter."""
        states = super().encode(audio)
        return states[:, : len(self.heard_times(len(audio[0])))] if self.family.heard else states

    def greedy_decode(self, encoded: Tensor, max_tokens: int | None = None) -> list[Transcript]:
        """Decode greedily from the prefix: no timestamps, no temperature fallback, no long-form windows."""
        start = torch.tensor([self.prefix] * len(encoded), device=self.device)
        with torch.inference_mode():
            output: Any = GenerationMixin.generate(
                self.network,
                encoder_outputs=Encoded.of(encoded),
                decoder_input_ids=start,
                decoder_attention_mask=torch.ones_like(start),
                generation_config=self.generation.greedy(max_tokens),
                output_logits=True,
                return_dict_in_generate=True,
            )
        return self.transcripts(output)

    @property
    def decoder(self) -> Any:
        """The module that takes tokens and gives states after the final norm of the decoder."""
        assert self.family.decoder is not None  # the kind has one
        return self.network.get_submodule(self.family.decoder.layers.rpartition(".")[0])

    @property
    def long_form(self) -> str:
        """Whisper's own, if it is one: the only decoder here that writes times."""
        start = self.generation.first_timestamp
        if start is None or self.network.config.vocab_size < start + self._time_steps:
            return ""
        return (
            f"windows of {self.window:g} s that begin where the last whole segment of the one before ends "
            "(Radford et al. 2022), greedy, no fallback, no text carried over"
        )

    @property
    def _time_steps(self) -> int:
        """Number of times that the decoder can write: from the start of a window to its end."""
        return round(self.window * SAMPLING_RATE) // self.clock.stride + 1

    def transcribe_long(self, clip: Playback) -> Transcript:
        """Write segments between times, window by window.

        As `generate` of `transformers` does with `return_timestamps=True` and nothing else, but that each
        window's log-mel is that of the window alone, and not relative to the loudest of the whole clip.
        """
        if not self.long_form:
            return super().transcribe_long(clip)
        tokens: list[int] = []
        log_probs: list[float] = []
        ended = True
        while self.unsupported_reason(len(heard := clip.peek(round(self.window * SAMPLING_RATE)))) is None:
            with torch.inference_mode():
                written = self._timed(self.encode([heard]))
            kept, steps = whole_segments(self.spoken(written.tokens), self._first_timestamp)
            for token, log_prob in zip(written.tokens[:kept], written.log_probs[:kept], strict=True):
                if token < self._first_timestamp:
                    tokens.append(token)
                    log_probs.append(log_prob)
            ended &= written.ended
            clip.skip(min(len(heard), steps * self.clock.stride) if steps else len(heard))
        return Transcript(self._spelling.decode(tokens).strip(), tuple(tokens), tuple(log_probs), ended)

    @property
    def _first_timestamp(self) -> int:
        first = self.generation.first_timestamp
        assert first is not None  # it has a long form
        return first

    def _timed(self, encoded: Tensor) -> Transcript:
        """Decode one window with timestamps."""
        prefix = self.prefix[:-1]  # without what says that there are none
        rules = GenerationConfig(
            no_timestamps_token_id=self._first_timestamp - 1,
            eos_token_id=self.end_of_text,
            max_initial_timestamp_index=LATEST_START,
        )
        output: Any = GenerationMixin.generate(
            self.network,
            encoder_outputs=Encoded.of(encoded),
            decoder_input_ids=torch.tensor([prefix], device=self.device),
            decoder_attention_mask=torch.ones(1, len(prefix), dtype=torch.long, device=self.device),
            generation_config=self.generation.greedy(),
            logits_processor=LogitsProcessorList([WhisperTimeStampLogitsProcessor(rules, len(prefix))]),
            output_logits=True,
            return_dict_in_generate=True,
        )
        return self.transcripts(output)[0]

    def teacher_force(self, encoded: Tensor, tokens: Sequence[int]) -> Tensor:
        """Logits [position, vocabulary] of a teacher-forced pass, the prefix included."""
        with torch.inference_mode():
            logits: Tensor = self._forced(encoded, tokens).logits[0]
        return wide(logits)

    def attention(self, encoded: Tensor, tokens: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Weights of self- and cross-attention, computed by `transformers`' "eager" attention."""
        with torch.inference_mode(), attending(self.network, "eager"):  # fused attention gives no weights
            output = self._forced(encoded, tokens, output_attentions=True)
        return torch.stack(output.decoder_attentions)[:, 0], torch.stack(output.cross_attentions)[:, 0]

    def _forced(self, encoded: Tensor, tokens: Sequence[int], **how: bool) -> Any:
        given = torch.tensor([[*self.prefix, *tokens[:-1]]], device=self.device)
        return self.network(
            encoder_outputs=Encoded.of(encoded), decoder_input_ids=given, use_cache=False, **how
        )

    @contextmanager
    def decoding(self, encoded: Tensor, *, gradients: bool = False) -> Iterator["CrossAttending"]:
        """Decode rows step by step, their cross-attention on one copy of a clip's keys and values."""
        with torch.inference_mode(not gradients):
            start = torch.tensor([self.prefix] * len(encoded), device=self.device)
            prefill = self.network(
                encoder_outputs=Encoded.of(encoded), decoder_input_ids=start, use_cache=True
            )
            with attending(self.network, CROSS):
                audio = prefill.past_key_values.cross_attention_cache
                yield CrossAttending(self, encoded.detach().clone(), audio)


def whole_segments(tokens: Sequence[int], first: int) -> tuple[int, int]:
    """How much of a window with timestamps is complete, as Whisper marks it.

    Parameters
    ----------
    tokens
        What was written, without end-of-text.
    first
        The first timestamp; all tokens from it on are timestamps.

    Returns
    -------
    int
        Number of tokens up to the end of the last whole segment: all, if no segment is cut off.
    int
        The time where it ends, in steps of the timestamps; 0 for the end of the window.
    """
    timed = [token >= first for token in tokens]
    pairs = [at for at in range(1, len(timed)) if timed[at - 1] and timed[at]]
    if not pairs or timed[-2:] == [False, True]:  # nothing is cut, or silence follows
        return len(tokens), 0
    return pairs[-1], tokens[pairs[-1] - 1] - first


class CrossAttending:
    """The decoding of a decoder with cross-attention; see `innerear.models.decoder.Decoding`."""

    def __init__(self, model: EncoderDecoder, encoded: Tensor, audio: Cache) -> None:
        self._model = model
        self._encoded = encoded  # read for its shape alone: its keys and values are in `audio`
        self._audio = audio
        self._cache = EncoderDecoderCache(DynamicCache(), audio)

    def restarted(self) -> "CrossAttending":
        """The same rows with no token given yet."""
        return CrossAttending(self._model, self._encoded, self._audio)

    @property
    def length(self) -> int:
        """Number of cached positions."""
        return int(self._cache.self_attention_cache.get_seq_length())

    def step(self, tokens: Tensor, last: bool = False, sees: Tensor | None = None) -> Tensor:
        """Logits [row, token, vocabulary] of more tokens [row, token]; see `Decoding.step`."""
        states = self._model.decoder(
            input_ids=tokens,
            attention_mask=None if sees is None else added_mask(sees, self._encoded.dtype),
            encoder_hidden_states=self._encoded,
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        return self._model.logits(states[:, -1:] if last else states)

    def keep(self, rows: Tensor) -> None:
        """Drop all other rows."""
        self._cache.self_attention_cache.batch_select_indices(rows)
        if len(self._encoded) > 1:
            self._encoded = self._encoded[rows]
            self._audio.batch_select_indices(rows)
