"""Word and phone times by forced alignment with pocketsphinx, for recordings that have only a transcript."""

from collections.abc import Mapping, Sequence

import numpy as np
from pocketsphinx import AlignmentEntry, Decoder

from innerear.data import phones
from innerear.data.audio import prepare
from innerear.data.schema import SAMPLING_RATE, Segment
from innerear.data.splits import sentence
from innerear.util.errors import InputError

_STEP, _WINDOW = 0.01, 0.025625
"""Seconds between pocketsphinx's frames, and the length of each in seconds."""
_LAG = (_WINDOW - _STEP) / 2
"""A boundary lies midway between the centres of two frames: this long after the second one begins."""


def align(
    audio: np.ndarray, text: str, pronunciations: Mapping[str, Sequence[str]] | None = None
) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """Find when each word and phone of a transcript is spoken.

    Parameters
    ----------
    audio
        float32 samples at `SAMPLING_RATE`.
    text
        The transcript, in English.
    pronunciations
        ARPAbet phones of lower-case words that the aligner's dictionary (CMU's) lacks or has in another form.

    Returns
    -------
    words, phones
        With times in seconds; silences are left out.

    Raises
    ------
    InputError
        If the audio is too short or not finite, the text is empty, a word has no pronunciation or one with
        unknown phones, or the alignment fails. It rarely fails, even where text and audio do not match: look
        at a few clips.
    """
    audio = prepare(audio, SAMPLING_RATE, "the recording")
    spoken = sentence(text.replace("’", "'")).split()
    if not spoken:
        raise InputError("the transcript is empty; there is nothing to align")
    decoder = Decoder(lm=None, samprate=SAMPLING_RATE, loglevel="FATAL", bestpath=False)
    given = {word: _spelled(word, sound) for word, sound in (pronunciations or {}).items()}
    unknown = [word for word in spoken if word not in given and decoder.lookup_word(word) is None]
    if unknown:
        raise InputError(
            f"no pronunciation for {', '.join(sorted(set(unknown)))}; respell the words or give their phones"
        )
    # words with a given pronunciation get names of their own, since the dictionary may hold another
    names = {word: f"{word}_given" for word in given}
    for word, sound in given.items():
        decoder.add_word(names[word], sound, False)
    raw = (np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes()
    try:
        decoder.set_align_text(" ".join(names.get(word, word) for word in spoken))
        _process(decoder, raw)
        decoder.set_alignment()
        _process(decoder, raw)
        alignment = decoder.get_alignment()
    except RuntimeError as error:
        raise InputError("the transcript does not fit the audio; check that they belong together") from error
    if alignment is None:
        raise InputError("the transcript does not fit the audio; check that they belong together")
    words, phone_segments = [], []
    length = len(audio) / SAMPLING_RATE
    for word in alignment:
        if word.name.startswith(("<", "[")):
            continue
        label = word.name.split("(")[0].removesuffix("_given")
        words.append(_segment(label, word, length))
        phone_segments += [_segment(phones.fold(phone.name), phone, length) for phone in word]
    return tuple(words), tuple(phone_segments)


def _spelled(word: str, sound: Sequence[str]) -> str:
    """Phones in the spelling of the decoder's dictionary; an empty list, which would crash it, is refused."""
    labels = [phones.fold(label) for label in sound]
    if not labels or phones.SILENCE in labels:
        raise InputError(f"{word!r} has a pronunciation without phones or with silence; give ARPAbet phones")
    return " ".join(labels).upper()


def _segment(label: str, entry: AlignmentEntry, length: float) -> Segment:
    start, end = (frame * _STEP + _LAG for frame in (entry.start, entry.start + entry.duration))
    return Segment(label, start, min(end, length))


def _process(decoder: Decoder, raw: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(raw, full_utt=True)
    decoder.end_utt()
