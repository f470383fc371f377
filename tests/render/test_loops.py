"""`innerear-loops` as it is shipped: enough loops of each model, and the recipe's own candidates."""

import json
from collections import Counter

import pytest

from innerear.data.embedded import load
from innerear.render.loops import KINDS, MODELS, NAME, WANTED, candidate, card, source
from innerear.util.paths import embedded_corpora


@pytest.fixture(scope="module")
def corpus():
    return load(NAME)


def number_of(item):
    kind, _, at = item.id.rpartition("-")
    return int(at) * len(KINDS) + KINDS.index(kind)


def test_each_model_has_the_loops_that_were_wanted(corpus):
    counts = Counter(name for item in corpus for name in item.label("loops_in").split())
    assert set(counts) == set(MODELS)
    assert min(counts.values()) >= WANTED
    assert json.loads((embedded_corpora() / NAME / "corpus.json").read_text())["items"] == len(corpus)


def test_clips_are_the_candidates_of_their_numbers(corpus):
    speech = load("innerear-speech").items
    for item in corpus.items[::12]:
        kind, samples, text = candidate(number_of(item), speech)
        assert (kind, text) == (item.label("kind"), item.text)
        assert (item.audio() == samples).all()


def test_sounds_of_one_source_are_one_speaker(corpus):
    assert all(item.speaker == source(number_of(item)) for item in corpus)
    assert len({item.speaker for item in corpus}) < len(corpus)


def test_the_card_is_of_this_corpus(corpus):
    assert (embedded_corpora() / NAME / "README.md").read_text() == card(corpus)
