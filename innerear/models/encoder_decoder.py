"""Encoder-decoder recognisers: a decoder that attends to the encoder's output."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, EncoderDecoderCache, GenerationMixin
from transformers.modeling_outputs import BaseModelOutput

from innerear.models.base import Transcript
from innerear.models.decoder import DecoderModel
from innerear.models.shared import CROSS, attending


@dataclass
class Encoded(BaseModelOutput):
    """Encoder output as decoders take it; some ask it for a mask of padding, of which there is none."""

    attention_mask: Tensor | None = None


class EncoderDecoder(DecoderModel):
    """A `transformers` encoder-decoder recogniser."""

    def greedy_decode(self, encoded: Tensor, max_tokens: int | None = None) -> list[Transcript]:
        """Decode greedily from the prefix: no timestamps, no temperature fallback, no long-form windows."""
        start = torch.tensor([self.prefix] * len(encoded), device=self.device)
        with torch.inference_mode():
            output: Any = GenerationMixin.generate(
                self.network,
                encoder_outputs=Encoded(last_hidden_state=encoded),
                decoder_input_ids=start,
                decoder_attention_mask=torch.ones_like(start),
                generation_config=self.generation.greedy(max_tokens),
                output_logits=True,
                return_dict_in_generate=True,
            )
        return self.transcripts(output)

    def teacher_force(self, encoded: Tensor, tokens: Sequence[int]) -> Tensor:
        """Logits [position, vocabulary] of a teacher-forced pass, the prefix included."""
        with torch.inference_mode():
            logits: Tensor = self._forced(encoded, tokens).logits[0]
        return logits

    def attention(self, encoded: Tensor, tokens: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Weights of self- and cross-attention, computed by `transformers`' "eager" attention."""
        with torch.inference_mode(), attending(self.network, "eager"):  # fused attention gives no weights
            output = self._forced(encoded, tokens, output_attentions=True)
        return torch.stack(output.decoder_attentions)[:, 0], torch.stack(output.cross_attentions)[:, 0]

    def _forced(self, encoded: Tensor, tokens: Sequence[int], **how: bool) -> Any:
        given = torch.tensor([[*self.prefix, *tokens[:-1]]], device=self.device)
        wrapped = Encoded(last_hidden_state=encoded)
        return self.network(encoder_outputs=wrapped, decoder_input_ids=given, use_cache=False, **how)

    @contextmanager
    def decoding(self, encoded: Tensor, *, gradients: bool = False) -> Iterator["CrossAttending"]:
        """Decode rows step by step, their cross-attention on one copy of a clip's keys and values."""
        wrapped = Encoded(last_hidden_state=encoded)
        with torch.inference_mode(not gradients):
            start = torch.tensor([self.prefix] * len(encoded), device=self.device)
            prefill = self.network(encoder_outputs=wrapped, decoder_input_ids=start, use_cache=True)
            with attending(self.network, CROSS):
                audio = prefill.past_key_values.cross_attention_cache
                yield CrossAttending(self.network, self.family.head, wrapped, audio)


class CrossAttending:
    """The decoding of a decoder with cross-attention; see `innerear.models.decoder.Decoding`."""

    def __init__(self, network: Any, head: str, encoded: Any, audio: Cache) -> None:
        self._network = network
        self._head = head
        self._encoded = encoded
        self._audio = audio
        self._cache = EncoderDecoderCache(DynamicCache(), audio)

    def restarted(self) -> "CrossAttending":
        """The same rows with no token given yet."""
        return CrossAttending(self._network, self._head, self._encoded, self._audio)

    @property
    def length(self) -> int:
        """Number of cached positions."""
        return int(self._cache.self_attention_cache.get_seq_length())

    def step(self, tokens: Tensor, last: bool = False) -> Tensor:
        """Logits [row, token, vocabulary] of more tokens [row, token]; with `last`, of the last one only."""
        output = self._network.model(
            encoder_outputs=self._encoded,
            decoder_input_ids=tokens,
            past_key_values=self._cache,
            use_cache=True,
        )
        states = output.last_hidden_state
        logits: Tensor = self._network.get_submodule(self._head)(states[:, -1:] if last else states)
        return logits

    def keep(self, rows: Tensor) -> None:
        """Drop all other rows."""
        self._cache.self_attention_cache.batch_select_indices(rows)
        if self._encoded.last_hidden_state.shape[0] > 1:
            self._audio.batch_select_indices(rows)
