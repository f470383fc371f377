"""Encoder-decoder recognisers: Whisper and Moonshine. A family is a table; the code is one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationMixin

from innerear.corpora.schema import SAMPLING_RATE
from innerear.models.base import Identity, SpeechModel, Transcript
from innerear.models.frames import WHISPER, FrameClock
from innerear.models.sites import Stack, places


@dataclass(frozen=True)
class Family:
    """Where the parts of an encoder-decoder family are."""

    encoder: Stack
    decoder: Stack
    decoder_norm: str
    clock: FrameClock
    window: float


_ENCODER = {"self_attn": "self_attn", "mlp": "fc2"}
_DECODER = {"self_attn": "self_attn", "cross_attn": "encoder_attn", "mlp": "fc2"}

FAMILIES: dict[str, Family] = {
    "whisper": Family(
        encoder=Stack("model.encoder.layers", _ENCODER, "encoder_attention_heads", "out_proj"),
        decoder=Stack("model.decoder.layers", _DECODER, "decoder_attention_heads", "out_proj"),
        decoder_norm="model.decoder.layer_norm",
        clock=WHISPER,
        window=30.0,
    ),
    "moonshine": Family(
        encoder=Stack(
            "model.encoder.layers", _ENCODER | {"mlp": "mlp"}, "encoder_num_attention_heads", "o_proj"
        ),
        decoder=Stack("model.decoder.layers", _DECODER | {"mlp": "mlp"}, "num_attention_heads", "o_proj"),
        decoder_norm="model.decoder.norm",
        # three unpadded convolutions (modeling_moonshine.py): kernels 127, 7, 3, strides 64, 3, 2
        clock=FrameClock.of_convolutions((127, 7, 3), (64, 3, 2)),
        # trained on clips of up to 30 s; its 194 positions are tokens
        window=30.0,
    ),
}


class EncoderDecoder(SpeechModel):
    """A `transformers` encoder-decoder recogniser behind the contract.

    Parameters
    ----------
    features
        The front end: clips → input tensor on the CPU.
    decode
        Token indices → text, special tokens left out.
    prefix
        The tokens that the decoder starts from (for Whisper: language, task, no timestamps).
    """

    def __init__(
        self,
        identity: Identity,
        network: Any,
        family: Family,
        features: Callable[[Sequence[np.ndarray]], Tensor],
        decode: Callable[[Sequence[int]], str],
        prefix: Sequence[int],
    ) -> None:
        encoder = places("encoder", family.encoder, network)
        super().__init__(
            identity,
            network,
            encoder | places("decoder", family.decoder, network),
            family.clock,
            len(network.get_submodule(family.encoder.layers)),
            family.window,
        )
        self._family = family
        self._network: Any = network
        self._features = features
        self._decode = decode
        self._prefix = list(prefix)

    def front_end(self, audio: Sequence[np.ndarray]) -> Tensor:
        """Log-mel of the window, [clip, mel, frame] (Whisper), or samples, [clip, sample] (Moonshine)."""
        return self._features(audio)

    def encode(self, audio: Sequence[np.ndarray]) -> Tensor:
        """Encoder output after its final norm, [clip, frame, dim]."""
        states: Tensor = self._encoder_output(audio).last_hidden_state
        return states

    def _encoder_output(self, audio: Sequence[np.ndarray]) -> Any:
        return self._network.model.encoder(self.inputs(audio))

    def unembed(self, states: Tensor) -> Tensor:
        """Final decoder norm and unembedding, [..., dim] → [..., token]."""
        norm = self._network.get_submodule(self._family.decoder_norm)
        logits: Tensor = self._network.proj_out(norm(states))
        return logits

    def transcribe(self, audio: Sequence[np.ndarray]) -> list[Transcript]:
        """Decode greedily from the prefix: no timestamps, no temperature fallback, no long-form windows."""
        start = torch.tensor([self._prefix] * len(audio), device=self.device)
        with torch.inference_mode():
            made: Any = GenerationMixin.generate(
                self._network,
                encoder_outputs=self._encoder_output(audio),
                decoder_input_ids=start,
                decoder_attention_mask=torch.ones_like(start),
                do_sample=False,
                num_beams=1,
                output_logits=True,
                return_dict_in_generate=True,
            )
        written = made.sequences[:, start.shape[1] :]
        log_probs = torch.stack(made.logits, dim=1).log_softmax(-1).gather(-1, written[..., None])[..., 0]
        return [
            self._transcript(row, probs)
            for row, probs in zip(written.tolist(), log_probs.tolist(), strict=True)
        ]

    def _transcript(self, tokens: list[int], log_probs: list[float]) -> Transcript:
        end = self._network.generation_config.eos_token_id
        stop = tokens.index(end) + 1 if end in tokens else len(tokens)
        text = self._decode(tokens[:stop]).strip()
        return Transcript(text, tuple(tokens[:stop]), tuple(log_probs[:stop]))


def raw_samples(audio: Sequence[np.ndarray]) -> Tensor:
    """Front end of a model that hears samples as they are, [clip, sample]."""
    return torch.from_numpy(np.stack(audio))


def whisper_mel(extractor: Any) -> Callable[[Sequence[np.ndarray]], Tensor]:
    """Front end of Whisper: log-mel of the clip, padded to its 30 s window, [clip, mel, frame]."""

    def features(audio: Sequence[np.ndarray]) -> Tensor:
        made = extractor(list(audio), sampling_rate=SAMPLING_RATE, return_tensors="pt")
        mel: Tensor = made.input_features
        return mel

    return features


def whisper_prefix(generation_config: Any) -> list[int]:
    """Start of a transcript without timestamps: multilingual models are told English and transcription."""
    prefix = [generation_config.decoder_start_token_id]
    if getattr(generation_config, "is_multilingual", False):
        prefix += [generation_config.lang_to_id["<|en|>"], generation_config.task_to_id["transcribe"]]
    return [*prefix, generation_config.no_timestamps_token_id]
