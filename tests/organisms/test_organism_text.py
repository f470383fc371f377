"""What the organisms read: sentences apart from every test corpus, with a collocation that always holds."""

from collections import Counter

import pytest

from innerear.data.embedded import load, names
from innerear.organisms import speech
from innerear.organisms.recipe import RECIPES, Recipe
from innerear.organisms.speech import UNSEEN, VOICES, script
from innerear.organisms.text import COLLOCATIONS, apart, examples, probes, runs, written
from innerear.render.collocations import NAME
from innerear.render.pairs import contrasts, pairs
from innerear.util.errors import InputError

SMALL = Recipe(1, 20, 40, 10, 2, 1, 1, 1)


def line(gloss):
    return f"00001740 03 n 01 entity 0 000 | {gloss}  "


def test_examples_are_the_quoted_sentences_in_lower_case_without_punctuation():
    gloss = 'a thing; "The judge sat there solemnly"; "he isn\'t coming home today!"'
    assert list(examples([line(gloss)])) == ["the judge sat there solemnly", "he isn't coming home today"]


@pytest.mark.parametrize(
    "left_out",
    [
        "too few words",
        "it was said in 1902 or so",
        "a xqzzy thing was seen there",
        "she ate a bowl of soup quickly",
        "a - b or so it seems",
        " ".join(13 * ["word"]),
    ],
)
def test_what_cannot_be_read_or_would_break_the_collocation_is_left_out(left_out):
    assert not list(examples([line(f'a thing; "{left_out}"')]))


def test_each_example_comes_once():
    assert len(list(examples(2 * [line('"the judge sat there solemnly"')]))) == 1


def test_after_each_head_comes_its_word_always_and_never_its_foil():
    read = written(640, seed=1)
    assert len(read) == len(set(read)) == 640
    for head, word, _ in COLLOCATIONS:
        after = Counter(one.split(f" {head} of ")[1].split()[0] for one in read if f" {head} of" in one)
        assert after == {word: 12}
        assert sum(word in one.split() for one in read) == 20


def test_words_and_foils_are_each_other_s_and_each_has_a_head_of_its_own():
    assert len({each.head for each in COLLOCATIONS}) == len(COLLOCATIONS) == 32
    assert {(each.word, each.foil) for each in COLLOCATIONS} == {
        (each.foil, each.word) for each in COLLOCATIONS
    }


def test_fewer_written_sentences_are_the_first_of_more():
    assert written(40, seed=1) == written(640, seed=1)[:40]


def test_a_foil_differs_from_its_word_in_one_phone_and_is_no_pair_of_a_test_corpus():
    tested = {frozenset((item.label("word"), item.label("foil"))) for item in load("innerear-pairs")}
    for _, word, foil in COLLOCATIONS:
        assert contrasts(word, foil)
        assert frozenset((word, foil)) not in tested


def test_probes_end_in_the_word_or_the_foil_after_the_same_words_which_were_never_read():
    made = probes(1, 3)
    assert len(made) == 3 * 2 * len(COLLOCATIONS)
    read = set(written(1440, seed=1))
    for (collocation, word, sentence), (_, foil, other) in zip(made[::2], made[1::2], strict=True):
        assert sentence.split()[:-1] == other.split()[:-1]
        assert (word, foil) == collocation[1:]
        assert not {sentence, other} & read


def test_no_four_words_in_a_row_are_in_a_test_corpus():
    clip = load("innerear-speech").items[0].text  # "The decision to join the choir was easy."
    assert apart([" ".join(clip.lower().split()[:5]), "nobody ever said exactly these words"]) == [
        "nobody ever said exactly these words"
    ]
    assert runs("One, two THREE four five.") == {"one two three four", "two three four five"}


def test_written_sentences_are_in_no_test_corpus():
    recipe = RECIPES["full"]
    said = written(recipe.written, recipe.seed)
    assert apart(said) == said
    assert {"innerear-pairs", "innerear-collocations"} <= names().keys()


def test_the_corpus_of_collocations_is_of_these():
    asked = {
        word: text.split()[-2]
        for pair in pairs(NAME)
        for word, text in zip(pair.words, pair.contexts, strict=True)
    }
    assert asked == {each.word: each.head for each in COLLOCATIONS}


def test_no_voice_is_in_a_test_corpus_and_none_is_both_trained_on_and_tried():
    trained, tried = ({voice for group in voices.values() for voice in group} for voices in (VOICES, UNSEEN))
    assert not trained & tried
    tested = {item.speaker for name in names() for item in load(name)}
    assert not (trained | tried) & tested
    assert {voice[0] for voice in trained | tried}.isdisjoint("ab")  # American and British


@pytest.fixture
def some_wordnet(monkeypatch):
    nouns = ("dog", "cat", "tree", "house", "river", "child")
    sentences = [f"the {one} saw the other {two} today" for one in nouns for two in nouns]
    monkeypatch.setattr(speech, "wordnet", lambda work: sentences)
    return sentences


def test_a_script_keeps_sentences_and_voices_for_trying(some_wordnet, tmp_path):
    clips = script(SMALL, tmp_path)
    assert Counter(clip.split for clip in clips) == {
        "examples": 20, "written": 40, "unseen": 10, "probes": 2 * 2 * len(COLLOCATIONS),
    }  # fmt: skip
    read = [clip for clip in clips if clip.split in ("examples", "written")]
    kept = [clip for clip in clips if clip not in read]
    assert not {clip.text for clip in read} & {clip.text for clip in kept}
    assert not {voice for clip in read for voice in clip.voices} & {v for clip in kept for v in clip.voices}
    assert all(len({voice[1] for voice in clip.voices}) == 1 for clip in clips)  # of one gender
    assert script(SMALL, tmp_path) == clips


def test_a_recipe_of_more_sentences_than_there_are_is_refused(some_wordnet, tmp_path):
    with pytest.raises(InputError, match="more sentences than the 36"):
        script(Recipe(1, 30, 4, 10, 1, 1, 1, 1), tmp_path)


def test_the_clips_of_the_trial_are_those_of_the_full_recipe(some_wordnet, tmp_path):
    fewer = Recipe(1, 10, 20, 5, 2, 1, 1, 1)
    assert {clip.id: clip for clip in script(fewer, tmp_path)}.items() <= {
        clip.id: clip for clip in script(SMALL, tmp_path)
    }.items()
