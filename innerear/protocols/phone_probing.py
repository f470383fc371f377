"""Phone probing: linear probes on the encoder frame at the middle of each phone, at every layer.

Folds are disjoint by speaker and sentence. C and the layer are chosen on the fold's dev speakers, the score
is on its test speakers; every usable clip is tested once. Controls in the same run: majority class, log-mel
and the random twin (as results of their own), and Hewitt & Liang's (2019) control labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from innerear.capture import Features
from innerear.corpora.schema import Corpus
from innerear.errors import InputError
from innerear.phones import ARPABET, MANNER, SILENCE
from innerear.probes import (
    TunedProbes,
    best_layer,
    control_labels,
    emergence,
    fit_centroids,
    fit_probes,
    rank_agreement,
)
from innerear.progress import bar
from innerear.protocols.base import Measurement
from innerear.results import CENTROIDS, CONTROL, DEV, PROBE, SELECTIVITY, Curve, Point, Score
from innerear.splits import Fold
from innerear.stats import cluster_bootstrap, clusters
from innerear.tasks import Task

Kind = Literal["model", "control"]
Direction = Literal["higher", "none"]

_CLASS = {label: index for index, label in enumerate(ARPABET)}
_MANNER = {phone: manner for manner, phones in MANNER.items() for phone in phones}


@dataclass(frozen=True)
class PhoneFrames:
    """The frames that the task asks of a corpus, in the order of its items and phones.

    Attributes
    ----------
    times
        Midpoints of the scored phones (seconds), an array for each item.
    phone, word
        Label of each phone and the word that it is in ("" outside of words), flat over the corpus.
    item
        Index of each phone's item, flat over the corpus.
    """

    times: list[np.ndarray]
    phone: np.ndarray
    word: np.ndarray
    item: np.ndarray


def phone_frames(corpus: Corpus) -> PhoneFrames:
    """Midpoints and labels of every phone of a corpus; silences are left out.

    Raises
    ------
    InputError
        If the corpus has no phones.
    """
    times, phones, words, items = [], [], [], []
    for index, item in enumerate(corpus):
        scored = [segment for segment in item.phones if segment.label != SILENCE]
        times.append(np.array([segment.middle for segment in scored]))
        for segment in scored:
            inside = (word.label.lower() for word in item.words if word.start <= segment.middle < word.end)
            phones.append(segment.label)
            words.append(next(inside, ""))
            items.append(index)
    if not phones:
        raise InputError(
            f"{corpus.name}: no clip has phones; make them with `innerear corpora align`, or give TextGrids"
        )
    return PhoneFrames(times, np.array(phones), np.array(words), np.array(items))


@dataclass(frozen=True)
class Labelled:
    """Captured features and their labels: one row for each phone that was heard.

    Attributes
    ----------
    values
        float32 [layer, frame, dim].
    label
        Index into `ARPABET`, [frame].
    type
        Phone and word, the unit of the control labels, [frame].
    item, time
        Index of the item and midpoint in seconds, [frame].
    """

    corpus: Corpus
    values: np.ndarray
    label: np.ndarray
    type: np.ndarray
    item: np.ndarray
    time: np.ndarray

    @classmethod
    def of(cls, corpus: Corpus, frames: PhoneFrames, features: Features) -> "Labelled":
        """Join features with labels; frames of refused clips are gone from both."""
        heard = np.isin(frames.item, features.item)
        phone, word = frames.phone[heard], frames.word[heard]
        return cls(
            corpus,
            features.values,
            np.array([_CLASS[label] for label in phone]),
            np.char.add(np.char.add(phone, "|"), word),
            features.item,
            np.concatenate(frames.times)[heard],
        )

    def rows(self, items: Sequence[int]) -> np.ndarray:
        """Indices of the frames of these items."""
        return np.flatnonzero(np.isin(self.item, items))

    @property
    def speaker(self) -> np.ndarray:
        """Speaker of each frame."""
        names = np.array([item.speaker for item in self.corpus])
        return np.asarray(names[self.item])


@dataclass
class _Outcome:
    """Test outcomes by layer and frame, filled in fold by fold.

    Attributes
    ----------
    probe, centroid
        Predicted classes, [layer, frame].
    control
        Whether the control probe was right, [layer, frame].
    recurring
        Whether the frame's type occurred in training, [frame].
    chosen, majority, fold
        Class by the layer that dev chose, the majority class, and the fold that tested it, [frame].
    """

    probe: np.ndarray
    centroid: np.ndarray
    control: np.ndarray
    recurring: np.ndarray
    chosen: np.ndarray
    majority: np.ndarray
    fold: np.ndarray

    @classmethod
    def empty(cls, layers: int, frames: int) -> "_Outcome":
        by_layer = [np.full((layers, frames), -1) for _ in range(3)]
        return cls(*by_layer, *(np.full(frames, -1) for _ in range(4)))


def measure(
    task: Task,
    sites: Sequence[str],
    folds: Sequence[Fold],
    test: Labelled,
    train: Labelled | None = None,
    device: str = "cpu",
) -> Measurement:
    """Probe every layer and score it.

    Parameters
    ----------
    task
        The resolved task.
    sites
        Names of the layers of `test.values`, in order.
    folds
        Item indices; train and dev are of `train.corpus` where `train` is given.
    test
        The features that are scored.
    train
        Features of another corpus to learn from (transfer).
    device
        Where the probes are fitted.

    Raises
    ------
    InputError
        If a side of a fold has no frames.
    """
    source = train or test
    classes, grid = len(ARPABET), task.probe.grid
    made = _Outcome.empty(len(sites), len(test.label))
    tuned: list[TunedProbes] = []
    with bar("fitting probes", len(folds)) as advance:
        for number, fold in enumerate(folds):
            learn, dev, held = source.rows(fold.train), source.rows(fold.dev), test.rows(fold.test)
            if not len(held):
                raise InputError(f"{test.corpus.name}: fold {number} has no phones to test")
            best = fit_probes(
                source.values, source.label, learn, dev, classes=classes, grid=grid, device=device
            )
            means = fit_centroids(source.values, source.label, learn, classes=classes)
            made.probe[:, held] = best.probes.predict(test.values, held)
            made.centroid[:, held] = means.predict(test.values, held)
            made.chosen[held] = made.probe[best_layer(best.dev_accuracy), held]
            counts = np.bincount(source.label[learn], minlength=classes)
            made.majority[held] = counts.argmax()
            made.fold[held] = number
            # the control probe keeps the C of the real one: the same probe on other labels
            random = control_labels(source.type, counts, task.seed)
            control = fit_probes(
                source.values, random, learn, dev, classes=classes, grid=best.c[:, None], device=device
            )
            answer = control_labels(test.type, counts, task.seed)[held]
            made.control[:, held] = control.probes.predict(test.values, held) == answer
            made.recurring[held] = np.isin(test.type[held], source.type[learn])
            tuned.append(best)
            advance()
    # transfer and folds test every frame; a fold rule that left some out would score -1 as a class
    assert (made.fold >= 0).all()
    return _summary(task, sites, test, made, tuned)


def _summary(
    task: Task, sites: Sequence[str], test: Labelled, made: _Outcome, tuned: Sequence[TunedProbes]
) -> Measurement:
    frames = len(test.label)
    dev = np.mean([fit.dev_accuracy for fit in tuned], axis=0)
    best = best_layer(dev)
    right = made.probe == test.label
    centroid = made.centroid == test.label
    kept = made.recurring.astype(bool)
    if not kept.any():
        raise InputError(
            f"{test.corpus.name}: no phone in a word occurs both in training and in test, so control labels "
            "cannot be scored; give the corpus word times, or more clips"
        )
    control, gain = made.control[:, kept], right[:, kept].astype(float) - made.control[:, kept]

    def interval(values: np.ndarray, speaker: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        settings = task.bootstrap
        return cluster_bootstrap(
            *clusters(values.astype(float), speaker),
            level=settings.level,
            resamples=settings.resamples,
            seed=task.seed,
        )

    def curve(name: str, values: np.ndarray, speaker: np.ndarray, kind: Kind = "model") -> Curve:
        bounds = interval(values, speaker)
        points = [
            _point(layer, sites, float(values[layer].mean()), bounds and (bounds[0][layer], bounds[1][layer]))
            for layer in range(len(sites))
        ]
        chosen = sites[best] if name == PROBE else None
        return Curve(name=name, metric="accuracy", kind=kind, n=values.shape[1], points=points, chosen=chosen)

    def score(values: np.ndarray, speaker: np.ndarray, direction: Direction = "higher") -> Score:
        bounds = interval(values[None], speaker)
        low, high = (float(bounds[0][0]), float(bounds[1][0])) if bounds else (None, None)
        value = float(values.mean())
        return Score(value=value, low=low, high=high, n=len(values), unit="fraction", direction=direction)

    speaker = test.speaker
    outcome = made.chosen == test.label
    curves = [
        curve(PROBE, right, speaker),
        Curve(
            name=DEV, metric="accuracy", kind="model", n=len(tuned),
            points=[_point(layer, sites, float(dev[layer]), None) for layer in range(len(sites))],
        ),
        curve(CENTROIDS, centroid, speaker),
        curve(CONTROL, control, speaker[kept], "control"),
        curve(SELECTIVITY, gain, speaker[kept]),
    ]  # fmt: skip
    scores = {
        "accuracy": score(outcome, speaker),
        "selectivity": score(gain[best], speaker[kept]),
        "control_accuracy": score(control[best], speaker[kept], "none"),
        "majority": score(made.majority == test.label, speaker, "none"),
    }
    if len(sites) > 1:
        scores["emergence_depth"] = _plain(emergence(dev) / (len(sites) - 1), frames, "depth")
        agreement = rank_agreement(right.mean(axis=1), centroid.mean(axis=1))
        scores["rank_agreement"] = _plain(agreement, len(sites), "tau")
    return Measurement(
        headline="accuracy",
        scores=scores,
        curves=curves,
        items=_items(sites, test, made, right, outcome),
        tables={
            "confusions": _confusions(test.label, made.chosen),
            "manner": _manner(test.label, made.chosen),
        },
        tuned={
            "c": [fit.c.tolist() for fit in tuned],
            "dev_accuracy": [fit.dev_grid.tolist() for fit in tuned],
            "grid": sorted(task.probe.grid),
            "chosen_site": [sites[best_layer(fit.dev_accuracy)] for fit in tuned],
            "steps": [fit.steps for fit in tuned],
        },
    )


def _point(layer: int, sites: Sequence[str], value: float, bounds: tuple[float, float] | None) -> Point:
    low, high = (float(bounds[0]), float(bounds[1])) if bounds else (None, None)
    depth = layer / max(1, len(sites) - 1)
    return Point(site=sites[layer], layer=layer, depth=depth, value=value, low=low, high=high)


def _plain(value: float, n: int, unit: str) -> Score:
    return Score(value=float(value), n=n, unit=unit, direction="none")


def _items(
    sites: Sequence[str], test: Labelled, made: _Outcome, right: np.ndarray, outcome: np.ndarray
) -> pd.DataFrame:
    names = np.array([item.id for item in test.corpus])
    phones = np.array(ARPABET)
    return pd.DataFrame(
        {
            "item": names[test.item],
            "speaker": test.speaker,
            "fold": made.fold,
            "middle": test.time,
            "phone": phones[test.label],
            "word": [name.partition("|")[2] for name in test.type],
            "predicted": phones[made.chosen],
            "outcome": outcome.astype(float),
            **{f"correct.{site}": right[layer] for layer, site in enumerate(sites)},
        }
    )


def _confusions(truth: np.ndarray, heard: np.ndarray, most: int = 30) -> list[dict[str, Any]]:
    """The commonest confusions: how often a phone was taken for another, of all its occurrences."""
    counts = np.zeros((len(ARPABET), len(ARPABET)), dtype=int)
    np.add.at(counts, (truth, heard), 1)
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


def _manner(truth: np.ndarray, heard: np.ndarray) -> list[dict[str, Any]]:
    """Accuracy by manner of articulation, and the share of errors that stay within the manner."""
    of = np.array([_MANNER[phone] for phone in ARPABET])
    rows = []
    for manner in MANNER:
        mine = of[truth] == manner
        if not mine.any():
            continue
        wrong = mine & (truth != heard)
        within = float((of[heard[wrong]] == manner).mean()) if wrong.any() else None
        accuracy = float((truth == heard)[mine].mean())
        rows.append({"manner": manner, "n": int(mine.sum()), "accuracy": accuracy, "errors_within": within})
    return rows
