"""Moonshine's files: what is damaged is refused, and the tokenizer's merges come from its ranks."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innerear.models.convert.moonshine_ort import convert, read_tokens, tokenizer
from innerear.util.errors import InnerearError, InputError

BYTES = [bytes([value]) for value in range(256)]
TOKENS = [b"<unk>", b"<s>", b"</s>", *BYTES, *"▁ t h e ▁t he ▁the".encode().split(), b"", b"x" * 200]


def packed(tokens):
    def length(size):
        return bytes([size]) if size < 128 else bytes([size % 128 + 128, size // 128])

    return b"".join(length(len(token)) + token for token in tokens)


@given(st.lists(st.binary(max_size=300)))
def test_tokens_come_back(tokens):
    assert read_tokens(packed(tokens)) == tokens


def test_text_comes_back_and_known_words_are_one_token():
    vocabulary = tokenizer(TOKENS)
    ids = vocabulary("the the é").input_ids
    the = TOKENS.index("▁the".encode())
    assert ids[:3] == [1, the, the]  # <s>, then words
    assert vocabulary.decode(ids, skip_special_tokens=True) == "the the é"  # é by its bytes


@pytest.mark.parametrize("length", [1, 5, -1])
def test_a_cut_off_token_list_is_refused(tmp_path, length):
    with pytest.raises(InnerearError, match="damaged, or not Moonshine's files"):
        convert(b"", b"", packed(TOKENS)[:length], tmp_path, "small")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_model_are_refused(tmp_path_factory, data):
    with pytest.raises(InnerearError, match="small: damaged, or not Moonshine's files"):
        convert(data, data, b"", tmp_path_factory.getbasetemp(), "small")


@pytest.mark.parametrize("package", ["onnxruntime", "flatbuffers"])
def test_a_missing_package_is_named_with_the_extra_that_has_it(monkeypatch, tmp_path, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"pip install 'innerear\[mirrors\]'"):
        convert(b"", b"", b"", tmp_path, "small")
