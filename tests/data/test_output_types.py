"""Every kind of output is recognised, in the order of the rules; stock phrases are known."""

import pytest

from innerear.data.output_types import STOCK_PHRASES, classify, stock_phrase
from innerear.data.text import normalise
from innerear.util.errors import InputError

REFERENCE = "The treasure was just under the old oak bridge."


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "empty"),
        (" ...", "empty"),
        ("[Music]", "empty"),
        ("the treasure was just under the old oak bridge", "correct"),
        ("The treasure was just under the old bridge", "partial"),
        ("A treasure.", "partial"),
        ("It was just under the river.", "fluent"),
        ("I'm going to go to the bathroom.", "fluent"),
        ("He has 12 dogs.", "fluent"),
        ("sch fnt qwxz the", "gibberish"),
        ("s t s t k", "gibberish"),
        ("ご視聴ありがとうございました", "gibberish"),
        ("thank you thank you thank you thank you", "loop"),
        ("the treasure was the treasure was the treasure was the treasure was", "loop"),
        ("It is " + "a bridge, and " * 20 + "so on.", "loop"),
    ],
)
def test_classes(text, kind):
    vocabulary: dict[str, int] = {}
    tokens = [vocabulary.setdefault(word, len(vocabulary)) for word in text.split()]
    assert classify(text, tokens, REFERENCE, False) == kind


def test_the_length_limit_makes_a_loop_of_all_but_silence():
    assert classify(REFERENCE, [1, 2, 3], REFERENCE, True) == "loop"
    assert classify("Something else.", [1, 2], REFERENCE, True) == "loop"
    assert classify("...", [1], REFERENCE, True) == "empty"


def test_a_spoken_repetition_is_correct():
    assert classify("No, no, no, no!", [5, 5, 5, 5], "no no no no", False) == "correct"


def test_a_reference_of_function_words_is_shared_by_those():
    assert classify("It was them.", [1, 2, 3], "it was not", False) == "partial"
    assert classify("You could.", [1, 2], "it was not", False) == "fluent"


def test_a_reference_without_words_is_refused():
    with pytest.raises(InputError, match="no word"):
        classify("hello", [1], "...", False)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        (" Thank you.", "thank you"),
        ("Thank you. Thank you. Thank you.", "thank you"),
        ("you", "you"),
        ("Oh!", "oh"),
        ("Thanks for watching, and see you tomorrow!", "thanks for watching"),
        ("So, I'm going to go to the bathroom.", "I'm going to go to the bathroom"),
        ("Subtitles by the Amara.org community", "subtitles by the Amara.org community"),
        ("This video is sponsored by Squarespace.", "this video is sponsored by"),
        ("I told you so", None),
        ("Thank you, doctor", None),
        ("The quiet hour", None),
        ("", None),
        ("...", None),
    ],
)
def test_stock_phrases(text, phrase):
    assert stock_phrase(text) == phrase


def test_every_stock_phrase_is_found():
    assert len({normalise(phrase, "en") for phrase in STOCK_PHRASES} - {""}) == len(STOCK_PHRASES)
    for phrase in STOCK_PHRASES:
        assert stock_phrase(phrase.upper() + "!") == phrase
