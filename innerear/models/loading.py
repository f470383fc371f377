"""Load a registered model: fetched weights, the family's adapter, and the random twin."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from innerear.data.language import ENGLISH, language_code
from innerear.models import ctc, encoder_decoder
from innerear.models.base import Identity, SpeechModel
from innerear.models.front_end import feature_extractor, front_end
from innerear.models.generation import read_settings
from innerear.models.networks import load_network, network_class, network_config
from innerear.models.registry import ModelSpec, load_spec
from innerear.models.tokenizers import load_tokenizer
from innerear.models.weights import Fetched, fetch, tensors_sha256
from innerear.util.errors import InputError

transformers.utils.logging.disable_progress_bar()  # a bar of its own would break ours
# given encoder outputs, generate() warns that the audio has no attention mask; nothing is padded here
logging.getLogger("transformers.generation.utils").setLevel(logging.ERROR)

TWIN = "-random"
"""Suffix of a model's randomly initialised twin."""


def load_model(name: str, *, device: str = "cpu", twin_seed: int | None = None) -> SpeechModel:
    """Load a model by its registered name, a local folder, or `hub:owner/name@revision`.

    Parameters
    ----------
    name
        A name from `innerear models list`, or a path.
    device
        Where it runs: `cpu`, `cuda`, `cuda:1`, `mps`.
    twin_seed
        Load the model's random twin instead: the same architecture, initialised from this seed.
    """
    spec = load_spec(name)
    return assemble(spec, fetch(spec), device=device, twin_seed=twin_seed)


def assemble(
    spec: ModelSpec, fetched: Fetched, *, device: str = "cpu", twin_seed: int | None = None
) -> SpeechModel:
    """Build the adapter of a fetched model, or of its random twin.

    Raises
    ------
    InputError
        If the device cannot be used, or the folder is damaged, incomplete or contradicts itself.
    """
    folder = fetched.folder
    network = _network(spec.family, folder, twin_seed)
    twin = twin_seed is not None
    identity = Identity(
        name=spec.name + TWIN if twin else spec.name,
        family=spec.family,
        kind="twin" if twin else "model",
        revision=fetched.revision,
        source=f"architecture of {spec.name}, random weights" if twin else fetched.source,
        weights_sha256=tensors_sha256(network.state_dict()) if twin else fetched.weights_sha256,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        licence=spec.licence,
        training_data=() if twin else tuple(spec.training_data),
        seed=twin_seed,
    )
    language = spec.languages[0] if len(spec.languages) == 1 and "multilingual" not in spec.languages else ""
    return adapt(identity, network.to(usable_device(device)), folder, language)


def adapt(identity: Identity, network: Any, folder: Path, language: str = "") -> SpeechModel:
    """Wrap a network as a `SpeechModel`, with the tokenizer and the front end of a folder.

    `language` is that of a model of a single language; it decides where the folder names none.
    """
    family, languages = identity.family, frozenset({language_code(language)} - {""})
    extractor = feature_extractor(family, network.config, folder)
    if ctc.is_headless(network):
        return ctc.Encoder(identity, network, ctc.ENCODERS[family], front_end(extractor))
    tokenizer = load_tokenizer(family, network.config, folder)
    lead = " " if family == "whisper" else ""  # its tokens include the space before a word

    def tokenize(text: str) -> list[int]:
        return list(tokenizer.encode(lead + text, add_special_tokens=False))

    if family in ctc.FAMILIES:

        def collapse(tokens: Sequence[int]) -> str:
            return str(tokenizer.decode(list(tokens)))

        return ctc.CTC(
            identity, network, ctc.FAMILIES[family], front_end(extractor), collapse, tokenize, languages
        )

    def decode(tokens: Sequence[int]) -> str:
        return str(tokenizer.decode(list(tokens), skip_special_tokens=True))

    def spell(tokens: Sequence[int]) -> list[str]:
        return [str(piece) for piece in tokenizer.convert_ids_to_tokens(list(tokens))]

    settings = read_settings(family, network.config, folder, tokenizer, language)
    return encoder_decoder.EncoderDecoder(
        identity, network, encoder_decoder.FAMILIES[family], front_end(extractor), decode, spell, tokenize,
        settings, languages or frozenset({ENGLISH} if family == "whisper" else ()),
    )  # fmt: skip


def _network(family: str, folder: Path, twin_seed: int | None) -> Any:
    if twin_seed is None:
        return load_network(family, folder)
    config = network_config(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(twin_seed)
        return network_class(family, config, folder)(config)


def usable_device(name: str) -> torch.device:
    """The device of this name.

    Raises
    ------
    InputError
        If this machine has no such device.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device {name!r} cannot be used ({reason}); `innerear doctor` lists devices"
        ) from error
    return device
