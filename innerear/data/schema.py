"""Items and corpora: one schema for every source of clips. Audio stays encoded until it is needed."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from html import escape
from textwrap import shorten
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

from innerear.util.io import sha256_json
from innerear.util.words import counted

SAMPLING_RATE = 16_000
"""Hz. Every model and every floor hears audio at this rate."""


@dataclass(frozen=True)
class Segment:
    """A labelled stretch of audio: a word or a phone. Times are in seconds."""

    label: str
    start: float
    end: float

    @property
    def middle(self) -> float:
        """Midpoint in seconds."""
        return (self.start + self.end) / 2


@runtime_checkable
class Streamed(Protocol):
    """Audio that need not be held whole: called, it decodes all of a clip, as any other."""

    def __call__(self) -> np.ndarray:
        """The whole clip."""

    def pieces(self) -> Iterator[np.ndarray]:
        """The clip in consecutive pieces of bounded length; errors as those of the whole."""


@dataclass(frozen=True, repr=False)
class Item:
    """One clip and its labels. Fields that a corpus does not know are empty strings or tuples.

    `language` is a code of `innerear.data.language`. `audio` decodes the clip: float32 mono in [-1, 1] at
    `SAMPLING_RATE`; it raises `InputError` with one line on a clip that cannot be used. `audio_sha256` hashes
    the encoded bytes, so it needs no decoding. `phones` carry labels of `innerear.data.phones.ARPABET` or
    `SILENCE`.
    """

    id: str
    audio: Callable[[], np.ndarray] = field(repr=False, compare=False)
    audio_sha256: str
    duration: float
    text: str
    language: str = ""
    speaker: str = ""
    gender: str = ""
    accent: str = ""
    condition: str = ""
    words: tuple[Segment, ...] = ()
    phones: tuple[Segment, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        by = f" by {self.speaker}" if self.speaker else ""
        text = shorten(self.text, 60, placeholder=" …") if self.is_speech else "no speech"
        segments = f"{counted(len(self.words), 'word')} and {counted(len(self.phones), 'phone')} with times"
        return f"<Item {self.id}: {self.duration:.2f} s{by}, {text!r}, {segments}>"

    def pieces(self) -> Iterator[np.ndarray]:
        """The audio in consecutive pieces: of bounded length where its source can be streamed, else one."""
        return self.audio.pieces() if isinstance(self.audio, Streamed) else iter([self.audio()])

    @property
    def is_speech(self) -> bool:
        """Whether somebody speaks: only clips without speech have an empty text."""
        return bool(self.text)

    @property
    def cluster(self) -> str:
        """The unit of resampling: the speaker or sound source, or the item itself where none is known."""
        return self.speaker or self.id

    def label(self, name: str) -> str:
        """A label by its name: a column of `extra`, else a field; empty where it is not known."""
        return str(dict(self.extra).get(name) or getattr(self, name, ""))

    def fingerprint(self) -> str:
        """Hash of the audio and of every label, by which caches and results recognise an item."""
        segments = [[(s.label, s.start, s.end) for s in kind] for kind in (self.words, self.phones)]
        labels = (self.text, self.language, self.speaker, self.gender, self.accent, self.condition)
        return sha256_json([self.id, self.audio_sha256, labels, segments, self.extra])


class Note(NamedTuple):
    """What a reader of a corpus has to say of it, besides what it refused."""

    severity: Literal["warning", "information"]
    message: str


@dataclass(frozen=True, repr=False)
class Corpus:
    """Named items in a fixed order, with provenance.

    `refused` lists what was left out on loading, as (item id, reason): reported, counted, and an error
    under `--strict`. `human` marks recorded, not synthesised, speech. `notes` are for `corpora check`.
    """

    name: str
    version: str
    items: tuple[Item, ...]
    source: str
    licence: str
    citation: str = ""
    human: bool = True
    refused: tuple[tuple[str, str], ...] = ()
    notes: tuple[Note, ...] = ()

    def __repr__(self) -> str:
        minutes = sum(item.duration for item in self.items) / 60
        speakers = f" of {counted(len(self.speakers), 'speaker')}" if self.speakers else ""
        speech = "human" if self.human else "synthetic"
        refused = f", {len(self.refused)} refused" if self.refused else ""
        return (
            f"<Corpus {self.name} {self.version}: {counted(len(self.items), 'clip')} ({minutes:.1f} min)"
            f"{speakers}, {speech}{refused}, {self.licence}>"
        )

    def _repr_html_(self) -> str:
        """What it is, and its items, for notebooks."""
        import pandas as pd

        columns = ("id", "duration", "speaker", "gender", "accent", "condition", "language", "text")
        items = pd.DataFrame([{name: getattr(item, name) for name in columns} for item in self.items])
        return f"{escape(repr(self))}{items.to_html(max_rows=10)}"

    def __len__(self) -> int:
        """Count the items."""
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        """Go through the items in their fixed order."""
        return iter(self.items)

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers that are known, sorted."""
        return tuple(sorted({item.speaker for item in self.items} - {""}))

    def with_items(self, items: Iterable[Item]) -> "Corpus":
        """The same corpus with other items: some of them, or changed ones."""
        return replace(self, items=tuple(items))

    def fingerprint(self) -> str:
        """SHA-256 over the fingerprints of all items, in order."""
        return sha256("".join(item.fingerprint() for item in self.items).encode()).hexdigest()
