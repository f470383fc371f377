"""Forced alignment: what it finds, and what it refuses in one line."""

import os
from pathlib import Path

import numpy as np
import pytest

from innerear.data.align import align
from innerear.data.embedded import load
from innerear.data.human import load_human
from innerear.data.schema import SAMPLING_RATE
from innerear.render.phone_times import onset_differences
from innerear.util.errors import InputError

_DATA = os.environ.get("INNEREAR_DATA", "")
_NOISE = (0.1 * np.random.default_rng(0).standard_normal(SAMPLING_RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def clip():
    return next(item for item in load("innerear-speech") if item.id == "af_heart-own-00")


def test_words_come_with_their_phones_in_order_and_inside_the_clip(clip):
    words, phones = align(clip.audio(), clip.text)
    assert [word.label for word in words] == [word.label for word in clip.words]
    edges = [edge for phone in phones for edge in (phone.start, phone.end)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= clip.duration
    assert words[0].start == phones[0].start
    assert words[-1].end == phones[-1].end


def test_alignment_is_the_same_each_time(clip):
    assert align(clip.audio(), clip.text) == align(clip.audio(), clip.text)


def test_case_punctuation_and_curly_apostrophes_do_not_matter(clip):
    plain = align(clip.audio(), "don't stop it")
    assert align(clip.audio(), "Don’t stop it!") == plain


def test_a_given_pronunciation_comes_before_the_dictionarys(clip):
    word = clip.words[-1].label
    sounds = [phone.label for phone in clip.phones if phone.start >= clip.words[-1].start]
    _, phones = align(clip.audio(), clip.text, {word: ["Z", *(sound.upper() for sound in sounds[1:])]})
    assert [phone.label for phone in phones][-len(sounds) :] == ["z", *sounds[1:]]


def test_unknown_words_are_named_unless_their_phones_are_given(clip):
    with pytest.raises(InputError, match=r"no pronunciation for blorp, zzyx; .* give their phones"):
        align(_NOISE, "zzyx the blorp")
    *known, last = clip.words
    text = " ".join([*(word.label for word in known), "blorp"])
    sounds = [phone.label for phone in clip.phones if phone.start >= last.start]
    words, _ = align(clip.audio(), text, {"blorp": sounds})
    assert words[-1].label == "blorp"
    assert words[-1].start == pytest.approx(last.start, abs=0.05)


@pytest.mark.parametrize("sound", [[], ["sil"]])
def test_a_pronunciation_without_phones_is_refused(sound):
    with pytest.raises(InputError, match="'cat' has a pronunciation without phones"):
        align(_NOISE, "cat", {"cat": sound})


def test_a_pronunciation_of_unknown_phones_is_refused():
    with pytest.raises(InputError, match="unknown phone label 'QQ'"):
        align(_NOISE, "cat", {"cat": ["K", "QQ"]})


@pytest.mark.parametrize(
    ("audio", "text", "message"),
    [
        (_NOISE, " ... ", "the transcript is empty"),
        (_NOISE[:3200], "the children are on the beach today", "does not fit the audio"),
        (np.zeros(SAMPLING_RATE, np.float32), "the cat", "does not fit the audio"),
        (_NOISE[:50], "cat", "lasts 0.003 s"),
        (_NOISE[:0], "cat", "lasts 0.000 s"),
        (np.full(SAMPLING_RATE, np.nan, np.float32), "cat", "NaN"),
    ],
)
def test_what_cannot_be_aligned_is_refused(audio, text, message):
    with pytest.raises(InputError, match=message):
        align(audio, text)


@pytest.mark.skipif(not _DATA, reason="INNEREAR_DATA names no folder with timit-sample")
def test_onsets_agree_with_hand_labels_of_human_speech():
    corpus = load_human("timit-sample", Path(_DATA), False)
    differences = []
    for item in corpus.items[::16]:
        phones = [phone for phone in item.phones if phone.label != "sil"]
        found = onset_differences(item.audio(), item.words, phones)
        # positive where the hand puts the onset later
        differences += [] if found is None else list(found)
    assert len(differences) > 200
    assert np.median(np.abs(differences)) <= 0.015
    assert abs(np.median(differences)) <= 0.005
