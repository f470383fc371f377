"""The architectures that innerear reads: one table, a row for each `model_type` of `transformers`.

A row says where the parts of a network are; the module of its kind (`innerear.models.encoder_decoder`,
`innerear.models.ctc`, …) knows how a model of that kind works. Needs neither torch nor transformers.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from innerear.models.audio_families import AUDIO_LMS
from innerear.models.decoder_families import ENCODER_DECODERS
from innerear.models.family import FAST_CONFORMER, LONGEST, Config, Family, Kind, Stack, w2v_conformer
from innerear.models.frames import FrameClock
from innerear.models.site import Part
from innerear.util.plugins import Extended

_W2V_PARTS: dict[Part, str] = {"self_attn": "attention", "mlp": "feed_forward"}
_W2V_CONFORMER = w2v_conformer("num_attention_heads")
_LASR_ENCODER = Stack(
    "layers",
    {"first_mlp": "feed_forward1", "self_attn": "self_attn", "conv": "conv", "mlp": "feed_forward2"},
    "encoder_config.num_attention_heads",
    "o_proj",
    lambda config: {
        "first_mlp": config.encoder_config.feed_forward_residual_weights[1],
        "conv": config.encoder_config.conv_residual_weights[1],
        "mlp": config.encoder_config.feed_forward_residual_weights[1],
    },
)


def _wav2vec(name: str, module: str, *, out_projection: str | None = "out_proj", **other: Any) -> Family:
    """A descendant of wav2vec 2.0: `name` is the beginning of its classes' names; fields that are `other`."""
    family = Family(
        kind="CTC",
        network=f"{name}ForCTC",
        bare=f"{name}Model",
        front_end="samples",
        encoder_module=module,
        encoder=Stack("encoder.layers", _W2V_PARTS, "num_attention_heads", out_projection),
        encoder_norm=lambda config: "encoder.layer_norm" if config.do_stable_layer_norm else "",
        clock=lambda config: FrameClock.of_convolutions(config.conv_kernel, config.conv_stride),
        window=lambda _: LONGEST,
        head="lm_head",
        adapter=lambda config: getattr(config, "add_adapter", False),
    )
    return replace(family, **other)


def _parakeet(kind: Kind, network: str, head: str) -> Family:
    """A recogniser on NVIDIA's Fast Conformer."""
    return Family(
        kind=kind,
        network=network,
        front_end="Parakeet log-mel",
        encoder_module="encoder",
        encoder=FAST_CONFORMER,
        encoder_norm=lambda _: "",
        clock=lambda config: FrameClock.of_fast_conformer(config.encoder_config.subsampling_factor),
        window=lambda _: LONGEST,
        head=head,
    )


def _nemotron(network: str) -> Family:
    """A transducer on a Fast Conformer that can be used while somebody speaks; here it hears whole clips."""
    return replace(
        _parakeet("transducer", network, "joint.head"),
        front_end="Nemotron log-mel",
        clock=lambda config: FrameClock.of_causal_conformer(config.encoder_config.subsampling_factor),
    )


def _lasr_clock(config: Config) -> FrameClock:
    """Log-mel frames of 400 samples, and two unpadded convolutions (modeling_lasr.py)."""
    encoder = config.encoder_config
    kernel, stride = encoder.subsampling_conv_kernel_size, encoder.subsampling_conv_stride
    return FrameClock.of_convolutions((400, kernel, kernel), (160, stride, stride))


def _squeezed_clock(config: Config) -> FrameClock:
    """Convolutions, behind which SEW squeezes some frames into one."""
    squeezed = (config.squeeze_factor,)
    return FrameClock.of_convolutions((*config.conv_kernel, *squeezed), (*config.conv_stride, *squeezed))


_BUILT_IN: Mapping[str, Family] = {
    **ENCODER_DECODERS,
    "wav2vec2": _wav2vec("Wav2Vec2", "wav2vec2"),
    "hubert": _wav2vec("Hubert", "hubert"),
    # WavLM passes its projection weights to a fused attention: no module sees the heads
    # and its first block computes the position bias of all
    "wavlm": _wav2vec("WavLM", "wavlm", out_projection=None, independent=False),
    "unispeech": _wav2vec("UniSpeech", "unispeech"),
    "unispeech-sat": _wav2vec("UniSpeechSat", "unispeech_sat"),
    "data2vec-audio": _wav2vec("Data2VecAudio", "data2vec_audio", encoder_norm=lambda _: ""),
    "wav2vec2-conformer": _wav2vec(
        "Wav2Vec2Conformer",
        "wav2vec2_conformer",
        encoder=_W2V_CONFORMER,
        encoder_norm=lambda _: "encoder.layer_norm",
    ),
    "wav2vec2-bert": _wav2vec(
        "Wav2Vec2Bert",
        "wav2vec2_bert",
        front_end="stacked log-mel",
        encoder=_W2V_CONFORMER,
        encoder_norm=lambda _: "",
        # two log-mel frames of 400 samples side by side
        clock=lambda _: FrameClock.of_convolutions((400, 2), (160, 2)),
        adapter=lambda config: config.add_adapter or config.use_intermediate_ffn_before_adapter,
    ),
    # blocks see half of the frames; a linear map makes two of each again for the head
    "sew": _wav2vec(
        "SEW",
        "sew",
        encoder_norm=lambda _: "encoder.upsample",
        clock=_squeezed_clock,
    ),
    "sew-d": _wav2vec(
        "SEWD",
        "sew_d",
        # what a component adds is the output of its last projection: the modules around it add and normalise
        encoder=Stack(
            "encoder.encoder.layer",
            {"self_attn": "attention.output.dense", "mlp": "output.dense"},
            "num_attention_heads",
            "",
        ),
        encoder_norm=lambda _: "encoder.upsample",
        clock=_squeezed_clock,
    ),
    "lasr_ctc": Family(
        kind="CTC",
        network="LasrForCTC",
        front_end="LASR log-mel",
        encoder_module="encoder",
        encoder=_LASR_ENCODER,
        encoder_norm=lambda _: "out_norm",
        clock=_lasr_clock,
        window=lambda _: LONGEST,
        head="ctc_head",
    ),
    "parakeet_ctc": _parakeet("CTC", "ParakeetForCTC", "ctc_head"),
    "parakeet_rnnt": _parakeet("transducer", "ParakeetForRNNT", "joint.head"),
    "parakeet_tdt": _parakeet("transducer", "ParakeetForTDT", "joint.head"),
    "nemotron_asr_streaming": _nemotron("NemotronAsrStreamingForRNNT"),
    "nemotron3_5_asr": _nemotron("Nemotron3_5AsrForRNNT"),
    **AUDIO_LMS,
}

FAMILIES: Mapping[str, Family] = Extended(
    "innerear.families", "family", _BUILT_IN, lambda loaded: isinstance(loaded, Family)
)
"""All families by `model_type`; packages add theirs under the entry point group `innerear.families`."""

_PEFT = "its language model hears audio through a LoRA adapter, which needs peft"
_OMNI = "its prompt has positions of three kinds (time, height, width), and no kind of model here counts them"
_SENTENCES = "it answers in sentences about what is said, not with a transcript"
_SPEAKERS = "it writes times and speakers between the words, not a transcript alone"

UNSUPPORTED: Mapping[str, str] = {
    "granite_speech5_ctc": "some of its layers halve the frames, so that its sites have times of their own, "
    "and its front end needs torchaudio",
    "granite_speech": f"{_PEFT}, and its front end needs torchaudio",
    "granite_speech_plus": f"{_PEFT}, and its front end needs torchaudio",
    "phi4_multimodal": _PEFT,
    "kyutai_speech_to_text": "it has no encoder: its language model reads codes of a codec, one step of them "
    "with each token",
    "voxtral_realtime": "its language model reads the sum of a frame and a token at each step, so that audio "
    "cannot be given before the text",
    "fun_asr_nano": "its front end needs torchaudio, and states before its first block are of another width",
    "audioflamingo3": _SENTENCES,
    "musicflamingo": _SENTENCES,
    "moss_transcribe_diarize": _SPEAKERS,
    "vibevoice_asr": f"{_SPEAKERS}, and it hears audio at 24 kHz",
    "gemma3n": "its language model's blocks hand on more than one residual stream",
    "gemma4": "its language model's blocks are given an embedding of their own for each token",
    "qwen2_5_omni": _OMNI,
    "qwen3_omni_moe": _OMNI,
    "speecht5": "its encoder for speech is one of several that share a decoder, each with nets of its own",
    "speech-encoder-decoder": "its encoder and its decoder may be of any family, and a row is of one",
}
"""Why there is no family for a `model_type` that people may try."""
