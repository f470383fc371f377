"""Load a folder's network whole: tensors that are missing, left over or of another shape are refused."""

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
import transformers
from safetensors import safe_open
from transformers import AutoConfig, GenerationConfig

from innerear.models.families import FAMILIES
from innerear.models.family import DTYPE, PRECISIONS, Family
from innerear.models.folders import explained, read_json
from innerear.models.weights import weight_files
from innerear.util.errors import InputError

DTYPES: Mapping[str, torch.dtype] = {name: getattr(torch, name) for name in PRECISIONS}
"""Types in which weights can be loaded, whatever type they are stored in."""
_UNUSED = ("masked_spec_embed",)
"""Tensors of the encoder that only training uses."""
_DERIVED = ("inv_freq", "position_ids", "num_batches_tracked")
"""Buffers that older versions of `transformers` saved and newer ones compute."""
_ENCODER_PARTS = ("feature_extractor.conv_layers.", "feature_projection.", "encoder.", "adapter.")
"""Tensors of an encoder; what else its file holds belongs to heads of pretraining or classification."""

_MOST_LAYERS = 1000
"""More than any model has; a million would be built before tensors are found missing."""
_WIDEST = 1 << 20
"""More than any vocabulary or layer has; some networks take memory for it wherever they are built."""
_MOST_TOKENS = 10_000
"""More than any model writes of a clip; one that never ends writes all of them."""
_SPARE = 10_000_000
"""Parameters that no harm comes of."""
_INNER = {
    "_attn_implementation": None, "return_dict": True, "output_attentions": False,
    "output_hidden_states": False,
}  # fmt: skip
"""How a network computes, and hands out what it computed: `transformers`' defaults, whoever saved it."""

# what it warns of in loading (tables of tensors) is checked below, and an error of one line
logging.getLogger("transformers").setLevel(logging.ERROR)
# LASR's convolutions are so; it costs a copy and changes nothing
warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths")


def dtype_name(network: torch.nn.Module) -> str:
    """Type of a network's parameters, such as `float32`; several types are joined by `+`."""
    types = {parameter.dtype for parameter in network.parameters()}
    return "+".join(sorted(str(each).removeprefix("torch.") for each in types))


def round_weights(network: torch.nn.Module, dtype: str) -> None:
    """Round what is stored of a network to a type of `DTYPES`, in place; what it derives keeps its own."""
    for tensor in network.state_dict(keep_vars=True).values():
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(DTYPES[dtype])


def build_network(kind: Any, config: Any, device: str, dtype: str) -> Any:
    """Build a network whose weights its own code draws, where and in the type in which it will compute.

    They are other ones on another device: they stand for none that were learnt.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[dtype])
    try:
        with torch.random.fork_rng(), torch.device(device):
            torch.manual_seed(0)
            return kind(config)
    finally:
        torch.set_default_dtype(before)


def network_class(family: str, config: Any, folder: Path) -> Any:
    """The `transformers` class of a folder's network: a recogniser, or an encoder without a text head."""
    row = FAMILIES[family]
    headless = bool(row.bare) and not _claims_text_head(config, row) and not _has_text_head(folder, row)
    return _class(row.bare if headless else row.network)


def architecture(family: str, config: Any) -> Any | None:
    """The class that a configuration names: a recogniser, or an encoder alone; None if it names neither."""
    row = FAMILIES[family]
    if not row.bare or _claims_text_head(config, row):
        return _class(row.network)
    names = (row.bare.rpartition(":")[2], f"{row.network.removesuffix('ForCTC')}ForPreTraining")
    alone = row.bare and any(name in names for name in config.architectures or ())
    return _class(row.bare) if alone else None


def _class(name: str) -> Any:
    """A class of `transformers`, or of `module:Class`."""
    return resolve_name(name) if ":" in name else getattr(transformers, name)


def is_headless(family: str, kind: type) -> bool:
    """Whether a class of a family is its encoder without a text head."""
    bare = FAMILIES[family].bare
    return bool(bare) and kind is _class(bare)


def network_config(folder: Path) -> Any:
    """The configuration of a folder's network.

    Raises
    ------
    InputError
        If it is damaged, or says what no adapter can do.
    """
    with explained(folder, "config.json"):
        row = FAMILIES.get(str((read_json(folder / "config.json") or {}).get("model_type")))
        if row is not None and ":" in row.network:
            _class(row.network)  # its module makes its configuration known to `transformers`
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    parts = [config, *(getattr(config, name) for name in config.sub_configs)]
    for part in parts:
        for key, value in part.to_dict().items():
            if not _possible(key, value):
                raise InputError(f"{folder}: config.json: {key} is {repr(value)[:100]}, which cannot be")
    for part in parts:
        if vars(part).pop("is_causal", None):  # passed on to attentions that have their own
            raise InputError(f"{folder}: config.json: is_causal is not supported; remove it")
        encodes_and_decodes = type(part)().is_encoder_decoder
        for key, value in {**_INNER, "is_encoder_decoder": encodes_and_decodes}.items():
            setattr(part, key, value)
    return config


def _possible(key: str, value: Any) -> bool:
    """Whether a setting has a value with which a network can be built and used."""
    if "dropout" in key or "layerdrop" in key:
        return isinstance(value, int | float) and 0 <= value <= 1
    if key.endswith("attention_heads") or key in ("max_bucket_distance", "max_source_positions"):
        return isinstance(value, int) and value >= 1
    if key.endswith(("_size", "_dim", "d_model")) and isinstance(value, int) and value > _WIDEST:
        return False
    if key in ("max_position_embeddings", "max_target_positions"):
        return isinstance(value, int) and value <= _MOST_TOKENS
    if key in ("conv_kernel", "conv_stride") and min(value, default=1) < 1:
        return False
    if key == "frame_ms":  # pieces of samples, as the processor cuts them
        return bool(value == 5)
    if key == "durations":
        return bool(value) and max(value) >= 1 and min(value) >= 0
    if key == "max_symbols_per_step":
        return bool(value >= 1)
    if isinstance(value, list) and len(value) > _MOST_LAYERS:
        return False
    return not (key.endswith("_layers") and isinstance(value, int) and value > _MOST_LAYERS)


def check_size(kind: Any, config: Any, folder: Path) -> None:
    """Refuse a configuration of far more parameters than the weights hold, before memory is taken for them.

    Raises
    ------
    InputError
        If it is so, or no network can be built of it.
    """
    with explained(folder, "config.json"), torch.device("meta"):
        asked = sum(parameter.numel() for parameter in kind(config).parameters())
    held = 0
    for path in weight_files(folder):
        with explained(folder, path.name), safe_open(path, "pt") as file:
            held += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    if asked > _SPARE + 2 * held:  # tied tensors are stored once
        raise InputError(
            f"{folder}: config.json describes {asked:,} parameters, but the weights hold {held:,}; one "
            "of the two is of another model"
        )


def load_network(family: str, folder: Path, dtype: str = DTYPE) -> Any:
    """Load a network in a type of `DTYPES`.

    Raises
    ------
    InputError
        If its tensors are not exactly those that the configuration asks for; one line names some of them.
    """
    config = network_config(folder)
    kind = network_class(family, config, folder)
    with explained(folder, "network"):
        network, report = kind.from_pretrained(
            folder,
            config=config,
            dtype=DTYPES[dtype],
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below, with the others
            generation_config=None if is_headless(family, kind) else GenerationConfig(),
        )
    harmless = (*_UNUSED, *_DERIVED)
    found = {
        "missing": [key for key in report["missing_keys"] if not key.endswith(harmless)],
        "not part of it": [
            key
            for key in report["unexpected_keys"]
            if not key.endswith(harmless) and _is_used(family, key, kind)
        ],
        "of another shape": [key for key, *_ in report["mismatched_keys"]],
    }
    problems = [
        f"{what}: {len(keys)} ({', '.join(sorted(keys)[:3])}{', …' if len(keys) > 3 else ''})"
        for what, keys in found.items()
        if keys
    ]
    stored, own = set(tensor_names(folder)), set(network.state_dict())
    renamed = stored - own - set(report["unexpected_keys"])
    if (twice := len(renamed) - len(own - stored - set(report["missing_keys"]))) > 0:
        problems.append(f"there twice, under an old and a new name: {twice}")
    if problems:
        raise InputError(
            f"{folder}: its tensors are not those of the {kind.__name__} in config.json: "
            f"{'; '.join(problems)}; "
            "save the whole model again, or correct config.json"
        )
    return network


def _is_used(family: str, key: str, kind: Any) -> bool:
    """Whether a tensor that was left over belongs to what is used, so that something is wrong."""
    if key.startswith(FAMILIES[family].unused):
        return False
    if is_headless(family, kind):
        return key.removeprefix(f"{kind.base_model_prefix}.").startswith(_ENCODER_PARTS)
    return True


def _claims_text_head(config: Any, row: Family) -> bool:
    return row.network.rpartition(":")[2] in str(config.architectures)


def _has_text_head(folder: Path, row: Family) -> bool:
    return any(name.startswith(f"{row.head}.") for name in tensor_names(folder))


def tensor_names(folder: Path) -> Sequence[str]:
    """Names of the tensors in a folder's weights."""
    names: list[str] = []
    for path in weight_files(folder):
        with explained(folder, path.name), safe_open(path, "pt") as file:
            names += file.keys()
    return names
