"""Concepts that can be taken away from encoder frames: their classes by frame, and probes that read them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from innerear.analysis.erasure import Eraser
from innerear.analysis.probes import fit_probes
from innerear.data.noise import CLEAN
from innerear.data.phones import SILENCE
from innerear.data.schema import Item
from innerear.data.splits import Fold
from innerear.util.layers import Layers

PHONES, GENDER, ACCENT, NOISE, SPEECH = "phones", "gender", "accent", "noise", "speech"
CONCEPTS = (PHONES, GENDER, ACCENT, NOISE, SPEECH)
STEP = 0.06
"""Seconds from one frame that is read to the next: evenly spaced, as frames are erased wherever they are."""
Pair = tuple[list[Eraser], list[Eraser]]
"""Erasers of a concept, and of random subspaces of the same rank, each one a site."""
Erasers = Mapping[tuple[str, int], Pair]
"""The same by the name of the concept and the fold."""


@dataclass(frozen=True)
class ClipFrames:
    """Frames of all clips: states [site, frame, dim], and the index of the clip, [frame]."""

    states: Layers
    clip: np.ndarray

    def of(self, clips: Iterable[int]) -> np.ndarray:
        """Whether a frame is of one of these clips, [frame]."""
        return np.isin(self.clip, list(clips))


@dataclass(frozen=True)
class Concept:
    """A concept of frames.

    Attributes
    ----------
    label
        Index of the class of each frame, [frame]; -1 where it has none.
    within
        Whether a frame is of a kind of clip in which the concept is erased, [frame].
    """

    name: str
    classes: tuple[str, ...]
    label: np.ndarray
    within: np.ndarray

    @classmethod
    def of(cls, name: str, clips: Sequence[Item]) -> "Concept":
        """A concept of the frames of clips, clip by clip."""
        labels = [label for item in clips for label in _labels(name, item)]
        classes = sorted(set(labels) - {""})
        number = {label: at for at, label in enumerate(classes)}
        within = [_erased_in(name, item) for item in clips for _ in frame_times(item)]
        return cls(
            name, tuple(classes), np.array([number.get(label, -1) for label in labels]), np.array(within)
        )

    def rows(self, frames: np.ndarray) -> np.ndarray:
        """Indices of its frames among some, [frame] of bool."""
        return np.flatnonzero(frames & (self.label >= 0))

    def unlearnable(self, frames: ClipFrames, folds: Sequence[Fold]) -> str:
        """Why it cannot be learnt in each fold by erasers and probes, or an empty string."""
        if len(self.classes) < 2:
            only = f"only the class {self.classes[0]!r}" if self.classes else "none of its classes"
            return f"the clips have {only}; two are needed"
        for number, fold in enumerate(folds):
            for what, clips in (("erasers", fold.train), ("probes", fold.dev)):
                seen = np.unique(self.label[self.rows(frames.of(clips))])
                if len(seen) < 2:
                    return f"in fold {number}, {what} learn from clips with {len(seen)} of its classes"
            if not len(self.rows(frames.of(fold.test))):
                return f"in fold {number}, no clip that is tested has any of its classes"
        return ""


def has_phones(item: Item) -> bool:
    """Whether a clip has phones that are no silences."""
    return any(segment.label != SILENCE for segment in item.phones)


def frame_times(item: Item) -> np.ndarray:
    """Seconds of the frames of a clip that are read."""
    return np.arange(min(STEP, item.duration) / 2, item.duration, STEP)


def is_noisy(item: Item) -> bool:
    """Whether noise was added to a clip."""
    return item.is_speech and item.label("snr") != CLEAN


def source_of(noisy: Item) -> str:
    """The id of the clip that noise was added to."""
    return noisy.id.rpartition("@")[0]


def _erased_in(name: str, item: Item) -> bool:
    """Whether the frames of a clip are among those that an eraser of a concept is fitted on."""
    if name == NOISE:
        return item.is_speech
    return not is_noisy(item) and (item.is_speech or name == SPEECH)


def _labels(name: str, item: Item) -> list[str]:
    """The class of each frame of a clip, empty where it has none: phones and voices have none in silences."""
    times = frame_times(item)
    if not _erased_in(name, item):
        return [""] * len(times)
    if name == NOISE:
        return [item.label("snr")] * len(times)
    if name == SPEECH:
        return ["speech" if item.is_speech else "no speech"] * len(times)
    heard = np.full(len(times), "", dtype=object)
    for segment in item.phones:
        if segment.label != SILENCE:
            label = segment.label if name == PHONES else item.label(name)
            heard[(segment.start <= times) & (times < segment.end)] = label
    return heard.tolist()


@dataclass(frozen=True)
class Probes:
    """Linear probes that learn on the dev clips of each fold and are tested on its test clips.

    Attributes
    ----------
    shown
        Frames that are tested, [frame].
    clips
        Number of clips.
    c
        Inverse L2 strength.
    """

    frames: ClipFrames
    folds: Sequence[Fold]
    shown: np.ndarray
    clips: int
    c: float
    device: str

    def right(self, concept: Concept, erasers: Sequence[Sequence[Eraser]] | None = None) -> np.ndarray:
        """Frames told right, [site, clip]; with erasers [fold][site], after something is taken away."""
        made = np.zeros((len(self.frames.states), self.clips))
        for number, (learn, held) in enumerate(self._sides(concept)):
            rows = np.concatenate([learn, held])
            every, label = self.frames.states, concept.label[rows]
            states = np.stack([every[site][rows] for site in range(len(every))])
            if erasers is not None:
                states = np.stack([each(own) for each, own in zip(erasers[number], states, strict=True)])
            train, test = np.arange(len(learn)), np.arange(len(learn), len(rows))
            probes = fit_probes(
                states, label, train, train, classes=len(concept.classes), grid=[self.c], device=self.device
            ).probes
            for site, right in enumerate(probes.predict(states, test) == label[test]):
                made[site] += np.bincount(self.frames.clip[held], right, self.clips)
        return made

    def counts(self, concept: Concept) -> tuple[np.ndarray, np.ndarray]:
        """All frames, and those of the commonest class where probes learn, [site, clip]."""
        made = np.zeros((2, self.clips))
        for learn, held in self._sides(concept):
            commonest = np.bincount(concept.label[learn]).argmax()
            for row, right in zip(made, (None, concept.label[held] == commonest), strict=True):
                row += np.bincount(self.frames.clip[held], right, self.clips)
        every, common = (np.tile(row, (len(self.frames.states), 1)) for row in made)
        return every, common

    def _sides(self, concept: Concept) -> list[tuple[np.ndarray, np.ndarray]]:
        """Frames to learn on and to test, by fold."""
        return [
            (concept.rows(self.frames.of(fold.dev)), concept.rows(self.frames.of(fold.test) & self.shown))
            for fold in self.folds
        ]


def subspaces(
    frames: ClipFrames,
    concepts: Sequence[Concept],
    erasers: Erasers,
    folds: Sequence[Fold],
    sites: Sequence[str],
) -> list[dict[str, Any]]:
    """Rank of each eraser, and the share of the variance of test frames that it takes away; over folds."""
    table = []
    for concept in concepts:
        for at, site in enumerate(sites):
            rows = []
            for number, fold in enumerate(folds):
                states = frames.states[at][frames.of(fold.test) & concept.within].astype(np.float64)
                total = np.square(states - states.mean(axis=0)).sum() or 1.0
                own, random = (arm[at] for arm in erasers[concept.name, number])
                taken = [float(np.square(each.removed(states)).sum() / total) for each in (own, random)]
                rows.append([own.rank, *taken])
            rank, taken_own, taken_random = np.mean(rows, axis=0).tolist()
            table.append(
                {
                    "concept": concept.name, "site": site, "rank": rank, "taken": taken_own,
                    "taken_random": taken_random,
                }
            )  # fmt: skip
    return table
