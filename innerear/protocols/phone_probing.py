"""Phone probing: linear probes on the encoder frame at the middle of each phone, at every layer.

Controls in the same run: majority class, log-mel and the random twin (as results of their own), and Hewitt &
Liang's (2019) control labels over phone × word.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.activations.readings import Frames
from innerear.data.phones import ARPABET, MANNER, SILENCE
from innerear.data.schema import Corpus, Segment
from innerear.models.floors import LogMel, LogMelSpec
from innerear.protocols.base import Measurement
from innerear.protocols.probing import Examples, Probing
from innerear.results.schema import SAMPLED
from innerear.tasks.settings import PhoneProbing
from innerear.tasks.task import Task
from innerear.util.errors import InputError

_CLASS = {label: index for index, label in enumerate(ARPABET)}
_MANNER = {phone: manner for manner, phones in MANNER.items() for phone in phones}
RULE = "those whose names (clip and time) have the lowest SHA-256 with seed {seed}"
"""Which phones a task with a maximum draws."""


@dataclass(frozen=True)
class PhoneFrames:
    """The frames of a corpus that are probed, in the order of its items and phones.

    Attributes
    ----------
    times
        Midpoints of the scored phones (seconds), by item id.
    phone, word
        Label of each phone, and the word that it belongs to ("" outside words), flat over the corpus.
    item
        Index of each phone's item, flat over the corpus.
    """

    times: Mapping[str, np.ndarray]
    phone: np.ndarray
    word: np.ndarray
    item: np.ndarray


def scored_phones(corpus: Corpus) -> dict[str, list[Segment]]:
    """The phones of each clip, without silences, by item id.

    Raises
    ------
    InputError
        If the corpus has none.
    """
    made = {item.id: [segment for segment in item.phones if segment.label != SILENCE] for item in corpus}
    if not any(made.values()):
        raise InputError(
            f"{corpus.name}: no clip has phones; make them with `innerear corpora align`, or give TextGrids"
        )
    return made


def with_phones(corpus: Corpus) -> Corpus:
    """The clips of a corpus that have phones, the others are listed as refused; errors as `scored_phones`."""
    scored = scored_phones(corpus)
    kept = corpus.with_items(item for item in corpus if scored[item.id])
    lacking = [name for name, phones in scored.items() if not phones]
    refused = ((name, f"{name} has no phones, which the task needs") for name in lacking)
    return replace(kept, refused=(*corpus.refused, *refused))


def phone_frames(corpus: Corpus) -> PhoneFrames:
    """Midpoints and labels of every phone of a corpus, without silences.

    Raises
    ------
    InputError
        If the corpus has no phones.
    """
    times, phones, words, items = {}, [], [], []
    scored = scored_phones(corpus)
    for index, item in enumerate(corpus):
        times[item.id] = np.array([segment.middle for segment in scored[item.id]])
        for segment in scored[item.id]:
            inside = (word.label.lower() for word in item.words if word.start <= segment.middle < word.end)
            phones.append(segment.label)
            words.append(next(inside, ""))
            items.append(index)
    return PhoneFrames(times, np.array(phones), np.array(words), np.array(items))


def drawn(corpus: Corpus, frames: PhoneFrames, most: int, seed: int) -> PhoneFrames:
    """The `most` phones whose names have the lowest hashes with the seed, or all if there are no more.

    A name is that of the clip and the time. So the same phones are drawn for every model, in whatever order
    clips come, and those of a lower maximum are among those of a higher one.
    """
    names = _names(corpus, frames)
    if len(names) <= most:
        return frames
    order = sorted(range(len(names)), key=lambda at: sha256(f"{seed} {names[at]}".encode()).digest())
    kept = np.zeros(len(names), dtype=bool)
    kept[order[:most]] = True
    ends = np.cumsum([len(frames.times[item.id]) for item in corpus])
    by_item = zip(corpus, np.split(kept, ends[:-1]), strict=True)
    times = {item.id: frames.times[item.id][own] for item, own in by_item}
    return PhoneFrames(times, frames.phone[kept], frames.word[kept], frames.item[kept])


def _names(corpus: Corpus, frames: PhoneFrames) -> list[str]:
    """A name for each phone, unique in the corpus."""
    return [f"{item.id}@{time:.4f}" for item in corpus for time in frames.times[item.id]]


def labelled(corpus: Corpus, frames: PhoneFrames, captured: Captured) -> Examples:
    """Join states with labels; clips that the model could not process are left out of both."""
    kept = np.isin(frames.item, captured.indices)
    phone, unit = frames.phone[kept], np.array(_names(corpus, frames))[kept]
    # a phone outside words is a type of its own: its control label cannot be learnt from others
    word = np.where(frames.word[kept] == "", unit, frames.word[kept])
    return Examples(
        corpus=corpus,
        values=captured.joined("states"),
        label=np.array([_CLASS[label] for label in phone]),
        type=np.char.add(np.char.add(phone, "|"), word),
        item=frames.item[kept],
        unit=unit,
    )


class PhoneProbingProtocol(Probing):
    """Probe for the phone that is being spoken."""

    languages = "English"
    hears_long = True

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, PhoneProbing)
        self.settings = task.measure
        self.frames = {role: phone_frames(corpus) for role, corpus in self.corpora.items()}
        self._sampled: list[dict[str, Any]] = []
        if (most := self.settings.most_phones) is not None:
            for role, every in self.frames.items():
                corpus = self.corpora[role]
                self.frames[role] = own = drawn(corpus, every, most, task.seed)
                counts = {"phones": len(every.phone), "drawn": len(own.phone)}
                self._sampled.append({"corpus": corpus.name, **counts, "rule": RULE.format(seed=task.seed)})
        self._folds = self.folds()

    def _admitted(self, corpus: Corpus) -> Corpus:
        return with_phones(super()._admitted(corpus))

    def floors(self) -> Sequence[Listener]:
        """Log-mel with context."""
        return (LogMel(LogMelSpec(self.settings.log_mel.bands, self.settings.log_mel.context)),)

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """The middle frame of every phone."""
        return {
            role: self.demand(corpus, Frames(self.frames[role].times))
            for role, corpus in self.corpora.items()
        }

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Probe every layer."""
        data = {role: labelled(self.corpora[role], self.frames[role], captured[role]) for role in captured}
        test, train = data["test"], data.get("train")
        probed = self.probe(self.settings.probe.grid, self._folds, ARPABET, test, train, device)
        summary = self.summarise(listener.encoder_sites, ARPABET, test, probed, recurring=True)
        tables = {
            "confusions": _confusions(test.label, probed.chosen),
            "manner": _manner(test.label, probed.chosen),
            **({SAMPLED: self._sampled} if self._sampled else {}),
        }
        return replace(
            summary,
            split=self.split_info(self._folds, test, train),
            tables=tables | summary.tables,
            tuned=summary.tuned | {"grid": sorted(self.settings.probe.grid)},
        )


def _confusions(truth: np.ndarray, predicted: np.ndarray, most: int = 30) -> list[dict[str, Any]]:
    """The most frequent confusions: how often a phone is taken for another, of all its occurrences."""
    counts = np.zeros((len(ARPABET), len(ARPABET)), dtype=int)
    np.add.at(counts, (truth, predicted), 1)
    totals = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:most]
    pairs = [divmod(int(flat), len(ARPABET)) for flat in order if counts.flat[flat]]
    return [
        {
            "truth": ARPABET[a],
            "heard": ARPABET[b],
            "count": int(counts[a, b]),
            "share": float(counts[a, b] / totals[a]),
        }
        for a, b in pairs
    ]


def _manner(truth: np.ndarray, predicted: np.ndarray) -> list[dict[str, Any]]:
    """Accuracy by manner of articulation, and the share of errors that stay within the manner."""
    of = np.array([_MANNER[phone] for phone in ARPABET])
    rows = []
    for manner in MANNER:
        mine = of[truth] == manner
        if not mine.any():
            continue
        wrong = mine & (truth != predicted)
        within = float((of[predicted[wrong]] == manner).mean()) if wrong.any() else None
        accuracy = float((truth == predicted)[mine].mean())
        rows.append({"manner": manner, "n": int(mine.sum()), "accuracy": accuracy, "errors_within": within})
    return rows
