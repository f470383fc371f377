"""The register of tasks: which task a result is of, and how what it says of its task differs from that.

A registered task is one that comes with innerear, alone or as a suite has it, with the choices that a run may
make (`CHOICES`) written into it.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from innerear.tasks.task import Task, load_task, suites, task_names
from innerear.util.io import sha256_json

CHOICES = ("corpus", "train_corpus", "clips_per_speaker", "limit", "seed", "long_form", "machine")
"""Settings that a run may change in a registered task."""


def registered_task(spec: Mapping[str, Any]) -> Task | None:
    """The registered task that has this specification, with the register's own title and tolerance, or None.

    Parameters
    ----------
    spec
        What a result says that it measured, as from `Task.canonical`.
    """
    return _registered(sha256_json(dict(spec)), *_choices(spec))


def disagreement(spec: Mapping[str, Any]) -> str:
    """How a specification differs from the registered task of its name; empty if it does not.

    A task of another name is a user's own: it is not in the register, and disagrees with nothing.
    """
    name = spec.get("id")
    if name not in task_names() or registered_task(spec):
        return ""
    versions = spec.get("version"), load_task(str(name)).version
    if versions[0] != versions[1]:
        return f"it used version {versions[0]} of {name}, which is now at {versions[1]}; run it again"
    differences = (list(_differences(spec, base.canonical())) for base in _bases(str(name)))
    first = min(differences, key=len)[0]
    return f"its task is not the registered {name}, whose {first}; a variant needs an id of its own"


def largest_tolerance(protocol: str) -> float:
    """The largest tolerance among the registered tasks of a protocol: no variant may claim more."""
    tasks = map(load_task, task_names())
    return max((task.tolerance for task in tasks if task.measure.protocol == protocol), default=0.0)


def _choices(spec: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, Any], ...]]:
    plain = (str, int, type(None))
    return str(spec.get("id")), tuple(
        (name, spec[name]) for name in CHOICES if isinstance(spec.get(name, ()), plain)
    )


@cache
def _registered(sha256: str, name: str, choices: tuple[tuple[str, Any], ...]) -> Task | None:
    for base in _bases(name):
        try:
            task = Task.model_validate(base.model_dump() | dict(choices))
        except ValueError:
            continue
        if task.sha256() == sha256:
            return task
    return None


def _bases(name: str) -> Iterator[Task]:
    """A task alone, and as each suite has it."""
    if name not in task_names():
        return
    yield load_task(name)
    for suite in suites().values():
        for entry in suite.tasks:
            if entry.id == name:
                yield from (entry.task(full) for full in (False, True))


def _differences(spec: Mapping[str, Any], registered: Mapping[str, Any]) -> Iterator[str]:
    own, known = dict(_flat(spec)), dict(_flat(registered))
    for name in dict.fromkeys([*known, *own]):
        if name not in CHOICES and own.get(name) != known.get(name):
            yield f"{name} is {known.get(name)!r}, not {own.get(name)!r}"


def _flat(spec: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their names, nested ones with dots."""
    for name, value in spec.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
