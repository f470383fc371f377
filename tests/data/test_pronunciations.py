"""The CMU dictionary, read once, as pronunciations and as a list of words."""

import time

import pytest

from innerear.data import pronunciations as dictionary
from innerear.data.pronunciations import english_words, homophones, pronunciations


def test_english_words_load_fast_and_hold_words():
    for function in (dictionary._dictionary, english_words):
        function.cache_clear()
    begin = time.process_time()
    words = english_words()
    assert time.process_time() - begin < 5
    assert len(words) > 100_000
    assert {"treasure", "read", "a", "i"} <= words
    assert not {"t", "read(2)", ""} & words


@pytest.mark.parametrize(
    ("word", "sounds"),
    [
        ("read", {"r eh d", "r iy d"}),
        ("rice", {"r ay s"}),
        ("t", {"t iy"}),  # a letter that is no word still has a name
        ("qqqq", set()),
    ],
)
def test_pronunciations_are_folded_into_the_phone_classes(word, sounds):
    assert {" ".join(phones) for phones in pronunciations(word)} == sounds


def test_homophones_share_a_pronunciation():
    assert homophones("road", "rode")
    assert homophones("read", "red")
    assert homophones("qqqq", "qqqq")
    assert not homophones("rice", "lice")
