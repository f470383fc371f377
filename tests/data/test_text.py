"""Errors add up and land on the right words; loops are found where planted and nowhere else."""

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from innerear.data.text import (
    FUNCTION_WORDS,
    LOOP_LENGTH,
    LOOP_RATIO,
    LOOP_REPEATS,
    Edits,
    Loop,
    align_words,
    compression_ratio,
    edits,
    find_loop,
    has_words,
    is_function,
    marked,
    matched,
    misheard,
    normalise,
    word_alignment,
    word_pieces,
)
from innerear.util.errors import InputError
from innerear.util.paths import embedded_corpora

SENTENCES = [
    line
    for line in (embedded_corpora() / "innerear-speech" / "sentences.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]
WORDS = [
    "the",
    "cat",
    "twenty",
    "one",
    "it's",
    "Mr.",
    "um",
    "colour,",
    "—",
    "$5",
    "don't",
    "oh",
    "[noise]",
    "a",
]
texts = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
spoken = texts.filter(lambda text: normalise(text, "en"))


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Mr. Smith's colour, um, isn't twenty-one!", "mister smith is color is not 21"),
        ("[music] hello...", "hello"),
        ("...!? — ''", ""),
        ("", ""),
    ],
)
def test_normalising_follows_whisper(text, normal):
    assert normalise(text, "en") == normal


@pytest.mark.parametrize(
    ("language", "text", "normal"),
    [
        ("de", "Größer, [Lärm] ähm <unk>!", "größer ähm"),
        ("de", "Ｅｓ ist ½ zu 12.", "es ist 1 2 zu 12"),
        ("fr", "L'homme d’or, ça va ?", "l homme d or ça va"),
        ("hi", "हिन्दी में लिखा।", "हिन्दी में लिखा"),
        ("ar", "السَّلامُ عليكم؟", "السَّلامُ عليكم"),
        ("fa", "می\u200cروم", "میروم"),
        ("tr", "İSTANBUL", "istanbul"),
        ("ko", "한국어 텍스트.", "한국어 텍스트"),
        ("ja", "今日は、いい天気。", "今 日 は い い 天 気"),
        ("th", "สวัสดีครับ", "ส วั ส ดี ค รั บ"),
        ("es", "¿...? —", ""),
    ],
)
def test_other_languages_keep_their_letters_and_marks(language, text, normal):
    assert normalise(text, language) == normal


def test_scripts_without_spaces_are_counted_in_characters():
    said, written = "今日は、いい天気です。", "今日 いい天気です"
    for unit in ("word", "character"):
        assert edits(said, written, "ja", unit) == Edits(8, 0, 0, 1)
    assert edits("สวัสดี", "สวัสด", "th") == Edits(3, 1, 0, 0)
    assert edits("สวัสดี", "สวัสด", "th", "character") == Edits(5, 0, 0, 1)
    assert edits("Größe zählt", "Grösse zählt", "de") == Edits(1, 1, 0, 0)


@given(spoken)
def test_a_text_has_no_errors_against_itself(text):
    for unit in ("word", "character"):
        assert edits(text, text, "en", unit).errors == 0
    assert set(word_alignment(text, text, "en")) <= {"right", "unscored"}


@given(spoken, texts)
def test_edits_add_up(reference, written):
    for unit, length in (("word", lambda text: len(text.split())), ("character", len)):
        counts = edits(reference, written, "en", unit)
        assert counts.hits + counts.substitutions + counts.deletions == counts.reference
        assert counts.reference == length(normalise(reference, "en"))
        assert counts.hits + counts.substitutions + counts.insertions == length(normalise(written, "en"))


@given(spoken, texts)
def test_rates_are_those_of_jiwer(reference, written):
    normal = normalise(reference, "en"), normalise(written, "en")
    assert edits(reference, written, "en").rate == pytest.approx(jiwer.wer(*normal))
    assert edits(reference, written, "en", "character").rate == pytest.approx(jiwer.cer(*normal))


def test_edits_of_an_example():
    assert edits("The cat sat on it.", "a cat sat, up on", "en") == Edits(3, 1, 1, 1)
    assert edits("The cat sat on it.", "", "en") == Edits(0, 0, 0, 5)
    assert edits("a cat", "a bat", "en", "character") == Edits(4, 1, 0, 0)


@pytest.mark.parametrize("function", [edits, word_alignment])
def test_a_reference_without_words_is_refused(function):
    with pytest.raises(InputError, match=r"'\.\.\.' has no word.*leave the item out"):
        function("...", "hello", "en")


@pytest.mark.parametrize(
    ("reference", "written", "outcomes"),
    [
        ("the cat sat on it", "a cat sat, um up on", "substituted right right unscored inserted right"),
        ("21 dogs", "twenty one dogs", "right right right"),
        ("22 dogs", "twenty one dogs", "substituted substituted right"),
        ("it is not so", "It isn't so.", "right right right"),
        ("it was so", "It's so.", "substituted right"),
        (
            "I paid $5000000",
            "I paid five million dollars — [laughs] ok",
            "right " * 5 + "unscored unscored inserted",
        ),
        ("hello", "", ""),
    ],
)
def test_each_written_word_has_an_outcome(reference, written, outcomes):
    assert word_alignment(reference, written, "en") == outcomes.split()


@given(spoken, texts)
def test_outcomes_agree_with_the_counts(reference, written):
    counts, outcomes = edits(reference, written, "en"), word_alignment(reference, written, "en")
    assert len(outcomes) == len(written.split())
    if counts.substitutions == counts.insertions == 0:
        assert set(outcomes) <= {"right", "unscored"}
    if counts.hits == 0:
        assert "right" not in outcomes


@given(
    st.lists(st.integers(0, 50), max_size=30),
    st.lists(st.integers(0, 50), min_size=1, max_size=LOOP_LENGTH),
    st.integers(LOOP_REPEATS, 20),
    st.integers(0, LOOP_LENGTH - 1),
)
def test_planted_loops_are_found(before, gram, repeats, cut):
    """However the length limit cuts the last repetition; the n-gram may itself repeat a shorter one."""
    tokens = before + gram * repeats + gram[:cut]
    loop = find_loop(tokens)
    assert loop is not None
    assert loop.n <= len(gram)
    assert loop.repeats >= LOOP_REPEATS
    assert tokens[loop.start : -loop.n] == tokens[loop.start + loop.n :]


@given(st.lists(st.integers(0, 50), unique=True, max_size=30), st.integers(1, LOOP_REPEATS - 1))
def test_fewer_repetitions_are_no_loop(tokens, repeats):
    assert find_loop(tokens * repeats) is None
    assert find_loop(tokens * repeats + [99]) is None


def test_loops_of_an_example():
    assert find_loop([7, 8, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1]) == Loop(n=3, repeats=4, start=2)
    assert find_loop([5, 5, 5, 5]) == Loop(n=1, repeats=4, start=0)
    assert find_loop([5, 5, 5, 5, 6]) is None
    assert find_loop(list(range(11)) * 4) is None
    assert find_loop([]) is None


def test_ordinary_sentences_do_not_loop():
    assert len(SENTENCES) > 400
    for start in range(0, len(SENTENCES), 5):
        passage = " ".join(SENTENCES[start : start + 5])
        assert find_loop(passage.split()) is None
        assert find_loop(list(passage.encode())) is None
        assert compression_ratio(passage) < LOOP_RATIO


def test_compression_ratio():
    assert compression_ratio("thank you. " * 20) > LOOP_RATIO
    assert compression_ratio("") == 0


def test_function_words_are_normalised_and_closed():
    assert 150 < len(FUNCTION_WORDS) < 250
    assert all(normalise(word, "en") == word for word in FUNCTION_WORDS)


@pytest.mark.parametrize(
    ("word", "expected"),
    [("The", True), ("Don't,", True), ("it's", True), ("gonna", False), ("treasure", False), ("three", False),
     ("system", False), ("um", False), ("", False)],
)  # fmt: skip
def test_is_function(word, expected):
    assert is_function(word) is expected


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([" He", "llo", ",", " wor", "ld", "."], [0, 0, 0, 1, 1, 1]),
        (["▁He", "llo", ",", "▁wor", "ld"], [0, 0, 0, 1, 1]),
        (["He", "llo", "Ġwor", "ld"], [0, 0, 1, 1]),
        (["▁", "21", "▁", "▁dogs"], [0, 0, 1, 1]),
        (["▁dogs", "▁", "▁"], [0, 0, 0]),
        (["▁", "▁"], [-1, -1]),
        ([], []),
    ],
)
def test_word_of_each_token(pieces, words):
    assert word_pieces(pieces) == words


@given(st.lists(st.lists(st.sampled_from(["a", "ing", "'", ",", "é"]), min_size=1, max_size=4), max_size=8))
def test_words_of_tokens_are_those_of_split(words):
    """Each token is put into the word of `split()` that spells it, with whichever mark a word begins."""
    for mark in (" ", "▁", "Ġ"):
        pieces = [mark * (not place) + piece for word in words for place, piece in enumerate(word)]
        split = "".join(pieces).replace(mark, " ").split()
        spelt = ["" for _ in split]
        for piece, index in zip(pieces, word_pieces(pieces), strict=True):
            spelt[index] += piece.strip(mark)
        assert spelt == split


def test_errors_stand_beside_what_was_said():
    assert marked("The cat sat, here.", "A cat sat down", "en") == [
        ("the", "a"), ("cat sat", "cat sat"), ("here", "down"),
    ]  # fmt: skip
    assert marked("the cat", "", "en") == [("the cat", "")]
    assert marked("the cat", "the old cat", "en") == [("the", "the"), ("", "old"), ("cat", "cat")]
    assert marked("...", "A word.", "en") == [("", "a word")]
    assert marked("", "", "en") == []


@given(spoken, texts)
def test_marks_are_both_texts_and_as_many_as_the_errors(reference, written):
    pairs = marked(reference, written, "en")
    assert " ".join(said for said, _ in pairs if said) == normalise(reference, "en")
    assert " ".join(heard for _, heard in pairs if heard) == normalise(written, "en")
    errors = sum(max(len(a.split()), len(b.split())) for a, b in pairs if a != b)
    assert errors == edits(reference, written, "en").errors


def test_misheard_words_name_what_was_said_for_them():
    assert misheard("white rice is here", "White lice, is here.", "en") == {1: "rice"}
    assert misheard("it is twenty one today", "It's 22 today.", "en") == {1: "21"}
    assert misheard("one two", "one two three", "en") == {}
    assert misheard("one two", "", "en") == {}


def test_matched_words_name_their_place_among_the_spoken_ones():
    assert matched(["white", "rice"], "White lice.", "en") == {0: 0}
    assert matched(["it's", "so"], "It's so", "en") == {1: 1}
    assert matched(["one", "two"], "", "en") == {}
    with pytest.raises(InputError, match="no spoken word"):
        matched(["...", "um"], "hello", "en")


@given(spoken, texts)
def test_aligned_words_are_the_written_ones_in_order(reference, written):
    reference, written = normalise(reference, "en"), normalise(written, "en")
    words = list(align_words(reference, written))
    assert [word.written for word in words] == list(range(len(written.split())))
    for word in words:
        if word.kind == "right":
            assert reference.split()[word.reference] == written.split()[word.written]


@pytest.mark.parametrize(
    "text", ["<unk>", "[noise]", "SPN", "+um+ {laugh}", "spn <sil>", "...", "uh", "%", ""]
)
def test_a_reference_of_noise_fillers_and_punctuation_has_no_words(text):
    assert not has_words(text, "en")


@pytest.mark.parametrize(
    ("text", "language"), [("5", "en"), ("spn hello", "en"), ("{x} Tag", "de"), ("你好", "zh")]
)
def test_one_word_is_enough(text, language):
    assert has_words(text, language)
