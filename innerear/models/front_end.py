"""Front ends: the feature extractor of a model's folder, checked against the network that it feeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from transformers import (
    CohereAsrFeatureExtractor,
    LasrFeatureExtractor,
    NemotronAsrStreamingFeatureExtractor,
    ParakeetFeatureExtractor,
    Qwen3ASRFeatureExtractor,
    SeamlessM4TFeatureExtractor,
    Speech2TextFeatureExtractor,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from innerear.data.schema import SAMPLING_RATE
from innerear.models.base import FrontEnd, Inputs
from innerear.models.families import FAMILIES
from innerear.models.family import whisper_window
from innerear.models.folders import explained, read_json
from innerear.models.frames import WHISPER
from innerear.util.errors import InputError

FILES = ("preprocessor_config.json", "processor_config.json")
"""Either holds the settings of the feature extractor; `transformers` 5 writes them into the second."""


@dataclass(frozen=True)
class Kind:
    """A kind of input, and the feature extractor that makes it.

    Attributes
    ----------
    extractor
        Its class.
    deciding
        The settings of an extractor that decide the input.
    needed
        The values that the network of a configuration needs.
    derived
        The arguments of the extractor that a configuration leaves no choice about; None where a file must say
        them, with `undecided`, what it must say.
    called
        What else it is called with.
    """

    extractor: Any
    deciding: tuple[str, ...]
    needed: Callable[[Any], dict[str, Any]]
    derived: Callable[[Any], dict[str, Any]] | None
    undecided: str = ""
    called: Mapping[str, Any] = field(default_factory=dict)


def _mel_of(config: Any) -> dict[str, Any]:
    encoder = getattr(config, "audio_config", config)
    return {"feature_size": encoder.num_mel_bins, "chunk_length": whisper_window(config)}


def _encoder_of(config: Any) -> Any:
    """The configuration of the encoder inside a recogniser, or of an encoder alone."""
    return getattr(config, "encoder_config", config)


def _qwen3_mel(config: Any) -> dict[str, Any]:
    encoder = config.audio_config
    return {"feature_size": encoder.num_mel_bins, "n_window": encoder.n_window}


KINDS: Mapping[str, Kind] = {
    "log-mel window": Kind(
        WhisperFeatureExtractor,
        ("feature_size", "sampling_rate", "n_fft", "hop_length", "chunk_length", "padding_value", "dither"),
        lambda config: _mel_of(config) | {
            "sampling_rate": SAMPLING_RATE, "n_fft": WHISPER.reach, "hop_length": WHISPER.stride // 2,
            "padding_value": 0.0, "padding_side": "right", "dither": 0.0,
        },
        _mel_of,
    ),
    "samples": Kind(
        Wav2Vec2FeatureExtractor,
        ("feature_size", "sampling_rate", "do_normalize"),
        lambda _: {"feature_size": 1, "sampling_rate": SAMPLING_RATE},
        None,
        "normalised audio (do_normalize)",
    ),
    "plain samples": Kind(
        Wav2Vec2FeatureExtractor,
        ("feature_size", "sampling_rate", "do_normalize"),
        lambda _: {"feature_size": 1, "sampling_rate": SAMPLING_RATE, "do_normalize": False},
        lambda _: {"do_normalize": False},
    ),
    "samples in pieces": Kind(
        Wav2Vec2FeatureExtractor,
        ("feature_size", "sampling_rate", "do_normalize", "padding_value"),
        lambda _: {
            "feature_size": 1, "sampling_rate": SAMPLING_RATE, "do_normalize": False, "padding_value": 0.0,
        },
        lambda _: {"do_normalize": False},
        # as MoonshineStreamingProcessor does; its network takes whole pieces of 5 ms, and masks the last
        called={"padding": True, "pad_to_multiple_of": 80, "return_attention_mask": True},
    ),
    "Parakeet log-mel": Kind(
        ParakeetFeatureExtractor,
        ("feature_size", "sampling_rate", "n_fft", "win_length", "hop_length", "preemphasis"),
        lambda config: {
            "feature_size": _encoder_of(config).num_mel_bins, "sampling_rate": SAMPLING_RATE,
            "hop_length": 160,
        },
        lambda config: {"feature_size": _encoder_of(config).num_mel_bins},
    ),
    "Nemotron log-mel": Kind(
        NemotronAsrStreamingFeatureExtractor,
        (
            *("feature_size", "sampling_rate", "n_fft", "win_length", "hop_length", "preemphasis"),
            "mel_filters_dtype",
        ),
        lambda config: {
            "feature_size": config.encoder_config.num_mel_bins, "sampling_rate": SAMPLING_RATE,
            "hop_length": 160,
        },
        lambda config: {"feature_size": config.encoder_config.num_mel_bins},
    ),
    "Cohere log-mel": Kind(
        CohereAsrFeatureExtractor,
        ("feature_size", "sampling_rate", "n_fft", "win_length", "hop_length", "preemphasis", "dither"),
        lambda config: {
            "feature_size": config.encoder_config.num_mel_bins, "sampling_rate": SAMPLING_RATE,
            "hop_length": 160,
        },
        lambda config: {"feature_size": config.encoder_config.num_mel_bins},
    ),
    "Kaldi log-mel": Kind(
        Speech2TextFeatureExtractor,
        (
            *("feature_size", "num_mel_bins", "sampling_rate", "padding_value", "dither"),
            *("do_ceptral_normalize", "normalize_means", "normalize_vars"),
        ),
        lambda config: {"sampling_rate": SAMPLING_RATE, "dither": 0.0} | dict.fromkeys(
            ("feature_size", "num_mel_bins"), config.input_feat_per_channel * config.input_channels
        ),
        None,
        "normalised log-mel frames (do_ceptral_normalize, normalize_means, normalize_vars)",
        called={"padding": True},
    ),
    "LASR log-mel": Kind(
        LasrFeatureExtractor,
        ("feature_size", "sampling_rate", "n_fft", "win_length", "hop_length"),
        lambda config: {
            "feature_size": _encoder_of(config).num_mel_bins, "sampling_rate": SAMPLING_RATE,
            "win_length": 400, "hop_length": 160,
        },
        lambda config: {"feature_size": _encoder_of(config).num_mel_bins},
    ),
    "Qwen3-ASR log-mel": Kind(
        Qwen3ASRFeatureExtractor,
        (
            *("feature_size", "sampling_rate", "n_fft", "hop_length", "padding_value", "dither"),
            *("n_window", "min_length"),
        ),
        lambda config: _qwen3_mel(config) | {
            "sampling_rate": SAMPLING_RATE, "n_fft": 400, "hop_length": 160, "padding_value": 0.0,
            "dither": 0.0, "min_length": 8000,
        },
        _qwen3_mel,
        called={"padding": True},
    ),
    "stacked log-mel": Kind(
        SeamlessM4TFeatureExtractor,
        ("feature_size", "num_mel_bins", "sampling_rate", "stride", "padding_value"),
        lambda config: {"sampling_rate": SAMPLING_RATE, "stride": 2} | dict.fromkeys(
            ("feature_size", "num_mel_bins"), config.feature_projection_input_dim // 2
        ),
        None,
        "a value that fills up an odd number of frames (padding_value)",
    ),
}  # fmt: skip
"""Kinds of input by the name that `innerear.models.families` gives them."""


def feature_extractor(family: str, config: Any, folder: Path) -> Any:
    """The feature extractor of a folder, or what the family and the configuration leave no choice about.

    Raises
    ------
    InputError
        If it does not fit the network, or a family that is used both with and without normalisation
        has no file that says which.
    """
    kind = KINDS[FAMILIES[family].front_end]
    own, processor = (read_json(folder / name) for name in FILES)
    if own is not None or "feature_extractor" in (processor or {}):
        with explained(folder, FILES[0]):
            extractor = kind.extractor.from_pretrained(folder)
    elif kind.derived is not None:
        extractor = kind.extractor(**kind.derived(config))
    else:
        raise InputError(
            f"{folder}: there is no {FILES[0]}, and {family} models exist with and without {kind.undecided}; "
            "copy the file from the model that this one was made from"
        )
    needed = kind.needed(config)
    for key, value in needed.items():
        if (given := getattr(extractor, key)) != value:
            raise InputError(f"{folder}: {FILES[0]}: {key} is {given!r}, but the model needs {value!r}")
    settings = {key: needed.get(key, getattr(extractor, key)) for key in kind.deciding}
    if not isinstance(settings.get("do_normalize", False), bool):
        given = settings["do_normalize"]
        raise InputError(f"{folder}: {FILES[0]}: do_normalize is {given!r}, not true or false")
    if "chunk_length" in settings:
        settings["chunk_length"] = round(settings["chunk_length"])  # 30.0 s would give no shape
    return kind.extractor(**settings)


def front_end_settings(family: str, extractor: Any) -> dict[str, Any]:
    """The settings of a feature extractor that decide the input of the network."""
    return {key: getattr(extractor, key) for key in KINDS[FAMILIES[family].front_end].deciding}


def front_end(extractor: Any, mask: str = "", **called: Any) -> FrontEnd:
    """Clips of one input shape → the inputs of the network, on the CPU.

    There is a mask only where an extractor always makes one, or the network asks for that of the window, by
    this name: nothing is padded beyond what the extractor pads itself. `called` is what else the extractor is
    called with.
    """
    asked = called | ({"return_attention_mask": True} if mask else {})

    def features(audio: Sequence[np.ndarray]) -> Inputs:
        output = extractor(list(audio), sampling_rate=SAMPLING_RATE, return_tensors="pt", **asked)
        inputs = {name: output[name] for name in extractor.model_input_names if name in output}
        return inputs | ({mask: output["attention_mask"]} if mask else {})

    return features
