"""Hallucinations: whether the decoder's residual stream reveals that it writes words that nobody said.

Arm B: all clips, the label from insertions, states averaged over the output. The headline is what these
states add to the output's own confidence, between clips of one condition. Arm A, of Glazer et al.
2025, takes the state at end-of-text, utterances of the highest WER against those without an error.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_curve

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.activations.readings import Text, Written, unpacked
from innerear.analysis.probes import best_layer
from innerear.data.schema import Corpus, Item
from innerear.data.text import compression_ratio, edits, normalise
from innerear.models.base import SpeechModel
from innerear.protocols.base import Measurement, NotApplicable, bare_score, records
from innerear.protocols.detection import Detected, Detection, Pairs, only, precision, sites_of
from innerear.protocols.probing import Examples
from innerear.results.schema import Curve, Score
from innerear.tasks.settings import HallucinationDetection
from innerear.tasks.task import Task

END, EXTREMES = "end-of-text", "arm-a"
"""Curves of AUROC by layer: states at end-of-text, in arm B and in arm A."""

BASELINES = {"mean_log_prob": -1.0, "compression_ratio": 1.0, "words_per_second": 1.0, "no_speech": 1.0}
"""Scores of the output itself, with the sign that makes each higher for hallucinations."""


@dataclass(frozen=True)
class Fits:
    """Detectors of one model: whole sequence and last state (arm B), all baselines, arm A or why not.

    `both` is the log-odds by the whole sequence and all baselines together, [clip].
    """

    whole: Detected
    last: Detected
    together: Detected
    both: np.ndarray
    extremes: Detected | None
    why_not: str | None


class HallucinationDetectionProtocol(Detection):
    """Detect clips with inserted words."""

    twins = False
    classes = ("no insertion", "insertion")

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, HallucinationDetection)
        self.settings, self.grid = task.measure, task.measure.probe.grid
        self._folds = self.folds()

    def needs_words(self, item: Item) -> bool:
        """Wherever somebody speaks: else every written word would be an insertion."""
        return item.is_speech

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """The output of every clip, and the decoder's states over it."""
        return {
            f"{role} {name}": Demand(corpus, reading)
            for role, corpus in self.corpora.items()
            for name, reading in {"states": Written(), "text": Text()}.items()
        }

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Probe both kinds of state on both arms, and compare with scores of the output itself."""
        assert isinstance(listener, SpeechModel)
        outputs = {role: self._outputs(listener, role, captured) for role in self.corpora}
        table = outputs["test"]
        fits = self._fits(listener, captured, outputs, device)
        main = fits.whole
        found = self.measurement(main, self._folds, self._sides(outputs, "mean", captured)[1])
        curves = [self._curve(END, fits.last)]
        tuned = {"end_of_text": self.tuned(fits.last), "baselines": self.tuned(fits.together)}
        if fits.extremes:
            curves.append(self._curve(EXTREMES, fits.extremes))
            tuned["arm_a"] = self.tuned(fits.extremes)
        bins = calibration(expit(main.chosen), main.pairs.positive, self.settings.bins)
        return replace(
            found,
            headline="added",
            scores=found.scores | self._scores(fits, table, bins),
            curves=[*found.curves, *curves],
            items=pd.concat(
                [found.items.assign(baselines=fits.together.chosen, both=fits.both), table], axis=1
            ),
            tables={
                "baselines": self._baselines(fits, table),
                "arms": _arms(fits),
                "calibration": bins,
                "insertions_by_condition": _by_condition(table),
            },
            tuned=found.tuned | tuned,
        )

    def _outputs(self, model: SpeechModel, role: str, captured: Mapping[str, Captured]) -> pd.DataFrame:
        """The transcript of each clip, its errors, and the baseline scores of the output."""
        states, texts, rows = captured[f"{role} states"], captured[f"{role} text"], []
        for at in texts.indices:
            item, made = self.corpora[role].items[at], unpacked(texts.values[at]["json"])
            language = model.language_of(item)
            words = len(normalise(made["text"], language).split())
            counts = edits(item.text, made["text"], language) if item.is_speech else None
            row = {
                "condition": item.condition,
                "reference": item.text,
                "written": made["text"],
                "insertions": counts.insertions if counts else words,
                "errors": counts.errors if counts else words,
                "words": counts.reference if counts else 0,
                "mean_log_prob": float(np.mean(made["log_probs"])),
                "compression_ratio": compression_ratio(made["text"]),
                "words_per_second": words / item.duration,
            }
            if (silence := states.values[at].get("no_speech")) is not None:
                row["no_speech"] = float(silence)
            rows.append(row)
        return pd.DataFrame(rows)

    def _sides(
        self, outputs: Mapping[str, pd.DataFrame], tensor: str, captured: Mapping[str, Captured]
    ) -> tuple[Examples, Examples | None]:
        """Examples of the test corpus, and of the training corpus if it is another.

        `tensor` names one of `Written`, or is `baselines`: the baseline scores of the output, as one layer.
        """
        made = {}
        for role, corpus in self.corpora.items():
            index, table = captured[f"{role} states"].indices, outputs[role]
            items = [corpus.items[at] for at in index]
            made[role] = Examples(
                corpus=corpus,
                values=table[_available_baselines(table)].to_numpy(np.float32)[None]
                if tensor == "baselines"
                else captured[f"{role} states"].stacked(tensor),
                label=(table["insertions"] > 0).to_numpy(int),
                type=np.array([item.cluster for item in items]),
                item=index,
                unit=np.array([item.id for item in items]),
            )
        return made["test"], made.get("train")

    def _fits(
        self,
        listener: Listener,
        captured: Mapping[str, Captured],
        outputs: Mapping[str, pd.DataFrame],
        device: str,
    ) -> Fits:
        """Fit all detectors.

        Raises
        ------
        NotApplicable
            If a side of a fold lacks outputs with, or without, an insertion.
        """
        sites, folds = sites_of(listener), self._folds
        whole, last, together = (
            self._sides(outputs, name, captured) for name in ("mean", "end", "baselines")
        )
        if lacking := self.lacking(folds, *whole):
            raise NotApplicable(
                f"{listener.identity.name} writes words that nobody said in {whole[0].label.sum()} of "
                f"{len(whole[0].label)} clips: {lacking}"
            )
        ends = [
            side and self._extremes(side, outputs[role])
            for side, role in zip(last, ("test", "train"), strict=True)
        ]
        assert ends[0] is not None
        why_not = self.lacking(folds, ends[0], ends[1])
        main = self.detect(sites, folds, *whole, device, self.settings.control_draws)
        rival = self.detect(("output",), folds, *together, device)
        return Fits(
            whole=main,
            last=self.detect(sites, folds, *last, device),
            together=rival,
            both=self._both(main, rival, whole[1] or whole[0]),
            extremes=None if why_not else self.detect(sites, folds, ends[0], ends[1], device),
            why_not=why_not,
        )

    def _both(self, main: Detected, rival: Detected, source: Examples) -> np.ndarray:
        """Log-odds [clip] by two detectors together: a logistic regression on theirs, fitted on dev."""
        made = np.empty(len(main.chosen))
        for number, fold in enumerate(self._folds):
            layer = best_layer(main.made.tuned[number].dev_score)
            dev = np.stack([main.dev[number][layer], rival.dev[number][0]], axis=1)
            fitted = LogisticRegression().fit(dev, source.label[source.rows(fold.dev)])
            held = main.made.fold == number
            made[held] = fitted.decision_function(np.stack([main.chosen, rival.chosen], axis=1)[held])
        return made

    def _extremes(self, examples: Examples, table: pd.DataFrame) -> Examples:
        """The clips of highest WER (above 0) and as many without errors; a hash of the id breaks ties.

        Clips without speech have no WER.
        """
        rate = (table["errors"] / table["words"].replace(0, np.nan)).to_numpy()
        order = sorted(range(len(rate)), key=lambda at: sha256(str(examples.unit[at]).encode()).hexdigest())
        worst = sorted((at for at in order if rate[at] > 0), key=lambda at: -rate[at])
        perfect = [at for at in order if rate[at] == 0]
        count = min(self.settings.extremes, len(worst), len(perfect))
        kept = np.zeros(len(rate), dtype=bool)
        kept[[*worst[:count], *perfect[:count]]] = True
        return only(examples, kept, (rate > 0).astype(int))

    def _curve(self, name: str, found: Detected) -> Curve:
        return self.area_curve(name, found.sites, found.score, found.pairs, chosen=found.sites[found.best])

    def _scores(self, fits: Fits, table: pd.DataFrame, bins: list[dict[str, Any]]) -> dict[str, Score]:
        main, rival, pairs = fits.whole, fits.together, fits.whole.pairs
        same = _same_condition(pairs, table)
        n = len(table)
        error = sum(row["clips"] * abs(row["predicted"] - row["observed"]) for row in bins) / n
        brier = brier_score_loss(pairs.positive, expit(main.chosen))
        scores = {
            "added": self.lead(fits.both, rival.chosen, same),
            "auroc_both": self.area(fits.both, pairs, "both"),
            "auroc_same_condition": self.area(main.chosen, same),
            "auroc_baselines_same_condition": self.area(rival.chosen, same),
            "gain_same_condition": self.lead(main.chosen, rival.chosen, same),
            "gain": self.lead(main.chosen, rival.chosen, pairs, "gain"),
            "auroc_baselines": self.area(rival.chosen, pairs, "baselines"),
            "auprc_baselines": bare_score(precision(rival.chosen, pairs), n, "fraction", "higher"),
            "auroc_end_of_text": self.area(fits.last.chosen, pairs),
            "whole_over_end": self.lead(main.chosen, fits.last.chosen, pairs),
            "insertion_rate": self.score(
                pairs.positive.astype(float), pairs.cluster, direction="lower", column="insertions"
            ),
            "calibration_error": bare_score(error, n, "fraction", "lower"),
            "brier": bare_score(brier, n, "squared error", "lower"),
        }
        if fits.extremes:
            scores["auroc_arm_a"] = self.area(fits.extremes.chosen, fits.extremes.pairs, "arm A")
        return scores

    def _baselines(self, fits: Fits, table: pd.DataFrame) -> list[dict[str, Any]]:
        """AUROC, AUPRC and equal error rate of the baselines, alone and together, the probe, and both."""
        pairs = fits.whole.pairs
        same = _same_condition(pairs, table)
        rivals = {name: BASELINES[name] * table[name].to_numpy() for name in _available_baselines(table)}
        rivals |= {"all together": fits.together.chosen, "probe": fits.whole.chosen, "both": fits.both}
        rows = []
        for name, score in rivals.items():
            area = self.area(score, pairs)
            rows.append({"detector": name, "auroc": area.value, "low": area.low, "high": area.high})
            rows[-1]["auroc_same_condition"] = self.area(score, same).value
            rows[-1]["auprc"] = precision(score, pairs)
            rows[-1]["equal_error_rate"] = equal_error_rate(score, pairs)
        return rows


def calibration(probability: np.ndarray, positive: np.ndarray, bins: int) -> list[dict[str, Any]]:
    """Mean predicted probability and observed rate in bins of equal mass, lowest first.

    (scikit-learn's `calibration_curve` gives no counts, which the expected calibration error needs.)
    """
    parts = np.array_split(np.argsort(probability, kind="stable"), min(bins, len(probability)))
    return [
        {
            "bin": number,
            "clips": len(part),
            "predicted": float(probability[part].mean()),
            "observed": float(positive[part].mean()),
        }
        for number, part in enumerate(parts)
    ]


def _available_baselines(table: pd.DataFrame) -> list[str]:
    return [name for name in BASELINES if name in table]


def equal_error_rate(score: np.ndarray, pairs: Pairs) -> float:
    """Share of errors at the threshold at which as many positives are missed as negatives are flagged.

    The threshold is one for each stratum, and the rate the mean over strata by clips.
    """
    rates, clips = [], []
    for name in np.unique(pairs.stratum):
        rows = pairs.kept & (pairs.stratum == name)
        flagged, caught, _ = roc_curve(pairs.positive[rows], score[rows], drop_intermediate=False)
        at = np.argmin(np.abs(flagged - (1 - caught)))
        rates.append((flagged[at] + 1 - caught[at]) / 2)
        clips.append(rows.sum())
    return float(np.average(rates, weights=clips))


def _same_condition(pairs: Pairs, table: pd.DataFrame) -> Pairs:
    """Pairs within a fold and a condition, where detecting noise, or that nobody speaks, does not help.

    Raises
    ------
    NotApplicable
        If there are none.
    """
    stratum = np.array([f"{a}|{b}" for a, b in zip(pairs.stratum, table["condition"], strict=True)])
    if not (pd.Series(pairs.positive).groupby(stratum).nunique() > 1).any():
        raise NotApplicable(
            "in no condition words are made up in one clip and not in another of the same fold"
        )
    return replace(pairs, stratum=stratum)


def _arms(fits: Fits) -> list[dict[str, Any]]:
    """Clips and results of each arm, or why arm A is n/a."""

    def row(arm: str, states: str, found: Detected | None) -> dict[str, Any]:
        positive = found.pairs.positive if found else np.zeros(0)
        sizes = {"positives": int(positive.sum()), "negatives": int((1 - positive).sum())}
        layer = found.sites[found.best] if found else f"n/a: {fits.why_not}"
        return {"arm": arm, "states": states, **sizes, "layer": layer}

    return [
        row("B", "whole sequence", fits.whole),
        row("B", "end-of-text", fits.last),
        row("A", "end-of-text", fits.extremes),
    ]


def _by_condition(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Clips, those with an insertion, and inserted words, by condition."""
    marked = table.assign(clips=1, with_insertion=table["insertions"] > 0)
    columns = ["clips", "with_insertion", "insertions", "errors", "words"]
    return records(marked.groupby("condition", sort=False)[columns].sum().reset_index())
