"""Transcripts: normalisation, word errors and alignments, repetition loops, and the words of tokens.

English is normalised by Whisper's English normaliser, so that numbers compare with those of the Open ASR
Leaderboard; other languages by Whisper's basic one, with the marks that are vowels in many scripts kept. In
scripts without spaces a word is a character here. Languages are codes of `innerear.data.language`.
"""

import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache, lru_cache
from itertools import zip_longest
from typing import Literal, NamedTuple

import jiwer
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

from innerear.data.language import ENGLISH, is_unspaced
from innerear.data.phones import is_noise
from innerear.util.errors import InputError

LOOP_LENGTH = 10
"""Tokens of the longest n-gram whose repetition counts as a loop."""

LOOP_REPEATS = 4
"""Repetitions in a row, at the tail, that make a loop."""

LOOP_RATIO = 2.4
"""Compression ratio above which Whisper takes an output for a loop (Radford et al. 2022, section 4.5)."""

FUNCTION_WORDS = frozenset(
    """
    a an the this that these those each every either neither some any no all both half such another other
    many much more most few fewer less least several enough own same

    i me my mine myself we us our ours ourselves you your yours yourself yourselves
    he him his himself she her hers herself it its itself they them their theirs themselves
    who whom whose which what whoever whatever whichever somebody someone something anybody anyone anything
    nobody none nothing everybody everyone everything

    about above across after against along amid among around as at before behind below beneath beside besides
    between beyond but by despite down during except for from in inside into like near of off on onto out
    outside over past per since through throughout till to toward towards under underneath until up upon
    via with within without

    am is are was were be been being do does did doing have has had having can could may might must
    shall should will would ought need dare

    and or nor so yet if then than because although though unless while whereas whether when whenever where
    wherever why how once

    not aint there here too also just only even ever never still again very quite rather
    """.split()  # noqa: SIM905
)
"""Closed-class words of English as the normaliser writes them (contractions come apart there): determiners,
pronouns, prepositions, auxiliaries, conjunctions, particles and the adverbs that behave like them. Numerals
and interjections are content."""

Unit = Literal["word", "character"]
AlignedKind = Literal["right", "substituted", "inserted"]
Outcome = Literal[AlignedKind, "unscored"]


class AlignedWord(NamedTuple):
    """A written word in an alignment: its index there, and that of the reference word beside it, if any.

    For an inserted word, `reference` says where it was inserted.
    """

    kind: AlignedKind
    reference: int
    written: int


@dataclass(frozen=True)
class Edits:
    """Counts of the edits that turn a reference into a transcript, in words or in characters."""

    hits: int
    substitutions: int
    insertions: int
    deletions: int

    @property
    def errors(self) -> int:
        """Substitutions, insertions and deletions together."""
        return self.substitutions + self.insertions + self.deletions

    @property
    def reference(self) -> int:
        """Length of the reference: at least 1."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float:
        """Errors per unit of the reference; above 1 if much was inserted. Counts are pooled over a corpus."""
        return self.errors / self.reference


@dataclass(frozen=True)
class Loop:
    """An n-gram of `n` tokens, written `repeats` times in a row from token `start` to the end."""

    n: int
    repeats: int
    start: int


@cache
def _normaliser(language: str) -> Callable[[str], str]:
    if language == ENGLISH:
        normaliser: Callable[[str], str] = EnglishTextNormalizer()
        return normaliser
    basic = BasicTextNormalizer(preserve_marks=True, split_letters=is_unspaced(language))

    def visible(text: str) -> str:
        # "İ" in lower case is two characters, unlike "i"; joiners and direction marks are written at will
        kept = (letter for letter in text.replace("İ", "i") if unicodedata.category(letter) != "Cf")
        return str(basic("".join(kept)))

    return visible


@lru_cache(2**14)  # models write the same texts
def normalise(text: str, language: str) -> str:
    """Normalise a text as its language is scored.

    English, with Whisper's English normaliser as on the Open ASR Leaderboard: it lowers the case, drops
    punctuation, bracketed text and fillers, takes contractions apart, writes numbers in digits and spells
    the American way. Unlike there, the lone dot that the normaliser leaves ("hello..." becomes "hello .")
    is not a word here.

    Other languages, with Whisper's basic normaliser: it lowers the case and drops punctuation, symbols and
    bracketed text. Unlike in Whisper, combining marks stay, without which Hindi or Thai lose their vowels,
    and invisible characters (Unicode's Cf) go. In scripts without spaces, a space stands after every
    character (grapheme cluster), so that a word is a character.
    """
    return " ".join(word for word in _normaliser(language)(text).split() if any(map(str.isalnum, word)))


def has_words(text: str, language: str) -> bool:
    """Whether a reference holds a word that is scored: not only fillers, punctuation and marks of noise."""
    return bool(normalise(" ".join(word for word in text.split() if not is_noise(word, word=True)), language))


def scored(text: str, language: str, unit: Unit = "word") -> str:
    """The normalised text whose units are compared; in scripts without spaces, those do not count."""
    normal = normalise(text, language)
    return normal.replace(" ", "") if unit == "character" and is_unspaced(language) else normal


def _reference(text: str, language: str, unit: Unit = "word") -> str:
    """Normalise a reference and refuse an empty one: an error rate divides by its length."""
    if normal := scored(text, language, unit):
        return normal
    raise InputError(
        f"the reference {text!r} has no word after normalisation; leave the item out, "
        "or score it as an item without speech"
    )


def edits(reference: str, written: str, language: str, unit: Unit = "word") -> Edits:
    """Count the fewest edits between two texts, which are normalised first.

    Characters are code points; those of scripts with spaces include the spaces.

    Raises
    ------
    InputError
        If the reference has no word after normalisation. An empty `written` is all deletions.
    """
    return label_edits(_reference(reference, language, unit), scored(written, language, unit), unit)


def label_edits(said: str, written: str, unit: Unit = "word") -> Edits:
    """Count the fewest edits between two texts as they are, such as labels with spaces between them."""
    counts = (jiwer.process_words if unit == "word" else jiwer.process_characters)(said, written)
    return Edits(counts.hits, counts.substitutions, counts.insertions, counts.deletions)


def label_changes(said: str, written: str) -> Iterator[tuple[str, str]]:
    """Changed labels, (said, written), in the alignment of `label_edits`; "" for one inserted or deleted."""
    one, other = said.split(), written.split()
    for chunk in jiwer.process_words(said, written).alignments[0]:
        if chunk.type != "equal":
            yield from zip_longest(
                one[chunk.ref_start_idx : chunk.ref_end_idx],
                other[chunk.hyp_start_idx : chunk.hyp_end_idx],
                fillvalue="",
            )


def align_words(reference: str, written: str) -> Iterator[AlignedWord]:
    """Align two texts as `edits` does, as given: neither is normalised here.

    Yields
    ------
    AlignedWord
        One for each word of `written`, in order; deleted words of the reference have none.
    """
    kinds: dict[str, AlignedKind] = {"equal": "right", "substitute": "substituted", "insert": "inserted"}
    for chunk in jiwer.process_words(reference, written).alignments[0]:
        for offset in range(chunk.hyp_end_idx - chunk.hyp_start_idx):
            yield AlignedWord(kinds[chunk.type], chunk.ref_start_idx + offset, chunk.hyp_start_idx + offset)


def marked(reference: str, written: str, language: str) -> list[tuple[str, str]]:
    """What was said beside what was written, in the alignment of `edits`: equal stretches and errors in turn.

    Texts are normalised, and joined they are the two normalised texts; a side without words is empty. Where
    nothing was said, all that is written is one error.
    """
    said, heard = normalise(reference, language).split(), normalise(written, language).split()
    if not said:
        return [("", " ".join(heard))] if heard else []
    return [
        (
            " ".join(said[chunk.ref_start_idx : chunk.ref_end_idx]),
            " ".join(heard[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in jiwer.process_words(" ".join(said), " ".join(heard)).alignments[0]
    ]


def word_alignment(reference: str, written: str, language: str) -> list[Outcome]:
    """Outcome of each written word (of `written.split()`) in the alignment of `edits`.

    Normalisation joins and splits words ("twenty one" becomes "21", "it's" becomes "it is"), so outcomes are
    carried back to the words as written: a word is right or inserted if all of its normalised words are, and
    otherwise substituted. A word that the normaliser drops (a filler, bracketed text, a lone dash) is
    "unscored".

    Raises
    ------
    InputError
        If the reference has no word after normalisation.
    """
    kinds = [word.kind for word in align_words(_reference(reference, language), normalise(written, language))]
    outcomes = [{kinds[part] for part in parts} for parts in _normalised_parts(written, language)]
    return [
        next(iter(each)) if len(each) == 1 else "substituted" if each else "unscored" for each in outcomes
    ]


def misheard(reference: str, written: str, language: str) -> dict[int, str]:
    """Words written in place of another word: index in `written.split()` → the word of the reference.

    Only where one word replaces one word in the alignment of `edits`; the reference word is normalised.

    Raises
    ------
    InputError
        If the reference has no word after normalisation.
    """
    words = _reference(reference, language).split()
    replaced = {
        word.written: words[word.reference]
        for word in align_words(" ".join(words), normalise(written, language))
        if word.kind == "substituted"
    }
    return {
        index: replaced[part] for index, part in _single_words(written, language).items() if part in replaced
    }


def matched(spoken: Sequence[str], written: str, language: str) -> dict[int, int]:
    """Words written as they were spoken: index in `written.split()` → index in `spoken`.

    Only words that are one word after normalisation, on both sides.

    Raises
    ------
    InputError
        If no spoken word is left after normalisation.
    """
    normal = [
        (index, part) for index, word in enumerate(spoken) for part in normalise(word, language).split()
    ]
    if not normal:
        raise InputError("no spoken word is left after normalisation; leave the item out")
    words = " ".join(part for _, part in normal)  # normalising once more could join words
    right = {
        word.written: normal[word.reference][0]
        for word in align_words(words, normalise(written, language))
        if word.kind == "right"
    }
    parts_of_spoken = Counter(index for index, _ in normal)
    return {
        index: right[part]
        for index, part in _single_words(written, language).items()
        if part in right and parts_of_spoken[right[part]] == 1
    }


def _single_words(written: str, language: str) -> dict[int, int]:
    """Written words that are one word after normalisation, alone: index → index of the normalised word."""
    parts_of = _normalised_parts(written, language)
    owners = Counter(part for parts in parts_of for part in parts)
    return {
        index: parts[0] for index, parts in enumerate(parts_of) if len(parts) == 1 and owners[parts[0]] == 1
    }


def _normalised_parts(written: str, language: str) -> list[list[int]]:
    """Indices of the normalised words that each written word became."""
    words, normal = written.split(), normalise(written, language).split()
    alone = [(part, index) for index, word in enumerate(words) for part in normalise(word, language).split()]
    parts_of: list[list[int]] = [[] for _ in words]
    matcher = SequenceMatcher(None, [part for part, _ in alone], normal, autojunk=False)
    for tag, start, stop, first, last in matcher.get_opcodes():
        for offset, (_, index) in enumerate(alone[start:stop]):
            became = range(first + offset, first + offset + 1) if tag == "equal" else range(first, last)
            parts_of[index] += [part for part in became if part not in parts_of[index]]
    return parts_of


def find_loop(tokens: Sequence[int]) -> Loop | None:
    """Find an n-gram of 1 to `LOOP_LENGTH` tokens at least `LOOP_REPEATS` times in a row at the tail.

    The last repetition may be cut short, as by a length limit. The shortest n-gram is taken. The caller
    leaves out special tokens, and judges whether the speaker repeated it that often.
    """
    for n in range(1, LOOP_LENGTH + 1):
        start = max(len(tokens) - n, 0)
        while start > 0 and tokens[start - 1] == tokens[start - 1 + n]:
            start -= 1
        repeats = (len(tokens) - start) // n
        if repeats >= LOOP_REPEATS:
            return Loop(n, repeats, start)
    return None


def is_loop(text: str, tokens: Sequence[int], ended: bool) -> bool:
    """Whether an output loops: it ends in a loop, is highly compressible, or did not end by itself.

    Parameters
    ----------
    tokens
        Tokens of the output, with end-of-text if it `ended`.
    """
    spoken = tokens[: len(tokens) - ended]
    return find_loop(spoken) is not None or compression_ratio(text) > LOOP_RATIO or not ended


def compression_ratio(text: str) -> float:
    """UTF-8 bytes of the text divided by its bytes under zlib, as Whisper computes it; 0 for no text."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def is_function(word: str) -> bool:
    """Whether all that an English word becomes on normalisation is in `FUNCTION_WORDS`, as "Don't," is."""
    parts = normalise(word, ENGLISH).split()
    return bool(parts) and FUNCTION_WORDS.issuperset(parts)


def word_pieces(pieces: Sequence[str]) -> list[int]:
    """Index of the word (of the text's `split()`) that each written token belongs to.

    Parameters
    ----------
    pieces
        Each token as `decode([token])` gives it (a leading space starts a word) or, where decoding drops
        that space, as `convert_ids_to_tokens` gives it ("▁" or "Ġ" starts a word). No special tokens.

    Returns
    -------
    list of int
        [token], from 0, never falling. A token of nothing but space goes to the word after it, or else to the
        one before it; -1 where there is no word at all.
    """
    index, begun, indices = 0, False, []
    for piece in pieces:
        if begun and (piece[:1].isspace() or piece[:1] in ("▁", "Ġ", "Ċ")):
            index, begun = index + 1, False
        begun = begun or bool(piece.strip().strip("▁ĠĊ"))
        indices.append(index)
    last = index if begun else index - 1
    return [min(each, last) for each in indices]
