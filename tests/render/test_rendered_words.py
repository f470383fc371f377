"""`innerear-words` as it is shipped: balanced words, whole blocks, clips in which words stand apart."""

import json
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pocketsphinx import Decoder
from whisper_normalizer.english import EnglishTextNormalizer

from innerear import load_corpus
from innerear.data.check import check
from innerear.data.embedded import names
from innerear.data.schema import SAMPLING_RATE, Segment
from innerear.data.word_categories import word_categories
from innerear.models.base import Transcript
from innerear.render.kokoro import RATE, Spoken
from innerear.render.phone_times import onset_differences
from innerear.render.splice import AFTER, ROOM
from innerear.render.words import GAP, VOICES, blocks, script, splice
from innerear.render.words_card import bag_of_phones, card, count_recognised
from innerear.util.paths import embedded_corpora

_FOLDER = embedded_corpora() / "innerear-words"


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("innerear-words")


def _block(item):
    return dict(item.extra)["block"]


def test_it_is_known_by_name_and_small(corpus):
    assert corpus.name == "innerear-words"
    assert not corpus.human
    assert "innerear-words" in names()
    assert (_FOLDER / "data.parquet").stat().st_size <= 12e6


def test_eight_categories_have_forty_words_each():
    assert set(Counter(word_categories().values()).values()) == {40}
    assert len(set(word_categories().values())) == 8
    assert all(word.isascii() and word.isalpha() and word.islower() for word in word_categories())


def test_no_words_of_two_categories_sound_alike():
    decoder = Decoder(lm=None, loglevel="FATAL")
    said_by = defaultdict(set)
    for word, category in word_categories().items():
        first = decoder.lookup_word(word)
        assert first is not None, word
        others = (decoder.lookup_word(f"{word}({number})") for number in range(2, 6))
        for sounds in (first, *filter(None, others)):
            said_by[sounds].add(category)
    assert {sounds for sounds, found in said_by.items() if len(found) > 1} == set()


def test_categories_have_words_of_like_length(corpus):
    phones = defaultdict(list)
    for item in corpus:
        for word in item.words:
            inside = sum(word.start <= phone.middle <= word.end for phone in item.phones)
            phones[word_categories()[word.label]].append(inside)
    means = [np.mean(counts) for counts in phones.values()]
    assert max(means) - min(means) < 0.5


def test_words_are_their_own_normal_form():
    normalise = EnglishTextNormalizer()
    assert [word for word in word_categories() if normalise(word) != word] == []


def test_every_block_holds_five_words_of_every_category():
    dealt = Counter((block, word_categories()[word]) for word, block in blocks().items())
    assert len(dealt) == 8 * 8
    assert set(dealt.values()) == {5}
    assert list(blocks()) != sorted(blocks())


def test_every_voice_says_every_word_once(corpus):
    assert corpus.speakers == tuple(sorted(VOICES))
    groups = {(item.gender, item.accent) for item in corpus}
    assert groups == {(gender, accent) for gender in ("female", "male") for accent in ("american", "british")}
    for voice in VOICES:
        said = Counter(word.label for item in corpus if item.speaker == voice for word in item.words)
        assert said == Counter(word_categories().keys())


def test_a_clip_holds_words_of_its_block_alone(corpus):
    for item in corpus:
        assert {blocks()[word.label] for word in item.words} == {_block(item)}, item.id
        assert [word.label for word in item.words] == item.text.split(), item.id
        assert 12 <= len(item.words) <= 14, item.id


def test_clips_are_those_of_the_script(corpus):
    wanted = [clip for voice in VOICES for clip in script(voice)]
    assert [(item.id, _block(item), tuple(item.text.split())) for item in corpus] == wanted


def test_voices_say_the_words_in_orders_of_their_own(corpus):
    assert len({item.text for item in corpus}) == len(corpus)


def test_neighbours_tell_nothing_of_the_category(corpus):
    pairs = [
        word_categories()[before.label] == word_categories()[after.label]
        for item in corpus
        for before, after in pairwise(item.words)
    ]
    chance = 4 / 39  # the other words of the category among those of the block
    assert np.mean(pairs) == pytest.approx(chance, abs=3 * np.sqrt(chance / len(pairs)))


def test_words_lie_inside_the_clip_and_stand_apart(corpus):
    for item in corpus:
        assert item.duration < 20, item.id
        assert item.words[0].start >= GAP[0] - 0.002, item.id
        assert item.words[-1].end + AFTER <= item.duration, item.id
        gaps = [after.start - before.end for before, after in pairwise(item.words)]
        assert GAP[0] - 0.002 <= min(gaps) <= max(gaps) <= GAP[1] + 0.002, item.id


def test_words_are_made_of_phones_in_order(corpus):
    for item in corpus:
        edges = [edge for phone in item.phones for edge in (phone.start, phone.end)]
        assert edges == sorted(edges), item.id
        starts, ends = ({getattr(phone, edge) for phone in item.phones} for edge in ("start", "end"))
        assert {word.start for word in item.words} <= starts, item.id
        assert {word.end for word in item.words} <= ends, item.id


def test_words_are_loud_and_gaps_are_not(corpus):
    for item in corpus.items[::9]:
        audio = item.audio()

        def loudness(start, end, audio=audio):
            part = audio[round(start * SAMPLING_RATE) : round(end * SAMPLING_RATE)]
            return np.sqrt(np.square(part).mean())

        assert 0.05 < np.abs(audio).max() < 0.99, item.id
        assert min(loudness(word.start, word.end) for word in item.words) > 0.01, item.id
        quiet = [loudness(before.end + AFTER, after.start - 0.08) for before, after in pairwise(item.words)]
        assert max(quiet) < 2 * ROOM, item.id
        assert min(quiet) > ROOM / 2, item.id


def test_nothing_is_wrong_with_the_clips(corpus):
    assert [finding for finding in check(corpus) if finding.severity != "information"] == []


def test_phone_onsets_agree_with_a_forced_alignment(corpus):
    onsets = [onset_differences(item.audio(), item.words, item.phones) for item in corpus.items[::24]]
    assert np.median(np.abs(np.concatenate(onsets))) <= 0.020


def test_the_card_is_that_of_the_data(corpus):
    pinned = json.loads((_FOLDER / "corpus.json").read_text())
    measured = json.loads((_FOLDER / "measured.json").read_text())
    assert pinned["items"] == len(corpus) == 96
    assert (_FOLDER / "README.md").read_text() == card(corpus, measured)
    assert measured["never_heard"] == []
    assert measured["bag_of_phones"] == pytest.approx(bag_of_phones(corpus), abs=0.01)
    assert measured["bag_of_phones"] < 0.2  # sounds alone tell next to nothing


class _Deaf:
    """Writes what it is told to, clip by clip."""

    class identity:
        name = "deaf"

    def __init__(self, texts):
        self._texts = iter(texts)

    def transcribe(self, audio):
        return [Transcript(next(self._texts), (), ()) for _ in audio]


def test_a_word_counts_as_heard_in_its_place(corpus):
    texts = [f"{item.text.split()[0].title()}, or something, {item.text.split()[2]}." for item in corpus]
    right = count_recognised(corpus, _Deaf(texts))
    assert right == Counter(item.text.split()[index] for item in corpus for index in (0, 2))


@given(
    st.lists(st.tuples(st.floats(0, 0.5), st.floats(0.1, 1.2)), min_size=1, max_size=4), st.integers(0, 99)
)
def test_splicing_keeps_every_word_at_its_time(words, seed):
    spoken = []
    for start, length in words:
        audio = np.zeros(round((start + length + 0.3) * RATE), np.float32)
        audio[round(start * RATE) : round((start + length) * RATE)] = 0.5
        segment = Segment("word", start, start + length)
        spoken.append(Spoken(audio, (segment,), (segment,)))
    samples, found, phones = splice(spoken, np.random.default_rng(seed))
    assert [one.end - one.start for one in found] == pytest.approx([length for _, length in words])
    assert found == phones
    loud = np.abs(samples) > 0.1
    for before, after in pairwise([Segment("", 0, 0), *found, Segment("", len(samples) / SAMPLING_RATE, 0)]):
        assert not loud[
            round((before.end + 0.01) * SAMPLING_RATE) : round((after.start - 0.01) * SAMPLING_RATE)
        ].any()
    for one in found:
        assert loud[round((one.start + 0.02) * SAMPLING_RATE) : round((one.end - 0.02) * SAMPLING_RATE)].all()
