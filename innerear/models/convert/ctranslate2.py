"""Whisper from CTranslate2's `model.bin`: fused projections are split and everything becomes float32.

The format is little-endian: version, spec name, revision; then for each variable its name, shape, type and
data; then aliases. Self-attention keeps q, k, v fused in `linear_0`, cross-attention k, v in `linear_1`.
"""

import itertools
import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from innerear.models.convert import save
from innerear.util.errors import InnerearError

_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


class _Reader:
    def __init__(self, data: bytes, where: str) -> None:
        self.data, self.where, self.at = data, where, 0

    def take(self, form: str) -> int:
        (value,) = struct.unpack("<" + form, self.bytes(struct.calcsize("<" + form)))
        return int(value)

    def bytes(self, count: int) -> bytes:
        piece = self.data[self.at : self.at + count]
        if len(piece) < count:
            raise InnerearError(
                f"{self.where}: ends in the middle of a value; it is truncated, fetch it again"
            )
        self.at += count
        return piece

    def string(self) -> str:
        return self.bytes(self.take("H"))[:-1].decode("utf-8", "replace")


def read_variables(data: bytes, where: str) -> dict[str, np.ndarray]:
    """Read the variables of a CTranslate2 model file.

    Parameters
    ----------
    data
        The whole file.
    where
        Its name, for messages.

    Raises
    ------
    InnerearError
        If the file is truncated or is something else.
    """
    reader = _Reader(data, where)
    version, spec, _ = reader.take("I"), reader.string(), reader.take("I")
    if not 4 <= version <= 6 or spec != "WhisperSpec":
        raise InnerearError(f"{where}: not a CTranslate2 Whisper model (version {version}, {spec[:20]!r})")
    variables = {}
    for _ in range(reader.take("I")):
        name = reader.string()
        shape = [reader.take("I") for _ in range(reader.take("B"))]
        kind, size = reader.take("B"), reader.take("I")
        item = np.dtype(_TYPES[kind]).itemsize if kind in _TYPES else 0
        if len(shape) > 8 or size == 0 or size != item * math.prod(shape):
            raise InnerearError(f"{where}: {name!r} has an impossible type or size; fetch it again")
        variables[name] = np.frombuffer(reader.bytes(size), _TYPES[kind]).reshape(shape)
    for _ in range(reader.take("I")):  # aliases: tied weights, which transformers ties itself
        reader.string(), reader.string()
    if reader.at != len(data):
        raise InnerearError(f"{where}: {len(data) - reader.at} bytes too many; fetch it again")
    return variables


def state_dict(variables: dict[str, np.ndarray], where: str) -> dict[str, Tensor]:
    """The weights under the names that `WhisperForConditionalGeneration` gives them, float32.

    Raises
    ------
    InnerearError
        If a variable is missing, or quantised.
    """

    def get(name: str) -> Tensor:
        if name not in variables or variables[name].dtype.kind != "f":
            raise InnerearError(
                f"{where}: {name!r} is missing or quantised; a float16 or float32 model is needed"
            )
        return torch.from_numpy(variables[name].astype(np.float32))

    weights: dict[str, Tensor] = {}

    def norm(source: str, target: str) -> None:
        weights[f"{target}.weight"], weights[f"{target}.bias"] = get(f"{source}/gamma"), get(f"{source}/beta")

    def linear(source: str, *targets: str) -> None:
        """One projection, or several fused along the output; keys have no bias in Whisper."""
        weight, bias = get(f"{source}/weight"), get(f"{source}/bias")
        for target, rows, shift in zip(
            targets, weight.chunk(len(targets)), bias.chunk(len(targets)), strict=True
        ):
            weights[f"{target}.weight"] = rows.clone()
            if not target.endswith("k_proj"):
                weights[f"{target}.bias"] = shift.clone()
            elif shift.any():
                raise InnerearError(f"{where}: {source!r} has a bias for its keys; it is not a Whisper model")

    for name in ("conv1", "conv2"):
        linear(f"encoder/{name}", f"model.encoder.{name}")
    weights["model.decoder.embed_tokens.weight"] = get("decoder/embeddings/weight")
    for side in ("encoder", "decoder"):
        weights[f"model.{side}.embed_positions.weight"] = get(f"{side}/position_encodings/encodings")
        norm(f"{side}/layer_norm", f"model.{side}.layer_norm")
        for layer in range(_layers(variables, side)):
            source, target = f"{side}/layer_{layer}", f"model.{side}.layers.{layer}"
            attention = f"{target}.self_attn"
            linear(f"{source}/self_attention/linear_0", *(f"{attention}.{name}_proj" for name in "qkv"))
            linear(f"{source}/self_attention/linear_1", f"{attention}.out_proj")
            norm(f"{source}/self_attention/layer_norm", f"{target}.self_attn_layer_norm")
            if side == "decoder":
                attention = f"{target}.encoder_attn"
                linear(f"{source}/attention/linear_0", f"{attention}.q_proj")
                linear(f"{source}/attention/linear_1", f"{attention}.k_proj", f"{attention}.v_proj")
                linear(f"{source}/attention/linear_2", f"{attention}.out_proj")
                norm(f"{source}/attention/layer_norm", f"{target}.encoder_attn_layer_norm")
            norm(f"{source}/ffn/layer_norm", f"{target}.final_layer_norm")
            linear(f"{source}/ffn/linear_0", f"{target}.fc1")
            linear(f"{source}/ffn/linear_1", f"{target}.fc2")
    return weights


def convert(model: bytes, settings: bytes, tokenizer: bytes, folder: Path, where: str) -> None:
    """Write a folder that `transformers` loads: weights, configurations, tokenizer.

    Parameters
    ----------
    model, settings, tokenizer
        CTranslate2's `model.bin` and `config.json`, and the `tokenizer.json` beside them.
    folder
        An empty folder.
    where
        Name of the weights, for messages.

    Raises
    ------
    InnerearError
        If a file is damaged, quantised, or not of a Whisper model.
    """
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
    )

    variables = read_variables(model, where)
    weights = state_dict(variables, where)
    tokens, width = weights["model.decoder.embed_tokens.weight"].shape
    try:
        heads = int(variables["encoder/num_heads"])
        vocabulary = _vocabulary(json.loads(tokenizer), folder)
        end = vocabulary.eos_token_id
        special: dict[str, Any] = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), end)
        special["decoder_start_token_id"] = end + 1
        generation = GenerationConfig(
            **special, **_generation(json.loads(settings), vocabulary, multilingual=tokens >= 51865)
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InnerearError(f"{where}: its configuration or tokenizer cannot be read ({error!r})") from error
    if len(vocabulary) != tokens:
        raise InnerearError(f"{where}: the tokenizer has {len(vocabulary)} tokens, the model {tokens}")
    config = WhisperConfig(
        vocab_size=tokens, d_model=width, encoder_layers=_layers(variables, "encoder"),
        decoder_layers=_layers(variables, "decoder"), encoder_attention_heads=heads,
        decoder_attention_heads=heads, encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width,
        num_mel_bins=weights["model.encoder.conv1.weight"].shape[1], suppress_tokens=None,
        begin_suppress_tokens=None, dtype="float32", **special,
    )  # fmt: skip
    with torch.device("meta"):
        network = WhisperForConditionalGeneration(config)
    network.generation_config = generation
    extractor = WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    save(network, weights, vocabulary, extractor, folder, where)


def _vocabulary(tokenizer: dict[str, Any], folder: Path) -> Any:
    """The tokenizer with Whisper's special tokens, and its timestamps, which some copies lack."""
    from transformers import AddedToken, WhisperTokenizer

    path = folder / "tokenizer.json"
    path.write_text(json.dumps(_repaired(tokenizer)))
    end = "<|endoftext|>"
    special = [added["content"] for added in tokenizer["added_tokens"] if added["special"]]
    vocabulary = WhisperTokenizer(
        tokenizer_file=str(path), unk_token=end, bos_token=end, eos_token=end, pad_token=end,
        additional_special_tokens=special,
    )  # fmt: skip
    # timestamps follow the other special tokens; they are text to the decoder, so they are not special
    vocabulary.add_tokens([AddedToken(f"<|{index * 0.02:.2f}|>", normalized=False) for index in range(1501)])
    return vocabulary


def _repaired(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer with its merges derived from the ranks of the vocabulary.

    Some copies of the multilingual tokenizer lack the first merge and split " the" into two tokens.
    """
    ranks: dict[str, int] = tokenizer["model"]["vocab"]
    special = {token["content"] for token in tokenizer["added_tokens"]}
    pairs = ((token, rank) for token, rank in ranks.items() if len(token) > 1 and token not in special)
    ordered = sorted(pairs, key=lambda pair: pair[1])
    tokenizer["model"]["merges"] = [_last_merge(token, rank, ranks) for token, rank in ordered]
    return tokenizer


def _last_merge(token: str, rank: int, ranks: dict[str, int]) -> list[str]:
    """The two halves of a token: what remains of it after byte-pair encoding with the lower ranks."""
    parts = list(token)
    while len(parts) > 2:
        merged = [ranks.get(left + right, rank) for left, right in itertools.pairwise(parts)]
        at = min(range(len(merged)), key=merged.__getitem__)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def _generation(config: dict[str, Any], vocabulary: Any, multilingual: bool) -> dict[str, Any]:
    """Whisper's decoding settings as `transformers` names them."""
    settings: dict[str, Any] = {
        "max_length": 448,
        "suppress_tokens": config["suppress_ids"],
        "begin_suppress_tokens": config["suppress_ids_begin"],
        "alignment_heads": config["alignment_heads"],
        "no_timestamps_token_id": vocabulary.convert_tokens_to_ids("<|notimestamps|>"),
        "prev_sot_token_id": vocabulary.convert_tokens_to_ids("<|startofprev|>"),
        "is_multilingual": multilingual,
        "return_timestamps": False,
        "max_initial_timestamp_index": 50,
    }
    if multilingual:
        start = vocabulary.convert_tokens_to_ids("<|startoftranscript|>")
        translate = vocabulary.convert_tokens_to_ids("<|translate|>")
        languages = range(start + 1, translate)
        settings["lang_to_id"] = {vocabulary.convert_ids_to_tokens(index): index for index in languages}
        settings["task_to_id"] = {
            "translate": translate, "transcribe": vocabulary.convert_tokens_to_ids("<|transcribe|>"),
        }  # fmt: skip
    return settings


def _layers(variables: dict[str, np.ndarray], side: str) -> int:
    return sum(
        name.startswith(f"{side}/layer_") and name.endswith("/ffn/layer_norm/gamma") for name in variables
    )
