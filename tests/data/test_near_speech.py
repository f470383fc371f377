"""`innerear-near-speech`: as long and loud as speech, the same every time, and without its words."""

from collections import Counter

import numpy as np
import pytest

from innerear.data.near_speech import CLIPS, KINDS, NAME, PEAK, SOURCES, STEPS, babble, shuffled_speech
from innerear.data.registry import corpus_names, load_corpus
from innerear.data.schema import SAMPLING_RATE
from innerear.data.text import edits

SPEECH = load_corpus("innerear-speech")


@pytest.fixture(scope="module")
def corpus():
    return load_corpus(NAME)


def test_it_is_known_by_name_and_says_what_it_is(corpus):
    (entry,) = (entry for entry in corpus_names() if entry.name == NAME)
    assert entry.kind == "embedded"
    assert f"{len(corpus)} sounds" in entry.summary
    assert f"{len(KINDS)} kinds" in entry.summary


def test_it_joins_the_other_corpora_of_the_task():
    assert len(load_corpus(f"{NAME}+innerear-nonspeech+innerear-speech")) == 240 + 354 + len(SPEECH)


def test_every_kind_has_as_many_sources_and_none_has_a_word(corpus):
    assert Counter(item.label("kind") for item in corpus) == dict.fromkeys(KINDS, SOURCES * CLIPS)
    assert len({item.speaker for item in corpus}) == len(KINDS) * SOURCES
    assert {(item.text, item.words, item.phones) for item in corpus} == {("", (), ())}
    assert {item.label("near_speech") for item in corpus} == {"yes"}
    assert len({item.audio_sha256 for item in corpus}) == len(corpus)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_is_as_long_and_loud_as_one_of_speech_and_the_same_every_time(corpus, kind):
    item = next(item for item in corpus if item.label("kind") == kind)
    audio, source = item.audio(), item.audio.args[1][0]
    assert np.array_equal(audio, item.audio())
    assert np.array_equal(audio, np.round(audio * STEPS) / STEPS)
    assert len(audio) == round(item.duration * SAMPLING_RATE) == len(source.audio())
    assert 0 < np.abs(audio).max() <= PEAK + 1 / STEPS
    levels = [np.sqrt(np.square(samples).mean()) for samples in (audio, source.audio())]
    assert levels[0] == pytest.approx(levels[1], rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_its_sound_is_that_of_no_clip_of_speech(corpus, kind):
    """The largest correlation with the speech that it is made of, over all shifts."""
    item = next(item for item in corpus if item.label("kind") == kind)
    made, source = (each / np.linalg.norm(each) for each in (item.audio(), item.audio.args[1][0].audio()))
    spectra = np.fft.rfft(made, 2 * len(made)) * np.conj(np.fft.rfft(source, 2 * len(made)))
    assert np.abs(np.fft.irfft(spectra)).max() < 0.5


def test_shuffled_speech_has_the_samples_of_speech_and_babble_has_its_voices_in_other_places():
    items = SPEECH.items[:160:20]
    source, clip = np.random.default_rng(0), np.random.default_rng(1)
    audio = items[0].audio()
    assert shuffled_speech(items, source, clip).std() == pytest.approx(audio.std(), rel=0.2)
    assert len(babble(items, source, clip)) == len(audio)


@pytest.mark.real
def test_a_recogniser_reads_hardly_a_word_of_the_speech_that_it_is_made_of(corpus):
    import torch

    from innerear.models.loading import load_model

    model, right, words = load_model("moonshine-tiny"), 0, 0
    for item in [item for item in corpus if item.id.endswith("-0")][::5]:
        with torch.inference_mode():
            (made,) = model.greedy_decode(model.encode([item.audio()]))
        counts = edits(item.audio.args[1][0].text, made.text, "en")
        right += counts.hits
        words += counts.reference
    assert right / words < 0.1  # of most texts "the" and "a" are there by chance
