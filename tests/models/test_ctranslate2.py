"""Whisper out of CTranslate2's format, against the `transformers` model that it was written from."""

import contextlib
import json

import numpy as np
import pytest
import torch
from ctranslate2_writer import SETTINGS, model_bin, network, tokenizer_json, variables
from hypothesis import given
from hypothesis import strategies as st
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from innerear.models.convert.ctranslate2 import convert, read_variables, state_dict
from innerear.util.errors import InnerearError

SMALL = model_bin({"encoder/a": np.ones((2, 3), np.float16), "b": np.array(8, np.int16)})


def _convert(content, folder, **changes):
    files = {
        "model": model_bin(content),
        "settings": json.dumps(SETTINGS).encode(),
        "tokenizer": tokenizer_json(),
    }
    folder.mkdir()
    convert(**(files | changes), folder=folder, where="tiny")
    return folder


def test_a_model_comes_back_bit_for_bit(tmp_path):
    made = network()
    folder = _convert(variables(made), tmp_path / "out")
    loaded = WhisperForConditionalGeneration.from_pretrained(folder)
    expected = made.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())


def test_decoding_settings_are_whispers(tmp_path):
    folder = _convert(variables(network()), tmp_path / "out")
    settings = WhisperForConditionalGeneration.from_pretrained(folder).generation_config
    vocabulary = WhisperProcessor.from_pretrained(folder).tokenizer
    assert settings.decoder_start_token_id == vocabulary.convert_tokens_to_ids("<|startoftranscript|>")
    assert settings.no_timestamps_token_id == vocabulary.convert_tokens_to_ids("<|notimestamps|>")
    assert settings.suppress_tokens == SETTINGS["suppress_ids"]
    assert settings.alignment_heads == SETTINGS["alignment_heads"]
    assert not settings.is_multilingual


def test_timestamps_are_added_and_spelled(tmp_path):
    vocabulary = WhisperProcessor.from_pretrained(_convert(variables(network()), tmp_path / "out")).tokenizer
    first = vocabulary.convert_tokens_to_ids("<|notimestamps|>") + 1
    assert vocabulary.convert_tokens_to_ids(["<|0.00|>", "<|30.00|>"]) == [first, first + 1500]
    assert vocabulary.decode([first, first + 36], decode_with_timestamps=True) == "<|0.00|><|0.72|>"


def test_a_tokenizer_that_lost_its_first_merge_is_repaired(tmp_path):
    whole, damaged = tokenizer_json(), tokenizer_json(without_first_merge=True)
    ids = []
    for name, tokenizer in (("whole", whole), ("damaged", damaged)):
        folder = _convert(variables(network()), tmp_path / name, tokenizer=tokenizer)
        ids.append(
            WhisperProcessor.from_pretrained(folder).tokenizer(" the", add_special_tokens=False).input_ids
        )
    assert ids[0] == ids[1]
    assert len(ids[0]) == 2  # " th" and "e"


def test_half_precision_becomes_single():
    content = {name: array.astype(np.float16) if array.dtype.kind == "f" else array
               for name, array in variables(network()).items()}  # fmt: skip
    weights = state_dict(read_variables(model_bin(content), "tiny"), "tiny")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_variables_come_back():
    found = read_variables(SMALL, "small")
    assert found["encoder/a"].shape == (2, 3)
    assert found["b"] == 8


@given(st.integers(0, len(SMALL) - 1))
def test_a_file_cut_anywhere_is_refused_and_named(length):
    with pytest.raises(InnerearError, match=r"small\.bin"):
        read_variables(SMALL[:length], "small.bin")


@given(st.integers(0, len(SMALL) - 1), st.integers(1, 255))
def test_a_changed_byte_is_read_or_refused(position, change):
    damaged = bytearray(SMALL)
    damaged[position] ^= change
    with contextlib.suppress(InnerearError):
        read_variables(bytes(damaged), "small.bin")


def test_bytes_after_the_end_are_refused():
    with pytest.raises(InnerearError, match="3 bytes too many"):
        read_variables(SMALL + b"abc", "small.bin")


def test_a_quantised_model_is_refused():
    content = variables(network())
    content["encoder/layer_0/ffn/linear_0/weight"] = np.ones((64, 16), np.int8)
    with pytest.raises(InnerearError, match="'encoder/layer_0/ffn/linear_0/weight' is missing or quantised"):
        state_dict(content, "tiny")


def test_a_missing_variable_is_named():
    content = variables(network())
    del content["decoder/layer_norm/beta"]
    with pytest.raises(InnerearError, match="decoder/layer_norm/beta"):
        state_dict(content, "tiny")


def test_a_bias_of_keys_is_not_dropped():
    content = variables(network())
    content["encoder/layer_0/self_attention/linear_0/bias"] = np.ones(48, np.float32)
    with pytest.raises(InnerearError, match="bias for its keys"):
        state_dict(content, "tiny")


def test_a_tensor_of_another_shape_is_named(tmp_path):
    content = variables(network())
    content["encoder/layer_norm/gamma"] = np.ones(5, np.float32)
    with pytest.raises(InnerearError, match=r"model\.encoder\.layer_norm\.weight"):
        _convert(content, tmp_path / "out")


@pytest.mark.parametrize("changes", [{"tokenizer": b"{"}, {"settings": b"{}"}, {"tokenizer": b"[]"}])
def test_a_damaged_configuration_is_refused(tmp_path, changes):
    with pytest.raises(InnerearError, match="configuration or tokenizer"):
        _convert(variables(network()), tmp_path / "out", **changes)


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    other = json.loads(tokenizer_json())
    other["added_tokens"] = other["added_tokens"][:-1]
    with pytest.raises(InnerearError, match="the tokenizer has"):
        _convert(variables(network()), tmp_path / "out", tokenizer=json.dumps(other).encode())
