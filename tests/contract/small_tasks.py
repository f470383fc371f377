"""Every registered task on the fewest clips that it takes, to see that models run through it."""

from pathlib import Path
from typing import Any

import yaml

from innerear.tasks.task import load_task, task_names

FEWEST: dict[str, dict[str, Any]] = {
    "transcription": {"limit": 20},
    "logit-lens": {"limit": 20},
    "bias-localisation": {"clips_per_speaker": 8, "measure": {"alphas": [0.5]}},
    "erasure": {"clips_per_speaker": 1, "measure": {"tested": 1}},
    "mitigation": {
        "clips_per_speaker": 1,
        "measure": {"most": 20, "depths": [1.0], "strengths": [0.1, 0.2, 0.4], "draws": 1},
    },
    "phone-interchange": {"clips_per_speaker": 8},
    "planted-causes": {"measure": {"clips": 8, "plan": {"loop": ["tiny-random-1"]}}},
    "repetition": {"clips_per_speaker": 1, "measure": {"most": 20, "nodes": [1, 2], "best": 2}},
    "semantic-bias": {"clips_per_speaker": 8, "measure": {"graded": 2, "steps": 5, "resamples": 100}},
    "semantic-category": {"clips_per_speaker": 16, "split": {"folds": 2}},
    "sparse-features": {
        "clips_per_speaker": 1,
        "measure": {
            "dictionary": {"steps": 20},
            "seeds": [0, 1],
            "steering": {"clips": 2, "features": 2, "most": 20},
        },
    },
    "speech-detection": {"clips_per_speaker": 1},
    "speed": {"measure": {"repetitions": 1, "timed": 2, "batches": [1], "probe": {"grid": [0.1]}}},
}
"""What differs from a clip of each speaker."""


def _changed(spec: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A mapping with changes at any depth."""
    return spec | {
        key: _changed(spec.get(key) or {}, value) if isinstance(value, dict) and key != "plan" else value
        for key, value in changes.items()
    }


def save(folder: Path) -> list[Path]:
    """Save a `task.yaml` of each into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name in task_names():
        spec = load_task(name).model_dump(mode="json", exclude_none=True)
        spec = _changed(spec, {"id": f"small-{name}"} | FEWEST.get(name, {"clips_per_speaker": 1}))
        files.append(folder / f"{name}.yaml")
        files[-1].write_text(yaml.safe_dump(spec))
    return files
