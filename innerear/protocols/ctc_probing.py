"""Phone recognition: linear CTC probes write the phones of whole clips from the frames of each layer.

C and the layer are chosen by the likelihood of the fold's dev clips, and errors are counted on its test
clips; every clip is tested once. Log-mel and the random twin are results of their own.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.activations.readings import Stretches
from innerear.analysis.ctc_probes import CtcProbe, Said, fit_ctc
from innerear.analysis.probes import best_layer
from innerear.data.phones import ARPABET
from innerear.data.schema import Corpus
from innerear.data.splits import Fold
from innerear.data.text import label_changes, label_edits
from innerear.models.floors import LogMel, LogMelSpec
from innerear.protocols.base import Measurement, NotApplicable, point
from innerear.protocols.folded import Folded
from innerear.protocols.phone_probing import scored_phones, with_phones
from innerear.results.determined import EDITS
from innerear.results.schema import DEV, PROBE, Curve, Score
from innerear.tasks.settings import CtcProbing
from innerear.tasks.task import Task
from innerear.util.executors import PROCESSES
from innerear.util.layers import Layers
from innerear.util.progress import bar

METRIC = "phone error rate"
SHORT = "that has as many frames as phones, which CTC needs"
_CLASS = {label: index for index, label in enumerate(ARPABET)}


@dataclass(frozen=True)
class Utterances:
    """All frames of the clips of a corpus, at every layer.

    Attributes
    ----------
    values
        float32 [layer, frame, dim].
    said
        Phones and frames of the clips.
    item
        Index of each clip in `corpus`.
    """

    corpus: Corpus
    values: Layers
    said: Said
    item: np.ndarray

    def clips(self, items: Sequence[int]) -> np.ndarray:
        """Indices of the clips of these items."""
        return np.flatnonzero(np.isin(self.item, items))

    def rows(self, items: Sequence[int]) -> np.ndarray:
        """Indices of the frames of these items."""
        return self.said.frames(self.clips(items).tolist())

    def texts(self, clips: Iterable[int]) -> list[str]:
        """Phones of some clips, with spaces between them."""
        return [_text(self.said.phones[clip]) for clip in clips]


class CtcProbingProtocol(Folded):
    """Write the phones of whole clips."""

    languages = "English"
    hears_long = True

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, CtcProbing)
        self.settings = task.measure
        self._phones = {
            role: {item: [phone.label for phone in phones] for item, phones in scored_phones(corpus).items()}
            for role, corpus in self.corpora.items()
        }
        self._folds = self.folds()

    def _admitted(self, corpus: Corpus) -> Corpus:
        return with_phones(super()._admitted(corpus))

    def floors(self) -> Sequence[Listener]:
        """Log-mel with context."""
        return (LogMel(LogMelSpec(self.settings.log_mel.bands, self.settings.log_mel.context)),)

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """All frames of every clip."""
        return {
            role: self.demand(corpus, Stretches(_whole(corpus), mean=False))
            for role, corpus in self.corpora.items()
        }

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Fit and test a probe for every layer and fold."""
        data = {
            role: _utterances(self.corpora[role], self._phones[role], captured[role]) for role in captured
        }
        test, train = data["test"], data.get("train")
        source, sites, grid = train or test, listener.encoder_sites, self.settings.probe.grid
        sides = [self._side(fold, source, test) for fold in self._folds]

        def probed(unit: tuple[_Side, int]) -> _Probed:
            side, layer = unit
            learnt = source.values[layer]
            probe = fit_ctc(
                learnt, source.said, side.learn, side.dev, classes=len(ARPABET), grid=grid, device=device
            )
            held = probe.written(test.values[layer], test.said, side.held)
            dev = probe.written(learnt, source.said, side.dev)
            return _Probed(probe, list(map(_text, held)), _rate(source.texts(side.dev), map(_text, dev)))

        units = [(side, layer) for side in sides for layer in range(len(sites))]
        made = []
        with bar("fitting CTC probes", len(units)) as advance:
            for part in PROCESSES.map(probed, units, device):
                made.append(part)
                advance()
        folds = [made[at : at + len(sites)] for at in range(0, len(made), len(sites))]
        dev_score = np.array([[each.probe.dev_score for each in fold] for fold in folds])
        chosen = [best_layer(fold) for fold in dev_score]
        items = self._items(test, sites, sides, folds, chosen)
        dev = np.mean([[each.dev_rate for each in fold] for fold in folds], axis=0)
        left = {clip for side in sides for clip in side.left}
        return Measurement(
            headline="per",
            scores={
                "per": self._rated(items, "outcome"),
                **{kind: self._rated(items, kind, column=kind) for kind in EDITS},
            },
            curves=[
                self.curve(
                    PROBE, METRIC, sites, items[[f"errors.{site}" for site in sites]].to_numpy(float).T,
                    items["speaker"].to_numpy(), weight=items["weight"].to_numpy(), scale="rate",
                    chosen=sites[best_layer(dev_score.mean(axis=0))],
                ),
                Curve(
                    name=DEV, metric=METRIC, kind="model", n=len(sides),
                    points=[point(layer, sites, float(value)) for layer, value in enumerate(dev)],
                ),
            ],
            items=items,
            split=self.split_info(self._folds, test, train),
            tables={
                "confusions": _confusions(items),
                **({"not_learnt": [{"clips": len(left), "why": "fewer frames than phones"}]} if left else {}),
            },
            tuned={
                "grid": sorted(grid),
                "c": [[each.probe.c for each in fold] for fold in folds],
                "dev_log_likelihood": [[each.probe.dev_grid.tolist() for each in fold] for fold in folds],
                "chosen_site": [sites[layer] for layer in chosen],
                "steps": [[each.probe.steps for each in fold] for fold in folds],
            },
        )  # fmt: skip

    def _side(self, fold: Fold, source: Utterances, test: Utterances) -> "_Side":
        learn, dev, held = source.clips(fold.train), source.clips(fold.dev), test.clips(fold.test)
        fits = np.array([source.said.fits(clip) for clip in range(len(source.item))])
        left = [*learn[~fits[learn]], *dev[~fits[dev]]]
        made = _Side(learn[fits[learn]].tolist(), dev[fits[dev]].tolist(), held.tolist(), left)
        if not (made.learn and made.dev and made.held):
            raise NotApplicable(
                f"{test.corpus.name}: a fold has no clip to learn from, to choose on or to test {SHORT}"
            )
        return made

    def _items(
        self,
        test: Utterances,
        sites: Sequence[str],
        sides: Sequence["_Side"],
        folds: Sequence[Sequence["_Probed"]],
        chosen: Sequence[int],
    ) -> pd.DataFrame:
        """One row per clip: its phones, those written at the chosen layer, and the errors of every layer."""
        spoken, names = test.texts(range(len(test.item))), [item.id for item in test.corpus]
        rows: dict[int, dict[str, Any]] = {}
        for number, (side, fold) in enumerate(zip(sides, folds, strict=True)):
            for at, clip in enumerate(side.held):
                counts = [label_edits(spoken[clip], each.held[at]) for each in fold]
                best = counts[chosen[number]]
                rows[clip] = {
                    "item": names[test.item[clip]],
                    "unit": names[test.item[clip]],
                    "speaker": self.corpus.items[test.item[clip]].cluster,
                    "fold": number,
                    "truth": spoken[clip],
                    "predicted": fold[chosen[number]].held[at],
                    "outcome": float(best.errors),
                    "weight": float(best.reference),
                    **{kind: getattr(best, kind) for kind in EDITS},
                    **{f"errors.{site}": own.errors for site, own in zip(sites, counts, strict=True)},
                }
        return pd.DataFrame([rows[clip] for clip in sorted(rows)])

    def _rated(self, items: pd.DataFrame, name: str, column: str = "") -> Score:
        return self.score(
            items[name].to_numpy(float), items["speaker"].to_numpy(), weight=items["weight"].to_numpy(),
            direction="lower", scale="rate", column=column,
        )  # fmt: skip


@dataclass(frozen=True)
class _Probed:
    """A probe of a layer, what it writes of the clips that its fold tests, and its error on dev."""

    probe: CtcProbe
    held: list[str]
    dev_rate: float


@dataclass(frozen=True)
class _Side:
    """Clips that a fold learns from, chooses on and tests; and those left out, without frames enough."""

    learn: list[int]
    dev: list[int]
    held: list[int]
    left: list[int]


def _whole(corpus: Corpus) -> dict[str, np.ndarray]:
    """From start to end of every clip."""
    return {item.id: np.array([[0.0, item.duration]]) for item in corpus}


def _utterances(corpus: Corpus, phones: Mapping[str, list[str]], captured: Captured) -> Utterances:
    """Join states with phones; clips that the model could not process are left out."""
    index = captured.indices
    lengths = [int(captured.values[at]["lengths"].sum()) for at in index]
    said = tuple(np.array([_CLASS[label] for label in phones[corpus.items[at].id]]) for at in index)
    first = np.concatenate([[0], np.cumsum(lengths)])
    return Utterances(corpus, captured.joined("states"), Said(first, said), np.array(index))


def _text(classes: np.ndarray) -> str:
    return " ".join(ARPABET[at] for at in classes)


def _rate(spoken: Iterable[str], written: Iterable[str]) -> float:
    counts = [label_edits(*both) for both in zip(spoken, written, strict=True)]
    return sum(each.errors for each in counts) / sum(each.reference for each in counts)


def _confusions(items: pd.DataFrame, most: int = 30) -> list[dict[str, Any]]:
    """The most frequent substitutions, insertions and deletions, of all phones that were said."""
    pairs = Counter(
        pair for row in items.itertuples() for pair in label_changes(str(row.truth), str(row.predicted))
    )
    said = Counter(label for text in items["truth"] for label in text.split())
    ordered = sorted(pairs.items(), key=lambda one: (-one[1], one[0]))[:most]
    return [
        {"truth": truth, "heard": heard, "count": count, "share": count / said[truth] if truth else None}
        for (truth, heard), count in ordered
    ]
