"""Hold a model's real weights against the contract, and against what is registered of it."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from innerear.audit.contract import SAMPLES, SHORTER, Outcome, Subject, contract
from innerear.data.embedded import load
from innerear.data.language import language_code
from innerear.data.schema import SAMPLING_RATE
from innerear.models.bare import bare_recogniser
from innerear.models.base import SpeechModel
from innerear.models.decoder import decoder_of
from innerear.models.loading import assemble
from innerear.models.registry import ModelSpec
from innerear.models.weights import fetch
from innerear.util.errors import InputError

SECONDS = (4.0, 2.0, 1.0)
"""Lengths of the clips of speech that are tried: the longest that fits into the model's window."""


def check_model(spec: ModelSpec, device: str = "cpu") -> Iterator[tuple[str, Outcome]]:
    """Fetch and load a model, and run each check on clips of English speech.

    Raises
    ------
    InputError
        If the model cannot be loaded, has no weights, or hears no clip of a second.
    """
    if not spec.trained:
        raise InputError(f"{spec.name} is an architecture alone: it has no weights to check")
    fetched = fetch(spec)
    model = assemble(spec, fetched, device=device)
    yield "registered facts", _facts(spec, model)
    registered = spec.languages[0] if len(spec.languages) == 1 else ""
    language = decoder_of(model).generation.language if model.decoder_layers else registered
    yield from contract(
        Subject(
            model,
            _clips(model),
            lambda: bare_recogniser(spec.family, fetched.folder, language_code(language)),
            _blur(model.network.config),
        )
    )


def _facts(spec: ModelSpec, model: SpeechModel) -> Outcome:
    """What the registry says of the network; a model that is not registered says nothing."""
    own: dict[str, Any] = {"parameters": model.identity.parameters, "writes": model.writes}
    own["adapted"] = model.adapted
    if not spec.parameters:
        return Outcome(None, reason="nothing is registered of its network")
    wrong = [f"{name} is {own[name]}" for name in own if getattr(spec, name) != own[name]]
    return Outcome(not wrong, reason=", ".join(wrong))


def _clips(model: SpeechModel) -> list[np.ndarray]:
    """Three clips of embedded speech of one length, each of another speaker."""
    for seconds in SECONDS:
        samples = int(seconds * SAMPLING_RATE) // SAMPLES * SAMPLES + SHORTER
        if model.unsupported_reason(samples):
            continue
        longer = [item for item in load("innerear-speech") if item.duration * SAMPLING_RATE >= samples]
        speakers = {item.speaker: item for item in reversed(longer)}
        if len(speakers) >= 3:
            return [item.audio()[:samples] for item in list(speakers.values())[:3]]
    raise InputError(f"{model.identity.name}: cannot hear clips of a second; there is nothing to check")


def _blur(config: Any) -> int:
    """Frames over which a positional convolution in front of the first block spreads an impulse."""
    kernel = getattr(config, "conv_pos_kernel_size", None)
    width = int(getattr(config, "num_conv_pos_embeddings", 0))
    return max(1, width * (kernel // 2) if kernel else width // 2)
