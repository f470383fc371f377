"""The architectures that innerear reads: one table, a row for each `model_type` of `transformers`.

A row says where the parts of a network are; the module of its kind (`innerear.models.encoder_decoder`,
`innerear.models.ctc`, …) knows how a model of that kind works. Needs neither torch nor transformers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from innerear.data.language import ENGLISH
from innerear.data.schema import SAMPLING_RATE
from innerear.models.frames import WHISPER, FrameClock
from innerear.models.site import Part
from innerear.util.plugins import Extended

Kind = Literal["encoder-decoder", "CTC", "transducer", "audio LM"]
"""How text comes out of a model."""
Config = Any
"""The `transformers` configuration of a network."""


@dataclass(frozen=True)
class Stack:
    """Where one family keeps a stack of transformer blocks.

    Attributes
    ----------
    layers
        Path of the list of blocks: from the encoder's module for an encoder, else from the network.
    parts
        Submodules of a block by the component that they are.
    heads
        Where the configuration counts the heads of an attention; a dotted path into nested ones.
    out_projection
        Submodule of an attention whose input is the concatenated heads: empty for the attention itself, None
        where no module sees them.
    scales
        Factors by which a block multiplies what a component writes before it adds it, where it is not 1.
    """

    layers: str
    parts: Mapping[Part, str]
    heads: str
    out_projection: str | None
    scales: Callable[[Config], Mapping[Part, float]] = lambda _: {}


@dataclass(frozen=True)
class Listening:
    """How a language model is given audio: as embeddings, in the places that its prompt keeps for them.

    Attributes
    ----------
    placeholder
        Spelling of the token in whose place an embedding of the audio comes.
    positions
        Times of the embeddings of the audio.
    prompts
        What asks for a transcript, with `{audio}` and `{language}` in it, by the token that ends the
        answer: a chat model ends its turns with a token of its own. "" is for all others.
    mask
        Name by which the network takes the mask of the window; empty where it takes none.
    names
        What `{language}` stands for, by code; empty where it is the code itself.
    whole
        Whether it hears the whole window, padding included.
    packed
        Whether the encoder's blocks see the frames of all clips in one row.
    language_model
        Path of the module that takes embeddings of text and audio, and gives states after its final norm.
    """

    placeholder: str
    positions: Callable[[Config], FrameClock]
    prompts: Mapping[str, str]
    mask: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False
    packed: bool = False
    language_model: str = "model.language_model"


@dataclass(frozen=True)
class Family:
    """Where the parts of an architecture are.

    Attributes
    ----------
    network, bare
        Names of the `transformers` classes of the recogniser, and of its encoder without a text head, empty
        where that is not published alone. A family of another package may state `module:Class`.
    front_end
        Kind of the input, of `innerear.models.front_end`.
    encoder_module
        Path of the module that takes that input and gives the encoder's output.
    encoder
        The encoder's blocks.
    encoder_norm
        Path of the module between the last block and what reads the encoder, from `encoder_module`: a norm,
        or an upsampling; empty where the last block's output is read as it is.
    clock
        Times of the encoder's frames.
    window
        Longest clip in seconds that it takes in one piece.
    head
        Path of the output projection to the vocabulary.
    decoder, decoder_norm
        The decoder's blocks, and the path of the norm behind them; None and empty without a decoder.
    generation
        How its generation settings are read, of `innerear.models.generation`; empty without a decoder.
    lead
        What comes before a word that follows others: " " where tokens include the space before a word.
    languages
        Those of all models that are told no language, or of an audio language model that is told one; empty
        where they differ.
    adapter
        Whether an adapter over time stands behind the encoder's blocks: what reads them sees other frames.
    independent
        Whether each encoder block needs nothing of those before it but the residual stream.
    listening
        How a language model is given audio; None in other kinds.
    """

    kind: Kind
    network: str
    front_end: str
    encoder_module: str
    encoder: Stack
    encoder_norm: Callable[[Config], str]
    clock: Callable[[Config], FrameClock]
    window: Callable[[Config], float]
    head: str
    bare: str = ""
    decoder: Stack | None = None
    decoder_norm: str = ""
    generation: str = ""
    lead: str = ""
    languages: tuple[str, ...] = ()
    adapter: Callable[[Config], bool] = lambda _: False
    independent: bool = True
    listening: Listening | None = None


def whisper_window(config: Config) -> float:
    """Window in seconds of an encoder like Whisper's, or of one inside a language model."""
    encoder: Any = getattr(config, "audio_config", config)
    # rotary positions have another name
    frames = getattr(encoder, "max_source_positions", None) or encoder.max_position_embeddings
    return float(frames * WHISPER.stride / SAMPLING_RATE)


_ENCODER: dict[Part, str] = {"self_attn": "self_attn", "mlp": "fc2"}
_DECODER: dict[Part, str] = {"self_attn": "self_attn", "cross_attn": "encoder_attn", "mlp": "fc2"}
_LANGUAGE_MODEL: dict[Part, str] = {"self_attn": "self_attn", "mlp": "mlp"}
_W2V_PARTS: dict[Part, str] = {"self_attn": "attention", "mlp": "feed_forward"}
_HALVES: dict[Part, float] = {"first_mlp": 0.5, "mlp": 0.5}
"""A Conformer block adds half of what each of its MLPs writes (Gulati et al. 2020, eq. 1)."""
_LONGEST = 40.0
"""Window in seconds of models that have none of their own: attention over longer clips only costs memory."""

_W2V_CONFORMER = Stack(
    "encoder.layers",
    {"first_mlp": "ffn1", "self_attn": "self_attn", "conv": "conv_module", "mlp": "ffn2"},
    "num_attention_heads",
    "linear_out",
    lambda _: _HALVES,
)
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
PARAKEET_ENCODER = Stack(
    "layers",
    {"first_mlp": "feed_forward1", "self_attn": "self_attn", "conv": "conv", "mlp": "feed_forward2"},
    "encoder_config.num_attention_heads",
    "o_proj",
    lambda _: _HALVES,
)
"""NVIDIA's Fast Conformer inside a recogniser (Rekesh et al. 2023)."""


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
        window=lambda _: _LONGEST,
        head="lm_head",
        adapter=lambda config: getattr(config, "add_adapter", False),
    )
    return replace(family, **other)


def _audio_lm(
    name: str, encoder: Stack, norm: str, listening: Listening, languages: tuple[str, ...] = ()
) -> Family:
    """A language model that hears the output of an encoder like Whisper's; `name` begins its class's name."""
    return Family(
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
        languages=languages,
        listening=listening,
    )


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


_QWEN2_AUDIO = "Detect the language and recognize the speech: <|{language}|>"
"""What Qwen2-Audio's makers evaluate recognition with (eval_audio/EVALUATION.md in QwenLM/Qwen2-Audio)."""


def _parakeet(kind: Kind, network: str, head: str) -> Family:
    """A recogniser on NVIDIA's Fast Conformer."""
    return Family(
        kind=kind,
        network=network,
        front_end="Parakeet log-mel",
        encoder_module="encoder",
        encoder=PARAKEET_ENCODER,
        encoder_norm=lambda _: "",
        clock=lambda config: FrameClock.of_fast_conformer(config.encoder_config.subsampling_factor),
        window=lambda _: _LONGEST,
        head=head,
    )


_BUILT_IN: Mapping[str, Family] = {
    "whisper": Family(
        kind="encoder-decoder",
        network="WhisperForConditionalGeneration",
        front_end="log-mel window",
        encoder_module="model.encoder",
        encoder=Stack("layers", _ENCODER, "encoder_attention_heads", "out_proj"),
        encoder_norm=lambda _: "layer_norm",
        clock=lambda _: WHISPER,
        window=whisper_window,
        head="proj_out",
        decoder=Stack("model.decoder.layers", _DECODER, "decoder_attention_heads", "out_proj"),
        decoder_norm="model.decoder.layer_norm",
        generation="whisper",
        lead=" ",
        languages=(ENGLISH,),
    ),
    "moonshine": Family(
        kind="encoder-decoder",
        network="MoonshineForConditionalGeneration",
        front_end="plain samples",
        encoder_module="model.encoder",
        encoder=Stack("layers", _ENCODER | {"mlp": "mlp"}, "encoder_num_attention_heads", "o_proj"),
        encoder_norm=lambda _: "layer_norm",
        # three unpadded convolutions (modeling_moonshine.py): kernels 127, 7, 3, strides 64, 3, 2
        clock=lambda _: FrameClock.of_convolutions((127, 7, 3), (64, 3, 2)),
        window=lambda _: 30.0,  # the longest clips that it was trained on
        head="proj_out",
        decoder=Stack("model.decoder.layers", _DECODER | {"mlp": "mlp"}, "num_attention_heads", "o_proj"),
        decoder_norm="model.decoder.norm",
        generation="plain",
    ),
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
        clock=lambda config: FrameClock.of_convolutions(
            (*config.conv_kernel, config.squeeze_factor), (*config.conv_stride, config.squeeze_factor)
        ),
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
        clock=lambda config: FrameClock.of_convolutions(
            (*config.conv_kernel, config.squeeze_factor), (*config.conv_stride, config.squeeze_factor)
        ),
    ),
    "lasr_ctc": Family(
        kind="CTC",
        network="LasrForCTC",
        front_end="LASR log-mel",
        encoder_module="encoder",
        encoder=_LASR_ENCODER,
        encoder_norm=lambda _: "out_norm",
        # log-mel frames of 400 samples, and two unpadded convolutions (modeling_lasr.py)
        clock=lambda config: FrameClock.of_convolutions(
            (400, *[config.encoder_config.subsampling_conv_kernel_size] * 2),
            (160, *[config.encoder_config.subsampling_conv_stride] * 2),
        ),
        window=lambda _: _LONGEST,
        head="ctc_head",
    ),
    "parakeet_ctc": _parakeet("CTC", "ParakeetForCTC", "ctc_head"),
    "parakeet_rnnt": _parakeet("transducer", "ParakeetForRNNT", "joint.head"),
    "parakeet_tdt": _parakeet("transducer", "ParakeetForTDT", "joint.head"),
    "qwen2_audio": _audio_lm(
        "Qwen2Audio",
        Stack("layers", _ENCODER, "audio_config.encoder_attention_heads", "out_proj"),
        "layer_norm",
        Listening(
            placeholder="<|AUDIO|>",
            positions=lambda _: WHISPER.pooled(2),
            mask="feature_attention_mask",
            prompts={
                # as Qwen2AudioProcessor.default_chat_template of transformers writes it
                "<|im_end|>": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
                f"Audio 1: <|audio_bos|>{{audio}}<|audio_eos|>\n{_QWEN2_AUDIO}<|im_end|>\n"
                "<|im_start|>assistant\n",
                "": f"<|audio_bos|>{{audio}}<|audio_eos|>{_QWEN2_AUDIO}",
            },
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
    "qwen3_asr": replace(
        _audio_lm(
            "Qwen3ASR",
            Stack("layers", _ENCODER, "audio_config.encoder_attention_heads", "out_proj"),
            "ln_post",
            Listening(
                placeholder="<|audio_pad|>",
                positions=_qwen3_clock,
                mask="input_features_mask",
                prompts={"<|im_end|>": _QWEN3_ASR, "": _QWEN3_ASR},
                names=_QWEN3_LANGUAGES,
                packed=True,
            ),
            languages=("en", *(code for code in _QWEN3_LANGUAGES if code != "en")),
        ),
        front_end="Qwen3-ASR log-mel",
        clock=_qwen3_clock,
        window=lambda _: _LONGEST,
    ),
    "glmasr": _audio_lm(
        "GlmAsr",
        Stack("layers", _LANGUAGE_MODEL, "audio_config.num_attention_heads", "o_proj"),
        "norm",
        Listening(
            placeholder="<|pad|>",
            positions=lambda _: WHISPER.pooled(4),
            mask="input_features_mask",
            # a transcription request of GlmAsrProcessor, as the chat template of GLM-ASR-Nano writes it
            prompts={
                "": "<|user|>\n<|begin_of_audio|>{audio}<|end_of_audio|><|user|>\n"
                "Please transcribe this audio into text<|assistant|>\n"
            },
        ),
    ),
}

FAMILIES: Mapping[str, Family] = Extended(
    "innerear.families", "family", _BUILT_IN, lambda loaded: isinstance(loaded, Family)
)
"""All families by `model_type`; packages add theirs under the entry point group `innerear.families`."""

UNSUPPORTED: Mapping[str, str] = {
    "granite_speech5_ctc": "some of its layers halve the frames, so that its sites have times of their own, "
    "and its front end needs torchaudio",
}
"""Why there is no family for a `model_type` that people may try."""
