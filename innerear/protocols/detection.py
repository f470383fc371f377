"""Base of the detectors: a score that separates two classes of clips, evaluated by AUROC.

Scores of different folds have no common scale, so only clips of one fold are compared, by probes and by
baselines alike: all AUROCs of a result count the same pairs, and a difference of two has a paired interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from innerear.activations.forward import Listener
from innerear.analysis.folds import log_odds
from innerear.analysis.probes import best_layer, emergence
from innerear.data.splits import Fold
from innerear.data.text import find_loop
from innerear.models.base import SpeechModel
from innerear.protocols.base import Kind, Measurement, bare_score, point
from innerear.protocols.probing import Examples, Probing, Tested
from innerear.results.schema import CENTROIDS, CONTROL, DEV, PROBE, Curve, Score
from innerear.stats.agreement import rank_agreement
from innerear.stats.intervals import Scale, auroc_pairs, auroc_without, jackknife
from innerear.util.errors import InputError

AREA = "AUROC"
SIDES = ("train", "dev", "test")


@dataclass(frozen=True)
class Pairs:
    """Clips that are compared: positives with negatives of one stratum, of those `kept`; all [clip]."""

    positive: np.ndarray
    cluster: np.ndarray
    stratum: np.ndarray
    kept: np.ndarray

    @property
    def n(self) -> int:
        """Number of clips that are kept."""
        return int(self.kept.sum())


@dataclass(frozen=True)
class Detected:
    """Test scores of a probe on one kind of state.

    Attributes
    ----------
    score, means
        Log-odds of the positive class, and projection on the difference of class means, [layer, clip].
    chosen
        Log-odds by the layer that dev chose in the clip's fold, [clip].
    dev
        Log-odds on dev, one array [layer, clip] for each fold.
    dev_area
        AUROC on dev, [fold, layer].
    """

    sites: tuple[str, ...]
    test: Examples
    made: Tested
    pairs: Pairs
    score: np.ndarray
    means: np.ndarray
    chosen: np.ndarray
    dev: list[np.ndarray]
    dev_area: np.ndarray

    @property
    def best(self) -> int:
        """The layer of the best mean dev likelihood."""
        return best_layer(self.made.dev)


def sites_of(listener: Listener) -> tuple[str, ...]:
    """The decoder's residual stream, or the only site of a floor."""
    return listener.decoder_sites if isinstance(listener, SpeechModel) else listener.encoder_sites


def loops(made: dict[str, Any]) -> bool:
    """Whether an output of the reading `Text` ends in a loop, end-of-text aside."""
    tokens = made["tokens"]
    return find_loop(tokens[:-1] if made["ended"] else tokens) is not None


def precision(score: np.ndarray, pairs: Pairs) -> float:
    """Average precision (the area under precision against recall), the mean over strata by positives."""
    strata = [pairs.kept & (pairs.stratum == name) for name in np.unique(pairs.stratum)]
    areas = [
        (average_precision_score(pairs.positive[rows], score[rows]), pairs.positive[rows].sum())
        for rows in strata
        if pairs.positive[rows].any()
    ]
    return float(np.average([area for area, _ in areas], weights=[count for _, count in areas]))


class Detection(Probing):
    """A protocol that detects the second of two classes."""

    classes: tuple[str, str]
    grid: tuple[float, ...]

    def lacking(self, folds: Sequence[Fold], test: Examples, train: Examples | None) -> str | None:
        """Which side of which fold lacks a class, or None if a detector can be fitted."""
        for number, fold in enumerate(folds):
            for name in SIDES:
                source = test if name == "test" or train is None else train
                seen = set(source.label[source.rows(getattr(fold, name))].tolist())
                if missing := [self.classes[at] for at in (0, 1) if at not in seen]:
                    return f"{name} of fold {number} of {source.corpus.name} has no clip of {missing[0]!r}"
        return None

    def detect(
        self,
        sites: tuple[str, ...],
        folds: Sequence[Fold],
        test: Examples,
        train: Examples | None,
        device: str,
        control_draws: int = 0,
    ) -> Detected:
        """Fit and test probes on every layer; C and the layer by dev likelihood.

        Raises
        ------
        InputError
            If a side of a fold lacks a class among the clips that the model could process.
        """
        if lacking := self.lacking(folds, test, train):
            raise InputError(
                f"{lacking} that the model can process; give the task more clips, or fewer folds"
            )
        made = self.probe(self.grid, folds, self.classes, test, train, device, control_draws)
        source = train or test
        rows = [source.rows(fold.dev) for fold in folds]
        odds = [
            log_odds(fit.probes.logits(source.values, dev)) for fit, dev in zip(made.tuned, rows, strict=True)
        ]
        areas = np.array(
            [
                [roc_auc_score(source.label[dev] == 1, each) for each in layers]
                for layers, dev in zip(odds, rows, strict=True)
            ]
        )
        everything = np.ones(len(test.label), dtype=bool)
        pairs = Pairs(test.label == 1, self.clusters_of(test.item), made.fold, everything)
        chosen = made.at_chosen(made.odds)
        return Detected(sites, test, made, pairs, made.odds, made.centroid_odds, chosen, odds, areas)

    # scores

    def area(self, score: np.ndarray, pairs: Pairs, column: str = "") -> Score:
        """AUROC of a score [clip] with its interval."""
        won, compared = self._pairs(score, pairs)
        return self._ratio(won, compared, pairs.n, column, "share")

    def lead(self, score: np.ndarray, other: np.ndarray, pairs: Pairs, column: str = "") -> Score:
        """AUROC of a score minus that of another, over the same pairs."""
        won, compared = self._pairs(score, pairs)
        return self._ratio(won - self._pairs(other, pairs)[0], compared, pairs.n, column, "difference")

    def area_curve(
        self,
        name: str,
        sites: Sequence[str],
        score: np.ndarray,
        pairs: Pairs,
        *,
        kind: Kind = "model",
        chosen: str | None = None,
    ) -> Curve:
        """AUROC of scores [layer, clip] by layer, with intervals."""
        areas = [self.area(row, pairs) for row in score]
        points = [
            point(
                layer, sites, area.value,
                None if area.low is None or area.high is None else (area.low, area.high),
            )
            for layer, area in enumerate(areas)
        ]  # fmt: skip
        return Curve(name=name, metric=AREA, kind=kind, n=pairs.n, points=points, chosen=chosen)

    def _pairs(self, score: np.ndarray, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
        kept = pairs.kept
        return auroc_pairs(score[kept], pairs.positive[kept], pairs.cluster[kept], pairs.stratum[kept])

    def _ratio(self, won: np.ndarray, compared: np.ndarray, n: int, column: str, scale: Scale) -> Score:
        value = float(won.sum() / compared.sum())
        without = auroc_without(won, compared)
        bounds = jackknife(value, without, level=self.task.confidence, scale=scale, most=1.0)
        low, high = (float(bounds[0]), float(bounds[1])) if bounds else (None, None)
        return Score(value=value, low=low, high=high, n=n, unit="fraction", direction="higher", column=column)

    # the measurement

    def measurement(
        self, main: Detected, folds: Sequence[Fold], train: Examples | None, name: str = "auroc"
    ) -> Measurement:
        """AUROC by layer, difference of means, control labels, decisions: what all detectors report.

        The AUROC at the chosen layers is the score `name`, the headline unless the task has another.
        """
        sites, made, pairs, test = main.sites, main.made, main.pairs, main.test
        right = (made.predicted == test.label).astype(float)
        outcome = (made.chosen == test.label).astype(float)
        majority = (made.majority == test.label).astype(float)
        n, dev = len(test.label), main.dev_area.mean(axis=0)
        curves = [
            self.area_curve(PROBE, sites, main.score, pairs, chosen=sites[main.best]),
            Curve(
                name=DEV, metric=AREA, kind="model", n=len(made.tuned),
                points=[point(layer, sites, float(value)) for layer, value in enumerate(dev)],
            ),
            self.area_curve(CENTROIDS, sites, main.means, pairs),
            self.curve("accuracy", "accuracy", sites, right, pairs.cluster),
            self.curve(CONTROL, "accuracy", sites, made.control, pairs.cluster, kind="control"),
        ]  # fmt: skip
        scores = {
            name: self.area(main.chosen, pairs),
            "auroc_difference_of_means": self.area(made.at_chosen(main.means), pairs, "means"),
            "auprc": bare_score(precision(main.chosen, pairs), pairs.n, "fraction", "higher"),
            "accuracy": self.score(outcome, pairs.cluster),
            "selectivity": self.score(
                made.at_chosen(right - made.control), pairs.cluster, scale="difference"
            ),
            "control_accuracy": self.score(made.at_chosen(made.control), pairs.cluster, direction="none"),
            "majority": bare_score(0.5, n, "fraction"),  # a constant ranks nothing
            "majority_accuracy": self.score(majority, pairs.cluster, direction="none"),
        }
        if len(sites) > 1:
            scores["emergence_depth"] = bare_score(emergence(dev) / (len(sites) - 1), n, "depth")
            agreement = rank_agreement(
                np.array([each.value for each in curves[0].points]),
                np.array([each.value for each in curves[2].points]),
            )
            if np.isfinite(agreement):
                scores["rank_agreement"] = bare_score(agreement, len(sites), "tau")
        items = self.outcomes(sites, self.classes, test, made, right, outcome).assign(score=main.chosen)
        return Measurement(
            headline=name,
            scores=scores,
            curves=curves,
            items=items,
            split=self.split_info(folds, test, train),
            tuned=self.tuned(main) | {"grid": sorted(self.grid)},
        )

    def tuned(self, found: Detected) -> dict[str, Any]:
        """The choices made on dev, with the scores behind them."""
        return {
            "c": [fit.c.tolist() for fit in found.made.tuned],
            "dev_log_likelihood": [fit.dev_grid.tolist() for fit in found.made.tuned],
            "dev_auroc": found.dev_area.tolist(),
            "chosen_site": [found.sites[best_layer(fit.dev_score)] for fit in found.made.tuned],
            "steps": [fit.steps for fit in found.made.tuned],
        }


def only(examples: Examples, kept: np.ndarray, label: np.ndarray | None = None) -> Examples:
    """A subset of the examples, [kept], optionally with other labels (one for each of all examples)."""
    return replace(
        examples,
        values=np.stack([examples.values[layer][kept] for layer in range(len(examples.values))]),
        label=(examples.label if label is None else label)[kept],
        type=examples.type[kept],
        item=examples.item[kept],
        unit=examples.unit[kept],
    )
