"""Encoder-decoder recognisers, Whisper and Moonshine: one adapter, and a table for each family."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, EncoderDecoderCache, GenerationMixin
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.moonshine.modeling_moonshine import MoonshineEncoderModelOutput

from innerear.data.schema import SAMPLING_RATE, Item
from innerear.models.base import Identity, SpeechModel, Transcript
from innerear.models.frames import WHISPER, FrameClock
from innerear.models.generation import GenerationSettings
from innerear.models.shared import shared_attention
from innerear.models.site import Part
from innerear.models.sites import Stack, places


@dataclass(frozen=True)
class Family:
    """Where the parts of an encoder-decoder family are; `encoded` wraps encoder output as it expects it.

    `window` is in seconds; None is as long as the encoder has positions.
    """

    encoder: Stack
    decoder: Stack
    encoder_norm: str
    decoder_norm: str
    clock: FrameClock
    window: float | None
    encoded: Callable[..., Any] = BaseModelOutput


_ENCODER: dict[Part, str] = {"self_attn": "self_attn", "mlp": "fc2"}
_DECODER: dict[Part, str] = {"self_attn": "self_attn", "cross_attn": "encoder_attn", "mlp": "fc2"}

FAMILIES: dict[str, Family] = {
    "whisper": Family(
        encoder=Stack("model.encoder.layers", _ENCODER, "encoder_attention_heads", "out_proj"),
        decoder=Stack("model.decoder.layers", _DECODER, "decoder_attention_heads", "out_proj"),
        encoder_norm="model.encoder.layer_norm",
        decoder_norm="model.decoder.layer_norm",
        clock=WHISPER,
        window=None,
    ),
    "moonshine": Family(
        encoder=Stack(
            "model.encoder.layers", _ENCODER | {"mlp": "mlp"}, "encoder_num_attention_heads", "o_proj"
        ),
        decoder=Stack("model.decoder.layers", _DECODER | {"mlp": "mlp"}, "num_attention_heads", "o_proj"),
        encoder_norm="model.encoder.layer_norm",
        decoder_norm="model.decoder.norm",
        # three unpadded convolutions (modeling_moonshine.py): kernels 127, 7, 3, strides 64, 3, 2
        clock=FrameClock.of_convolutions((127, 7, 3), (64, 3, 2)),
        # trained on clips of up to 30 s; its 194 positions are tokens
        window=30.0,
        encoded=MoonshineEncoderModelOutput,
    ),
}


class EncoderDecoder(SpeechModel):
    """A `transformers` encoder-decoder recogniser as a `SpeechModel`.

    Parameters
    ----------
    features
        The front end: clips → input tensor on the CPU.
    decode
        Token indices → text, special tokens left out.
    spell
        Token indices → the tokenizer's pieces, one for each.
    tokenize
        Text → tokens, as they are written after other words.
    generation
        What the decoder starts from, which tokens end an output or never enter it, and its length.
    languages
        Codes of the languages of a model whose decoder is told none; empty where they are not known.
    """

    def __init__(
        self,
        identity: Identity,
        network: Any,
        family: Family,
        features: Callable[[Sequence[np.ndarray]], Tensor],
        decode: Callable[[Sequence[int]], str],
        spell: Callable[[Sequence[int]], list[str]],
        tokenize: Callable[[str], list[int]],
        generation: GenerationSettings,
        languages: frozenset[str] = frozenset(),
    ) -> None:
        encoder = places("encoder", family.encoder, network)
        window = family.window
        if window is None:
            window = network.config.max_source_positions * family.clock.stride / SAMPLING_RATE
        super().__init__(
            identity,
            network,
            encoder | places("decoder", family.decoder, network),
            family.clock,
            len(network.get_submodule(family.encoder.layers)),
            window,
            len(network.get_submodule(family.decoder.layers)),
            frozenset(generation.languages) or languages,
        )
        self._family = family
        self._network: Any = network
        self._features = features
        self._decode = decode
        self._spell = spell
        self._tokenize = tokenize
        self.generation = generation

    @property
    def generation(self) -> GenerationSettings:
        """How the decoder writes; the network's own generation configuration is made from it."""
        return self._generation

    @generation.setter
    def generation(self, settings: GenerationSettings) -> None:
        self._generation = settings
        self._network.generation_config = settings.greedy()

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

    def front_end(self, audio: Sequence[np.ndarray]) -> Tensor:
        """Log-mel of the window, [clip, mel, frame] (Whisper), or samples, [clip, sample] (Moonshine)."""
        return self._features(audio)

    def encode(self, audio: Sequence[np.ndarray]) -> Tensor:
        """Encoder output after its final norm, [clip, frame, dim]."""
        states: Tensor = self._network.model.encoder(self.inputs(audio)).last_hidden_state
        return states

    def encoder_norm(self, states: Tensor) -> Tensor:
        """Layer norm at the end of the encoder, [..., dim] → [..., dim]."""
        normed: Tensor = self._network.get_submodule(self._family.encoder_norm)(states)
        return normed

    def unembed(self, states: Tensor) -> Tensor:
        """Final decoder norm and unembedding, [..., dim] → [..., token]."""
        logits: Tensor = self._network.proj_out(self.decoder_norm(states))
        return logits

    @property
    def decoder_norm(self) -> nn.Module:
        """The norm at the end of the decoder."""
        return self.network.get_submodule(self._family.decoder_norm)

    def greedy_decode(self, encoded: Tensor, max_tokens: int | None = None) -> list[Transcript]:
        """Decode greedily from the prefix: no timestamps, no temperature fallback, no long-form windows."""
        start = torch.tensor([self.prefix] * len(encoded), device=self.device)
        with torch.inference_mode():
            output: Any = GenerationMixin.generate(
                self._network,
                encoder_outputs=self._family.encoded(last_hidden_state=encoded),
                decoder_input_ids=start,
                decoder_attention_mask=torch.ones_like(start),
                generation_config=self.generation.greedy(max_tokens),
                output_logits=True,
                return_dict_in_generate=True,
            )
        written = output.sequences[:, start.shape[1] :]
        log_probs = torch.stack(output.logits, dim=1).log_softmax(-1).gather(-1, written[..., None])[..., 0]
        return [
            self.transcript(row, probs)
            for row, probs in zip(written.tolist(), log_probs.tolist(), strict=True)
        ]

    def teacher_force(self, encoded: Tensor, tokens: Sequence[int]) -> Tensor:
        """Logits [position, vocabulary] of a teacher-forced pass, the prefix included."""
        given = torch.tensor([[*self.prefix, *tokens[:-1]]], device=self.device)
        with torch.inference_mode():
            output = self._network(
                encoder_outputs=self._family.encoded(last_hidden_state=encoded),
                decoder_input_ids=given,
                use_cache=False,
            )
        logits: Tensor = output.logits[0]
        return logits

    @contextmanager
    def encoder_starting_at(self, layer: int, states: Tensor) -> Iterator[None]:
        """Start the encoder at `encoder.layer` with `states` [clip, frame, dim]: earlier blocks do not run.

        Hooks must be attached before, since sites are looked up in the whole encoder.
        """
        path = self._family.encoder.layers
        stack, name = self.network.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2]
        blocks = self.network.get_submodule(path)
        assert isinstance(blocks, nn.ModuleList)

        def start(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if args:
                return (states, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": states}

        # prepended, so that hooks that write at the first remaining block act on `states`
        handle = blocks[layer].register_forward_pre_hook(start, with_kwargs=True, prepend=True)
        setattr(stack, name, blocks[layer:])
        try:
            yield
        finally:
            handle.remove()
            setattr(stack, name, blocks)

    @contextmanager
    def decoding(self, encoded: Tensor, *, gradients: bool = False) -> Iterator["Decoding"]:
        """Decode rows step by step; the output of one clip, [1, frame, dim], serves any number of rows.

        With `gradients`, they flow through the decoder, and into the encoder if its output requires them.
        """
        wrapped = self._family.encoded(last_hidden_state=encoded)
        with torch.inference_mode(not gradients):
            start = torch.tensor([self.prefix] * len(encoded), device=self.device)
            prefill = self._network(encoder_outputs=wrapped, decoder_input_ids=start, use_cache=True)
            with shared_attention(self._network):
                yield Decoding(self._network, wrapped, prefill.past_key_values.cross_attention_cache)

    @property
    def prefix(self) -> tuple[int, ...]:
        """The tokens that the decoder starts from."""
        return self.generation.prefix

    @property
    def max_tokens(self) -> int:
        """Maximum number of tokens written."""
        return self.generation.max_tokens

    @property
    def end_of_text(self) -> int:
        """The token that ends an output; the first of them, where there are several."""
        return self.generation.ends[0]

    def attention(self, encoded: Tensor, tokens: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Weights of self- and cross-attention, computed by `transformers`' "eager" attention."""
        given = torch.tensor([[*self.prefix, *tokens[:-1]]], device=self.device)
        used = self._network.config._attn_implementation
        self._network.set_attn_implementation("eager")  # fused attention gives no weights
        try:
            with torch.inference_mode():
                output = self._network(
                    encoder_outputs=self._family.encoded(last_hidden_state=encoded),
                    decoder_input_ids=given,
                    use_cache=False,
                    output_attentions=True,
                )
        finally:
            self._network.set_attn_implementation(used)
        return torch.stack(output.decoder_attentions)[:, 0], torch.stack(output.cross_attentions)[:, 0]

    @property
    def alignment_heads(self) -> frozenset[tuple[int, int]]:
        """The heads of the generation configuration (OpenAI's, in Whisper)."""
        return frozenset(self.generation.alignment_heads)

    @property
    def prefix_length(self) -> int:
        """Tokens before the first written one."""
        return len(self.generation.prefix)

    @property
    def no_speech_token(self) -> int | None:
        """Whisper's token is the one before `<|notimestamps|>`; Moonshine has none."""
        return self.generation.no_speech

    def suppressed_tokens(self, first: bool) -> Tensor:
        """Tokens that the generation settings suppress."""
        begin = self.generation.begin_suppress if first else ()
        return torch.tensor([*self.generation.suppress, *begin], dtype=torch.long, device=self.device)

    def tokenize(self, text: str) -> list[int]:
        """Tokens of `text` as it is written after other words."""
        return self._tokenize(text)

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Each token as the tokenizer spells it."""
        return self._spell(tokens)

    def transcript(self, tokens: Sequence[int], log_probs: Sequence[float]) -> Transcript:
        """Transcript of the tokens up to the first end-of-text."""
        ends = [at for at, token in enumerate(tokens) if token in self.generation.ends]
        stop = ends[0] + 1 if ends else len(tokens)
        text = self._decode(tokens[:stop]).strip()
        return Transcript(text, tuple(tokens[:stop]), tuple(log_probs[:stop]), ended=bool(ends))


class Decoding:
    """A decoder stepping through some rows, with cached keys and values of their tokens and of the audio."""

    def __init__(self, network: Any, encoded: Any, audio: Cache) -> None:
        self._network = network
        self._encoded = encoded
        self._audio = audio
        self._cache = EncoderDecoderCache(DynamicCache(), audio)

    def restarted(self) -> "Decoding":
        """The same rows with no token given yet."""
        return Decoding(self._network, self._encoded, self._audio)

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
        logits: Tensor = self._network.proj_out(states[:, -1:] if last else states)
        return logits

    def keep(self, rows: Tensor) -> None:
        """Drop all other rows."""
        self._cache.self_attention_cache.batch_select_indices(rows)
        if self._encoded.last_hidden_state.shape[0] > 1:
            self._audio.batch_select_indices(rows)
