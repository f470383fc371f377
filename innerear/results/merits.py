"""Merits and profiles: which headlines rank models.

A merit is a headline that someone would choose a model by, and whose audit passed. Any other headline
describes models: its table has no ranks, and counts in no mean over tasks.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from innerear.results.audit import Audited
from innerear.results.schema import Result
from innerear.tasks.registered import registered_task
from innerear.tasks.task import Task


def profile(result: Result) -> str:
    """Why the headline of this task describes models and does not rank them; empty for a merit.

    A user's own task is not in the register, and says nothing of it.
    """
    task = registered_task(result.task.spec)
    return task.profile if task else ""


def no_merit(results: Sequence[Result], audits: Mapping[str, Sequence[Audited]]) -> str:
    """Why the results of a table have no ranks, as a sentence; empty if they have.

    Localisation methods are ranked by what they find in planted models, where the truth is known. A user's
    own task is ranked, too, as its author answers for it; neither counts in a mean over tasks (`counts`).

    Parameters
    ----------
    audits
        Audits of headlines by task, as from `headline_audits`.
    """
    task = registered_task(results[0].task.spec)
    return "" if task is None or results[0].model.kind == "method" else unranked(task, audits)


def unranked(task: Task, audits: Mapping[str, Sequence[Audited]]) -> str:
    """Why the headline of a registered task ranks no models, as a sentence; empty if it is a merit."""
    if task.profile:
        return f"A profile, so no ranks: {task.profile}"
    own = [each for each in audits.get(task.id, ()) if each.version == task.version]
    match audit_outcome(task.version, own):
        case "failed":
            failed = sorted({check.name for each in own for check in each.failed})
            return f"No ranks: the headline failed the audit ({', '.join(failed)})."
        case "not run":
            return "No ranks: no audit has shown that the headline gets worse as a model is damaged."
    return ""


def unaudited(results: Sequence[Result]) -> str:
    """Why results that `no_merit` leaves their ranks have them without an audit; empty if they need one."""
    if results[0].model.kind == "method":
        return "Ranked without an audit: methods are held against planted causes, where the truth is known."
    if registered_task(results[0].task.spec) is None:
        return "Ranked without an audit: the task is not registered, and its author answers for it."
    return ""


def audit_outcome(version: int, audits: Sequence[Audited]) -> Literal["passed", "failed", "not run"]:
    """What audits say of the headline of a task's version; passed if it falls as a model is damaged."""
    own = [each for each in audits if each.version == version]
    if any(each.failed for each in own):
        return "failed"
    shown = any((check := each.check("damage")) and check.outcome == "pass" for each in own)
    return "passed" if shown else "not run"


def counts(results: Sequence[Result], reason: str) -> bool:
    """Whether a table counts in a mean over tasks: a registered task that ranks models.

    Parameters
    ----------
    reason
        What `no_merit` said of it.
    """
    return not reason and registered_task(results[0].task.spec) is not None
