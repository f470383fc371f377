"""Planted causes: which method finds the component that makes a model misbehave.

Methods are scored, not models: each has its own result, over the same planted models.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from inspect import getsource, isfunction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.data.schema import Corpus
from innerear.models.base import Identity, SpeechModel
from innerear.models.frames import WHISPER
from innerear.planted.base_model import PlantingBase, load_base_model
from innerear.planted.methods import BUILT_IN, Method, methods, source_of
from innerear.planted.planting import plant
from innerear.planted.recipes import RECIPES
from innerear.planted.scoring import MethodScores, planting_record, score_method
from innerear.protocols.base import Measurement, NotApplicable, Protocol, bare_score, records
from innerear.results.environment import make_deterministic, origin
from innerear.results.schema import Score
from innerear.stats.intervals import Scale
from innerear.tasks.causal_settings import PlantedCauses
from innerear.tasks.task import Task
from innerear.util.cached import SUFFIX, CacheUse
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import canonical_json, sha256_json
from innerear.util.progress import bar

VERSION = 2
"""Increase it when a recipe, a base model or a method changes its scores, so that cached ones are not reused.

Version 1 drew the small random base models by torch's generator.
"""
FLOOR = "random-order"


class MethodSubject:
    """A method in the role of a listener: it has an identity, and processes no audio."""

    clock = WHISPER
    encoder_sites = ()
    device = torch.device("cpu")

    window = np.inf

    def __init__(self, name: str, method: Method) -> None:
        self.method = method
        source, built_in = source_of(name, method), BUILT_IN.get(name) is method
        self.identity = Identity(
            name=name,
            family="method",
            kind="floor" if name == FLOOR else "method",
            revision=str(VERSION),
            source=source,
            # a method of another package has no version: its source code shows when it was edited
            parts={"method": source, "recipe": f"planted-causes-{VERSION}"}
            | ({} if built_in else {"code": sha256_json(_source_code(name, method))}),
            parameters=0,
            licence="Apache-2.0" if built_in else "not stated",
            training_data=(),
        )

    def unsupported_reason(self, samples: int) -> str | None:
        """Return None: a method processes no clips."""
        return None

    def batch_key(self, samples: int) -> int:
        """Return 0: a method processes no clips."""
        return 0

    def states(self, audio: Sequence[np.ndarray], sites: Sequence[str]) -> dict[str, Tensor]:
        """Raise `InputError`: a method has no states."""
        raise InputError(f"{self.identity.name} is a method: it has no states")


class PlantedCausesProtocol(Protocol):
    """Score localisation methods on models with planted causes."""

    languages = "English"

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, PlantedCauses)
        self.settings = task.measure
        if unknown := sorted(set(self.settings.plan) - set(RECIPES)):
            raise InputError(
                f"{task.id}: there is no recipe {unknown[0]!r}; choose from {', '.join(RECIPES)}"
            )
        parts = {
            "clips of speech": [item for item in self.corpus if item.is_speech and not item.label("pair")],
            "clips without speech": [
                item for item in self.corpus if item.label("kind") and not item.is_speech
            ],
            "clips of minimal pairs": [item for item in self.corpus if item.label("pair")],
        }
        for name, items in parts.items():
            if len(items) < 2 * self.settings.clips:
                raise InputError(
                    f"{self.corpus.name}: {len(items)} {name}, but {2 * self.settings.clips} are needed; "
                    "use innerear-speech+innerear-nonspeech+innerear-pairs"
                )
        self.methods = [MethodSubject(name, method) for name, method in methods().items()]
        self._scored: list[_ScoredModel] = []
        self._bases: dict[str, PlantingBase] = {}

    def floors(self) -> Sequence[Listener]:
        """All methods; models themselves are not scored."""
        return self.methods

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """None: causes are planted and tried with clips that the protocol chooses itself."""
        return {}

    def unsupported_reason(self, listener: Listener) -> str | None:
        """Why a model is not scored."""
        return "the task scores methods, not models" if isinstance(listener, SpeechModel) else None

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Score one method over all planted models; the first call measures all methods."""
        name = listener.identity.name
        scored = [(model, model.scores[name]) for model in self._scored_models(device)]
        rows = pd.DataFrame(
            [{"planted": model.record["planted"], **asdict(own)} for model, own in scored if own is not None]
        )
        if rows.empty:
            raise NotApplicable(f"{name} applies to none of {len(scored)} planted models")
        rows[["recipe", "base", "seed"]] = rows["planted"].str.split("/", expand=True)
        cluster = rows["planted"].to_numpy()

        def mean_over_models(
            column: str, direction: Any, unit: str = "fraction", head: str = "", scale: Scale = "share"
        ) -> Score:
            values = rows[column].to_numpy(float)
            return self.score(values, cluster, direction=direction, unit=unit, column=head, scale=scale)

        scores = {
            "auroc": mean_over_models("auroc", "higher"),
            "precision": mean_over_models("precision", "higher", head="precision@k"),
            "reciprocal_rank": mean_over_models("reciprocal", "higher", head="1/rank"),
            "cpr": mean_over_models("cpr", "higher", "area", "CPR", "difference"),
            "cmd": mean_over_models("cmd", "lower", "area", "CMD", "difference"),
            "alarms": mean_over_models("alarms", "lower", "components", "false alarms", "rate"),
            "applicable": bare_score(len(rows) / len(scored), len(scored), "fraction", column="applies to"),
        }
        if (fooled := rows["decoys"].dropna()).size:
            scores["decoys"] = bare_score(
                float(fooled.mean()), len(fooled), "fraction", "lower", "decoys named"
            )
        by_recipe = rows.groupby("recipe")[["auroc", "precision", "reciprocal", "cpr", "alarms"]].mean()
        items = pd.DataFrame(
            {"item": cluster, "unit": cluster, "speaker": cluster, "outcome": rows["auroc"].to_numpy()}
        )
        return Measurement(
            headline="auroc",
            scores=scores,
            curves=[],
            items=items,
            tables={
                "by_recipe": records(by_recipe.reset_index()),
                "planted": [
                    model.record | ({"top": own.top} if own else {"top": None}) for model, own in scored
                ],
                "repair": _repair_curve(rows),
            },
            seconds=float(rows["seconds"].sum()),
        )

    def _scored_models(self, device: str) -> "list[_ScoredModel]":
        """Every method on every planted model, measured once per run or read from the cache.

        Planted models are processed in parallel. The plan lists the slowest last; they are started first.
        """
        if not self._scored:
            cases = [(recipe, base) for recipe, bases in self.settings.plan.items() for base in bases]
            bases = [*dict.fromkeys(base for _, base in cases)]
            order = cases[::-1]
            models: dict[tuple[str, str], _ScoredModel] = {}
            with bar("planted causes", len(order)) as advance:
                scored = self.executor.map(partial(self._scored_case, device=device), order, device)
                for case, model in zip(order, scored, strict=True):
                    models[case] = model
                    advance()
            if self.cache:
                cache_use = CacheUse()
                for model in models.values():
                    cache_use.add(model.cache_use)
                cache_use.warn(self.cache / "planted")
            self._scored += [models[case] for case in sorted(cases, key=lambda case: bases.index(case[1]))]
        return self._scored

    def _scored_case(self, case: tuple[str, str], device: str) -> "_ScoredModel":
        make_deterministic()  # it may be a process on another machine
        return self.scored_model(*case, device)

    def scored_model(self, recipe: str, base: str, device: str) -> "_ScoredModel":
        """Every method on one planted model."""
        if base not in self._bases:
            self._bases[base] = PlantingBase(
                load_base_model(base, self.task.seed, device),
                self.corpus,
                self.settings.clips,
                self.task.seed,
            )
        return self._score_methods(self._bases[base], recipe)

    @cached_property
    def _fingerprint(self) -> str:
        return self.corpus.fingerprint()

    def _score_methods(self, base: PlantingBase, recipe: str) -> "_ScoredModel":
        shared = [
            VERSION, recipe, self.task.seed, self.settings.clips, base.model.identity.sha256,
            self._fingerprint, origin(str(base.model.device)),
        ]  # fmt: skip
        entries: dict[str, Any] = {}
        cache_use = CacheUse()
        missing: dict[MethodSubject, Path | None] = {}
        for subject in self.methods:
            name = f"{sha256_json([*shared, subject.identity.sha256])}{SUFFIX}"
            path = self.cache and self.cache / "planted" / name
            if path and (kept := cache_use.read(path)):
                entries[subject.identity.name] = json.loads(kept)
            else:
                missing[subject] = path
        if missing:
            planted = plant(base, recipe, self.task.seed)
            for subject, path in missing.items():
                scores = score_method(planted, subject.method)
                entry = {"said": planting_record(planted), "found": scores and asdict(scores)}
                if path:
                    cache_use.write(path, canonical_json(entry))
                entries[subject.identity.name] = entry
        planting_records = [entry["said"] for entry in entries.values()]
        first = planting_records[0]
        if any(record != first for record in planting_records):
            raise InnerearError(
                f"{first['planted']}: cached scores belong to a different planted model; clear the cache"
            )
        return _ScoredModel(
            first,
            {
                name: MethodScores(**entry["found"]) if entry["found"] else None
                for name, entry in entries.items()
            },
            cache_use,
        )


def _source_code(name: str, method: Method) -> str:
    """The code of a method, which shows when it was edited."""
    try:
        if not isfunction(method):
            raise TypeError(f"it is a {type(method).__name__}")
        return getsource(method)
    except (TypeError, OSError) as error:
        raise InputError(
            f"the method {name!r} has no source code by which its results are known ({error}); register a "
            "function that is defined in a Python file"
        ) from error


@dataclass(frozen=True)
class _ScoredModel:
    """The record of a planted model, the scores of each method on it, and how its cache was used."""

    record: dict[str, Any]
    scores: dict[str, MethodScores | None]
    cache_use: CacheUse


def _repair_curve(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean share of the behaviour that disappears, by number of repaired components."""
    points = pd.DataFrame(
        [(count, share) for curve in rows["curve"] for count, share in curve], columns=["repaired", "share"]
    )
    table = points.groupby("repaired")["share"].agg(["mean", "count"]).reset_index()
    return records(table.rename(columns={"mean": "share", "count": "models"}))
