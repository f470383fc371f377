"""Make items from encoded audio and raw labels, and refuse faulty clips before anything is decoded.

Every source of clips (human corpora, manifests, hub) goes through here, so that all refuse the same faults.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from innerear.data.audio import decode
from innerear.data.language import language_code
from innerear.data.phones import SILENCE, fold, is_noise
from innerear.data.recordings import Excerpt, inspect
from innerear.data.schema import Corpus, Item, Segment
from innerear.util.errors import InputError

Row = tuple[float, float, str]
"""A raw label: start and end in seconds, and the label itself."""

SLACK = 0.025
"""Seconds that a label may overlap its neighbour or the end of the clip: aligners round to their frames."""

SILENCE_RANGE = 1e-4
"""Full scale is 2: a clip whose samples stay in a range of three steps of 16 bits is silence."""

_GENDERS = {
    "f": "female", "female": "female", "female_feminine": "female",
    "m": "male", "male": "male", "male_masculine": "male",
}  # fmt: skip


def gender(label: str) -> str:
    """Spell F/M in any case (Common Voice: male_masculine) as `female`/`male`; leave other words."""
    return _GENDERS.get(label.strip().lower(), label.strip())


@dataclass
class Sieve:
    """Collects items; a clip that cannot be used is listed in `refused`, or an error if `strict`."""

    strict: bool = False
    items: list[Item] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    @contextmanager
    def clip(self, item_id: str) -> Iterator[None]:
        """Turn an `InputError` about one clip into an entry of `refused`."""
        try:
            yield
        except InputError as error:
            if self.strict:
                raise
            self.refused.append((item_id, str(error)))

    def corpus(self, name: str, **about: Any) -> Corpus:
        """Make the corpus of the accepted items; `about` holds the other fields of `Corpus`.

        Raises
        ------
        InputError
            If no clip was accepted.
        """
        if not self.items and not self.refused:
            raise InputError(f"{name}: it holds no clips; give the folder or file that does")
        if not self.items:
            first = self.refused[0][1]
            raise InputError(f"{name}: no usable clip; {len(self.refused)} were refused, the first: {first}")
        return Corpus(name=name, items=tuple(self.items), refused=tuple(self.refused), **about)


def word_segments(rows: Iterable[Row], duration: float, where: str) -> tuple[Segment, ...]:
    """Check words; what is no word is dropped. Words may overlap, since neighbours can share a phone."""
    rows = list(rows)
    _check_times(rows, duration, f"{where}: word", may_overlap=True)
    return tuple(
        Segment(label.strip(), start, min(end, duration))
        for start, end, label in rows
        if not is_noise(label, word=True)
    )


def phone_segments(
    rows: Iterable[Row], duration: float, where: str, fold: Callable[[str], str] = fold
) -> tuple[Segment, ...]:
    """Check phones and `fold` them into the 39 classes and `SILENCE`; a rounded overlap goes to the first."""
    rows = list(rows)
    _check_times(rows, duration, f"{where}: phone", may_overlap=False)
    phones: list[Segment] = []
    for start, end, label in rows:
        try:
            folded = fold(label)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        start = max(start, phones[-1].end) if phones else start
        if (end := min(end, duration)) > start:
            phones.append(Segment(folded, start, end))
        elif folded != SILENCE:
            raise InputError(f"{where}: phone {label!r} has no time of its own; correct the label")
    return tuple(phones)


def _check_times(rows: list[Row], duration: float, what: str, *, may_overlap: bool) -> None:
    previous = 0.0
    for start, end, label in rows:
        span = f"{what} {label!r} from {start:.3f} to {end:.3f} s"
        if not (math.isfinite(start) and math.isfinite(end) and 0 <= start < end):
            raise InputError(f"{span} has no possible time; correct the label")
        if start < previous - SLACK:
            raise InputError(f"{span} begins before the last one ends; sort or correct the labels")
        if end > duration + SLACK:
            raise InputError(
                f"{span} ends after the clip ({duration:.3f} s): cut-off audio, or labels of another clip"
            )
        previous = start if may_overlap else end


def make_item(
    source: Callable[[], bytes] | Excerpt,
    where: str,
    *,
    text: str,
    speech: bool = True,
    language: str = "",
    words: Iterable[Row] = (),
    phones: Iterable[Row] = (),
    fold: Callable[[str], str] = fold,
    **fields: Any,
) -> Item:
    """Check one clip and its labels and make its item; the audio stays where it is.

    Parameters
    ----------
    source
        Returns the encoded bytes (called once here, and again on each decoding); or a recording on disk or a
        part of one.
    where
        Name of the clip for messages (a path, or a line of a manifest).
    text
        The transcript.
    speech
        Whether anybody speaks. A clip has an empty text if and only if nobody does.
    language
        A code or an English name; empty where it is not known.
    words, phones
        Raw labels, in seconds from the start of the clip.
    fold
        Turns a label of a phone into one of the 39 classes or `SILENCE`.
    fields
        The other fields of `Item`.

    Raises
    ------
    InputError
        If the clip or a label cannot be used.
    """
    text = text if text.strip() else ""
    if speech and not text:
        raise InputError(f"{where}: the transcript is empty; write what is said or remove the clip")
    if text and not speech:
        raise InputError(f'{where}: "speech" is false, but there is a transcript; empty it or drop "speech"')
    try:
        language = language_code(language)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if isinstance(source, Excerpt):
        audio: Callable[[], np.ndarray] = _Streamed(source, where, speech)
        digest, duration = source.sha256, source.seconds
    else:
        recording = inspect(_read(source, where), where)
        audio, digest, duration = partial(_decode, source, where), recording.sha256, recording.seconds
        audio = partial(_audible, audio, where) if speech else audio
    return Item(
        audio=audio,
        audio_sha256=digest,
        duration=duration,
        text=text,
        language=language,
        words=word_segments(words, duration, where),
        phones=phone_segments(phones, duration, where, fold),
        **fields,
    )


@dataclass(frozen=True)
class _Streamed:
    """The audio of a recording on disk; see `innerear.data.schema.Streamed`."""

    clip: Excerpt
    where: str
    speech: bool

    def __call__(self) -> np.ndarray:
        return _audible(self.clip.audio, self.where) if self.speech else self.clip.audio()

    def pieces(self) -> Iterator[np.ndarray]:
        low, high = np.inf, -np.inf
        for piece in self.clip.pieces():
            low, high = min(low, piece.min(initial=low)), max(high, piece.max(initial=high))
            yield piece
        if self.speech and high - low < SILENCE_RANGE:
            raise _silent(self.where)


def _audible(audio: Callable[[], np.ndarray], where: str) -> np.ndarray:
    samples = audio()
    if np.ptp(samples) < SILENCE_RANGE:
        raise _silent(where)
    return samples


def _silent(where: str) -> InputError:
    return InputError(
        f"{where}: silence, but the transcript has words; restore the audio (are its channels opposite?)"
        ' or state "speech": false'
    )


def _read(read: Callable[[], bytes], where: str) -> bytes:
    try:
        return read()
    except OSError as error:
        raise InputError(f"{where}: cannot read the audio ({error.strerror or error}); restore it") from error


def _decode(read: Callable[[], bytes], where: str) -> np.ndarray:
    return decode(_read(read, where), where)
