"""Compare models on the tasks they share."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from innerear.models.registry import registered_name
from innerear.results.machines import Machines, machines, near
from innerear.results.paired import Comparison, difference
from innerear.results.schema import Result
from innerear.results.store import Store
from innerear.stats.intervals import holm
from innerear.util.errors import InputError
from innerear.util.progress import bar


def compare(store: Store, names: Sequence[str]) -> tuple[list[Comparison], list[str]]:
    """Compare every two models on each task for which a store has results of both.

    Parameters
    ----------
    names
        Names of models, or NAME@HASH with the first digits of its hash where several have one name.

    Returns
    -------
    list of Comparison
        Sorted by task; p with Holm's correction over all of them, and whether a verdict is near its
        threshold.
    list of str
        What could not be compared, and why: the task or corpus differs, a result is n/a, or the two have
        nothing in common.

    Raises
    ------
    InputError
        If a model has no result, or nothing could be compared.
    InnerearError
        If the file of measurements on other machines holds something else.
    """
    own = named(store, names)
    hashes = [{result.model.sha256 for result in each} for each in own.values()]
    if len(own) < 2 or any(a & b for a, b in combinations(hashes, 2)):
        raise InputError("name at least two different models")
    made: list[Comparison] = []
    refused: list[str] = []
    pairs = [(f"{a} and {b}", *match) for a, b in combinations(own, 2) for match in _matched(own[a], own[b])]
    with bar("comparing", len(pairs)) as advance:
        for who, mine, its, differs in pairs:
            found = differs or difference(store, mine, its)
            advance()
            if isinstance(found, Comparison):
                made.append(found)
            else:
                refused.append(f"{who} on {mine.task.id} ({mine.corpus.name}): {found}")
    for a, b in combinations(own, 2):
        refused += [*_alone(a, own[a], b, own[b]), *_alone(b, own[b], a, own[a])]
    if not made:
        raise InputError("nothing to compare: " + "; ".join(refused or ["the models share no task"]))
    return sorted(_corrected(made, machines(store.folder)), key=lambda each: each.a.group), refused


def named(store: Store, names: Sequence[str]) -> dict[str, list[Result]]:
    """The results of models, by the names that they were asked for by.

    Parameters
    ----------
    names
        Of models, or NAME@HASH with the first digits of its hash where several have one name; a registered
        model may be named as on the hub, too.

    Raises
    ------
    InputError
        If one has no result, or several models have the name.
    """
    results, found = store.load_all(), {}
    for name in names:
        called = registered_name(name)
        found[name] = [result for result in results if _is_called(result, called)]
        if not found[name]:
            known = sorted({result.model.name for result in results})
            raise InputError(f"{store.folder}: no result of {called}; there are {', '.join(known)}")
        _refuse_namesakes(found[name])
    return found


def _is_called(result: Result, name: str) -> bool:
    plain, _, start = name.rpartition("@")
    own = result.model
    return own.name == name or (own.name == plain and start != "" and own.sha256.startswith(start))


def _matched(mine: Sequence[Result], its: Sequence[Result]) -> list[tuple[Result, Result, str]]:
    """Pairs of results of one group; for a result without a partner, one of its topic and what differs."""
    groups = {result.group: result for result in its}
    made = [(result, groups[result.group], "") for result in mine if result.group in groups]
    paired = {result.group for result, *_ in made}

    def nearest(result: Result, others: Sequence[Result]) -> list[Result]:
        same = [other for other in others if _topic(other) == _topic(result)]
        return sorted(same, key=lambda other: other.group in paired)[:1]

    alone = [
        (result, other) for result in mine if result.group not in paired for other in nearest(result, its)
    ]
    alone += [
        (other, result) for result in its if result.group not in paired for other in nearest(result, mine)
    ]
    once = {(a.group, b.group): (a, b) for a, b in alone}
    return made + [(a, b, _differs(a, b)) for a, b in once.values()]


def _refuse_namesakes(own: Sequence[Result]) -> None:
    """Raise an `InputError` if different models have one name; floors may differ from table to table."""
    known: dict[tuple[str, ...], Result] = {}
    for result in own:
        other = known.setdefault(result.group if result.model.kind == "floor" else (), result)
        if other.model.sha256 != result.model.sha256:
            full = " or ".join(f"{each.model.name}@{each.model.sha256[:8]}" for each in (other, result))
            raise InputError(
                f"{result.model.name} on {result.task.id} ({result.corpus.name}): several models have this "
                f"name; say which: {full}"
            )


def _alone(name: str, mine: Sequence[Result], other: str, its: Sequence[Result]) -> list[str]:
    """Results that only the first model has, one line each."""
    known = {_topic(result) for result in its}
    return [
        f"{name} on {result.task.id} ({result.corpus.name}): {other} has no such result"
        for result in mine
        if _topic(result) not in known
    ]


def _topic(result: Result) -> tuple[str, str]:
    return result.task.id, result.corpus.name


def _differs(a: Result, b: Result) -> str:
    for what, one, other in (
        ("the task's hash", a.task.sha256, b.task.sha256),
        ("the corpus", a.corpus.fingerprint, b.corpus.fingerprint),
    ):
        if one != other:
            return (
                f"{what} is {one[:12]} in one and {other[:12]} in the other; run both with the same version"
            )
    return "the training corpus differs; run both with the same one"


def _corrected(found: Sequence[Comparison], moved: Machines) -> list[Comparison]:
    """The same comparisons with Holm's correction over all of them, and whether each verdict is near."""
    p = [each.p for each in found]
    spreads = [moved.spread(each.a.task.id, each.a.task.version) for each in found]
    close = near(p, spreads, [each.a.alpha for each in found])
    return [
        replace(each, adjusted=float(adjusted), near=bool(at))
        for each, adjusted, at in zip(found, holm(p), close, strict=True)
    ]
