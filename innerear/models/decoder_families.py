"""The rows of encoder-decoder models in the table of architectures (`innerear.models.families`)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from innerear.data.language import ENGLISH
from innerear.data.schema import SAMPLING_RATE
from innerear.models.family import (
    FAST_CONFORMER,
    LONGEST,
    Config,
    Family,
    Stack,
    w2v_conformer,
    whisper_window,
)
from innerear.models.frames import WHISPER, FrameClock
from innerear.models.site import Part

_ENCODER: dict[Part, str] = {"self_attn": "self_attn", "mlp": "fc2"}
_DECODER: dict[Part, str] = {"self_attn": "self_attn", "cross_attn": "encoder_attn", "mlp": "fc2"}
_DECODER_MLP: dict[Part, str] = _DECODER | {"mlp": "mlp"}


def _streaming_clock(config: Config) -> FrameClock:
    """Frames of 5 ms, and two convolutions of 5 frames and stride 2 that see no later one.

    A frame is centred on what it was made of, so the first lies before the start of the clip.
    """
    piece = round(config.encoder_config.sample_rate * config.encoder_config.frame_ms / 1000)
    return FrameClock(first=(piece - 1) / 2 - 6 * piece, stride=4 * piece, reach=1, padded=False, least=piece)


def _plain(network: str, **other: Any) -> Family:
    """A Transformer of an encoder and a decoder side by side, as `transformers` writes most of them.

    `other` are fields that differ.
    """
    family = Family(
        kind="encoder-decoder",
        network=network,
        front_end="plain samples",
        encoder_module="model.encoder",
        encoder=Stack("layers", _ENCODER, "encoder_attention_heads", "out_proj"),
        encoder_norm=lambda _: "layer_norm",
        clock=lambda _: WHISPER,
        window=lambda _: LONGEST,
        head="proj_out",
        decoder=Stack("model.decoder.layers", _DECODER, "decoder_attention_heads", "out_proj"),
        decoder_norm="model.decoder.layer_norm",
        generation="plain",
    )
    return replace(family, **other)


def _moonshine(name: str, heads: str, **other: Any) -> Family:
    """A recogniser by Useful Sensors; `name` begins its class's name, `heads` counts those of its encoder."""
    return _plain(
        f"{name}ForConditionalGeneration",
        encoder=Stack("layers", _ENCODER | {"mlp": "mlp"}, heads, "o_proj"),
        decoder=Stack("model.decoder.layers", _DECODER_MLP, "num_attention_heads", "o_proj"),
        decoder_norm="model.decoder.norm",
        **other,
    )


def _canary(network: str, decoder_heads: str, front_end: str, **other: Any) -> Family:
    """NVIDIA's Canary and its descendants: a Fast Conformer, and a decoder that is told what to write."""
    return _plain(
        network,
        front_end=front_end,
        encoder=FAST_CONFORMER,
        encoder_norm=lambda _: "",
        clock=lambda config: FrameClock.of_fast_conformer(config.encoder_config.subsampling_factor),
        decoder=Stack("model.decoder.layers", _DECODER_MLP, decoder_heads, "o_proj"),
        decoder_norm="model.decoder.norm",
        **other,
    )


_CANARY = (
    *("<|startofcontext|>", "<|startoftranscript|>", "<|emo:undefined|>", "<|{language}|>", "<|{language}|>"),
    *("<|pnc|>", "<|noitn|>", "<|notimestamp|>", "<|nodiarize|>"),
)
"""What NeMo's prompt format `canary2` asks for a transcript with: both languages are that of the speech."""


def _seamless_clock(config: Config) -> FrameClock:
    """Two log-mel frames of 400 samples side by side."""
    return FrameClock.of_convolutions((400, 2), (160, 2))


def _seamless_heard(config: Config) -> FrameClock:
    """Frames of the adapter, whose layers are convolutions padded by half of their stride at both ends."""
    frames, kernel, stride = _seamless_clock(config), config.adaptor_kernel_size, config.adaptor_stride
    for _ in range(config.num_adapter_layers if config.add_adapter else 0):
        frames = FrameClock(
            first=frames.first + frames.stride * ((kernel - 1) / 2 - stride // 2),
            stride=frames.stride * stride,
            reach=frames.reach + frames.stride * (kernel - 1 - 2 * (stride // 2)),
            padded=False,
        )
    return frames


def _seamless(network: str) -> Family:
    """SeamlessM4T's recogniser, a part of a model that also reads text and speaks."""
    return _plain(
        network,
        front_end="stacked log-mel",
        encoder_module="speech_encoder",
        encoder=w2v_conformer("speech_encoder_attention_heads"),
        encoder_norm=lambda _: "encoder.layer_norm",
        clock=_seamless_clock,
        head="lm_head",
        decoder=Stack(
            "text_decoder.layers",
            {"self_attn": "self_attn", "cross_attn": "cross_attention", "mlp": "ffn"},
            "decoder_attention_heads",
            "out_proj",
        ),
        decoder_norm="text_decoder.layer_norm",
        prompt=("</s>", "__{language}__"),
        adapter=lambda _: True,
        heard=_seamless_heard,
        unused=("text_encoder.", "t2u_model.", "vocoder."),
    )


_CANARY_LANGUAGES = (
    *("en", "bg", "hr", "cs", "da", "nl", "et", "fi", "fr", "de", "el", "hu", "it", "lv", "lt", "mt"),
    *("pl", "pt", "ro", "sk", "sl", "es", "sv", "ru", "uk"),
)
"""CanaryProcessor's."""
_COHERE_LANGUAGES = ("en", "ar", "de", "el", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "vi", "zh")
"""CohereAsrProcessor's."""

ENCODER_DECODERS: Mapping[str, Family] = {
    "whisper": _plain(
        "WhisperForConditionalGeneration",
        front_end="log-mel window",
        window=whisper_window,
        generation="whisper",
        lead=" ",
        languages=(ENGLISH,),
    ),
    "moonshine": _moonshine(
        "Moonshine",
        "encoder_num_attention_heads",
        # three unpadded convolutions (modeling_moonshine.py): kernels 127, 7, 3, strides 64, 3, 2
        clock=lambda _: FrameClock.of_convolutions((127, 7, 3), (64, 3, 2)),
        window=lambda _: 30.0,  # the longest clips that it was trained on
    ),
    "moonshine_streaming": _moonshine(
        "MoonshineStreaming",
        "encoder_config.num_attention_heads",
        front_end="samples in pieces",
        encoder_norm=lambda _: "final_norm",
        clock=_streaming_clock,
        # its decoder has a position for each frame
        window=lambda config: min(
            LONGEST, config.max_position_embeddings * _streaming_clock(config).stride / SAMPLING_RATE
        ),
        independent=False,  # its blocks have sliding windows, which are counted from the first
    ),
    "canary": _canary(
        "CanaryForConditionalGeneration",
        "decoder_config.num_attention_heads",
        "Parakeet log-mel",
        prompt=_CANARY,
        languages=_CANARY_LANGUAGES,
    ),
    "cohere_asr": _canary(
        "CohereAsrForConditionalGeneration",
        "num_attention_heads",
        "Cohere log-mel",
        window=lambda _: 35.0,  # CohereAsrFeatureExtractor cuts longer ones
        prompt=("▁", *_CANARY),
        languages=_COHERE_LANGUAGES,
    ),
    "speech_to_text": _plain(
        "Speech2TextForConditionalGeneration",
        front_end="Kaldi log-mel",
        # log-mel frames of 400 samples, and convolutions of stride 2 that are padded to be centred
        clock=lambda config: FrameClock(
            first=199.5, stride=160 * 2**config.num_conv_layers, reach=400, padded=False, least=560
        ),
        head="lm_head",
    ),
    "seamless_m4t": _seamless("SeamlessM4TForSpeechToText"),
    "seamless_m4t_v2": _seamless("SeamlessM4Tv2ForSpeechToText"),
}
"""By `model_type`."""
