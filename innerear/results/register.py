"""Hold a result against the register: the task, the model and the corpora that it names, and its peers.

What a file says of its own task, model or corpus is no evidence. Here it is compared with what comes with
innerear: tasks/, baselines/, the embedded corpora, and the published results of the same task (its peers), at
least one of which must agree. What is not registered can only be held against itself.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from innerear.data import embedded
from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus
from innerear.results import published
from innerear.results.known_models import model_problems
from innerear.results.schema import CorpusInfo, Result
from innerear.tasks.declarations import Declaration, declaration
from innerear.tasks.registered import disagreement, registered_task
from innerear.tasks.task import Task

_CORPUS = ("name", "version", "fingerprint", "items", "speakers", "seconds", "human")
"""What a task decides of its corpus."""
_SCORE = ("unit", "direction", "column")
_TASKS_OWN = ("majority", "majority_accuracy")
"""Scores that all models have alike, where they have the same rows and classes."""
_CHANCE = 20
"""Number of planted models below which two methods may find the same in all of them."""


def register_problems(path: Path, result: Result, items: pd.DataFrame | None) -> Iterator[str]:
    """What does not agree with the register, one line each.

    Parameters
    ----------
    items
        The per-item outcomes of the result at `path`, units unique; None where there are none.
    """
    yield from model_problems(result)
    if says := disagreement(result.task.spec):
        yield says
    if (task := registered_task(result.task.spec)) is None:
        return
    if result.task.tolerance != task.tolerance:
        own = f"its tolerance is {result.task.tolerance:g}"
        yield f"{own}, but {task.tolerance:g} is registered for {task.id}"
    if result.model.kind == "twin" and result.model.seed != task.seed:
        yield f"the twin is drawn from seed {result.model.seed}, but the seed of the task is {task.seed}"
    peers = list(published.peers(path, result))
    if not peers:
        yield from _embedded_problems(result, items, task)
        return
    others = [other for _, other in peers]
    yield from _no_agreement(_corpora_differ(result, other) for other in others)
    yield from _no_agreement(_scores_differ(result, other) for other in others)
    yield from _no_agreement(_identity_differs(result, other) for other in others)
    yield from _no_agreement(_measured_differ(result, other, task.tolerance) for other in others)
    if items is not None:
        rows = items.set_index("unit")
        yield from _no_agreement(_rows_differ(result, rows, *peer) for peer in peers)
        for beside, other in peers:
            if _copied(result, rows, beside, other):
                yield f"its per-item outcomes are those of {other.model.name}, which has other weights"
            elif _rounded_alike(result, rows, beside, other):
                precisions = f"in {result.model.parts['dtype']}, but those of {other.model.parts['dtype']}"
                yield f"its per-item outcomes are said to be {precisions}, to the last digit"


def _no_agreement(differences: Iterable[str | None]) -> Iterator[str]:
    """The first difference unless a peer agrees (an empty text); None is from a peer that says nothing."""
    first = ""
    for difference in differences:
        if difference == "":
            return
        first = first or difference or ""
    if first:
        yield first


def _corpora_differ(result: Result, other: Result) -> str:
    pairs = (
        ("corpus", result.corpus, other.corpus),
        ("training corpus", result.train_corpus, other.train_corpus),
    )
    for role, own, published_one in pairs:
        if (own is None) != (published_one is None):
            return f"it has {'no' if own is None else 'a'} {role}, unlike the published results of its task"
        if own and published_one:
            for name in _CORPUS:
                mine, its = getattr(own, name), getattr(published_one, name)
                if mine != its:
                    return f"the {name} of its {role} is {_brief(mine)}, but {_brief(its)} is published"
    return ""


def _brief(value: object) -> str:
    return str(value)[:12] if isinstance(value, str) and len(value) == 64 else str(value)


def _scores_differ(result: Result, other: Result) -> str | None:
    """How the kinds of the scores differ, or those that the task alone decides."""
    if result.score is None or other.score is None:
        return None
    if result.headline != other.headline:
        return f"its headline is {result.headline}, but {other.headline} is published for its task"
    declared = declaration(result.task.protocol)
    same_rows = declared.same_rows and not (result.corpus.refused or other.corpus.refused)
    for name in result.scores.keys() & other.scores.keys():
        mine, its = result.scores[name], other.scores[name]
        for field in _SCORE:
            if (said := getattr(mine, field)) != (known := getattr(its, field)):
                return f"the {field} of {name} is {said!r}, but {known!r} is published"
        if same_rows and "truth" in declared.given and name in _TASKS_OWN and mine.value != its.value:
            return f"{name} = {mine.value:g}, but {its.value:g} is published for every model"
    if same_rows and _split(result, declared) != _split(other, declared):
        return "its split is not that of the published results"
    return ""


def _split(result: Result, declared: Declaration) -> dict[str, object]:
    """The split, by clips and speakers alone where a model has frames of its own."""
    frames = {side: {"frames"} for side in ("train", "dev", "test")}
    return result.split.model_dump(exclude={"folds": {"__all__": frames}} if declared.own_frames else None)


def _identity_differs(result: Result, other: Result) -> str | None:
    """Whether a floor or method is another one than that published by its name for the task."""
    if other.model.name != result.model.name or result.model.kind not in ("floor", "method"):
        return None
    if other.model.kind != result.model.kind or other.model.parts != result.model.parts:
        return (
            f"{result.model.name} is {result.model.sha256[:12]}, but {other.model.sha256[:12]} is published"
        )
    return ""


def _measured_differ(result: Result, other: Result, tolerance: float) -> str | None:
    """How numbers differ from those published for the same model, beyond tolerance and intervals."""
    if other.key != result.key:
        return None
    whose = f"the published result of {other.model.name}"
    if result.score is None or other.score is None:
        return (
            "" if result.status == other.status else f"it is {result.status}, but {whose} is {other.status}"
        )
    allowance = partial(declaration(result.task.protocol).allowance, tolerance)
    if abs(result.score.value - other.score.value) > (allowed := allowance(other.score.value)):
        own, known = result.score.value, other.score.value
        return f"{result.headline} = {own:g}, but {whose} has {known:g} ± {allowed:g}"
    for name in sorted(result.scores.keys() & other.scores.keys()):
        mine, its = result.scores[name], other.scores[name]
        if _outside(mine.value, its.low, its.high, allowance(its.value)):
            return f"{name} = {mine.value:g}, but {whose} has the interval [{its.low:g}, {its.high:g}]"
    if missing := sorted(other.scores.keys() - result.scores.keys()):
        return f"it has no {missing[0]}, but {whose} has"
    for curve in result.curves:
        known_curve = other.curve(curve.name)
        for point, there in zip(curve.points, known_curve.points if known_curve else (), strict=False):
            if _outside(point.value, there.low, there.high, allowance(there.value)):
                return (
                    f"the curve {curve.name} is {point.value:g} at {point.site}, but {whose} has the "
                    f"interval [{there.low:g}, {there.high:g}]"
                )
    return ""


def _outside(value: float, low: float | None, high: float | None, tolerance: float) -> bool:
    return low is not None and high is not None and not low - tolerance <= value <= high + tolerance


def _rows_differ(result: Result, own: pd.DataFrame, path: Path, other: Result) -> str | None:
    """How rows differ from those of a peer, in what the task decides."""
    rows = published.rows(path)
    declared = declaration(result.task.protocol)
    if rows is None or declared.unpaired_reason:
        return None
    whose = "the published results of its task"
    refused = {name for each in (result, other) for name, _ in each.corpus.refused}
    equal = own.index.equals(rows.index)
    common = own.index if equal else own.index.intersection(rows.index)
    if declared.same_rows and not (refused and declared.formula == "nested-mean"):
        for lacking, has, lacks in ((rows, "lack", own), (own, "have", rows)):
            alone = lacking.index.difference(lacks.index)
            left = [unit for unit in alone if lacking.at[unit, "item"] not in refused]
            if left:
                return f"its per-item outcomes {has} {left[0]} ({len(left)} such), unlike {whose}"
    elif not len(common):
        return f"its per-item outcomes have no unit in common with {whose}"
    columns = ["item", "speaker", *declared.given]
    if refused and declared.formula == "nested-mean":
        columns = ["item", "speaker"]
    if not equal:
        own, rows = own.loc[common], rows.loc[common]
    for column in columns:
        if column in rows and column not in own:
            return f"its per-item outcomes have no column {column!r}, unlike {whose}"
        if column in rows:
            mine, its = own[column].to_numpy(), rows[column].to_numpy()
            if (wrong := mine != its).any():
                unit = common[wrong][0]
                return f"the {column} of {unit} is {mine[wrong][0]}, but {its[wrong][0]} in {whose}"
    return ""


def _copied(result: Result, own: pd.DataFrame, path: Path, other: Result) -> bool:
    """Whether rows are those of a model with other weights, to the last number.

    Two models without a fault, or with nothing else, may be alike, and so may two methods on few models.
    """
    weights = (each.model.parts.get("weights", each.model.sha256) for each in (result, other))
    if len(set(weights)) < 2 or (result.model.kind == "method" and len(own) < _CHANCE):
        return False
    return _same_rows(own, path) and own["outcome"].nunique() > 1


def _rounded_alike(result: Result, own: pd.DataFrame, path: Path, other: Result) -> bool:
    """Whether rows are those of the same weights in another type of numbers, which rounds otherwise.

    Words and classes may be alike; a column of which most numbers are distinct, such as log-odds, is not.
    """
    mine, its = (each.model.parts for each in (result, other))
    if "dtype" not in mine.keys() & its.keys() or mine["dtype"] == its["dtype"]:
        return False
    if mine | {"dtype": ""} != its | {"dtype": ""}:
        return False
    given = {*declaration(result.task.protocol).given, "weight"}
    measured = own.drop(columns=list(given), errors="ignore").select_dtypes("float64")
    return _same_rows(own, path) and bool((measured.nunique() > len(own) / 2).any())


def _same_rows(own: pd.DataFrame, path: Path) -> bool:
    """Whether rows are those of the published result at `path`, to the last number."""
    rows = published.rows(path)
    if rows is None or not np.array_equal(own["outcome"], rows["outcome"], equal_nan=True):  # most end here
        return False
    return own.equals(rows)


def _embedded_problems(result: Result, items: pd.DataFrame | None, task: Task) -> Iterator[str]:
    """Hold corpora and rows against the embedded corpora, where there is no peer."""
    roles = (
        ("corpus", task.corpus, result.corpus),
        ("training corpus", task.train_corpus, result.train_corpus),
    )
    for role, name, info in roles:
        if name is None or info is None or not set(name.split("+")) <= embedded.names().keys():
            continue
        corpus = load_corpus(name)
        yield from _corpus_differs(role, info, corpus, task)
        if role == "corpus" and items is not None:
            yield from _foreign_rows(result, items, corpus, task)


def _corpus_differs(role: str, info: CorpusInfo, corpus: Corpus, task: Task) -> Iterator[str]:
    for name in ("name", "version", "human"):
        if getattr(info, name) != getattr(corpus, name):
            yield f"the {name} of its {role} is {getattr(info, name)}, but it is {getattr(corpus, name)}"
    if declaration(task.measure.protocol).unpaired_reason:
        return  # the protocol takes a selection of its own
    refused = {name for name, _ in info.refused}
    heard = [corpus, corpus.with_items(item for item in corpus if item.id not in refused)]
    known = [task.select(each).fingerprint() for each in heard if len(each)]
    if info.fingerprint not in known:
        yield f"the fingerprint of its {role} is {info.fingerprint[:12]}, but it is {known[0][:12]}"


def _foreign_rows(result: Result, items: pd.DataFrame, corpus: Corpus, task: Task) -> Iterator[str]:
    declared = declaration(result.task.protocol)
    if not declared.same_rows or declared.formula == "nested-mean":
        return  # rows are not clips
    clusters = {item.id: item.cluster for item in task.select(corpus)}
    known = items["item"].map(clusters)
    if known.isna().any():
        yield f"{items['item'][known.isna()].iloc[0]} is not among the clips of its task"
    elif (wrong := known != items["speaker"]).any():
        item, speaker = items.loc[wrong, ["item", "speaker"]].iloc[0]
        yield f"the speaker of {item} is {speaker}, but it is {clusters[item]}"
