"""innerear: what a speech recogniser knows at each layer, and which part of it causes its errors.

The public names are imported on first use, so that `import innerear` takes less than 0.1 s.
"""

from importlib import import_module

from innerear.util.version import __version__

TYPE_CHECKING = False  # type checkers know the name; `typing` takes most of the time of the import

_HOME = {
    "Corpus": "innerear.data.schema",
    "Intervention": "innerear.interventions.spec",
    "Item": "innerear.data.schema",
    "Options": "innerear.runs.plans",
    "Plan": "innerear.runs.plans",
    "Result": "innerear.results.schema",
    "SpeechModel": "innerear.models.base",
    "Store": "innerear.results.store",
    "Task": "innerear.tasks.task",
    "encode": "innerear.interventions.run",
    "fit_probes": "innerear.analysis.probes",
    "generate": "innerear.interventions.run",
    "load_corpus": "innerear.data.registry",
    "load_model": "innerear.models.loading",
    "load_task": "innerear.tasks.task",
    "plan": "innerear.runs.plans",
    "run": "innerear.runs.runner",
}

__all__ = [
    "Corpus",
    "Intervention",
    "Item",
    "Options",
    "Plan",
    "Result",
    "SpeechModel",
    "Store",
    "Task",
    "__version__",
    "encode",
    "fit_probes",
    "generate",
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
    from innerear.interventions.run import encode, generate
    from innerear.interventions.spec import Intervention
    from innerear.models.base import SpeechModel
    from innerear.models.loading import load_model
    from innerear.results.schema import Result
    from innerear.results.store import Store
    from innerear.runs.plans import Options, Plan, plan
    from innerear.runs.runner import run
    from innerear.tasks.task import Task, load_task


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'innerear' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value
