"""Mitigation: whether interventions in the model stop it from writing words for non-speech, and at what cost.

Heads are masked and decoder states steered at several strengths. Every operating point is chosen on one half
of the non-speech clips and of the clean speech, and reported on the other half. The headline is the curve of
sounds silenced against what it may cost, beyond that of the best control, which knows nothing of the model.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.activations.readings import Start, Text, unpacked
from innerear.data.schema import Corpus, Item
from innerear.data.silence import silences
from innerear.data.splits import make_folds
from innerear.data.text import edits, is_loop, normalise
from innerear.interventions.ablation import Sweep
from innerear.interventions.mitigations import (
    ATTENUATION,
    HEAD,
    INDEX,
    RANDOM,
    MitigationPoint,
    Mitigations,
    mitigations,
    steering_sites,
)
from innerear.models.base import SpeechModel
from innerear.models.site import Site
from innerear.protocols.base import Measurement, NotApplicable, Protocol, bare_score, records
from innerear.results.schema import Curve, Score
from innerear.tasks.causal_settings import Mitigation
from innerear.tasks.task import Task
from innerear.util.errors import InputError

MIN_CLIPS = 10
"""Minimum number of non-speech clips of each half on which the model writes words."""
NO_SPEECH, LOW_CONFIDENCE = 0.6, -1.0
"""Whisper's rule for silence (Radford et al. 2022, §4.5): no-speech probability above the first threshold and
mean log-probability below the second."""
RULE = "Whisper's rule"
CONTROLS = (RANDOM, ATTENUATION, RULE)
"""Arms that use no knowledge of the model's internals: the headline is never their own."""
LIMITS = 21
"""Costs from 0 to the largest allowed for which each arm chooses a point: the curve that an area is under."""


@dataclass(frozen=True)
class Half:
    """Outcomes of one half of the clips in each world; world 0 has no intervention.

    A world is a row of a batch with its own set of interventions.

    Attributes
    ----------
    wrote, looped
        Whether the model writes words for a non-speech clip, and whether it loops, [world, clip].
    errors, words
        Word errors [world, clip] and reference words [clip] of clean speech.
    sounds, speech
        The items, non-speech and speech.
    """

    wrote: np.ndarray
    looped: np.ndarray
    errors: np.ndarray
    words: np.ndarray
    sounds: tuple[Item, ...]
    speech: tuple[Item, ...]

    def fewer(self, world: int) -> np.ndarray:
        """1 for a non-speech clip that is silenced, -1 for one that gets words only now, else 0, [clip]."""
        return np.asarray(self.wrote[0] - self.wrote[world])

    def along(self, worlds: Sequence[int]) -> np.ndarray:
        """The same as the mean over worlds, those that an arm has at each cost, [clip]."""
        return np.asarray(np.mean([self.fewer(world) for world in worlds], axis=0))

    def cost(self, world: int) -> float:
        """Increase of the word error rate."""
        return float((self.errors[world] - self.errors[0]).sum() / self.words.sum())


class MitigationProtocol(Protocol):
    """Measure which interventions stop a model from writing words for non-speech."""

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, Mitigation)
        self.settings = task.measure
        if task.split is None or task.split.folds != 2:
            raise InputError(
                f"{task.id}: operating points are chosen on one half; give the task a split with 2 folds"
            )
        clean = [item for item in self.corpus if not item.label("kind")]
        if not clean or len(clean) == len(self.corpus):
            raise InputError(
                f"{self.corpus.name}: the task needs sounds without speech (with a kind) and clean speech "
                "(without one); join two corpora as A+B"
            )
        self.sounds, self.speech = self._part(self._non_speech_items()), self._part(clean)
        self._chosen_on = {
            part: {*fold.train, *fold.dev}
            for part, fold in (
                ("sounds", make_folds(self.sounds, task.split)[0]),
                ("speech", make_folds(self.speech, task.split)[0]),
            )
        }

    def _non_speech_items(self) -> list[Item]:
        """The first clips of each non-speech source."""
        seen: Counter[str] = Counter()
        kept = []
        for item in self.corpus:
            if item.label("kind"):
                seen[item.cluster] += 1
                if seen[item.cluster] <= self.settings.clips_per_sound:
                    kept.append(item)
        return kept

    def _part(self, items: Sequence[Item]) -> Corpus:
        return self.corpus.with_items(items)

    def needs_words(self, item: Item) -> bool:
        """Of clean speech, on which word errors are counted."""
        return not item.label("kind")

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """States before the first token and texts, from which directions and Whisper's rule are computed."""
        return {
            f"{name} {what}": Demand(part, reading)
            for name, part in (("sounds", self.sounds), ("speech", self.speech))
            for what, reading in (("start", Start()), ("text", Text()))
        }

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Try all operating points; choose on one half, report on the other."""
        assert isinstance(listener, SpeechModel)
        wrote = {
            at: bool(normalise(unpacked(each["json"])["text"], listener.language_of(self.sounds.items[at])))
            for at, each in captured["sounds text"].values.items()
        }
        counts = [
            sum(wrote[at] for at in wrote if (at in self._chosen_on["sounds"]) == side)
            for side in (True, False)
        ]
        if min(counts) < MIN_CLIPS:
            raise NotApplicable(
                f"{listener.identity.name} writes words on {sum(counts)} of {len(wrote)} sounds; at least "
                f"{MIN_CLIPS} of each half are needed"
            )
        candidates = self._mitigations(listener, captured)
        dev, test = self._sweep(listener, candidates)
        points = list(candidates.points)
        if (rule := self._silenced_by_rule(captured)) is not None:
            points.append(MitigationPoint(RULE, "output", 1.0))
            dev, test = (self._with_rule(half, rule) for half in (dev, test))
        table = point_table(points, dev, test)
        curves = {str(name): self._worlds(own) for name, own in table.groupby("arm", sort=False)}
        arms = self._arms(table, curves, dev, test)
        best, control = (
            _first(arms[arms["allowed"] & (arms["arm"].isin(CONTROLS) == side)], "dev_area", "dev_reduction")
            for side in (False, True)
        )
        if best is None:
            raise NotApplicable(
                f"{listener.identity.name}: every mitigation costs more than "
                f"{100 * self.settings.dearest:g} points of WER"
            )
        if control is None:
            raise NotApplicable(
                f"{listener.identity.name}: every control costs more than {100 * self.settings.dearest:g} "
                "points of WER, so there is nothing to hold mitigations against"
            )
        world, cluster = int(best["world"]), _clusters(test.sounds)
        own, rival, attenuated = (
            test.along(curves[name]) for name in (best["arm"], control["arm"], ATTENUATION)
        )
        single = table[table["arm"] == HEAD]
        head = _first(self._allowed(single))
        ids = [item.id for item in test.sounds]
        items = pd.DataFrame(
            {"item": ids, "unit": ids, "speaker": cluster, "wrote": test.wrote[0],
             "mechanism": own, "control": rival, "outcome": own - rival}
        )  # fmt: skip
        return Measurement(
            headline="beyond_control",
            scores={
                "beyond_control": self.score(own - rival, cluster, scale="difference"),
                "area": self.score(own, cluster, column="area", scale="difference"),
                "area_attenuation": self.score(
                    attenuated, cluster, direction="none", column="attenuation", scale="difference"
                ),
                "reduction": self.score(test.fewer(world), cluster, column="reduction", scale="difference"),
                "rate_before": self.score(test.wrote[0], cluster, direction="lower", column="rate"),
                "rate_after": self.score(test.wrote[world], cluster, direction="lower", column="after"),
                "delta_wer": self._cost(test, world, "ΔWER"),
                "best_control": self.score(
                    rival, cluster, direction="none", column="control", scale="difference"
                ),
                "best_control_delta_wer": self._cost(test, curves[control["arm"]][-1]),
                "loop_rate_before": bare_score(test.looped[0].mean(), len(ids), "fraction", "lower"),
                "loop_rate_after": bare_score(test.looped[world].mean(), len(ids), "fraction", "lower"),
                "best_head": self.score(
                    test.fewer(int(head["world"])), cluster, column="best head", scale="difference"
                ),
                "best_head_delta_wer": self._cost(test, int(head["world"])),
                "head_p": bare_score((single["reduction"] >= head["reduction"]).mean(), len(single), "p"),
            },
            curves=self._curves(listener, table, test),
            items=items,
            split=self.single_split(
                "points chosen on one half, reported on the other", _rows(dev.sounds), _rows(test.sounds)
            ),
            tables={
                "arms": records(arms.drop(columns="world")),
                "by_cost": self._by_cost(curves, {best["arm"], control["arm"], ATTENUATION}, test),
                "points": records(table.drop(columns="world")),
                "head_map_self": _map(single),
                "head_indices": records(table[table["arm"] == INDEX].drop(columns=["world", "strength"])),
            },
            tuned={name: best[name] for name in ("arm", "where", "strength")} | {"control": control["arm"]},
        )

    def _mitigations(self, model: SpeechModel, captured: Mapping[str, Captured]) -> Mitigations:
        """All operating points; their directions come from the half that chooses."""
        states, items = [], []
        for part, corpus in (("sounds", self.sounds), ("speech", self.speech)):
            for at, start in captured[f"{part} start"].values.items():
                if at in self._chosen_on[part]:
                    states.append(start["states"].numpy())
                    items.append(corpus.items[at])
        corpus, which = silences(items)
        (heard,) = self.capture(model, [Demand(corpus, Start())])
        silent = [heard.values[at]["states"].numpy() for at in which]
        speech = np.array([not item.label("kind") for item in items])
        settings = self.settings
        return mitigations(
            model, np.stack(states, axis=1), np.stack(silent, axis=1), speech, settings.depths,
            settings.strengths, settings.draws, self.task.seed,
        )  # fmt: skip

    def _sweep(self, model: SpeechModel, candidates: Mitigations) -> tuple[Half, Half]:
        """Outcomes of the half that chooses and of the half that is reported."""
        reading = Sweep(((), *candidates.worlds), self.settings.most, tensors=candidates.tensors)
        sounds, speech = self.capture(model, [Demand(part, reading) for part in (self.sounds, self.speech)])
        halves = []
        for side in (True, False):
            own = {
                part: [at for at in swept.indices if (at in self._chosen_on[part]) == side]
                for part, swept in (("sounds", sounds), ("speech", speech))
            }
            sound_rows = [unpacked(sounds.values[at]["json"])["rows"] for at in own["sounds"]]
            speech_rows = [unpacked(speech.values[at]["json"])["rows"] for at in own["speech"]]
            silent, items = (
                tuple(corpus.items[at] for at in own[part])
                for part, corpus in (("sounds", self.sounds), ("speech", self.speech))
            )
            counts = [
                [edits(item.text, row["text"], model.language_of(item)) for row in rows]
                for item, rows in zip(items, speech_rows, strict=True)
            ]
            halves.append(
                Half(
                    np.array(
                        [
                            [bool(normalise(row["text"], model.language_of(item))) for row in rows]
                            for item, rows in zip(silent, sound_rows, strict=True)
                        ],
                        float,
                    ).T,
                    np.array(
                        [
                            [is_loop(row["text"], row["tokens"], row["ended"]) for row in rows]
                            for rows in sound_rows
                        ]
                    ).T,
                    np.array([[count.errors for count in row] for row in counts], float).T,
                    np.array([row[0].reference for row in counts], float),
                    silent,
                    items,
                )
            )
        return halves[0], halves[1]

    def _silenced_by_rule(self, captured: Mapping[str, Captured]) -> dict[str, bool] | None:
        """Whether Whisper's rule silences each clip, by id; None for models without a no-speech token."""
        silenced = {}
        for part, corpus in (("sounds", self.sounds), ("speech", self.speech)):
            for at, start in captured[f"{part} start"].values.items():
                if "no_speech" not in start:
                    return None
                written = unpacked(captured[f"{part} text"].values[at]["json"])
                unsure = bool(np.mean(written["log_probs"]) < LOW_CONFIDENCE)
                silenced[corpus.items[at].id] = unsure and float(start["no_speech"]) > NO_SPEECH
        return silenced

    def _with_rule(self, half: Half, silenced: Mapping[str, bool]) -> Half:
        """The half with one more world, in which Whisper's rule discards the text of silent clips."""
        quiet = np.array([silenced[item.id] for item in half.sounds])
        lost = np.array([silenced[item.id] for item in half.speech])
        return Half(
            np.vstack([half.wrote, np.where(quiet, 0.0, half.wrote[0])]),
            np.vstack([half.looped, half.looped[0] & ~quiet]),
            np.vstack([half.errors, np.where(lost, half.words, half.errors[0])]),
            half.words, half.sounds, half.speech,
        )  # fmt: skip

    def _worlds(self, own: pd.DataFrame) -> list[int]:
        """The world of an arm for each of the costs: that of its best point, or 0 where none silences any."""
        points = (_first(own[own["dev_cost"] <= limit]) for limit in self._limits)
        return [0 if each is None or each["dev_reduction"] <= 0 else int(each["world"]) for each in points]

    @property
    def _limits(self) -> np.ndarray:
        return np.linspace(0, self.settings.dearest, LIMITS)

    def _by_cost(
        self, curves: Mapping[str, Sequence[int]], arms: set[str], test: Half
    ) -> list[dict[str, Any]]:
        """What arms silence of the reported half, and what it costs there, by the cost that was allowed."""
        return [
            {"arm": arm, "allowed": float(limit), "reduction": float(test.fewer(world).mean()),
             "cost": test.cost(world)}
            for arm in sorted(arms)
            for limit, world in zip(self._limits, curves[arm], strict=True)
        ]  # fmt: skip

    def _arms(
        self, table: pd.DataFrame, curves: Mapping[str, Sequence[int]], dev: Half, test: Half
    ) -> pd.DataFrame:
        """The point that is chosen for each arm: within the largest WER increase allowed, if any point is."""
        rows = []
        for name, own in table.groupby("arm", sort=False):
            worlds = curves[str(name)]
            point = _first(self._allowed(own))
            world = int(point["world"])
            fewer = self.score(test.fewer(world), _clusters(test.sounds), scale="difference")
            cost = self._cost(test, world)
            rows.append(
                {
                    "arm": name, "where": point["where"], "strength": point["strength"], "world": world,
                    "allowed": bool(point["dev_cost"] <= self.settings.dearest), "points": len(own),
                    "dev_reduction": point["dev_reduction"], "dev_cost": point["dev_cost"],
                    "reduction": fewer.value, "low": fewer.low, "high": fewer.high,
                    "delta_wer": cost.value, "delta_wer_low": cost.low, "delta_wer_high": cost.high,
                    "dev_area": float(dev.along(worlds).mean()),
                    "area": float(test.along(worlds).mean()),
                }
            )  # fmt: skip
        return pd.DataFrame(rows)

    def _allowed(self, points: pd.DataFrame) -> pd.DataFrame:
        """Points within the largest WER increase allowed, or all points if there is none."""
        cheap = points[points["dev_cost"] <= self.settings.dearest]
        return cheap if len(cheap) else points

    def _cost(self, half: Half, world: int, column: str = "") -> Score:
        return self.score(
            half.errors[world] - half.errors[0], _clusters(half.speech), weight=half.words,
            direction="lower", column=column, scale="difference",
        )  # fmt: skip

    def _curves(self, model: SpeechModel, table: pd.DataFrame, test: Half) -> list[Curve]:
        """Share of non-speech clips silenced by steering along the difference of means, by layer."""
        sites, worlds = steering_sites(model, self.settings.depths), []
        own = table[table["arm"].isin(["means", "means, away"])]
        for site in sites:
            at = own[own["where"] == site]
            cheap = at[at["dev_cost"] <= self.settings.dearest]
            worlds.append(int(_first(cheap if len(cheap) else at)["world"]))
        values = np.stack([test.fewer(world) for world in worlds])
        return [
            self.curve("means", "sounds silenced", sites, values, _clusters(test.sounds), scale="difference")
        ]


def point_table(points: Sequence[MitigationPoint], dev: Half, test: Half) -> pd.DataFrame:
    """One row per operating point: reduction and cost on both halves."""
    return pd.DataFrame(
        [
            {
                "arm": point.arm, "where": point.where, "strength": point.strength, "world": world,
                "dev_reduction": float(dev.fewer(world).mean()), "dev_cost": dev.cost(world),
                "reduction": float(test.fewer(world).mean()), "cost": test.cost(world),
                "looped": float(test.looped[world].mean()),
            }
            for world, point in enumerate(points, start=1)
        ]
    )  # fmt: skip


def _first(table: pd.DataFrame, *most: str) -> Any:
    """The point that silences most clips of the half that chooses; ties go to the cheapest. None if empty."""
    if table.empty:
        return None
    columns = [*(most or ("dev_reduction",)), "dev_cost"]
    rising = [name == "dev_cost" for name in columns]
    return table.sort_values(columns, ascending=rising, kind="stable").iloc[0]


def _map(single: pd.DataFrame) -> list[dict[str, Any]]:
    """For each self-attention head, the share of clips of the reported half that masking it silences."""
    return [
        {"layer": site.layer, "head": site.head, "value": float(value), "marked": False}
        for site, value in zip(map(Site.parse, single["where"]), single["reduction"], strict=True)
    ]  # fmt: skip


def _clusters(items: Sequence[Item]) -> np.ndarray:
    return np.array([item.cluster for item in items])


def _rows(items: Sequence[Item]) -> pd.DataFrame:
    return pd.DataFrame({"item": [item.id for item in items], "speaker": _clusters(items)})
