"""innerear: what a speech recogniser knows at each layer, and which part of it causes its errors.

The public names are imported on first use, so that `import innerear` takes less than 0.1 s.
"""

from importlib import import_module

from innerear.util.version import __version__

TYPE_CHECKING = False  # type checkers know the name; `typing` takes most of the time of the import

_HOME = {
    "Chart": "innerear.report.chart",
    "Corpus": "innerear.data.schema",
    "Intervention": "innerear.interventions.spec",
    "Item": "innerear.data.schema",
    "Options": "innerear.runs.plans",
    "Plan": "innerear.runs.plans",
    "Result": "innerear.results.schema",
    "Results": "innerear.results.collection",
    "SpeechModel": "innerear.models.base",
    "Store": "innerear.results.store",
    "Task": "innerear.tasks.task",
    "attention_map": "innerear.look.charts",
    "encode": "innerear.interventions.run",
    "fit_probes": "innerear.analysis.probes",
    "generate": "innerear.interventions.run",
    "lens": "innerear.look.charts",
    "load_corpus": "innerear.data.registry",
    "load_model": "innerear.models.loading",
    "load_results": "innerear.results.collection",
    "load_task": "innerear.tasks.task",
    "phones": "innerear.look.charts",
    "plan": "innerear.runs.plans",
    "plot": "innerear.look.charts",
    "run": "innerear.runs.runner",
    "saliency": "innerear.look.charts",
    "sweep": "innerear.look.charts",
}

__all__ = [
    "Chart",
    "Corpus",
    "Intervention",
    "Item",
    "Options",
    "Plan",
    "Result",
    "Results",
    "SpeechModel",
    "Store",
    "Task",
    "__version__",
    "attention_map",
    "encode",
    "fit_probes",
    "generate",
    "lens",
    "load_corpus",
    "load_model",
    "load_results",
    "load_task",
    "phones",
    "plan",
    "plot",
    "run",
    "saliency",
    "sweep",
]

if TYPE_CHECKING:
    from innerear.analysis.probes import fit_probes
    from innerear.data.registry import load_corpus
    from innerear.data.schema import Corpus, Item
    from innerear.interventions.run import encode, generate
    from innerear.interventions.spec import Intervention
    from innerear.look.charts import attention_map, lens, phones, plot, saliency, sweep
    from innerear.models.base import SpeechModel
    from innerear.models.loading import load_model
    from innerear.report.chart import Chart
    from innerear.results.collection import Results, load_results
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
