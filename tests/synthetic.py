"""Results without a model, for tests of what reads results: the store, tracking, plots, the leaderboard."""

from typing import Any

import numpy as np
import pandas as pd

from innerear.results.recount import recount
from innerear.results.schema import (
    CENTROIDS,
    CONTROL,
    DEV,
    PROBE,
    SELECTIVITY,
    CorpusInfo,
    Curve,
    CurvePoint,
    Environment,
    FoldInfo,
    ModelInfo,
    Record,
    Result,
    Run,
    Score,
    Side,
    SplitInfo,
    TaskInfo,
)
from innerear.tasks.task import Task
from innerear.util.io import sha256_json

Sound = tuple[Result, pd.DataFrame]
TOY: dict[str, Any] = {
    "id": "toy-task", "version": 1, "confidence": 0.95, "measure": {"protocol": "phone-interchange"},
    "metric": {"name": "accuracy", "direction": "higher"},
}  # fmt: skip
"""A task that is not registered."""
SPEAKERS = [f"s{number:02}" for number in range(12)]
FRAMES = 1200


def curve(
    name: str, values: list[float], half: float = 0.02, chosen: int | None = None, kind="model"
) -> Curve:
    """A curve over encoder layers with intervals of ± `half`."""
    last = max(1, len(values) - 1)
    points = [
        CurvePoint(site=f"encoder.{k}", layer=k, depth=k / last, value=v, low=v - 0.02, high=v + 0.02)
        for k, v in enumerate(values)
    ]
    site = None if chosen is None else f"encoder.{chosen}"
    return Curve(name=name, metric="accuracy", kind=kind, n=FRAMES, points=points, chosen=site)


def make_result(value: float = 0.8, **changes: Any) -> Result:
    """A result whose probe reaches `value` at layer 3 of 4; `changes` replace fields, or keys of parts."""
    shape = np.array([0.7, 0.85, 0.95, 1.0, 0.97])
    probe = [float(v) for v in (value * shape).round(4)]
    control = [0.2] * len(probe)
    corpus = CorpusInfo(
        name="toy", version="1", fingerprint="c" * 64, items=48, speakers=12, seconds=120.0, human=False,
        licence="CC0-1.0", source="synthetic", refused=[("bad", "silent")],
    )  # fmt: skip
    side = Side(items=12, speakers=3, frames=300)
    values: dict[str, Any] = dict(
        task=TaskInfo(
            id="phoneme-probing", version=1, sha256="a" * 64, title="Layerwise phoneme probing",
            question="At which layer can phones be read?", citation="", tolerance=0.005,
            protocol="phone-probing",
            spec={
                "id": "phoneme-probing", "version": 1, "confidence": 0.95,
                "measure": {"protocol": "phone-probing"},
                "metric": {"name": "accuracy", "direction": "higher"}, "probe": {"grid": [0.1, 1.0]},
            },
        ),
        model=ModelInfo(
            name="whisper-base", family="whisper", kind="model", revision="r1", source="a mirror",
            sha256=sha256_json({"weights": "b" * 64}), parts={"weights": "b" * 64},
            parameters=7, licence="MIT", training_data=["680 kh of the web"],
            contaminated=False,
        ),
        corpus=corpus,
        split=SplitInfo(
            rule="speaker-folds", seed=1,
            folds=[FoldInfo(train=side, dev=side, test=side, dropped_shared_sentences=4)] * 4,
        ),
        headline="accuracy",
        scores={
            "accuracy": Score(
                value=value, low=round(value - 0.02, 4), high=round(value + 0.02, 4), n=FRAMES,
                unit="fraction", direction="higher",
            ),
            "selectivity": Score(
                value=value - 0.2, n=FRAMES, unit="fraction", direction="higher", column="selectivity"
            ),
            "emergence_depth": Score(value=0.5, n=5, unit="depth", direction="none", column="emergence"),
            "rank_agreement": Score(value=0.9, n=5, unit="tau", direction="none", column="2nd head"),
            "majority": Score(value=0.11, n=FRAMES, unit="fraction", direction="higher"),
        },
        curves=[
            curve(PROBE, probe, chosen=3),
            curve(DEV, [v + 0.01 for v in probe]),
            curve(CENTROIDS, [v - 0.1 for v in probe]),
            curve(CONTROL, control, kind="control"),
            curve(SELECTIVITY, [v - 0.2 for v in probe], kind="control"),
        ],
        tables={"confusions": [{"truth": "Z", "heard": "S", "count": 31}]},
        tuned={"c": [[0.1, 0.1, 1.0, 1.0, 0.1]] * 4},
        seeds={"split": 1},
        run=Run(
            created="2026-01-02T03:04:05+00:00", load_s=1.0, encoder_s=6.0, decoder_s=0.0, measure_s=3.0,
            encoder_rtfx=40.0, total_s=12.0,
            audio_s=120.0, rtfx=20.0, peak_memory_mib=900.0, gpu_forward_ms=None, cached_items=0,
            device="cpu", threads=2, batch_size=8,
        ),
        environment=Environment(
            innerear="0.1.0", python="3.11.2", packages={"torch": "2.9.0"}, git_commit="f" * 40,
            platform="Linux", cpu="a processor", cores=2, gpu=None, deterministic=True, precision="float32",
        ),
    )  # fmt: skip
    for name, change in changes.items():
        part = values.get(name)
        values[name] = {**dict(part), **change} if isinstance(part, Record) else change
    if "model" in changes:  # another name is another model, unless its parts are given
        model = values["model"]
        parts = changes["model"].get("parts", {"weights": model["name"]})
        values["model"] = {**model, "parts": parts, "sha256": sha256_json(parts)}
    return Result(**values)


def make_sound(value: float = 0.8, seed: int = 0, task: Task | None = None, **changes: Any) -> Sound:
    """A result that verifies, and its items: of a model and a task that are not registered, or a given task.

    `task_info` are further fields of its task.
    """
    spec = TOY if task is None else task.canonical()
    named = {"id": spec["id"], "version": spec["version"], "protocol": spec["measure"]["protocol"]}
    prose = {} if task is None else task.prose()
    info = {"spec": spec, "sha256": sha256_json(spec), **named, **prose, **changes.pop("task_info", {})}
    items = make_items(value, seed)
    model = {"name": "toy-model", **changes.pop("model", {})}
    result = make_result(value, task=info, model=model, **changes)
    if result.score is None:
        return result, items
    value, low, high = recount(result, items).scores["accuracy"]
    score = result.score.model_copy(update={"value": value, "low": low, "high": high})
    fields = {"scores": {**result.scores, "accuracy": score}, "content_sha256": "", "record_sha256": ""}
    return Result(**{**dict(result), **fields}), items


def make_items(value: float = 0.8, seed: int = 0) -> pd.DataFrame:
    """Outcomes of `FRAMES` phones of all speakers, a share `value` of them right; hard items are shared."""
    difficulty = np.random.default_rng(7).random(FRAMES)
    noise = 0.1 * np.random.default_rng(seed).standard_normal(FRAMES)
    order = np.argsort(difficulty + noise, kind="stable")
    outcome = np.zeros(FRAMES)
    outcome[order[: round(value * FRAMES)]] = 1.0
    speaker = np.repeat(SPEAKERS, FRAMES // len(SPEAKERS))
    clip = np.tile(np.repeat(range(4), 25), len(SPEAKERS))
    return pd.DataFrame(
        {
            "item": [f"{who}-{number}" for who, number in zip(speaker, clip, strict=True)],
            "speaker": speaker,
            "unit": [f"unit-{number}" for number in range(FRAMES)],
            "outcome": outcome,
        }
    )


def make_family() -> list[tuple[Result, pd.DataFrame]]:
    """Three models, a twin of each, and log-mel: (result, items)."""
    made = []
    for rank, (name, value) in enumerate(
        [("whisper-base", 0.86), ("whisper-tiny.en", 0.84), ("moonshine-tiny", 0.83)]
    ):
        made.append((make_result(value, model={"name": name}), make_items(value, rank)))
        low = round(value - 0.42, 2)
        twin = {"name": f"{name}-random", "kind": "twin", "twin_of": name, "seed": 0}
        made.append((make_result(low, model=twin), make_items(low, 10 + rank)))
    floor = CurvePoint(site="log-mel", layer=0, depth=0.0, value=0.58, low=0.56, high=0.6)
    curves = [Curve(name=PROBE, metric="accuracy", kind="floor", n=FRAMES, points=[floor], chosen="log-mel")]
    log_mel = make_result(0.58, model={"name": "log-mel", "kind": "floor", "family": "floor"}, curves=curves)
    return [*made, (log_mel, make_items(0.58, 30))]
