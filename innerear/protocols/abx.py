"""Triphone ABX by layer: does distance alone discriminate phones? Defined in `innerear.analysis.abx`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.activations.readings import Stretches
from innerear.analysis.abx import (
    Comparisons,
    Errors,
    Token,
    abx_errors,
    comparisons,
    triphones,
)
from innerear.data.schema import Corpus
from innerear.models.floors import LogMel, LogMelSpec
from innerear.protocols.base import Measurement, Protocol, point, records
from innerear.results.schema import Curve, Score
from innerear.stats.intervals import jackknife
from innerear.stats.nested import indexed, pooled_without
from innerear.tasks.settings import Abx
from innerear.tasks.task import Task
from innerear.util.errors import InputError
from innerear.util.progress import bar


class AbxProtocol(Protocol):
    """Measure how often the triphone X is nearer to B, of another phone, than to A, of the same."""

    languages = "English"
    hears_long = True
    twins = True

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, Abx)
        if task.train_corpus is not None:
            raise InputError(f"{task.id}: ABX trains nothing; leave out --train-corpus")
        self.settings = task.measure
        self.plans, self.not_measured = self._planned(triphones(self.corpus))
        used = {_place(token) for plan in self.plans.values() for token in plan.tokens}
        self._spans = {
            item.id: np.array(sorted(span[1:] for span in used if span[0] == item.id)) for item in self.corpus
        }

    def _planned(self, tokens: Sequence[Token]) -> tuple[dict[str, Comparisons], list[dict[str, str]]]:
        """The comparisons of each mode, and the modes in which there are none."""
        plans: dict[str, Comparisons] = {}
        not_measured = []
        most, x_speakers = self.settings.most, self.settings.x_speakers
        for mode in self.settings.modes:
            try:
                plans[mode] = comparisons(tokens, mode, most=most, x_speakers=x_speakers, seed=self.task.seed)
            except InputError as error:
                if not plans:  # the headline needs the first mode
                    raise
                not_measured.append({"mode": mode, "reason": str(error)})
        return plans, not_measured

    def floors(self) -> Sequence[Listener]:
        """Log-mel frames without context."""
        return (LogMel(LogMelSpec(self.settings.log_mel_bands, 0)),)

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """All frames of the triphones in use."""
        return {"test": self.demand(self.corpus, Stretches(self._spans, mean=False))}

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Error by layer, across and within speakers.

        The headline is the mean over all layers above the embedding: nothing is trained, so there is no dev
        side on which a layer could be chosen. The curve shows every layer.
        """
        sites = listener.encoder_sites
        frames, states = self._frames(captured["test"]), captured["test"].joined("states")
        plans, not_measured = self.plans, self.not_measured
        tokens = {_place(token): token for plan in plans.values() for token in plan.tokens}
        if tokens.keys() - frames.keys():  # a clip could not be processed: compare the others
            plans, not_measured = self._planned([tokens[place] for place in frames if place in tokens])
        curves, items = [], []
        scores: dict[str, Score] = {}
        with bar("comparing triphones", len(plans) * len(sites)) as advance:
            for mode, plan in plans.items():
                errors = []
                for layer in range(len(sites)):
                    own = states[layer]
                    spoken = [own[frames[_place(token)]] for token in plan.tokens]
                    errors.append(abx_errors(spoken, plan, self.settings.distance))
                    advance()
                by_layer = np.stack([error.cells for error in errors])
                pooled = np.array([error.pooled for error in errors])
                points = [
                    point(layer, sites, value, bounds)
                    for layer, (value, bounds) in enumerate(
                        zip(pooled.tolist(), self._interval(plan.cells, by_layer, pooled), strict=True)
                    )
                ]
                n = int(plan.cells["triples"].sum())
                curves.append(Curve(name=mode, metric="ABX error", kind="model", n=n, points=points))
                scores |= self._scores(mode, plan.cells, by_layer, pooled, n)
                items.append(self._items(mode, plan, errors, sites))
        first = self.settings.modes[0]
        return Measurement(
            headline=f"error_{first}",
            scores=scores,
            curves=curves,
            items=pd.concat(items, ignore_index=True),
            tables={"hardest": self._hardest(items[0]), "not_measured": not_measured},
        )

    def _frames(self, captured: Captured) -> dict[tuple[str, float, float], slice]:
        """Which frames of all clips side by side are those of each stretch."""
        made, first = {}, 0
        for index, values in captured.values.items():
            item = self.corpus.items[index]
            for (start, end), length in zip(self._spans[item.id], values["lengths"].tolist(), strict=True):
                made[item.id, float(start), float(end)] = slice(first, first + length)
                first += length
        return made

    def _interval(
        self, cells: pd.DataFrame, values: np.ndarray, value: np.ndarray
    ) -> list[tuple[float, float] | None]:
        """Bounds of errors [layer] from those of cells [layer, cell], over speakers in every part."""
        without = pooled_without(indexed(cells), values)
        bounds = jackknife(value, without, level=self.task.confidence, scale="share")
        if bounds is None:
            return [None] * len(value)
        return [(float(low), float(high)) for low, high in zip(*bounds, strict=True)]

    def _scores(
        self, mode: str, cells: pd.DataFrame, by_layer: np.ndarray, pooled: np.ndarray, n: int
    ) -> dict[str, Score]:
        above = slice(1, None) if len(pooled) > 1 else slice(None)
        mean = pooled[above].mean(keepdims=True)
        (bounds,) = self._interval(cells, by_layer[above].mean(axis=0, keepdims=True), mean)
        low, high = bounds or (None, None)
        headline = Score(
            value=float(mean[0]), low=low, high=high, n=n, unit="fraction",
            direction="lower", column="" if mode == self.settings.modes[0] else mode,
        )  # fmt: skip
        best = int(pooled.argmin())
        lowest = Score(
            value=float(pooled[best]), n=n, unit="fraction", direction="lower",
            column="lowest" if mode == self.settings.modes[0] else "",
        )  # fmt: skip
        return {f"error_{mode}": headline, f"lowest_{mode}": lowest}

    def _items(
        self, mode: str, plan: Comparisons, errors: Sequence[Errors], sites: Sequence[str]
    ) -> pd.DataFrame:
        cells = plan.cells
        names = ["phone", "other", "before", "after", "speaker", "x_speaker"]
        by_layer = np.stack([error.cells for error in errors])
        outcome = by_layer[1:].mean(axis=0) if len(sites) > 1 else by_layer[0]
        return pd.DataFrame(
            {
                "item": cells[["before", "phone", "after"]].agg("-".join, axis=1),
                "unit": mode + "|" + cells[names].agg("|".join, axis=1),
                "speaker": cells["speaker"],
                "mode": mode,
                **{name: cells[name] for name in ("phone", "other", "x_speaker", "triples")},
                "outcome": outcome,
                "weight": np.ones(len(cells)),
                **{f"error.{site}": by_layer[layer] for layer, site in enumerate(sites)},
            }
        )

    def _hardest(self, items: pd.DataFrame, most: int = 20, least: int = 20) -> list[dict[str, Any]]:
        """Phone pairs with the highest error, both orders together, of those with enough triples."""
        pair = [" / ".join(sorted(both)) for both in zip(items["phone"], items["other"], strict=True)]
        made = (
            items.assign(pair=pair)
            .groupby("pair")
            .agg(error=("outcome", "mean"), cells=("outcome", "size"), triples=("triples", "sum"))
            .reset_index()
        )
        hard = made[made["triples"] >= least].sort_values(["error", "pair"], ascending=[False, True])[:most]
        return records(hard)


def _place(token: Token) -> tuple[str, float, float]:
    return token.clip, float(token.start), float(token.end)
