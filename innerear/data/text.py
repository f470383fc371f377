"""What is done with transcripts: normalising, counting and placing errors, loops, words of tokens.

Words are those of Whisper's English normaliser throughout, so that numbers compare with those of the
Open ASR Leaderboard.
"""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from typing import Literal

import jiwer
from whisper_normalizer.english import EnglishTextNormalizer

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

Outcome = Literal["right", "substituted", "inserted", "unscored"]


@dataclass(frozen=True)
class Edits:
    """The edits that turn a reference into what was written, counted in words or in characters."""

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
        """Errors by length of the reference; above 1 where much was inserted. A corpus pools its counts."""
        return self.errors / self.reference


@dataclass(frozen=True)
class Loop:
    """An n-gram of `n` tokens, written `repeats` times in a row from token `start` to the end."""

    n: int
    repeats: int
    start: int


@cache
def _normaliser() -> EnglishTextNormalizer:
    return EnglishTextNormalizer()


def normalise(text: str) -> str:
    """Normalise as Whisper's English normaliser does, as on the Open ASR Leaderboard.

    It lowers the case, drops punctuation, bracketed text and fillers, takes contractions apart, writes
    numbers in digits and spells the American way. Unlike there, what the normaliser leaves of trailing dots
    ("hello..." becomes "hello .") is no word here.
    """
    return " ".join(word for word in _normaliser()(text).split() if any(map(str.isalnum, word)))


def _reference(text: str) -> str:
    """Normalise a reference and refuse an empty one: an error rate divides by its length."""
    if normal := normalise(text):
        return normal
    raise InputError(
        f"the reference {text!r} has no word after normalisation; leave the item out, "
        "or score it as an item without speech"
    )


def edits(reference: str, written: str, unit: Literal["word", "character"] = "word") -> Edits:
    """Count the fewest edits between two texts, both normalised here; characters include spaces.

    Raises
    ------
    InputError
        If the reference has no word after normalisation. An empty `written` is all deletions.
    """
    process = jiwer.process_words if unit == "word" else jiwer.process_characters
    counts = process(_reference(reference), normalise(written))
    return Edits(counts.hits, counts.substitutions, counts.insertions, counts.deletions)


def word_alignment(reference: str, written: str) -> list[Outcome]:
    """Say of each written word (of `written.split()`) what became of it in the alignment of `edits`.

    Normalising joins and parts words ("twenty one" is "21", "it's" is "it is"), so outcomes are carried back
    to the words as written: a word is right or inserted if all that it became is, otherwise substituted. A
    word that the normaliser drops (a filler, bracketed text, a lone dash) is "unscored".

    Raises
    ------
    InputError
        If the reference has no word after normalisation.
    """
    names: dict[str, Outcome] = {"equal": "right", "substitute": "substituted", "insert": "inserted"}
    outcomes = [
        names[chunk.type]
        for chunk in jiwer.process_words(_reference(reference), normalise(written)).alignments[0]
        for _ in range(chunk.hyp_start_idx, chunk.hyp_end_idx)
    ]
    found = [{outcomes[part] for part in parts} for parts in _became(written)]
    return [
        next(iter(kinds)) if len(kinds) == 1 else "substituted" if kinds else "unscored" for kinds in found
    ]


def misheard(reference: str, written: str) -> dict[int, str]:
    """Words that were written for another one: index in `written.split()` → the word of the reference.

    Only where one word stands for one in the alignment of `edits`; both as normalised.

    Raises
    ------
    InputError
        If the reference has no word after normalisation.
    """
    said = _reference(reference).split()
    instead = {
        chunk.hyp_start_idx + offset: said[chunk.ref_start_idx + offset]
        for chunk in jiwer.process_words(" ".join(said), normalise(written)).alignments[0]
        if chunk.type == "substitute"
        for offset in range(chunk.hyp_end_idx - chunk.hyp_start_idx)
    }
    became = _became(written)
    owners = Counter(part for parts in became for part in parts)
    return {
        index: instead[parts[0]]
        for index, parts in enumerate(became)
        if len(parts) == 1 and parts[0] in instead and owners[parts[0]] == 1
    }


def matched(said: Sequence[str], written: str) -> dict[int, int]:
    """Words that were written as they were said: index in `written.split()` → index in `said`.

    Only words that are one word after normalisation, on both sides.

    Raises
    ------
    InputError
        If no word of `said` is left after normalisation.
    """
    normal = [(index, word) for index, each in enumerate(said) for word in normalise(each).split()]
    if not normal:
        raise InputError("no word is left of those that were said; leave the item out")
    words = " ".join(word for _, word in normal)  # not normalised again, which could join them
    right = {
        chunk.hyp_start_idx + offset: normal[chunk.ref_start_idx + offset][0]
        for chunk in jiwer.process_words(words, normalise(written)).alignments[0]
        if chunk.type == "equal"
        for offset in range(chunk.hyp_end_idx - chunk.hyp_start_idx)
    }
    whole = Counter(index for index, _ in normal)
    became = _became(written)
    owners = Counter(part for parts in became for part in parts)
    return {
        index: right[parts[0]]
        for index, parts in enumerate(became)
        if len(parts) == 1 and owners[parts[0]] == 1 and whole.get(right.get(parts[0], -1)) == 1
    }


def _became(written: str) -> list[list[int]]:
    """Indices of the normalised words that each written word became."""
    words, normal = written.split(), normalise(written).split()
    alone = [(part, index) for index, word in enumerate(words) for part in normalise(word).split()]
    found: list[list[int]] = [[] for _ in words]
    matcher = SequenceMatcher(None, [part for part, _ in alone], normal, autojunk=False)
    for tag, start, stop, first, last in matcher.get_opcodes():
        for offset, (_, index) in enumerate(alone[start:stop]):
            became = range(first + offset, first + offset + 1) if tag == "equal" else range(first, last)
            found[index] += [part for part in became if part not in found[index]]
    return found


def find_loop(tokens: Sequence[int]) -> Loop | None:
    """Find an n-gram of 1 to `LOOP_LENGTH` tokens at least `LOOP_REPEATS` times in a row at the tail.

    The last repetition may be cut short, as by a length limit. The shortest n-gram is taken. Special tokens
    are the caller's to leave out; whether the speaker said it that often is, too.
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
    """Say whether an output repeats itself: a loop at its tail, much repetition, or the limit was hit.

    Parameters
    ----------
    tokens
        Those of the output, with end-of-text where it `ended`.
    """
    spoken = tokens[: len(tokens) - ended]
    return find_loop(spoken) is not None or compression_ratio(text) > LOOP_RATIO or not ended


def compression_ratio(text: str) -> float:
    """Bytes of the text in UTF-8 by its bytes under zlib, as Whisper computes it; 0 for no text."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def is_function(word: str) -> bool:
    """Say whether all that a written word becomes on normalisation is in `FUNCTION_WORDS` ("Don't," is)."""
    parts = normalise(word).split()
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
        [token], from 0, never falling. A token of nothing but space goes to the word after it.
    """
    index, begun, indices = 0, False, []
    for piece in pieces:
        if begun and (piece[:1].isspace() or piece[:1] in ("▁", "Ġ", "Ċ")):
            index, begun = index + 1, False
        begun = begun or bool(piece.strip().strip("▁ĠĊ"))
        indices.append(index)
    return indices
