"""Messages count in plain English."""

from innerear.util.words import counted


def test_one_is_singular_and_the_verb_agrees():
    assert [counted(count, "clip") for count in (0, 1, 2000)] == ["0 clips", "1 clip", "2,000 clips"]
    assert [counted(count, "speaker", "is") for count in (1, 3)] == ["1 speaker is", "3 speakers are"]
    assert [counted(count, "clip", "was") for count in (1, 3)] == ["1 clip was", "3 clips were"]
