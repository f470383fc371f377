"""Planted causes: which method finds the component that makes a model misbehave.

What is scored are methods, each over the same planted models; a method stands where tasks have a model.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from inspect import getsource
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers
from torch import Tensor

from innerear.activations.capture import Captured, Demand
from innerear.activations.forward import Listener
from innerear.data.schema import Corpus
from innerear.models.base import Identity, SpeechModel
from innerear.models.frames import WHISPER
from innerear.planted.material import Material, base_model
from innerear.planted.methods import OWN, Method, methods, source_of
from innerear.planted.planting import plant
from innerear.planted.recipes import RECIPES
from innerear.planted.scoring import Found, row, score_method
from innerear.protocols.base import Measurement, NotApplicable, Protocol, bare_score, records
from innerear.results.schema import Score
from innerear.stats.intervals import Scale
from innerear.tasks.settings import PlantedCauses
from innerear.tasks.task import Task
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import sha256_json, write_json
from innerear.util.processes import parallel_map, process_count
from innerear.util.progress import bar
from innerear.util.version import __version__

VERSION = 1
"""Raised when a recipe or a method gives other scores, so that what is cached is made again."""
FLOOR = "random-order"


class MethodSubject:
    """A method in the place of a listener: it has a name and hears nothing."""

    clock = WHISPER
    encoder_sites = ()
    device = torch.device("cpu")

    def __init__(self, name: str, method: Method) -> None:
        self.method = method
        code, ours = source_of(name, method), OWN.get(name) is method
        self.identity = Identity(
            name=name,
            family="method",
            kind="floor" if name == FLOOR else "method",
            revision=__version__,
            source=code,
            # a method of one's own has no version of ours: what it is made of tells when it was edited
            weights_sha256=sha256_json([name, code, VERSION, *([] if ours else [getsource(method)])]),
            parameters=0,
            licence="Apache-2.0" if ours else "not stated",
            training_data=(),
        )

    def unsupported_reason(self, samples: int) -> str | None:
        """Nothing is heard, so nothing is refused."""
        return None

    def batch_key(self, samples: int) -> int:
        """All clips are alike."""
        return 0

    def states(self, audio: Sequence[np.ndarray], sites: Sequence[str]) -> dict[str, Tensor]:
        """There are none."""
        raise InputError(f"{self.identity.name} is a method: it has no states")


class PlantedCausesProtocol(Protocol):
    """Ask methods to find planted causes."""

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, PlantedCauses)
        self.settings = task.measure
        if unknown := sorted(set(self.settings.plan) - set(RECIPES)):
            raise InputError(f"{task.id}: no recipe {unknown[0]!r}; there are {', '.join(RECIPES)}")
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
                    f"{self.corpus.name}: {len(items)} {name} where {2 * self.settings.clips} are needed; "
                    "take innerear-speech+innerear-nonspeech+innerear-pairs"
                )
        self.judges = [MethodSubject(name, method) for name, method in methods().items()]
        self._known: list[_Judged] = []
        self._materials: dict[str, Material] = {}

    def floors(self) -> Sequence[Listener]:
        """All methods: no model is scored."""
        return self.judges

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """Nothing is read of a corpus as such."""
        return {}

    def unsupported_reason(self, listener: Listener) -> str | None:
        """What is scored is methods."""
        return "the task scores methods, not models" if isinstance(listener, SpeechModel) else None

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Score one method over all planted models; what others need is measured by the way."""
        name = listener.identity.name
        judged = self._judged(device)
        found = [(model, model.found[name]) for model in judged]
        rows = pd.DataFrame(
            [{"planted": model.said["planted"], **asdict(each)} for model, each in found if each is not None]
        )
        if rows.empty:
            raise NotApplicable(f"{name} applies to none of {len(judged)} planted models")
        rows[["recipe", "base", "seed"]] = rows["planted"].str.split("/", expand=True)
        cluster = rows["planted"].to_numpy()

        def over(
            column: str, direction: Any, unit: str = "fraction", head: str = "", scale: Scale = "share"
        ) -> Score:
            values = rows[column].to_numpy(float)
            return self.score(values, cluster, direction=direction, unit=unit, column=head, scale=scale)

        scores = {
            "auroc": over("auroc", "higher"),
            "precision": over("precision", "higher", head="precision@k"),
            "reciprocal_rank": over("reciprocal", "higher", head="1/rank"),
            "cpr": over("cpr", "higher", "area", "CPR", "difference"),
            "cmd": over("cmd", "lower", "area", "CMD", "difference"),
            "alarms": over("alarms", "lower", "components", "false alarms", "rate"),
            "applicable": bare_score(len(rows) / len(judged), len(judged), "fraction", column="applies to"),
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
                    model.said | ({"top": each.top} if each else {"top": None}) for model, each in found
                ],
                "repair": _curve(rows),
            },
            seconds=float(rows["seconds"].sum()),
        )

    def _judged(self, device: str) -> "list[_Judged]":
        """Every method on every planted model, measured once a run; what the cache holds is kept.

        Planted models are made side by side. What takes long stands last in the plan, and begins first.
        """
        if not self._known:
            asked = [(recipe, base) for recipe, bases in self.settings.plan.items() for base in bases]
            bases = [*dict.fromkeys(base for _, base in asked)]
            order = asked[::-1]
            count = process_count(len(order)) if device == "cpu" else 1  # CUDA does not outlive a fork
            made: dict[tuple[str, str], _Judged] = {}
            with bar("planted causes", len(order)) as advance:
                for pair, judged in zip(
                    order, parallel_map(lambda pair: self.judged(*pair, device), order, count), strict=True
                ):
                    made[pair] = judged
                    advance()
            self._known += [made[pair] for pair in sorted(asked, key=lambda pair: bases.index(pair[1]))]
        return self._known

    def judged(self, recipe: str, base: str, device: str) -> "_Judged":
        """Every method on one planted model."""
        if base not in self._materials:
            self._materials[base] = Material(
                base_model(base, self.task.seed, device), self.corpus, self.settings.clips, self.task.seed
            )
        return self._one(self._materials[base], recipe)

    @cached_property
    def _fingerprint(self) -> str:
        return self.corpus.fingerprint()

    def _one(self, material: Material, recipe: str) -> "_Judged":
        shared = [
            VERSION, recipe, self.task.seed, self.settings.clips, material.model.identity.weights_sha256,
            self._fingerprint, torch.__version__, transformers.__version__, material.model.device.type,
        ]  # fmt: skip
        known: dict[str, Any] = {}
        missing: dict[MethodSubject, Path | None] = {}
        for one in self.judges:
            name = f"{sha256_json([*shared, one.identity.weights_sha256])}.json"
            path = self.cache and self.cache / "planted" / name
            if path and path.is_file():
                known[one.identity.name] = json.loads(path.read_text())
            else:
                missing[one] = path
        if missing:
            planted = plant(material, recipe, self.task.seed)
            for one, path in missing.items():
                found = score_method(planted, one.method)
                entry = {"said": row(planted), "found": found and asdict(found)}
                if path:
                    write_json(path, entry)
                known[one.identity.name] = entry
        said = [each["said"] for each in known.values()]
        if any(each != said[0] for each in said):
            raise InnerearError(f"{said[0]['planted']} was planted otherwise before; clear the cache")
        return _Judged(
            said[0],
            {name: Found(**each["found"]) if each["found"] else None for name, each in known.items()},
        )


@dataclass(frozen=True)
class _Judged:
    """A planted model, and what each method found."""

    said: dict[str, Any]
    found: dict[str, Found | None]


def _curve(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean share of the behaviour that goes by number of repaired components."""
    points = pd.DataFrame(
        [(count, share) for curve in rows["curve"] for count, share in curve], columns=["repaired", "share"]
    )
    table = points.groupby("repaired")["share"].agg(["mean", "count"]).reset_index()
    return records(table.rename(columns={"mean": "share", "count": "models"}))
