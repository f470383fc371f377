"""Load a registered model: fetched weights, the family's adapter, and the random twin."""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
import transformers

from innerear.data.language import ENGLISH, language_code
from innerear.models.audio_lm import AudioLM
from innerear.models.base import Identity, SpeechModel
from innerear.models.convolutions import mend_convolutions
from innerear.models.ctc import CTC
from innerear.models.devices import AUTO, placed, usable_dtype
from innerear.models.encoder_decoder import EncoderDecoder
from innerear.models.families import FAMILIES
from innerear.models.family import DTYPE
from innerear.models.folders import read_json
from innerear.models.front_end import KINDS, feature_extractor, front_end, front_end_settings
from innerear.models.generation import check_transducer, read_settings
from innerear.models.generation_settings import GenerationSettings
from innerear.models.identity import model_parts
from innerear.models.language_adapters import LanguageAdapter
from innerear.models.networks import (
    build_network,
    check_size,
    is_headless,
    load_network,
    network_class,
    network_config,
    round_weights,
)
from innerear.models.registry import MULTILINGUAL, ModelSpec, family_of, load_spec
from innerear.models.spelling import Spelling
from innerear.models.tokenizers import load_tokenizer
from innerear.models.transducer import Transducer
from innerear.models.twins import RECIPE, random_twin
from innerear.models.weights import Fetched, fetch, tensors_sha256
from innerear.util.errors import InputError
from innerear.util.io import sha256_json

transformers.utils.logging.disable_progress_bar()  # a bar of its own would break ours
# given encoder outputs, generate() warns that the audio has no attention mask; nothing is padded here
logging.getLogger("transformers.generation.utils").setLevel(logging.ERROR)

TWIN = "-random"
"""Suffix of a model's randomly initialised twin."""


def load_model(
    name: str, *, device: str = "cpu", dtype: str = DTYPE, twin_seed: int | None = None
) -> SpeechModel:
    """Load a model by its registered name, a local folder, or `hub:owner/name@revision`.

    Parameters
    ----------
    name
        A name from `innerear models list`, or a path.
    device
        Where it runs: `cpu`, `cuda`, `cuda:1`, `mps`, or `auto`, spread over all GPUs.
    dtype
        Type of its numbers: `float32`, `bfloat16` or `float16`.
    twin_seed
        Load the model's random twin instead: the same architecture, initialised from this seed.
    """
    spec = load_spec(name)
    usable_dtype(dtype, device)
    return assemble(spec, fetch(spec), device=device, dtype=dtype, twin_seed=twin_seed)


def assemble(
    spec: ModelSpec,
    fetched: Fetched,
    *,
    device: str = "cpu",
    dtype: str = DTYPE,
    twin_seed: int | None = None,
) -> SpeechModel:
    """Build the adapter of a fetched model, or of its random twin.

    Raises
    ------
    InputError
        If the device cannot be used, or the folder is damaged, incomplete or contradicts itself.
    """
    opened = Opened.of(spec, fetched.folder)
    twin = twin_seed is not None
    if not spec.trained:
        first = "cpu" if device == AUTO else device
        network = build_network(opened.kind, opened.config, first, dtype)
        parts = opened.parts(fetched.weights_sha256, dtype)
    elif twin_seed is None:
        network = load_network(spec.family, fetched.folder, dtype)
        opened.adapter.load(network)
        parts = opened.parts(fetched.weights_sha256, dtype)
    else:
        network = random_twin(lambda: opened.kind(opened.config), twin_seed)
        parts = opened.twin_parts(tensors_sha256(network.state_dict()), dtype)
        round_weights(network, dtype)
    identity = Identity(
        name=spec.name + TWIN if twin else spec.name,
        family=spec.family,
        kind="twin" if twin else "model" if spec.trained else "architecture",
        revision=fetched.revision,
        source=f"architecture of {spec.name}, random weights" if twin else fetched.source,
        parts=parts,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        licence=spec.licence,
        training_data=() if twin else tuple(spec.training_data),
        seed=twin_seed,
    )
    network = placed(network, device)
    mend_convolutions(network)
    return adapt(identity, network, opened)


def model_parts_of(spec: ModelSpec, fetched: Fetched, dtype: str = DTYPE) -> dict[str, str]:
    """The parts of a fetched model's identity, without loading its network; errors as `assemble`."""
    return Opened.of(spec, fetched.folder).parts(fetched.weights_sha256, dtype)


@dataclass(frozen=True)
class Opened:
    """What a model's folder holds besides weights.

    Attributes
    ----------
    kind
        The `transformers` class of the network.
    tokenizer, generation
        None for an encoder without a text head; what emits along the audio has no generation settings.
    language
        That of a model of a single language, as registered; it decides where the folder names none.
    adapter
        The adapter for that language; of a model that has none, the default.
    """

    family: str
    kind: Any
    config: Any
    extractor: Any
    language: str
    tokenizer: Any = None
    generation: GenerationSettings | None = None
    adapter: LanguageAdapter = field(default_factory=LanguageAdapter)

    @classmethod
    def of(cls, spec: ModelSpec, folder: Path) -> Self:
        """Read a folder and check its files against each other."""
        config = network_config(folder)
        if (own := family_of(read_json(folder / "config.json") or {}, folder)) != spec.family:
            raise InputError(
                f"{folder}: config.json describes a model of the family {own}, but {spec.name} is registered "
                f"as {spec.family}; correct `family`, or the source"
            )
        kind = network_class(spec.family, config, folder)
        if spec.trained:
            check_size(kind, config, folder)
        extractor = feature_extractor(spec.family, config, folder)
        single = len(spec.languages) == 1 and MULTILINGUAL not in spec.languages
        language = spec.languages[0] if single else ""
        if is_headless(spec.family, kind):
            return cls(spec.family, kind, config, extractor, language)
        adapter = LanguageAdapter.of(config, folder, language)
        adapter.adjust(config)
        if FAMILIES[spec.family].kind == "transducer":
            check_transducer(config, folder)
        tokenizer = load_tokenizer(spec.family, config, folder, adapter.language)
        if not FAMILIES[spec.family].generation:
            language = language or adapter.language
            return cls(spec.family, kind, config, extractor, language, tokenizer, adapter=adapter)
        generation = read_settings(spec.family, config, folder, tokenizer, language)
        return cls(spec.family, kind, config, extractor, language, tokenizer, generation)

    def parts(self, weights_sha256: str, dtype: str = DTYPE) -> dict[str, str]:
        """The identity of the model with these weights in this type; see `innerear.models.identity`."""
        told = language_code(self.language)  # decides which clips are heard, and how they are normalised
        own = ({"language": told} if told not in ("", ENGLISH) else {}) | self.adapter.parts()
        return own | model_parts(
            weights_sha256=weights_sha256,
            config=self.config,
            front_end=front_end_settings(self.family, self.extractor),
            tokenizer=self.tokenizer,
            generation=self.generation,
            dtype=dtype,
        )

    def twin_parts(self, weights_sha256: str, dtype: str) -> dict[str, str]:
        """The identity of the random twin with these weights."""
        return self.parts(weights_sha256, dtype) | {"recipe": RECIPE}

    def twin_key(self, seed: int) -> str:
        """Hash of all that decides the weights of a random twin."""
        config = {**json.loads(self.config.to_json_string(use_diff=False)), "_name_or_path": ""}
        versions = [RECIPE, torch.__version__, transformers.__version__]
        return sha256_json([*versions, self.kind.__name__, config, seed])


def adapt(identity: Identity, network: Any, opened: Opened) -> SpeechModel:
    """Wrap a network as a `SpeechModel`, with the tokenizer and the front end of an opened folder."""
    family = FAMILIES[identity.family]
    mask = family.listening.mask if family.listening else ""
    features = front_end(opened.extractor, mask, **KINDS[family.front_end].called)
    languages = frozenset({language_code(opened.language)} - {""})
    if opened.tokenizer is None:
        return SpeechModel(identity, network, family, features)
    spelling = Spelling(opened.tokenizer, family.lead)
    if opened.generation is None:
        emits = Transducer if family.kind == "transducer" else CTC
        return emits(identity, network, family, features, spelling, languages)
    languages = languages or frozenset(family.languages)
    kind = AudioLM if family.kind == "audio LM" else EncoderDecoder
    return kind(identity, network, family, features, spelling, opened.generation, languages)
