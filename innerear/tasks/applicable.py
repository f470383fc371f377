"""Which registered tasks apply to a model, told from its capabilities alone."""

from functools import cache

from innerear.models.capabilities import Capabilities, Needs
from innerear.tasks.declarations import declaration
from innerear.tasks.task import load_task, task_names


def applicable_tasks(model: Capabilities) -> dict[str, str | None]:
    """Why each task does not apply to a model, or None where it does, without tasks that score no models.

    A run may find more: a corpus may be in a language that the model does not know.
    """
    return {
        name: next((reason for each in asked if (reason := model.lacks(each))), None)
        for name, asked in _needs().items()
        if asked is not None
    }


@cache
def _needs() -> dict[str, tuple[Needs, ...] | None]:
    return {name: declaration(load_task(name).measure.protocol).needs for name in task_names()}
