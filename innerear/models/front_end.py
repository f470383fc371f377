"""Front ends: the feature extractor of a model's folder, checked against the network that it feeds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from transformers import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from innerear.data.schema import SAMPLING_RATE
from innerear.models.folders import explained, read_json
from innerear.models.frames import WHISPER
from innerear.util.errors import InputError

FILES = ("preprocessor_config.json", "processor_config.json")
"""Either holds the settings of the feature extractor; `transformers` 5 writes them into the second."""

_DECIDING = {
    WhisperFeatureExtractor: (
        "feature_size", "sampling_rate", "n_fft", "hop_length", "chunk_length", "padding_value", "dither",
    ),
    Wav2Vec2FeatureExtractor: ("feature_size", "sampling_rate", "do_normalize"),
}  # fmt: skip
"""The settings of an extractor that decide the input of the network."""


def feature_extractor(family: str, config: Any, folder: Path) -> Any:
    """The feature extractor of a folder, or what the family and the configuration leave no choice about.

    Raises
    ------
    InputError
        If it does not fit the network, or a family that is used both with and without normalisation
        has no file that says which.
    """
    own, processor = (read_json(folder / name) for name in FILES)
    there = own is not None or "feature_extractor" in (processor or {})
    kind: Any = WhisperFeatureExtractor if family == "whisper" else Wav2Vec2FeatureExtractor
    window = getattr(config, "max_source_positions", 0) * WHISPER.stride / SAMPLING_RATE
    if there:
        with explained(folder, FILES[0]):
            extractor = kind.from_pretrained(folder)
    elif family == "whisper":
        extractor = kind(feature_size=config.num_mel_bins, chunk_length=window)
    elif family == "moonshine":
        extractor = kind(do_normalize=False)
    else:
        raise InputError(
            f"{folder}: there is no {FILES[0]}, and {family} models exist with and without normalised audio "
            "(do_normalize); copy the file from the model that this one was made from"
        )
    if family == "whisper":
        needed = {
            "feature_size": config.num_mel_bins, "sampling_rate": SAMPLING_RATE, "n_fft": WHISPER.reach,
            "hop_length": WHISPER.stride // 2, "chunk_length": window, "padding_value": 0.0,
            "padding_side": "right", "dither": 0.0,
        }  # fmt: skip
    else:
        needed = {"feature_size": 1, "sampling_rate": SAMPLING_RATE}
        if family == "moonshine":
            needed["do_normalize"] = False
        elif not isinstance(extractor.do_normalize, bool):
            raise InputError(
                f"{folder}: {FILES[0]}: do_normalize is {extractor.do_normalize!r}, not true or false"
            )
        extractor.return_attention_mask = False  # nothing is padded
    for key, value in needed.items():
        if (given := getattr(extractor, key)) != value:
            raise InputError(f"{folder}: {FILES[0]}: {key} is {given!r}, but the model needs {value!r}")
    if family == "whisper":  # the same, in whole numbers: 30.0 s would give no shape
        return kind(feature_size=config.num_mel_bins, chunk_length=round(window))
    extractor.sampling_rate = SAMPLING_RATE
    return extractor


def front_end_settings(extractor: Any) -> dict[str, Any]:
    """The settings of a feature extractor that decide the input of the network."""
    return {key: getattr(extractor, key) for key in _DECIDING[type(extractor)]}


def front_end(extractor: Any) -> Callable[[Sequence[np.ndarray]], Tensor]:
    """Clips of one input shape → the input tensor of the network, on the CPU.

    Log-mel of the window, [clip, mel, frame] (Whisper), or samples, [clip, sample]; there is no attention
    mask, as nothing is padded beyond Whisper's window.
    """

    def features(audio: Sequence[np.ndarray]) -> Tensor:
        output = extractor(list(audio), sampling_rate=SAMPLING_RATE, return_tensors="pt")
        tensor: Tensor = output[extractor.model_input_names[0]]
        return tensor

    return features
