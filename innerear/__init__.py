"""innerear: what a speech recogniser knows at each layer, and which part of it causes its errors.

The public names below are imported when they are first used, so that `import innerear` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Corpus": "innerear.data.schema",
    "Item": "innerear.data.schema",
    "Options": "innerear.runs.runner",
    "Plan": "innerear.runs.runner",
    "Result": "innerear.results.schema",
    "SpeechModel": "innerear.models.base",
    "Store": "innerear.results.store",
    "Task": "innerear.tasks.task",
    "fit_probes": "innerear.analysis.probes",
    "load_corpus": "innerear.data.registry",
    "load_model": "innerear.models.loading",
    "load_task": "innerear.tasks.task",
    "plan": "innerear.runs.runner",
    "run": "innerear.runs.runner",
}

__all__ = [
    "Corpus",
    "Item",
    "Options",
    "Plan",
    "Result",
    "SpeechModel",
    "Store",
    "Task",
    "__version__",
    "fit_probes",
    "load_corpus",
    "load_model",
    "load_task",
    "plan",
    "run",
]

if TYPE_CHECKING:
    from innerear.analysis.probes import fit_probes
    from innerear.data.registry import load_corpus
    from innerear.data.schema import Corpus, Item
    from innerear.models.base import SpeechModel
    from innerear.models.loading import load_model
    from innerear.results.schema import Result
    from innerear.results.store import Store
    from innerear.runs.runner import Options, Plan, plan, run
    from innerear.tasks.task import Task, load_task


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'innerear' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value
