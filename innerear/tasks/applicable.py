"""Which registered tasks apply to a model, told from its capabilities alone."""

from functools import cache

from innerear.models.capabilities import Capabilities
from innerear.tasks.declarations import Declaration, declaration
from innerear.tasks.task import load_task, task_names


def applicable_tasks(model: Capabilities) -> dict[str, str | None]:
    """Why each task does not apply to a model, or None where it does, without tasks that score no models.

    A run may find more: a corpus may be in a language that the model does not know.
    """
    return {
        name: declared.lacking(model)
        for name, declared in _declarations().items()
        if declared.needs is not None
    }


@cache
def _declarations() -> dict[str, Declaration]:
    return {name: declaration(load_task(name).measure.protocol) for name in task_names()}
