"""A small Whisper in CTranslate2's format, written from a `transformers` model, and as a package."""

import base64
import hashlib
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import WhisperConfig, WhisperForConditionalGeneration

SPECIAL = [
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>",
    "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
]  # fmt: skip
SETTINGS = {"suppress_ids": [1, 2], "suppress_ids_begin": [3], "alignment_heads": [[0, 1]]}


def tokenizer_json(*, without_first_merge: bool = False) -> bytes:
    """A byte-level tokenizer with two merges and Whisper's special tokens, but no timestamps."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "t"), ("Ġt", "h")]
    words = {token: index for index, token in enumerate([*alphabet, *map("".join, merges)])}
    made = Tokenizer(models.BPE(words, merges[without_first_merge:]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made.add_special_tokens(SPECIAL)
    return made.to_str().encode()


def network() -> WhisperForConditionalGeneration:
    """A random Whisper of one layer on each side, for the tokenizer above with its 1501 timestamps."""
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=64, decoder_ffn_dim=64, vocab_size=258 + len(SPECIAL) + 1501, pad_token_id=1,
    )  # fmt: skip
    made = WhisperForConditionalGeneration(config).eval()
    for name, weight in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight)
    return made


def variables(made: WhisperForConditionalGeneration) -> dict[str, np.ndarray]:
    """The weights under CTranslate2's names, projections fused."""
    weights = {name: tensor.numpy() for name, tensor in made.state_dict().items()}
    out: dict[str, np.ndarray] = {
        "encoder/num_heads": np.array(made.config.encoder_attention_heads, np.int16)
    }

    def linear(target: str, *sources: str) -> None:
        rows = [weights[f"{source}.weight"] for source in sources]
        none = np.zeros(made.config.d_model, np.float32)
        out[f"{target}/weight"] = np.concatenate(rows)
        out[f"{target}/bias"] = np.concatenate([weights.get(f"{source}.bias", none) for source in sources])

    def norm(target: str, source: str) -> None:
        out[f"{target}/gamma"], out[f"{target}/beta"] = weights[f"{source}.weight"], weights[f"{source}.bias"]

    linear("encoder/conv1", "model.encoder.conv1")
    linear("encoder/conv2", "model.encoder.conv2")
    out["decoder/embeddings/weight"] = weights["model.decoder.embed_tokens.weight"]
    for side in ("encoder", "decoder"):
        out[f"{side}/position_encodings/encodings"] = weights[f"model.{side}.embed_positions.weight"]
        norm(f"{side}/layer_norm", f"model.{side}.layer_norm")
        to, at = f"{side}/layer_0", f"model.{side}.layers.0"
        linear(f"{to}/self_attention/linear_0", *(f"{at}.self_attn.{name}_proj" for name in "qkv"))
        linear(f"{to}/self_attention/linear_1", f"{at}.self_attn.out_proj")
        norm(f"{to}/self_attention/layer_norm", f"{at}.self_attn_layer_norm")
        if side == "decoder":
            linear(f"{to}/attention/linear_0", f"{at}.encoder_attn.q_proj")
            linear(f"{to}/attention/linear_1", *(f"{at}.encoder_attn.{name}_proj" for name in "kv"))
            linear(f"{to}/attention/linear_2", f"{at}.encoder_attn.out_proj")
            norm(f"{to}/attention/layer_norm", f"{at}.encoder_attn_layer_norm")
        norm(f"{to}/ffn/layer_norm", f"{at}.final_layer_norm")
        linear(f"{to}/ffn/linear_0", f"{at}.fc1")
        linear(f"{to}/ffn/linear_1", f"{at}.fc2")
    return out


def model_bin(content: dict[str, np.ndarray]) -> bytes:
    """CTranslate2's binary format, version 6, with one alias."""

    def string(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    kinds = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}
    data = struct.pack("<I", 6) + string("WhisperSpec") + struct.pack("<II", 3, len(content))
    for name, array in content.items():
        data += string(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        data += struct.pack("<BI", kinds[array.dtype.name], array.nbytes) + array.tobytes()
    return (
        data
        + struct.pack("<I", 1)
        + string("decoder/projection/weight")
        + string("decoder/embeddings/weight")
    )


def write_wheel(folder: Path, name: str, members: dict[str, bytes]) -> tuple[Path, str]:
    """Write a pure wheel of version 1.0 that carries files; the path and its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    files = {
        **{f"{name}/{member}": data for member, data in members.items()},
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}\n"
        for path, data in files.items()
    )
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in {**files, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(member, data)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def tiny_wheel(folder: Path, name: str = "tiny_whisper") -> tuple[Path, str]:
    """The small Whisper as a package."""
    members = {
        "model.bin": model_bin(variables(network())),
        "config.json": json.dumps(SETTINGS).encode(),
        "tokenizer.json": tokenizer_json(),
    }
    return write_wheel(folder, name, members)
