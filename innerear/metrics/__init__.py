"""Error rates as `evaluate` modules: one folder each, loaded by path, without a network."""

from pathlib import Path
from typing import TYPE_CHECKING

from innerear.util.errors import InputError
from innerear.util.paths import cache_folder

if TYPE_CHECKING:
    import evaluate

_HERE = Path(__file__).resolve().parent

NAMES = tuple(sorted(script.stem for script in _HERE.glob("*/*.py") if script.stem == script.parent.name))
"""The metrics that `load` knows."""


def load(name: str) -> "evaluate.EvaluationModule":
    """Load a metric; `compute(predictions=..., references=...)` does not normalise the texts.

    `evaluate` copies the script to its module cache (`HF_MODULES_CACHE`) and imports it from there; texts
    stay in memory.

    Raises
    ------
    InputError
        If no metric has this name, or the caches cannot be written.
    """
    if name not in NAMES:
        raise InputError(f"unknown metric {name!r}; choose one of {', '.join(NAMES)}")
    import evaluate  # takes two to four seconds, so only when a metric is loaded

    try:
        return evaluate.load(
            str(_HERE / name), keep_in_memory=True, cache_dir=str(cache_folder() / "evaluate")
        )
    except OSError as error:
        raise InputError(
            f"cannot load metric {name!r}: {error}; set HF_MODULES_CACHE and INNEREAR_CACHE to folders that "
            "can be written"
        ) from error
