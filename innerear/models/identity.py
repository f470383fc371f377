"""The identity of a model: hashes of all that decides what it does, so that a change of any of it is seen.

Effective settings are hashed and not files: two folders that say the same in other words (defaults written
out or left out, keys of training or of other libraries) are one model.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from transformers import GenerationConfig, PreTrainedConfig

from innerear.models.generation_settings import GenerationSettings
from innerear.util.io import sha256_json

_BOOKKEEPING = {
    "_name_or_path", "architectures", "auto_map", "transformers_version", "dtype", "torch_dtype", "use_cache",
    "torchscript", "use_bfloat16", "id2label", "label2id", "num_labels", "problem_type", "finetuning_task",
    "task_specific_params", "tokenizer_class", "processor_class", "feature_extractor_type",
    "quantization_config",
}  # fmt: skip
"""Keys about how a model was saved, and about heads that innerear does not use."""
_ELSEWHERE = (set(GenerationConfig().to_dict()) | {"forced_decoder_ids"}) - {"pad_token_id"}
"""Keys of old configurations that belong to generation; `pad_token_id` is the blank of CTC models."""
_TRAINING = (
    "drop", "mask_time", "mask_feature", "spec_augment", "init_std", "initializer_range",
    "gradient_checkpointing", "ctc_loss", "ctc_zero",
)  # fmt: skip
"""Parts of the names of settings that act in training only."""
_UNUSED_RULES = {"version", "padding", "truncation", "post_processor"}
"""Parts of a tokenizer that innerear does not use: it adds no special tokens and pads nothing."""


def model_parts(
    *,
    weights_sha256: str,
    config: PreTrainedConfig,
    front_end: Mapping[str, Any],
    tokenizer: Any | None,
    generation: GenerationSettings | None,
    dtype: str,
) -> dict[str, str]:
    """Name the parts of a model's identity.

    Parameters
    ----------
    front_end
        Settings of the feature extractor as they are in use.
    tokenizer
        None where a model has no text.
    generation
        None without a decoder.
    dtype
        Type of the weights in memory, such as `float32`.

    Returns
    -------
    dict
        SHA-256 of `weights`, `config`, `front_end`, `tokenizer` and `generation`; `dtype`; and the `prompt`
        in the model's own language, spelt out.
    """
    parts = {
        "weights": weights_sha256,
        "config": sha256_json(_effective(config)),
        "front_end": sha256_json(dict(front_end)),
        "dtype": dtype,
    }
    if tokenizer is not None:
        parts["tokenizer"] = sha256_json(_spelling(tokenizer))
    if generation is not None:
        parts["generation"] = sha256_json(asdict(generation))
        if tokenizer is not None:
            parts["prompt"] = "".join(map(str, tokenizer.convert_ids_to_tokens(list(generation.prompt))))
    return parts


def _effective(config: PreTrainedConfig) -> dict[str, Any]:
    """Settings of an architecture that differ from the defaults of its class; those of its parts likewise."""
    stated, default = config.to_dict(), type(config)().to_dict()
    named = stated.keys() - _BOOKKEEPING - _ELSEWHERE - config.sub_configs.keys()
    used = [key for key in named if not any(part in key for part in _TRAINING)]
    changed = {key: stated[key] for key in used if key not in default or stated[key] != default[key]}
    parts = {name: _effective(getattr(config, name)) for name in config.sub_configs}
    return {"model_type": config.model_type, **changed, **parts}


def _spelling(tokenizer: Any) -> dict[str, Any]:
    """How a tokenizer spells and reads: its vocabulary, special tokens and the rules that are on."""
    rules: dict[str, Any] = {}
    if backend := getattr(tokenizer, "backend_tokenizer", None):
        rules = json.loads(backend.to_str())
    elif model := getattr(tokenizer, "sp_model", None):  # SentencePiece cuts a text by scores of its own
        rules = {"model": sha256(model.serialized_model_proto()).hexdigest()}
    names = ("do_lower_case", "word_delimiter_token", "replace_word_delimiter_char")
    return {
        "vocabulary": tokenizer.get_vocab(),
        "special": sorted(set(tokenizer.all_special_ids)),
        "rules": {key: _switched_on(rules[key]) for key in rules.keys() - _UNUSED_RULES},
        "settings": {name: getattr(tokenizer, name, None) for name in names},
    }


def _switched_on(rules: Any) -> Any:
    """Nested rules without those that are off: later versions of a library add more of them."""
    if not isinstance(rules, dict):
        return rules
    return {key: _switched_on(value) for key, value in rules.items() if value not in (None, False, "")}
