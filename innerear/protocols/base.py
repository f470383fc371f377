"""The contract of a protocol: what it reads from a model, and how that becomes scores, curves and outcomes.

A protocol is built from a task once per run, and then measures every floor, random twin and model on
the same clips with the same split. The runner collects the demands of all protocols, so that each clip is
encoded once.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from innerear.activations.capture import Demand, capture
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.activations.readings import Reading
from innerear.data.language import ENGLISH, is_unspaced
from innerear.data.schema import Corpus, Item
from innerear.data.text import has_words
from innerear.models.base import SpeechModel
from innerear.models.site import Site
from innerear.results.schema import Curve, CurvePoint, FoldInfo, Score, Side, SplitInfo
from innerear.stats.intervals import Scale, mean_interval
from innerear.tasks.declarations import Declaration, declaration
from innerear.tasks.task import Task
from innerear.util.executors import PROCESSES, Executor

Direction = Literal["higher", "lower", "none"]
Kind = Literal["model", "control", "floor"]
Refused = tuple[tuple[str, str], ...]
"""Names of clips, and why each was refused."""
SHORTEST_WINDOW = 30.0
"""Seconds. Every model hears clips of this length in one piece."""
LONG_FORM = 1
"""The value of `Task.long_form` by which longer ones are heard."""
NO_SPLIT = SplitInfo(rule="none: nothing is learnt", seed=0, folds=[])


class NotApplicable(Exception):
    """Nothing is wrong, but the clips of a corpus, or what a model did with them, leave nothing to measure.

    The result is n/a, with the message as its reason, and no failure of the run. An `InputError` is for what
    the user can put right in what was asked: a setting, an option, a corpus of another kind.
    """


@dataclass(frozen=True)
class Measurement:
    """What a protocol measured on one model.

    Attributes
    ----------
    headline
        Key of `scores` that ranks models.
    curves
        The first one is the task's layer curve.
    items
        Per-item outcomes: `item`, `unit` (a name unique in the table), `speaker`, `outcome`, and `weight`
        where the headline is a ratio of sums (`outcome` then is the numerator).
    tuned
        What was chosen on dev, and the dev scores that chose it.
    rtfx
        Seconds of audio per second of bare transcription, where the protocol times it.
    seconds
        What the measuring took, where the protocol times it itself.
    """

    headline: str
    scores: dict[str, Score]
    curves: list[Curve]
    items: pd.DataFrame
    split: SplitInfo = NO_SPLIT
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    tuned: dict[str, Any] = field(default_factory=dict)
    rtfx: float | None = None
    seconds: float | None = None


class Protocol(ABC):
    """One task, ready to be measured on any model.

    Parameters
    ----------
    task
        The resolved task.
    load
        Loads a corpus by its name.

    Raises
    ------
    NotApplicable
        If no clip of a corpus can be used.

    Attributes
    ----------
    twins
        Whether random twins are measured, too. They are where states are probed; the text of a random decoder
        is of no interest.
    languages
        Which languages it is defined for: any, those that are written with spaces, or English.
    corpora
        The corpora by role: `test`, and `train` where probes are trained on another corpus. Clips that it
        cannot use are among the `refused` ones.
    left_out
        Number of clips of each corpus that the split rule excludes.
    hears_long
        Whether it can be measured on clips that are longer than a model's window; see `Task.long_form`.
    cache
        Folder where it may cache what it captures by itself; None turns caching off.
    executor
        What it may share its own work out with.
    refused
        Clips that could not be captured since this was last emptied, with their reasons, and the corpora that
        they were captured from.
    """

    twins: ClassVar[bool] = False
    languages: ClassVar[Literal["any", "spaced", "English"]] = "any"
    hears_long: ClassVar[bool] = False
    cache: Path | None = None
    executor: Executor = PROCESSES

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        self.task = task
        self.refused: list[tuple[Corpus, Refused]] = []
        loaded = {role: self._admitted(load(name)) for role, name in corpus_names(task).items()}
        self.left_out = {role: task.left_out(corpus) for role, corpus in loaded.items()}
        self.corpora = {role: task.select(corpus) for role, corpus in loaded.items()}
        clips = (item for corpus in self.corpora.values() for item in corpus)
        if self.hears_long and any(item.duration > SHORTEST_WINDOW for item in clips):
            self.task = task.resolve(long_form=LONG_FORM)

    @property
    def corpus(self) -> Corpus:
        """The clips that are scored."""
        return self.corpora["test"]

    @property
    def declared(self) -> Declaration:
        """What results and reports must know about the protocol: headline formula, pairing, pictures."""
        return declaration(self.task.measure.protocol)

    def needs_words(self, item: Item) -> bool:
        """Whether the task needs the words that are said in a clip."""
        return False

    def _admitted(self, corpus: Corpus) -> Corpus:
        """The corpus without the clips that the task cannot use, which are listed as refused."""
        reasons = {item.id: self._unusable_reason(item) for item in corpus}
        refused = tuple((name, reason) for name, reason in reasons.items() if reason)
        if len(refused) == len(corpus):
            raise NotApplicable(f"{corpus.name}: no clip can be used; the first: {refused[0][1]}")
        kept = corpus.with_items(item for item in corpus if not reasons[item.id])
        return replace(kept, refused=(*corpus.refused, *refused))

    def _unusable_reason(self, item: Item) -> str | None:
        """Why the task cannot use a clip, or None if it can."""
        language = item.language or ENGLISH
        if item.is_speech and self.languages == "English" and language != ENGLISH:
            return f"the task is for English, and {item.id} is in {language}"
        if item.is_speech and self.languages == "spaced" and is_unspaced(language):
            return f"the task is about words, and {item.id} is in {language}, written without spaces"
        if self.needs_words(item) and not has_words(item.text, language):
            said = repr(item.text) if item.is_speech else "nobody speaks"
            return f"{item.id} has no words ({said}), which the task needs"
        return None

    @abstractmethod
    def demands(self, listener: Listener) -> dict[str, Demand]:
        """The readings that it needs, under names of its own."""

    def floors(self) -> Sequence[Listener]:
        """The non-neural baselines of the task."""
        return ()

    def unsupported_reason(self, listener: Listener) -> str | None:
        """Why the task does not apply to a model, or None."""
        demands = self.demands(listener).values()
        reasons = []
        if isinstance(listener, SpeechModel):
            reasons += [self.declared.lacking(listener.capabilities)]
            reasons += [listener.lacks(needs) for needs in sorted({each.reading.needs for each in demands})]
        reasons += [demand.unsupported_by(listener) for demand in demands]
        return next((reason for reason in reasons if reason is not None), None)

    @abstractmethod
    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Score what was captured; `captured` has the names of `demands`.

        Raises
        ------
        NotApplicable
            If what the model did leaves nothing to measure: the result is n/a.
        """

    def demand(self, corpus: Corpus, reading: Reading) -> Demand:
        """A reading of a corpus, of its long clips, too, if the task says so."""
        return Demand(corpus, reading, long_form=self.task.long_form is not None)

    def capture(self, model: Listener, demands: Sequence[Demand]) -> list[Captured]:
        """Capture what `measure` needs beyond `demands`; readings are cached in the same way."""
        made = capture(model, demands, cache=self.cache and self.cache / "features")
        self.refused += [(one.corpus, read.refused) for one, read in zip(demands, made, strict=True)]
        return made

    # statistics of per-item values, shared by all protocols

    def interval(
        self,
        values: np.ndarray,
        cluster: np.ndarray,
        weight: np.ndarray | None = None,
        scale: Scale = "share",
        unit: str = "fraction",
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """`mean_interval` at the confidence of the task; a mean difference of shares stays within ± 1."""
        most = 1.0 if scale == "difference" and unit == "fraction" and weight is None else np.inf
        return mean_interval(values, cluster, weight, level=self.task.confidence, scale=scale, most=most)

    def score(
        self,
        values: np.ndarray,
        cluster: np.ndarray,
        *,
        weight: np.ndarray | None = None,
        direction: Direction = "higher",
        unit: str = "fraction",
        column: str = "",
        scale: Scale = "share",
    ) -> Score:
        """The mean of values [item] (or the ratio of their sum to that of weights) with its interval."""
        total = len(values) if weight is None else weight.sum()
        if not total:
            raise NotApplicable(f"{self.corpus.name}: nothing to score; give the task more clips")
        bounds = self.interval(values[None], cluster, weight, scale, unit)
        low, high = (float(bounds[0][0]), float(bounds[1][0])) if bounds else (None, None)
        n = len(values) if weight is None else int(total)
        value = float(values.sum() / total)
        return Score(value=value, low=low, high=high, n=n, unit=unit, direction=direction, column=column)

    def curve(
        self,
        name: str,
        metric: str,
        sites: Sequence[str],
        values: np.ndarray,
        cluster: np.ndarray,
        *,
        kind: Kind = "model",
        chosen: str | None = None,
        unit: str = "fraction",
        weight: np.ndarray | None = None,
        scale: Scale = "share",
    ) -> Curve:
        """Mean of values [layer, item] by layer (or sums by the sum of weights [item]), with intervals."""
        bounds = self.interval(values, cluster, weight, scale, unit)
        means = values.mean(axis=1) if weight is None else values.sum(axis=1) / weight.sum()
        if scale == "rate":
            means = np.maximum(means, 0.0)  # rounding may have put a divergence below
        points = [
            point(
                layer,
                sites,
                float(means[layer]),
                bounds and (float(bounds[0][layer]), float(bounds[1][layer])),
            )
            for layer in range(len(sites))
        ]
        return Curve(
            name=name, metric=metric, unit=unit, kind=kind, n=values.shape[1], points=points, chosen=chosen
        )

    def single_split(
        self, rule: str, train: pd.DataFrame, test: pd.DataFrame, dev: pd.DataFrame | None = None
    ) -> SplitInfo:
        """Describe a single split; the tables have one row per unit, with columns `item` and `speaker`."""
        seed = self.task.split.seed if self.task.split else self.task.seed

        def side(rows: pd.DataFrame) -> Side:
            return Side(items=rows["item"].nunique(), speakers=rows["speaker"].nunique(), frames=len(rows))

        fold = FoldInfo(
            train=side(train),
            dev=side(train[:0] if dev is None else dev),
            test=side(test),
            dropped_shared_sentences=self.left_out["test"],
        )
        return SplitInfo(rule=rule, seed=seed, folds=[fold])

    def clusters_of(self, index: np.ndarray) -> np.ndarray:
        """The cluster of each item, by its index: the unit of resampling."""
        return np.array([self.corpus.items[at].cluster for at in index])


def corpus_names(task: Task) -> dict[str, str]:
    """Names of the corpora of a task by their roles."""
    return {"test": task.corpus} | ({"train": task.train_corpus} if task.train_corpus else {})


def point(
    layer: int, sites: Sequence[str], value: float, bounds: tuple[float, float] | None = None
) -> CurvePoint:
    """A point of a curve over `sites`, the last of which is the deepest; `layer` is an index in them."""
    low, high = bounds or (None, None)
    number, deepest = _layer_of(sites[layer], layer), _layer_of(sites[-1], len(sites) - 1)
    return CurvePoint(
        site=sites[layer], layer=number, depth=number / max(1, deepest), value=value, low=low, high=high
    )


def _layer_of(site: str, index: int) -> int:
    """The layer of a site; the features of a floor (`log-mel`) have no layer but their index."""
    known = Site.parse_or_none(site)
    return index if known is None else known.layer


def bare_score(value: float, n: int, unit: str, direction: Direction = "none", column: str = "") -> Score:
    """A score without an interval."""
    return Score(value=float(value), n=n, unit=unit, direction=direction, column=column)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table for a result: plain Python values."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records"))
    return rows
