"""Base of all probing tasks: fit on train, choose on dev, score on test, for every layer and fold.

C and the layer are chosen by the likelihood of the fold's dev units, and the score is on its test units;
every usable example is tested once. Probes for control labels (Hewitt & Liang 2019) are fitted in addition.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from innerear.analysis.folds import FoldRows, ProbedLayers, probe_layers
from innerear.analysis.probes import TunedProbes, best_layer, control_labels, emergence, joined
from innerear.data.schema import Corpus
from innerear.data.splits import Fold
from innerear.protocols.base import Measurement, NotApplicable, bare_score, point
from innerear.protocols.folded import Folded
from innerear.results.schema import CENTROIDS, CONTROL, DEV, PROBE, SELECTIVITY, Curve, Score
from innerear.stats.agreement import rank_agreement
from innerear.util.executors import PROCESSES
from innerear.util.layers import Layers, OneLayer
from innerear.util.progress import bar


@dataclass(frozen=True)
class Examples:
    """Labelled states.

    Attributes
    ----------
    values
        float32 [layer, example, dim].
    label
        Class index, [example].
    type
        The type that gets one control label (Hewitt & Liang 2019), [example] of strings.
    item
        Index of the clip in `corpus`, [example].
    unit
        Name of each example, unique in the corpus.
    """

    corpus: Corpus
    values: Layers
    label: np.ndarray
    type: np.ndarray
    item: np.ndarray
    unit: np.ndarray

    def rows(self, items: Sequence[int]) -> np.ndarray:
        """Indices of the examples of these items."""
        return np.flatnonzero(np.isin(self.item, items))


@dataclass
class Tested:
    """Outcomes on test by layer and example, filled in fold by fold.

    Attributes
    ----------
    predicted, centroid
        Classes predicted by the probe, and by the difference of means, [layer, example].
    odds, centroid_odds
        Log-odds of the second of two classes, likewise; not filled in if there are more.
    control
        Share of the control probes that are right, or for a type that is not in training the share in which
        they would be, [layer, example].
    recurring
        Whether the example's type occurs in training, [example].
    majority, fold
        The majority class in training, and the fold that tests the example, [example].
    tuned
        The probes of each fold.
    """

    predicted: np.ndarray
    centroid: np.ndarray
    odds: np.ndarray
    centroid_odds: np.ndarray
    control: np.ndarray
    recurring: np.ndarray
    majority: np.ndarray
    fold: np.ndarray
    tuned: list[TunedProbes]

    def at_chosen(self, values: np.ndarray) -> np.ndarray:
        """Values [layer, example] at the layer that dev chose in the example's fold, [example]."""
        layers = np.array([best_layer(fit.dev_score) for fit in self.tuned])[self.fold]
        return np.asarray(values[layers, np.arange(len(layers))])

    @property
    def chosen(self) -> np.ndarray:
        """Class predicted at the layer that dev chose, [example]."""
        return self.at_chosen(self.predicted)

    @property
    def dev(self) -> np.ndarray:
        """Mean dev score by layer, which marks a layer in the curve; it uses the speakers of all folds."""
        return np.asarray(np.mean([fit.dev_score for fit in self.tuned], axis=0))

    @property
    def dev_accuracy(self) -> np.ndarray:
        """Mean dev accuracy by layer."""
        return np.asarray(np.mean([fit.dev_accuracy for fit in self.tuned], axis=0))


class Probing(Folded):
    """A protocol that probes states for a class of each example."""

    def probe(
        self,
        grid: Sequence[float],
        folds: Sequence[Fold],
        classes: Sequence[str],
        test: Examples,
        train: Examples | None,
        device: str,
        control_draws: int = 1,
    ) -> Tested:
        """Fit and test every layer in every fold.

        The control label of a type that is not in training, as a new speaker, has nothing to do with what the
        probe learnt, so that a prediction is right in the share of its class. That share is counted: few
        speakers' own draws are far from it.

        Raises
        ------
        NotApplicable
            If a fold has nothing to test, only one class in training, or none of its classes in dev.
        """
        source, seed = train or test, self.task.seed
        layers, examples = test.values.shape[:2]
        two = (layers, examples if len(classes) == 2 else 0)
        made = Tested(
            np.zeros((layers, examples), dtype=np.int64),
            np.zeros((layers, examples), dtype=np.int64),
            np.zeros(two, dtype=np.float32),
            np.zeros(two, dtype=np.float32),
            np.zeros((layers, examples)),
            np.zeros(examples, dtype=bool),
            np.full(examples, -1),
            np.full(examples, -1),
            [],
        )
        sides = []
        for number, fold in enumerate(folds):
            learn, dev, held = source.rows(fold.train), source.rows(fold.dev), test.rows(fold.test)
            if not len(held):
                raise NotApplicable(f"{test.corpus.name}: fold {number} has nothing to test")
            self._refuse_one_class(source, learn, classes, number)
            self._refuse_unknown_dev(source, learn, dev, number)
            counts = np.bincount(source.label[learn], minlength=len(classes))
            made.majority[held] = counts.argmax()
            made.fold[held] = number
            made.recurring[held] = np.isin(test.type[held], source.type[learn])
            drawn = [
                (
                    control_labels(source.type, counts, seed + draw),
                    control_labels(test.type, counts, seed + draw)[held],
                )
                for draw in range(control_draws)
            ]
            sides.append(FoldRows(learn, dev, held, counts / counts.sum(), made.recurring[held], drawn))
        # every example must be tested: one that no fold tests would be scored with -1 as its majority class
        assert (made.fold >= 0).all()
        # a process fits a layer of a fold, a GPU all layers of it at once
        ranges = [range(layers)] if device.startswith("cuda") else [range(at, at + 1) for at in range(layers)]
        units = [(side, some) for side in sides for some in ranges]

        def fitted(unit: tuple[FoldRows, range]) -> ProbedLayers:
            side, some = unit
            values = source.values, test.values
            learnt, tested = (each if len(some) == layers else OneLayer(each, some[0]) for each in values)
            return probe_layers(learnt, tested, source.label, side, len(classes), grid, device)

        fits: list[TunedProbes] = []
        with bar("fitting probes", len(units)) as advance:
            for (side, some), part in zip(units, PROCESSES.map(fitted, units, device), strict=True):
                at = np.ix_(np.array(some), side.held)
                made.predicted[at], made.centroid[at] = part.predicted, part.centroid
                made.control[at] = part.control
                if len(classes) == 2:
                    made.odds[at], made.centroid_odds[at] = part.odds, part.centroid_odds
                fits.append(part.fit)
                advance()
        each = len(ranges)
        made.tuned.extend(joined(fits[at : at + each]) for at in range(0, len(fits), each))
        return made

    def _refuse_one_class(
        self, source: Examples, learn: np.ndarray, classes: Sequence[str], fold: int
    ) -> None:
        seen = np.unique(source.label[learn])
        if len(seen) < 2:
            only = classes[seen[0]] if len(seen) else "nothing"
            raise NotApplicable(
                f"{source.corpus.name}: training in fold {fold} has only {only!r}; a probe needs two "
                f"classes with at least two {self.rule.unit}s each"
            )

    def _refuse_unknown_dev(self, source: Examples, learn: np.ndarray, dev: np.ndarray, fold: int) -> None:
        if not np.isin(source.label[dev], source.label[learn]).any():
            raise NotApplicable(
                f"{source.corpus.name}: dev of fold {fold}, where C and the layer are chosen, has no class "
                f"that training has; each class needs more {self.rule.unit}s"
            )

    def summarise(
        self,
        sites: Sequence[str],
        classes: Sequence[str],
        test: Examples,
        made: Tested,
        *,
        recurring: bool,
    ) -> Measurement:
        """Scores, curves and per-example outcomes of every probing task.

        Parameters
        ----------
        recurring
            Whether control labels are scored only for types that occur in training, as in Hewitt & Liang. If
            types are speakers, none does, and the control is chance.
        """
        best = best_layer(made.dev)
        predicted = made.predicted
        right = (predicted == test.label).astype(float)
        by_centroid = (made.centroid == test.label).astype(float)
        kept = made.recurring if recurring else np.ones(len(test.label), dtype=bool)
        if not kept.any():
            raise NotApplicable(
                f"{test.corpus.name}: no type of the control labels occurs both in training and in test, so "
                "they cannot be scored; give the corpus word times, or more clips"
            )
        control = made.control[:, kept]
        gain = right[:, kept] - control
        cluster = self.clusters_of(test.item)
        outcome = (made.chosen == test.label).astype(float)
        curves = [
            self.curve(PROBE, "accuracy", sites, right, cluster, chosen=sites[best]),
            Curve(
                name=DEV, metric="accuracy", kind="model", n=len(made.tuned),
                points=[point(layer, sites, float(value)) for layer, value in enumerate(made.dev_accuracy)],
            ),
            self.curve(CENTROIDS, "accuracy", sites, by_centroid, cluster),
            self.curve(CONTROL, "accuracy", sites, control, cluster[kept], kind="control"),
            self.curve(SELECTIVITY, "accuracy", sites, gain, cluster[kept], scale="difference"),
        ]  # fmt: skip
        majority = (made.majority == test.label).astype(float)
        scores: dict[str, Score] = {
            "accuracy": self.score(outcome, cluster),
            "selectivity": self.score(
                made.at_chosen(right - made.control)[kept],
                cluster[kept],
                column="selectivity",
                scale="difference",
            ),
            "control_accuracy": self.score(
                made.at_chosen(made.control)[kept], cluster[kept], direction="none"
            ),
            "majority": self.score(majority, cluster, direction="none"),
        }
        if len(sites) > 1:
            depth = emergence(made.dev_accuracy) / (len(sites) - 1)
            agreement = rank_agreement(right.mean(axis=1), by_centroid.mean(axis=1))
            scores["emergence_depth"] = bare_score(depth, len(test.label), "depth", column="emergence")
            if np.isfinite(agreement):
                scores["rank_agreement"] = bare_score(agreement, len(sites), "tau", column="2nd head")
        return Measurement(
            headline="accuracy",
            scores=scores,
            curves=curves,
            items=self.outcomes(sites, classes, test, made, right, outcome),
            tables={"confusion_matrix": confusion_matrix(classes, test.label, made.chosen)},
            tuned={
                "c": [fit.c.tolist() for fit in made.tuned],
                "dev_log_likelihood": [fit.dev_grid.tolist() for fit in made.tuned],
                "chosen_site": [sites[best_layer(fit.dev_score)] for fit in made.tuned],
                "steps": [fit.steps for fit in made.tuned],
            },
        )

    def outcomes(
        self,
        sites: Sequence[str],
        classes: Sequence[str],
        test: Examples,
        made: Tested,
        right: np.ndarray,
        outcome: np.ndarray,
    ) -> pd.DataFrame:
        """One row per example: truth, prediction at the chosen layer, and whether each layer is right."""
        names, labels = np.array([item.id for item in test.corpus]), np.array(classes)
        return pd.DataFrame(
            {
                "item": names[test.item],
                "unit": test.unit,
                "speaker": self.clusters_of(test.item),
                "fold": made.fold,
                "type": test.type,
                "truth": labels[test.label],
                "predicted": labels[made.chosen],
                "outcome": outcome,
                **{f"correct.{site}": right[layer].astype(bool) for layer, site in enumerate(sites)},
            }
        )


def confusion_matrix(
    classes: Sequence[str], truth: np.ndarray, predicted: np.ndarray
) -> list[dict[str, Any]]:
    """Counts by true and predicted class, one row for each true class that occurs."""
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (truth, predicted), 1)
    return [
        {"truth": name, **dict(zip(classes, row.tolist(), strict=True))}
        for name, row in zip(classes, counts, strict=True)
        if row.any()
    ]
