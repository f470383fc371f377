"""Mitigation: whether words written where nobody speaks can be taken out inside the model, and at what cost.

Heads are masked and decoder states steered, at several strengths. Every point is chosen on one half of the
sounds and of the clean speech, and reported on the other.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from innerear.activations.capture import Captured, Demand
from innerear.activations.forward import Listener
from innerear.activations.readings import Start, Text, unpacked
from innerear.data.schema import Corpus, Item
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
from innerear.tasks.settings import Mitigation
from innerear.tasks.task import Task
from innerear.util.errors import InputError

LEAST = 10
"""Sounds of a half on which the model writes, from which anything is said."""
NO_SPEECH, UNSURE = 0.6, -1.0
"""Whisper's own rule for silence (Radford et al. 2022, §4.5): no-speech probability above the one, mean
log-probability below the other."""
RULE = "Whisper's rule"
CONTROLS = (RANDOM, ATTENUATION, RULE)
"""Arms that know nothing of the model's inside; the headline is never one of them."""


@dataclass(frozen=True)
class Half:
    """What became of sounds and of clean speech in each world, the untouched one first.

    Attributes
    ----------
    wrote, looped
        Of sounds, [world, clip].
    errors, words
        Of speech, [world, clip] and [clip].
    sounds, speech
        The items.
    """

    wrote: np.ndarray
    looped: np.ndarray
    errors: np.ndarray
    words: np.ndarray
    sounds: tuple[Item, ...]
    speech: tuple[Item, ...]

    def fewer(self, world: int) -> np.ndarray:
        """Sounds with words before less those with words after, [clip]."""
        return np.asarray(self.wrote[0] - self.wrote[world])

    def cost(self, world: int) -> float:
        """Rise of the word error rate."""
        return float((self.errors[world] - self.errors[0]).sum() / self.words.sum())


class MitigationProtocol(Protocol):
    """Ask what silences a model where nobody speaks."""

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, Mitigation)
        self.settings = task.measure
        if task.split is None or task.split.folds != 2:
            raise InputError(f"{task.id}: one half chooses; give the task a split of two folds")
        clean = [item for item in self.corpus if not item.label("kind")]
        if not clean or len(clean) == len(self.corpus):
            raise InputError(
                f"{self.corpus.name}: the task needs sounds without speech (with a kind) and clean speech "
                "(without one); join two corpora as A+B"
            )
        if silent := next((item.id for item in clean if not normalise(item.text)), None):
            raise InputError(f"{self.corpus.name}: {silent} has no words, so no harm to it could be seen")
        self.sounds, self.speech = self._part(self._sounds()), self._part(clean)
        self._chosen_on = {
            part: {*fold.train, *fold.dev}
            for part, fold in (
                ("sounds", make_folds(self.sounds, task.split)[0]),
                ("speech", make_folds(self.speech, task.split)[0]),
            )
        }

    def _sounds(self) -> list[Item]:
        """The first clips of each source of sound."""
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

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """States before the first token, and texts: of them directions and Whisper's rule are made."""
        return {
            f"{name} {what}": Demand(part, reading)
            for name, part in (("sounds", self.sounds), ("speech", self.speech))
            for what, reading in (("start", Start()), ("text", Text()))
        }

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Sweep all points; choose on one half, report on the other."""
        assert isinstance(listener, SpeechModel)
        wrote = {
            at: bool(normalise(unpacked(each["json"])["text"]))
            for at, each in captured["sounds text"].values.items()
        }
        counts = [
            sum(wrote[at] for at in wrote if (at in self._chosen_on["sounds"]) == side)
            for side in (True, False)
        ]
        if min(counts) < LEAST:
            raise NotApplicable(
                f"{listener.identity.name} writes words on {sum(counts)} of {len(wrote)} sounds; at least "
                f"{LEAST} of each half are needed"
            )
        tried = self._tried(listener, captured)
        dev, test = self._swept(listener, tried)
        points = list(tried.points)
        if (rule := self._ruled(captured)) is not None:
            points.append(MitigationPoint(RULE, "output", 1.0))
            dev, test = (self._with_rule(half, rule) for half in (dev, test))
        table = point_table(points, dev, test)
        arms = self._arms(table, test)
        best, control = (
            _first(arms[arms["allowed"] & (arms["arm"].isin(CONTROLS) == side)]) for side in (False, True)
        )
        if best is None:
            raise NotApplicable(
                f"{listener.identity.name}: every remedy costs more than "
                f"{100 * self.settings.dearest:g} points of WER"
            )
        world, cluster = int(best["world"]), _clusters(test.sounds)
        beside = {} if control is None else self._beside(test, world, int(control["world"]))
        single = table[table["arm"] == HEAD]
        head = _first(self._allowed(single))
        ids = [item.id for item in test.sounds]
        items = pd.DataFrame(
            {"item": ids, "unit": ids, "speaker": cluster, "wrote": test.wrote[0],
             "outcome": test.fewer(world)}
        )  # fmt: skip
        return Measurement(
            headline="reduction",
            scores={
                "reduction": self.score(test.fewer(world), cluster, scale="difference"),
                "rate_before": self.score(test.wrote[0], cluster, direction="lower", column="rate"),
                "rate_after": self.score(test.wrote[world], cluster, direction="lower", column="after"),
                "delta_wer": self._cost(test, world, "ΔWER"),
                **beside,
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
                "points": records(table.drop(columns="world")),
                "head_map_self": _map(single),
                "head_indices": records(table[table["arm"] == INDEX].drop(columns=["world", "strength"])),
            },
            tuned={name: best[name] for name in ("arm", "where", "strength")},
        )

    def _tried(self, model: SpeechModel, captured: Mapping[str, Captured]) -> Mitigations:
        """All points, with directions from the choosing half."""
        states, speech = [], []
        for part in ("sounds", "speech"):
            values = captured[f"{part} start"].values
            own = [values[at]["states"].numpy() for at in values if at in self._chosen_on[part]]
            states += own
            speech += [part == "speech"] * len(own)
        settings = self.settings
        return mitigations(
            model, np.stack(states, axis=1), np.array(speech), settings.depths, settings.strengths,
            settings.draws, self.task.seed,
        )  # fmt: skip

    def _swept(self, model: SpeechModel, tried: Mitigations) -> tuple[Half, Half]:
        """Outcomes of the choosing half and of the other."""
        reading = Sweep(((), *tried.worlds), self.settings.most, tensors=tried.tensors)
        sounds, speech = self.capture(model, [Demand(part, reading) for part in (self.sounds, self.speech)])
        made = []
        for side in (True, False):
            own = {
                part: [at for at in swept.indices if (at in self._chosen_on[part]) == side]
                for part, swept in (("sounds", sounds), ("speech", speech))
            }
            loud = [unpacked(sounds.values[at]["json"])["rows"] for at in own["sounds"]]
            said = [unpacked(speech.values[at]["json"])["rows"] for at in own["speech"]]
            items = tuple(self.speech.items[at] for at in own["speech"])
            counts = [
                [edits(item.text, row["text"]) for row in rows]
                for item, rows in zip(items, said, strict=True)
            ]
            made.append(
                Half(
                    np.array([[bool(normalise(row["text"])) for row in rows] for rows in loud], float).T,
                    np.array(
                        [[is_loop(row["text"], row["tokens"], row["ended"]) for row in rows] for rows in loud]
                    ).T,
                    np.array([[each.errors for each in row] for row in counts], float).T,
                    np.array([row[0].reference for row in counts], float),
                    tuple(self.sounds.items[at] for at in own["sounds"]),
                    items,
                )
            )
        return made[0], made[1]

    def _ruled(self, captured: Mapping[str, Captured]) -> dict[str, bool] | None:
        """Whether Whisper's rule silences each clip, by id; None for models without a no-speech token."""
        found = {}
        for part, corpus in (("sounds", self.sounds), ("speech", self.speech)):
            for at, start in captured[f"{part} start"].values.items():
                if "no_speech" not in start:
                    return None
                made = unpacked(captured[f"{part} text"].values[at]["json"])
                unsure = bool(np.mean(made["log_probs"]) < UNSURE)
                found[corpus.items[at].id] = unsure and float(start["no_speech"]) > NO_SPEECH
        return found

    def _with_rule(self, half: Half, silenced: Mapping[str, bool]) -> Half:
        """A half with one world more: the output where the rule does not silence it."""
        quiet = np.array([silenced[item.id] for item in half.sounds])
        lost = np.array([silenced[item.id] for item in half.speech])
        return Half(
            np.vstack([half.wrote, np.where(quiet, 0.0, half.wrote[0])]),
            np.vstack([half.looped, half.looped[0] & ~quiet]),
            np.vstack([half.errors, np.where(lost, half.words, half.errors[0])]),
            half.words, half.sounds, half.speech,
        )  # fmt: skip

    def _arms(self, table: pd.DataFrame, test: Half) -> pd.DataFrame:
        """The point of each arm that the choosing half names, within the cost allowed if there is one."""
        rows = []
        for name, own in table.groupby("arm", sort=False):
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
                    "area": _area(own, self.settings.dearest),
                }
            )  # fmt: skip
        return pd.DataFrame(rows)

    def _allowed(self, points: pd.DataFrame) -> pd.DataFrame:
        """Points within the cost allowed, or all where there is none."""
        cheap = points[points["dev_cost"] <= self.settings.dearest]
        return cheap if len(cheap) else points

    def _beside(self, test: Half, world: int, control: int) -> dict[str, Score]:
        """The best control, chosen alike, and by how much the remedy is better on the same sounds."""
        cluster = _clusters(test.sounds)
        return {
            "best_control": self.score(
                test.fewer(control), cluster, direction="none", column="control", scale="difference"
            ),
            "best_control_delta_wer": self._cost(test, control),
            "beyond_control": self.score(
                test.wrote[control] - test.wrote[world],
                cluster,
                column="beyond control",
                scale="difference",
            ),
        }

    def _cost(self, half: Half, world: int, column: str = "") -> Score:
        return self.score(
            half.errors[world] - half.errors[0], _clusters(half.speech), weight=half.words,
            direction="lower", column=column, scale="difference",
        )  # fmt: skip

    def _curves(self, model: SpeechModel, table: pd.DataFrame, test: Half) -> list[Curve]:
        """Fewer sounds with words, by the layer that is steered along the difference of means."""
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
    """One row a point: reduction and cost on both halves."""
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


def _first(table: pd.DataFrame) -> Any:
    """What silences most sounds of the choosing half, of equals what costs least there; None of nothing."""
    if table.empty:
        return None
    return table.sort_values(["dev_reduction", "dev_cost"], ascending=[False, True], kind="stable").iloc[0]


def _area(points: pd.DataFrame, dearest: float) -> float:
    """Mean, over the cost allowed from 0 to `dearest`, of the best reduction within it, on the other half."""
    allowed = np.linspace(0, dearest, 101)
    cost, gain = points["cost"].to_numpy(), points["reduction"].to_numpy()
    best = [max(0.0, gain[cost <= limit].max(initial=0.0)) for limit in allowed]
    return float(np.trapezoid(best, allowed) / dearest)


def _map(single: pd.DataFrame) -> list[dict[str, Any]]:
    """Every self-attention head: layer, head, and the sounds that masking it silences on the other half."""
    return [
        {"layer": site.layer, "head": site.head, "value": float(value), "marked": False}
        for site, value in zip(map(Site.parse, single["where"]), single["reduction"], strict=True)
    ]  # fmt: skip


def _clusters(items: Sequence[Item]) -> np.ndarray:
    return np.array([item.cluster for item in items])


def _rows(items: Sequence[Item]) -> pd.DataFrame:
    return pd.DataFrame({"item": [item.id for item in items], "speaker": _clusters(items)})
