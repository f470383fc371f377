"""Words are the same samples in all carriers; graded clips differ on the phone alone."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from innerear.data.continuum import CONTEXT, continuum, masked
from innerear.data.embedded import load
from innerear.data.minimal_pairs import (
    SpokenWord,
    continuum_clips,
    delayed,
    masked_clips,
    neutral_by_others,
    one_word_each,
    spoken_words,
    target,
)
from innerear.data.schema import SAMPLING_RATE
from innerear.render.splice import BEFORE
from innerear.util.errors import InputError


@pytest.fixture(scope="module")
def pairs():
    return spoken_words(load("innerear-pairs"), 1)


def test_voices_are_dealt_to_the_pairs(pairs):
    assert len(pairs) == 326
    voices = [one.alone.speaker for one, _ in pairs]
    assert {voices.count(voice) for voice in set(voices)} == {40, 41}
    assert all((one.word, one.foil) == (other.foil, other.word) for one, other in pairs)
    assert len(spoken_words(load("innerear-collocations"), 4)) == 4 * 16


def test_halves_of_the_chosen_pairs_have_first_and_second_words(pairs):
    chosen = one_word_each(pairs, 40)
    assert len(chosen) == 40
    assert all(foil.word == word.foil for word, foil in chosen)
    for half in (chosen[::2], chosen[1::2]):
        firsts = [(word, foil) in pairs for word, foil in half]
        assert firsts.count(True) == firsts.count(False) == 10
        voices = Counter(word.alone.speaker for word, _ in half)
        assert len(voices) == 8
        assert max(voices.values()) <= 3
    few = sorted(pairs[:5], key=lambda pair: pair[0].alone.speaker)
    assert one_word_each(pairs[:5], 8) == [*few[:2], *(pair[::-1] for pair in few[2:4]), few[4]]


def test_another_voice_says_the_same_word_in_the_neutral_carrier():
    corpus = load("innerear-pairs")
    again = neutral_by_others(corpus)
    neutral = [item for item in corpus if item.label("carrier") == "neutral"]
    assert again.keys() == {item.id for item in neutral}
    for item in neutral:
        other = again[item.id]
        assert (other.text, other.accent) == (item.text, item.accent)
        assert other.speaker != item.speaker
    alone = corpus.with_items(item for item in corpus if item.speaker == "af_bella")
    assert not neutral_by_others(alone)


def test_a_word_is_the_same_samples_in_every_carrier(pairs):
    for one, other in pairs[::17]:
        for word in (one, other):
            tails = [clip.audio()[target(clip).onset :] for clip in word.clips]
            assert all(np.array_equal(tail, tails[0]) for tail in tails)
            spans = {tuple(np.subtract(target(clip).span, target(clip).onset)) for clip in word.clips}
            assert len(spans) == 1
        before = target(one.favoured).onset - int(BEFORE * SAMPLING_RATE)  # the word's margin
        assert np.array_equal(one.favoured.audio()[:before], other.against.audio()[:before])


def test_steps_go_from_one_word_to_the_other_in_the_phone_alone(pairs):
    pair = pairs[5]
    made = continuum_clips(pair, 5)
    assert len({item.audio_sha256 for item in made}) == len(made) == 15
    assert [item.label("carrier") for item in made[::5]] == ["first", "second", "neutral"]
    first = pair[0].favoured
    clips = [item.audio() for item in made[:5]]
    assert np.array_equal(clips[0], first.audio())
    start, end = (
        at + side * int(CONTEXT * SAMPLING_RATE) for at, side in zip(target(first).span, (-1, 1), strict=True)
    )
    for clip in clips:
        assert np.array_equal(clip[:start], clips[0][:start])
        assert np.array_equal(clip[end:], clips[0][end:])
    distance = [np.square(clip - clips[0]).sum() for clip in clips]
    assert distance[0] == 0 < distance[1] < distance[-1]


def test_noise_has_its_ratio_and_stays_on_the_phone(pairs):
    word = pairs[0][0]
    made = masked_clips(word, [0, 12])
    assert [item.label("level") for item in made] == ["0", "12"] * 3
    clean, span = word.favoured.audio(), target(word.favoured).span
    noise = made[1].audio() - clean
    inside = noise[slice(*span)]
    assert not noise[: span[0]].any()
    assert not noise[span[1] :].any()
    ratio = 10 * np.log10(np.square(clean[slice(*span)]).mean() / np.square(inside).mean())
    assert ratio == pytest.approx(12, abs=0.1)


def test_another_place_of_the_phone_is_another_clip(pairs):
    """What is kept of a clip is found by this hash: once times are corrected, it must be another."""
    one, other = pairs[0]

    def longer(item):
        phones = [phone for phone in item.phones if phone.middle > item.words[-1].start]
        at = int(item.label("position"))
        phones[at] = replace(phones[at], end=phones[at].end + 0.02)
        return replace(item, phones=tuple(phones))

    moved = SpokenWord(*map(longer, one.clips))
    assert target(moved.favoured).span != target(one.favoured).span
    before, after = ({item.audio_sha256 for item in masked_clips(word, [0])} for word in (one, moved))
    assert not before & after
    before, after = ({i.audio_sha256 for i in continuum_clips((word, other), 3)} for word in (one, moved))
    assert not before & after


def test_the_word_of_a_delayed_clip_begins_later(pairs):
    item = pairs[0][0].against
    later = delayed(item, 1920)
    assert np.array_equal(later.audio()[1920:], item.audio())
    assert target(later).onset == target(item).onset + 1920
    assert delayed(item, 0) is item


def test_bad_input_is_one_line():
    corpus = load("innerear-speech")
    with pytest.raises(InputError, match="no minimal pair"):
        spoken_words(corpus.with_items(corpus.items[:4]), 1)
    clip = np.zeros(1600, dtype=np.float32)
    with pytest.raises(InputError, match="two or more"):
        continuum(clip, clip, (200, 800), (200, 800), 1)
    with pytest.raises(InputError, match="a phone at samples"):
        masked(clip, (800, 850), 0, 0)
