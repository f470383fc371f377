"""Kinds of output: from an intermediate layer (`classify`), or on audio without speech (`stock_phrase`)."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Literal

from innerear.data.language import ENGLISH
from innerear.data.pronunciations import english_words
from innerear.data.text import FUNCTION_WORDS, LOOP_RATIO, compression_ratio, edits, find_loop, normalise

Kind = Literal["empty", "correct", "loop", "partial", "gibberish", "fluent"]

PARTIAL_RECALL = 0.25
"""Share of the reference's content words that a partial output has at least."""

ENGLISH_SHARE = 0.5
"""Share of English words below which an output is gibberish."""

EMBEDDED_WORDS = 3
"""A stock phrase of so many words or more also counts inside a longer text."""

# Gathered from: the published bag of hallucinations of Barański et al. 2025 (arXiv 2501.11378), counted on
# audio without speech; Koenecke et al. 2024, "Careless Whisper" (arXiv 2402.08021): thanks and sign-offs of
# video authors; openai/whisper discussions 679 and 928: credits of subtitlers.
STOCK_PHRASES: tuple[str, ...] = (
    "you", "so", "the", "oh", "okay", "bye", "bye bye", "goodbye", "thanks", "the end", "I'm sorry",
    "thank you", "thank you very much", "thank you so much", "that's it", "there we go", "here we go",
    "thanks for watching", "thank you for watching", "thank you so much for watching",
    "thanks for listening", "thank you for listening", "thank you for joining us",
    "see you next time", "see you in the next video", "see you in the next one", "we'll be right back",
    "I'll be right back", "please subscribe", "subscribe to my channel", "like and subscribe",
    "hello everyone", "welcome to my channel", "welcome back to my channel",
    "welcome to another episode of", "this video is sponsored by", "bell rings", "beeping", "woof", "shh",
    "subtitles by the Amara.org community", "subtitles by", "captions by", "closed captioning by",
    "closed captioning provided by", "transcription by", "transcribed by", "translated by", "translation by",
    "BF-WATCH TV 2021", "satsang with Mooji", "www.mooji.org", "Gerrard Street",
    "I don't know", "I'm not sure what I'm doing", "I'm not sure what to do", "I'm not sure if I can",
    "I'm not sure if I should", "I'm not sure if you can see", "I'm not sure why I'm doing this",
    "I'm not sure if this is the", "I'm not going to let you", "I'm not going to do", "I'm going to go",
    "I'm going to go to the bathroom", "I'm going to go to bed", "I'm going to go get some",
    "I'm going to go ahead and", "I'm going to make a", "I'm going to try to get",
    "the train is now moving towards the",
)  # fmt: skip
"""Stock phrases that Whisper is known to write where nobody speaks."""


@cache
def _stock() -> tuple[tuple[str, str], ...]:
    """Normalised and given form of each stock phrase, longest first."""
    return tuple(
        sorted(((normalise(phrase, ENGLISH), phrase) for phrase in STOCK_PHRASES), key=lambda p: -len(p[0]))
    )


def stock_phrase(text: str) -> str | None:
    """Return the longest of `STOCK_PHRASES` that a text holds, both normalised, or None.

    A text holds a phrase if it is nothing else, once or repeated; a phrase of `EMBEDDED_WORDS` words or more
    may also stand anywhere in it, as whole words. People say these things, too, so use this only for outputs
    on audio without speech.
    """
    normal = normalise(text, ENGLISH)
    for phrase, given in _stock():
        length = len(phrase.split())
        alone = normal != "" and normal.split() == phrase.split() * (len(normal.split()) // length)
        if alone or (length >= EMBEDDED_WORDS and f" {phrase} " in f" {normal} "):
            return given
    return None


def classify(text: str, tokens: Sequence[int], reference: str, hit_limit: bool) -> Kind:
    """Classify the output, in English, of a decoder that reads an intermediate encoder layer.

    This is how DecoderLens reads layers (Langedijk et al. 2023). The first rule that holds decides:

    1. empty: no word after normalisation;
    2. correct: no word error, and the output ended by itself (a repetition that was spoken is not a loop);
    3. loop: `find_loop` tokens, a compression ratio above `LOOP_RATIO`, or the length limit was hit;
    4. partial: at least `PARTIAL_RECALL` of the reference's content words are there, in any order
       (of all its words, if it has function words only);
    5. gibberish: less than `ENGLISH_SHARE` of the words are English (numbers are);
    6. fluent: English words, but not those of the reference.

    Parameters
    ----------
    text, tokens
        The output, and the same as token indices without special tokens.
    hit_limit
        Whether decoding stopped at the length limit.

    Raises
    ------
    InputError
        If the reference has no word after normalisation.
    """
    counts = edits(reference, text, ENGLISH)
    words = normalise(text, ENGLISH).split()
    if not words:
        return "empty"
    if counts.errors == 0 and not hit_limit:
        return "correct"
    if hit_limit or find_loop(tokens) or compression_ratio(text) > LOOP_RATIO:
        return "loop"
    spoken = normalise(reference, ENGLISH).split()
    content = Counter(word for word in spoken if word not in FUNCTION_WORDS) or Counter(spoken)
    if (content & Counter(words)).total() >= PARTIAL_RECALL * content.total():
        return "partial"
    english = sum(word in english_words() or any(map(str.isdigit, word)) for word in words)
    return "gibberish" if english < ENGLISH_SHARE * len(words) else "fluent"
