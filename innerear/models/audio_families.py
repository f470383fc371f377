"""The rows of audio language models in the table of architectures (`innerear.models.families`)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from innerear.models.family import LONGEST, Config, Family, Listening, Stack, whisper_window
from innerear.models.frames import WHISPER, FrameClock
from innerear.models.site import Part

_ENCODER: dict[Part, str] = {"self_attn": "self_attn", "mlp": "fc2"}
_LANGUAGE_MODEL: dict[Part, str] = {"self_attn": "self_attn", "mlp": "mlp"}


def _audio_lm(name: str, encoder: Stack, norm: str, listening: Listening, **other: Any) -> Family:
    """A language model that hears the output of an encoder like Whisper's; `name` begins its class's name.

    `other` are fields that differ.
    """
    family = Family(
        kind="audio LM",
        network=f"{name}ForConditionalGeneration",
        front_end="log-mel window",
        encoder_module="model.audio_tower",
        encoder=encoder,
        encoder_norm=lambda _: norm,
        clock=lambda _: WHISPER,
        window=whisper_window,
        head="lm_head",
        decoder=Stack(
            "model.language_model.layers", _LANGUAGE_MODEL, "text_config.num_attention_heads", "o_proj"
        ),
        decoder_norm="model.language_model.norm",
        generation="audio LM",
        lead=" ",
        listening=listening,
    )
    return replace(family, **other)


_QWEN3_LANGUAGES = {
    "ar": "Arabic", "yue": "Cantonese", "zh": "Chinese", "cs": "Czech", "da": "Danish", "nl": "Dutch",
    "en": "English", "tl": "Filipino", "fi": "Finnish", "fr": "French", "de": "German", "el": "Greek",
    "hi": "Hindi", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean",
    "mk": "Macedonian", "ms": "Malay", "fa": "Persian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "es": "Spanish", "sv": "Swedish", "th": "Thai", "tr": "Turkish", "vi": "Vietnamese",
}  # fmt: skip
_QWEN3_ASR = (
    "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n<|audio_start|>{audio}<|audio_end|><|im_end|>\n"
    "<|im_start|>assistant\nlanguage {language}<asr_text>"
)
"""A transcription request of Qwen3ASRProcessor, as the chat template of Qwen3-ASR writes it."""


def _qwen3_clock(config: Config) -> FrameClock:
    """Frames of pieces of a second; clips of less than half a second would be padded, and heard as such."""
    return FrameClock.of_pieces(2 * config.audio_config.n_window, 8, least=8000)


_QWEN3_LISTENING = Listening(
    placeholder="<|audio_pad|>",
    positions=_qwen3_clock,
    mask="input_features_mask",
    prompts={"<|im_end|>": _QWEN3_ASR, "": _QWEN3_ASR},
    names=_QWEN3_LANGUAGES,
    packed=True,
)

_QWEN2_REQUEST = "Detect the language and recognize the speech: <|{language}|>"
"""What Qwen2-Audio's makers evaluate recognition with (eval_audio/EVALUATION.md in QwenLM/Qwen2-Audio)."""
_QWEN2_AUDIO = {
    # as Qwen2AudioProcessor.default_chat_template of transformers writes it
    "<|im_end|>": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    f"Audio 1: <|audio_bos|>{{audio}}<|audio_eos|>\n{_QWEN2_REQUEST}<|im_end|>\n"
    "<|im_start|>assistant\n",
    "": f"<|audio_bos|>{{audio}}<|audio_eos|>{_QWEN2_REQUEST}",
}
_GLM_ASR = (
    "<|user|>\n<|begin_of_audio|>{audio}<|end_of_audio|><|user|>\n"
    "Please transcribe this audio into text<|assistant|>\n"
)
"""A transcription request of GlmAsrProcessor, as the chat template of GLM-ASR-Nano writes it."""

AUDIO_LMS: Mapping[str, Family] = {
    "qwen2_audio": _audio_lm(
        "Qwen2Audio",
        Stack("layers", _ENCODER, "audio_config.encoder_attention_heads", "out_proj"),
        "layer_norm",
        Listening(
            placeholder="<|AUDIO|>",
            positions=lambda _: WHISPER.pooled(2),
            mask="feature_attention_mask",
            prompts=_QWEN2_AUDIO,
        ),
        languages=("en", "zh", "yue", "fr", "it", "es", "de", "ja"),  # named by its model card
    ),
    "voxtral": _audio_lm(
        "Voxtral",
        Stack("layers", _ENCODER, "audio_config.num_attention_heads", "out_proj"),
        "layer_norm",
        Listening(
            placeholder="[AUDIO]",
            positions=lambda _: WHISPER.pooled(4),
            whole=True,
            # a transcription request of mistral-common
            prompts={"": "<s>[INST][BEGIN_AUDIO]{audio}[/INST]lang:{language}[TRANSCRIBE]"},
        ),
        languages=("en", "fr", "de", "es", "it", "pt", "nl", "hi"),  # named by its model card
    ),
    "qwen3_asr": _audio_lm(
        "Qwen3ASR",
        Stack("layers", _ENCODER, "audio_config.encoder_attention_heads", "out_proj"),
        "ln_post",
        _QWEN3_LISTENING,
        front_end="Qwen3-ASR log-mel",
        clock=_qwen3_clock,
        window=lambda _: LONGEST,
        languages=("en", *(code for code in _QWEN3_LANGUAGES if code != "en")),
    ),
    "glmasr": _audio_lm(
        "GlmAsr",
        Stack("layers", _LANGUAGE_MODEL, "audio_config.num_attention_heads", "o_proj"),
        "norm",
        Listening(
            placeholder="<|pad|>",
            positions=lambda _: WHISPER.pooled(4),
            mask="input_features_mask",
            prompts={"": _GLM_ASR},
        ),
    ),
}
"""By `model_type`."""
