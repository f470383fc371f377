"""Moonshine from ONNX Runtime's `.ort` files: int8 weights are dequantised to float32.

The files are flatbuffers; onnxruntime ships the classes that read them. Each quantised product names its
weight, scale and zero point, and its node's path is the module's name in `transformers`.
"""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from innerear.models.convert import TIED, save
from innerear.util.errors import InnerearError, InputError

_TYPES = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float16,
    11: np.float64,
}
# node type → positions of weight, scale, zero point, bias among its inputs
_PRODUCTS = {"MatMulIntegerToFloat": (1, 3, 5, 6), "DynamicQuantizeMatMul": (1, 2, 3, 4)}
_EMBEDDING = "model.decoder.embed_tokens.weight_merged_0"
_BYTES = range(3, 259)
"""Token indices that stand for single bytes."""


def _session_reader() -> ModuleType:
    """Onnxruntime's reader; its modules import each other by a top-level name of their own."""
    try:
        import flatbuffers  # noqa: F401  which the reader itself imports
        import onnxruntime
    except ImportError as error:
        raise InputError(
            "converting Moonshine's package needs onnxruntime and flatbuffers: "
            "pip install 'innerear[mirrors]'"
        ) from error

    folder = Path(onnxruntime.__file__).parent / "tools" / "ort_format_model"
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("ort_flatbuffers_py.fbs.InferenceSession")
    finally:
        sys.path.remove(str(folder))


class _Graph:
    """Initialisers and nodes of a model file, its subgraphs included."""

    def __init__(self, data: bytes) -> None:
        self.tensors: dict[str, np.ndarray] = {}
        self.nodes: list[tuple[str, str, list[str]]] = []
        session = _session_reader().InferenceSession.GetRootAs(data, 0)
        for graph in self._graphs(session.Model().Graph()):
            self._read(graph)

    def _graphs(self, graph: Any) -> Iterator[Any]:
        yield graph
        for index in range(graph.NodesLength()):
            node = graph.Nodes(index)
            for number in range(node.AttributesLength()):
                if (inner := node.Attributes(number).G()) is not None:
                    yield from self._graphs(inner)

    def _read(self, graph: Any) -> None:
        for index in range(graph.InitializersLength()):
            tensor = graph.Initializers(index)
            shape = [tensor.Dims(axis) for axis in range(tensor.DimsLength())]
            raw = tensor.RawDataAsNumpy()
            data = b"" if isinstance(raw, int) else raw.tobytes()
            array = np.frombuffer(data, _TYPES[tensor.DataType()]).reshape(shape)
            self.tensors.setdefault(tensor.Name().decode(), array)
        for index in range(graph.NodesLength()):
            node = graph.Nodes(index)
            inputs = [node.Inputs(number).decode() for number in range(node.InputsLength())]
            self.nodes.append((node.Name().decode(), node.OpType().decode(), inputs))

    def dequantised(self, weight: str, scale: str, zero: str) -> np.ndarray:
        """(integer − zero point) · scale, float32."""
        grid = self.tensors[weight].astype(np.float32) - self.tensors[zero].astype(np.float32)
        return grid * self.tensors[scale].astype(np.float32)

    def modules(self, prefix: str) -> dict[str, np.ndarray]:
        """Weights of linear layers and norms by their names in `transformers`."""
        weights: dict[str, np.ndarray] = {}
        for name, kind, inputs in self.nodes:
            if kind in _PRODUCTS and name.endswith("/MatMul_quant"):
                weight, scale, zero, bias = _PRODUCTS[kind]
                module = prefix + name[1 : -len("/MatMul_quant")].replace("/", ".")
                weights[f"{module}.weight"] = self.dequantised(inputs[weight], inputs[scale], inputs[zero]).T
                if len(inputs) > bias and inputs[bias]:
                    weights[f"{module}.bias"] = self.tensors[inputs[bias]]
            elif kind in ("LayerNormalization", "SkipLayerNormalization"):
                (norm,) = (given for given in inputs if given.split("_merged")[0].endswith("norm.weight"))
                weights[prefix + norm.split("_merged")[0]] = self.tensors[norm]
        return weights


def state_dict(encoder: bytes, decoder: bytes) -> dict[str, Tensor]:
    """The weights under the names that `MoonshineForConditionalGeneration` gives them, float32."""
    encoder_graph, decoder_graph = _Graph(encoder), _Graph(decoder)
    weights = encoder_graph.modules("model.encoder.") | decoder_graph.modules("")
    for name in ("conv1", "conv2", "conv3"):
        weights[f"model.encoder.{name}.weight"] = encoder_graph.tensors[f"{name}.weight_add_tensor"]
        if name != "conv1":
            weights[f"model.encoder.{name}.bias"] = encoder_graph.tensors[f"{name}.bias"]
    for name, kind, inputs in encoder_graph.nodes:
        if name.startswith("/groupnorm/") and kind in ("Mul", "Add"):
            (constant,) = (given for given in inputs if given in encoder_graph.tensors)
            part = "weight" if kind == "Mul" else "bias"
            weights[f"model.encoder.groupnorm.{part}"] = encoder_graph.tensors[constant].reshape(-1)
    embedding = [f"{_EMBEDDING}_{part}" for part in ("quantized", "scale", "zero_point")]
    weights["model.decoder.embed_tokens.weight"] = decoder_graph.dequantised(*embedding)
    del weights[TIED]
    return {name: torch.from_numpy(np.ascontiguousarray(array).copy()) for name, array in weights.items()}


def read_tokens(data: bytes) -> list[bytes]:
    """Tokens of `tokenizer.bin`: each a length (one byte, or two from 128 up) and its bytes; 0 is unused."""
    tokens, at = [], 0
    while at < len(data):
        length = data[at]
        at += 1
        if length >= 128:
            length = length * 128 + data[at] - 128
            at += 1
        tokens.append(data[at : at + length])
        at += length
    if at != len(data):
        raise ValueError("the last token is cut off")
    return tokens


def tokenizer(tokens: list[bytes]) -> Any:
    """A byte-fallback BPE tokenizer; its merges follow from the order of tokens, as in SentencePiece."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary: dict[str, int] = {}
    for index, token in enumerate(tokens):
        name = f"<0x{token[0]:02X}>" if index in _BYTES else token.decode("utf-8") or f"<<unused_{index}>>"
        vocabulary[name if name not in vocabulary else f"<<again_{index}>>"] = index
    words = {name for name, index in vocabulary.items() if index not in _BYTES and index >= _BYTES.stop}
    merges: list[tuple[str, str]] = []
    for name in vocabulary:
        if name in words and not name.startswith("<<"):
            halves = ((name[:cut], name[cut:]) for cut in range(1, len(name)))
            known = [pair for pair in halves if pair[0] in words and pair[1] in words]
            merges += sorted(known, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
    bpe = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bpe.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>", *(name for name in vocabulary if name.startswith("<<"))]
    bpe.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, unk_token="<unk>", bos_token="<s>", eos_token="</s>", model_max_length=2048
    )


def convert(encoder: bytes, decoder: bytes, tokens: bytes, folder: Path, where: str) -> None:
    """Write a folder that `transformers` loads.

    Parameters
    ----------
    encoder, decoder, tokens
        `encoder_model.ort`, `decoder_model_merged.ort`, `tokenizer.bin`.
    folder
        An empty folder.
    where
        Name of the weights, for messages.

    Raises
    ------
    InnerearError
        If a file is truncated or is something else.
    InputError
        If a package of the extra `mirrors` is not installed.
    """
    from transformers import (
        GenerationConfig,
        MoonshineConfig,
        MoonshineForConditionalGeneration,
        Wav2Vec2FeatureExtractor,
    )

    try:
        weights, vocabulary = state_dict(encoder, decoder), tokenizer(read_tokens(tokens))
    except InputError:
        raise
    except Exception as error:  # flatbuffers checks nothing, so a damaged file can raise any error
        raise InnerearError(
            f"{where}: damaged, or not Moonshine's files ({error!r}); fetch it again"
        ) from error
    special: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    # Moonshine tiny (Jeffries et al. 2024, arXiv 2410.15608, table 1)
    config = MoonshineConfig(
        encoder_num_hidden_layers=6, decoder_num_hidden_layers=6, hidden_size=288, intermediate_size=1152,
        encoder_num_attention_heads=8, decoder_num_attention_heads=8, vocab_size=32768,
        max_position_embeddings=194, tie_word_embeddings=True, dtype="float32",
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.9},
        **special,
    )  # fmt: skip
    with torch.device("meta"):
        network = MoonshineForConditionalGeneration(config)
    network.generation_config = GenerationConfig(**special, pad_token_id=2, max_length=194)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
    save(network, weights, vocabulary, extractor, folder, where)
