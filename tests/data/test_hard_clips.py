"""`innerear-hard-clips`: what is masked or cut is gone from sound, text and times; the rest is as it was."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from conftest import make_item

from innerear.data.hard_clips import CUT, MASKED, NAME, NO_SPEECH, SAID, SENTENCES, cut, masked
from innerear.data.registry import corpus_names, load_corpus
from innerear.data.schema import SAMPLING_RATE, Segment
from innerear.data.splits import sentence

SPEECH = {item.id: item for item in load_corpus("innerear-speech")}


@pytest.fixture(scope="module")
def corpus():
    return load_corpus(NAME)


def of(corpus, condition):
    return [(item, SPEECH[item.id.partition("@")[0]]) for item in corpus if item.condition == condition]


def test_it_is_known_by_name_and_says_how_many_clips_it_has(corpus):
    (entry,) = (entry for entry in corpus_names() if entry.name == NAME)
    assert entry.summary.startswith(f"{len(corpus)} clips")


def test_every_voice_has_as_many_clips_of_each_condition_and_no_sentence_twice(corpus):
    voices = defaultdict(Counter)
    for item in corpus:
        if item.is_speech:
            voices[item.speaker][item.condition] += 1
    assert {tuple(sorted(each.items())) for each in voices.values()} == {
        tuple((condition, SENTENCES) for condition in ("0 dB", "5 dB", "clean", CUT, MASKED))
    }
    spoken = [item for item in corpus if item.condition in ("clean", MASKED, CUT)]
    assert len({item.id.partition("@")[0] for item in spoken}) == len(spoken)


def test_the_first_clips_of_a_voice_are_one_of_each_condition(corpus):
    first = [item.condition for item in corpus if item.speaker == corpus.items[0].speaker][:5]
    assert first == ["clean", "5 dB", "0 dB", MASKED, CUT]


def test_sounds_without_speech_are_one_of_each_source(corpus):
    sounds = [item for item in corpus if not item.is_speech]
    assert {item.condition for item in sounds} == {NO_SPEECH}
    assert len({item.speaker for item in sounds}) == len(sounds) == 80


def test_a_masked_clip_lacks_one_word_in_sound_text_and_times(corpus):
    for item, whole in of(corpus, MASKED)[::12]:
        lost = [word for word in whole.words if word not in item.words]
        assert len(lost) == 1
        said = sentence(whole.text).split()
        at = whole.words.index(lost[0])
        assert sentence(item.text).split() == said[:at] + said[at + 1 :]
        assert 0 < at < len(said) - 1
        changed = np.flatnonzero(item.audio() != whole.audio()) / SAMPLING_RATE
        assert lost[0].start - 1e-3 <= changed.min() < changed.max() <= lost[0].end + 1e-3
        assert all(not lost[0].start <= phone.middle < lost[0].end for phone in item.phones)
        noise = item.audio()[round(lost[0].start * SAMPLING_RATE) : round(lost[0].end * SAMPLING_RATE)]
        assert np.square(noise).mean() == pytest.approx(np.square(whole.audio()).mean(), rel=0.2)


def test_a_cut_clip_ends_at_the_onset_of_a_word_that_its_text_lacks(corpus):
    for item, whole in of(corpus, CUT)[::12]:
        lost = whole.words[len(item.words)]
        assert item.words == whole.words[: len(item.words)]
        assert sentence(item.text).split() == sentence(whole.text).split()[: len(item.words)]
        assert item.duration == pytest.approx(lost.start + SAID * (lost.end - lost.start), abs=1e-3)
        assert len(item.audio()) == round(item.duration * SAMPLING_RATE) < len(whole.audio())
        assert all(phone.end <= lost.start for phone in item.phones)


@pytest.mark.parametrize("make", [masked, cut])
def test_a_clip_of_short_words_alone_is_neither_masked_nor_cut(make):
    words = tuple(Segment(label, at / 5, at / 5 + 0.2) for at, label in enumerate(["to", "a", "bay", "to"]))
    phones = tuple(Segment("T", word.start, word.end) for word in words)
    item = make_item("c", np.zeros(SAMPLING_RATE, np.float32), text="to a bay to", words=words, phones=phones)
    assert make(item) is None
