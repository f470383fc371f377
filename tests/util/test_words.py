"""Messages count in plain English."""

from innerear.util.words import counted, listed


def test_one_is_singular_and_the_verb_agrees():
    assert [counted(count, "clip") for count in (0, 1, 2000)] == ["0 clips", "1 clip", "2,000 clips"]
    assert [counted(count, "speaker", "is") for count in (1, 3)] == ["1 speaker is", "3 speakers are"]
    assert [counted(count, "clip", "was") for count in (1, 3)] == ["1 clip was", "3 clips were"]


def test_names_in_a_sentence():
    names = ["a", "b", "c"]
    assert [listed(names[:count]) for count in range(4)] == ["", "a", "a and b", "a, b and c"]
