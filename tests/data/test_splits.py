"""Folds are disjoint by speaker and sentence, test everything once, and depend on names alone."""

import random
from dataclasses import replace
from zlib import crc32

import pytest
from conftest import make_item, noise
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from innerear.data.schema import Corpus
from innerear.data.splits import SplitRule, make_folds, sentence, transfer_fold
from innerear.util.errors import InputError

CLIP = noise(0.2)


def rule(**changes):
    return SplitRule(
        **(
            {"kind": "speaker-folds", "folds": 4, "dev_speakers": 0.2, "sentence_disjoint": True, "seed": 1}
            | changes
        )
    )


def corpus(speakers, clips=3, name="made"):
    """Speakers as (name, gender, accent); every clip is a sentence of its own."""
    items = [
        make_item(
            f"{who}-{clip}",
            noise(0.2, crc32(f"{name} {who} {clip}".encode())),
            speaker=who,
            gender=gender,
            accent=accent,
            text=f"{name} {who} says {clip}",
        )
        for who, gender, accent in speakers
        for clip in range(clips)
    ]
    return Corpus(name, "1", tuple(items), "made", "none")


SPEAKERS = st.lists(
    st.tuples(
        st.text("abcdef", min_size=1, max_size=4), st.sampled_from("fm"), st.sampled_from(["us", "gb"])
    ),
    min_size=6, max_size=24, unique_by=lambda speaker: speaker[0],
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(SPEAKERS, st.integers(2, 5), st.integers(0, 9))
def test_each_speaker_is_on_one_side_and_tested_once(speakers, folds, seed):
    made = corpus(speakers, clips=2)
    tested = []
    for fold in make_folds(made, rule(folds=folds, seed=seed)):
        sides = [{made.items[index].speaker for index in side} for side in (fold.train, fold.dev, fold.test)]
        assert all(sides)
        assert len(set.union(*sides)) == sum(map(len, sides))
        assert sum(map(len, (fold.train, fold.dev, fold.test))) == len(made)
        tested += fold.test
    assert sorted(tested) == list(range(len(made)))


@settings(max_examples=20, deadline=None)
@given(SPEAKERS, st.randoms())
def test_folds_depend_on_names_and_not_on_the_order_of_items(speakers, shuffler: random.Random):
    made = corpus(speakers, clips=2)
    items = list(made.items)
    shuffler.shuffle(items)
    shuffled = Corpus("made", "1", tuple(items), "made", "none")

    def tested(c):
        return [{c.items[index].speaker for index in fold.test} for fold in make_folds(c, rule())]

    assert tested(made) == tested(shuffled)


def test_another_seed_deals_otherwise():
    made = corpus([(f"s{number}", "f", "us") for number in range(16)])
    assert make_folds(made, rule(seed=1)) != make_folds(made, rule(seed=2))


def test_genders_are_balanced_over_folds():
    made = corpus([(f"{gender}{number}", gender, "us") for gender in "fm" for number in range(8)])
    for fold in make_folds(made, rule()):
        assert sorted({made.items[index].speaker for index in fold.test})[0][0] == "f"
        assert len({made.items[index].speaker for index in fold.test if made.items[index].gender == "m"}) == 2


def test_sentences_of_several_speakers_are_left_out():
    made = corpus([(f"s{number}", "f", "us") for number in range(6)])
    shared = [make_item(f"x{n}", CLIP, speaker=f"s{n}", text="The SAME words!") for n in range(2)]
    shared[1] = make_item("x1", CLIP, speaker="s1", text="the same, words")
    whole = Corpus("made", "1", (*made.items, *shared), "made", "none")
    assert rule().usable(whole) == made.items
    assert rule(sentence_disjoint=False).usable(whole) == whole.items


def test_a_corpus_of_shared_sentences_only_is_refused():
    items = tuple(make_item(f"c{n}", CLIP, speaker=f"s{n}", text="Kids are talking.") for n in range(8))
    with pytest.raises(InputError, match="every sentence is read by several speakers"):
        rule().usable(Corpus("ravdess", "1", items, "made", "none"))


def test_clips_without_a_speaker_are_speakers_of_their_own():
    texts = ["One.", "Two.", "Three.", "Four.", "Five.", "Six.", "The same.", "The same."]
    items = tuple(make_item(f"c{number}", CLIP, speaker="", text=text) for number, text in enumerate(texts))
    usable = rule().usable(Corpus("made", "1", items, "made", "none"))
    assert [item.id for item in usable] == [f"c{number}" for number in range(6)]
    folds = make_folds(Corpus("made", "1", usable, "made", "none"), rule(folds=3))
    assert sorted(index for fold in folds for index in fold.test) == list(range(6))


def test_too_few_speakers_are_refused():
    with pytest.raises(InputError, match="3 speakers are too few for 4 folds"):
        make_folds(corpus([("a", "f", ""), ("b", "f", ""), ("c", "m", "")]), rule())


def test_three_speakers_are_too_few_for_two_folds_since_one_would_train_on_nobody():
    three = corpus([("a", "f", ""), ("b", "f", ""), ("c", "m", "")])
    with pytest.raises(InputError, match="3 speakers are too few for 2 folds"):
        make_folds(three, rule(folds=2))
    assert all(fold.train for fold in make_folds(three, rule(folds=3)))


def test_a_large_dev_share_leaves_someone_to_learn_from():
    made = corpus([(f"s{number}", "f", "us") for number in range(6)])
    for fold in [
        *make_folds(made, rule(dev_speakers=0.95)),
        transfer_fold(made, corpus([("t", "m", "")], name="other"), rule(dev_speakers=0.95)),
    ]:
        assert fold.train
        assert fold.dev


def test_transfer_learns_from_one_corpus_and_tests_all_of_the_other():
    source = corpus([(f"s{number}", "f", "us") for number in range(5)], name="source")
    target = corpus([("t", "m", "gb")], name="target")
    fold = transfer_fold(source, target, rule())
    speakers = [{source.items[index].speaker for index in side} for side in (fold.train, fold.dev)]
    assert len(speakers[0]) == 4
    assert len(speakers[1]) == 1
    assert not speakers[0] & speakers[1]
    assert fold.test == tuple(range(len(target)))


def test_transfer_leaves_out_sentences_that_the_target_has():
    source = corpus([(f"s{number}", "f", "us") for number in range(5)], name="same")
    target = Corpus("same", "1", (make_item("t", CLIP, speaker="t", text="same s0 says 1"),), "made", "none")
    fold = transfer_fold(source, target, rule())
    left = {source.items[index].text for index in (*fold.train, *fold.dev)}
    assert len(left) == len(source) - 1
    assert "same s0 says 1" not in left


def test_transfer_of_a_corpus_to_itself_leaves_nothing():
    source = corpus([(f"s{number}", "f", "us") for number in range(5)])
    for disjoint in (True, False):
        with pytest.raises(InputError, match="0 speakers are not in made, too few"):
            transfer_fold(source, source, rule(sentence_disjoint=disjoint))
    other = source.with_items(replace(item, speaker="t") for item in source)
    with pytest.raises(InputError, match="nothing is left to train on"):
        transfer_fold(source, other, rule(sentence_disjoint=False))


def test_transfer_never_learns_from_a_speaker_or_a_clip_that_is_tested():
    source = corpus([(f"s{number}", "f", "us") for number in range(5)], name="source")
    target = source.with_items((source.items[0], replace(source.items[-1], speaker="t")))
    fold = transfer_fold(source, target, rule(sentence_disjoint=False))
    left = {source.items[index].id for index in (*fold.train, *fold.dev)}
    assert left == {item.id for item in source.items[3:-1]}


def test_transfer_keeps_clips_without_words():
    source = corpus([(f"s{number}", "f", "us") for number in range(5)], name="source")
    source = source.with_items(replace(item, text="") for item in source)
    target = Corpus("quiet", "1", (make_item("t", CLIP, speaker="t", text=""),), "made", "none")
    fold = transfer_fold(source, target, rule())
    assert len(fold.train) + len(fold.dev) == len(source)


def test_a_rule_with_an_unknown_key_is_refused():
    with pytest.raises(ValidationError):
        rule(fold=3)


def test_sentences_are_compared_without_case_and_punctuation():
    assert sentence("Don't ask, Mr. Fox!") == sentence("don't ask mr fox")
