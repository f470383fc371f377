"""`innerear-pairs` as it is shipped: one phone apart by the dictionary, in every carrier, on the grid."""

import json
from collections import Counter, defaultdict

import pytest

from innerear.data.check import check
from innerear.data.embedded import load, names
from innerear.data.minimal_pairs import CARRIERS, target
from innerear.data.pronunciations import homophones
from innerear.render.pairs import GRID, KINDS, NAME, VOICES, Carrier, carriers, contrasts, pairs, spoken_by
from innerear.render.pairs_card import card
from innerear.util.errors import InputError
from innerear.util.paths import embedded_corpora

_FOLDER = embedded_corpora() / NAME


@pytest.fixture(scope="module")
def corpus():
    return load(NAME)


def test_it_is_known_whole_and_small(corpus):
    assert NAME in names()
    assert KINDS == CARRIERS
    assert len(pairs()) >= 300
    assert len(corpus) == len(pairs()) * 2 * (len(KINDS) + 2)  # a second voice: neutral, alone
    assert (_FOLDER / "data.parquet").stat().st_size <= 25e6
    assert not [one for one in check(corpus) if one.severity == "error"]


def test_voices_take_turns_and_a_second_of_the_same_accent_and_other_gender_says_the_words_again(corpus):
    kinds_of = defaultdict(lambda: defaultdict(set))
    for item in corpus:
        kinds_of[item.label("word")][item.speaker].add(item.label("carrier"))
    about = {item.speaker: (item.accent, item.gender) for item in corpus}
    assert about.keys() == set(VOICES)
    assert set(Counter(about.values()).values()) == {2}  # both accents, both genders
    whole = Counter()
    for kinds in kinds_of.values():
        (first, all_of_them), (second, again) = sorted(kinds.items(), key=lambda entry: -len(entry[1]))
        assert all_of_them == set(KINDS)
        assert again == {"neutral", "alone"}
        assert about[first][0] == about[second][0]
        assert about[first][1] != about[second][1]
        whole[first] += 1
    assert max(whole.values()) - min(whole.values()) <= 2  # of one pair


def test_other_corpora_are_said_whole_by_american_voices():
    corpus = load("innerear-collocations")
    assert set(spoken_by("innerear-collocations", 3)) == set(corpus.speakers)
    assert {item.accent for item in corpus} == {"american"}


def test_pairs_are_one_phone_apart_and_carriers_hold_neither_word():
    words = [word for pair in pairs() for word in pair.words]
    assert len(words) == len(set(words))
    for pair in pairs():
        assert contrasts(*pair.words)
        assert not homophones(*pair.words)
        for carrier in carriers(pair):
            assert isinstance(carrier, Carrier)
            assert not set(pair.words) & set(carrier.text.lower().split())
            assert 3 <= len(carrier.text.split()) <= 6


def test_words_begin_on_the_grid(corpus):
    assert all(target(item).onset % GRID == 0 for item in corpus)
    for item in corpus.items[::97]:
        assert item.text.split()[-1] == item.label("word")
        assert item.duration == pytest.approx(len(item.audio()) / 16000)


def test_the_card_is_of_this_corpus(corpus):
    measured = json.loads((_FOLDER / "measured.json").read_text())
    size = (_FOLDER / "data.parquet").stat().st_size
    assert (_FOLDER / "README.md").read_text() == card(corpus, measured, size)


def test_words_further_apart_are_refused():
    with pytest.raises(InputError, match="exactly one phone"):
        contrasts("rice", "boat")
    assert homophones("road", "rode")
