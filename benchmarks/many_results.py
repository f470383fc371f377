"""A folder of many results, made from the published ones: models of other names that mix the rows of two."""

from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from innerear.results.determined import Number
from innerear.results.headline import KEYS
from innerear.results.recount import recount
from innerear.results.schema import CurvePoint, ModelInfo, Result, Score
from innerear.results.store import Store
from innerear.tasks.declarations import declaration
from innerear.util.io import sha256_json

Stated = TypeVar("Stated", Score, CurvePoint)

SHARES = 0.1, 0.4
"""Least and largest share of rows that a derived model has from another published one."""
LOST = 0.02
"""Share of units that a derived model lacks where published models have units of their own."""
FEWEST = 8
"""Units of each result of a table that is taken; fewer rows cannot be mixed to new ones."""


def derive(published: Store, output: Path, models: int, tables: int, seed: int = 0) -> int:
    """Write results of `models` models in `tables` tables, beside the published twins and floors of these.

    The tables are the first of each task, then the second. Rows are those of a published model, a random
    share of them replaced by another's; where published models have units of their own, so have these, and
    each lacks some. All that rows determine, and the hashes, follow from them by the functions that results
    are made and checked with, so the derived results verify. Returns their number.
    """
    store, count = Store(output), 0
    every: dict[tuple[str, ...], list[Result]] = defaultdict(list)
    for result in published.load_all():
        every[result.group].append(result)
    groups = {name: group for name, group in every.items() if _mixable(group)}
    tasks = [group[0].task.id for group in groups.values()]
    nth = [tasks[:at].count(task) for at, task in enumerate(tasks)]
    for at in sorted(range(len(tasks)), key=nth.__getitem__)[:tables]:
        group = list(groups.values())[at]
        for control in (each for each in group if each.model.kind in ("twin", "floor")):
            store.take(published.path_of(control), control)
        bases = _bases(group)
        outcomes = [published.read_items(each) for each in bases]
        own_units = len({tuple(items["unit"]) for items in outcomes}) > 1
        for number in range(models):
            rng = np.random.default_rng([seed, number, at])
            which = number % len(bases)
            donor = (which + 1 + rng.integers(len(bases) - 1)) % len(bases)
            given = declaration(bases[which].task.protocol).given
            items = outcomes[which]
            while items.equals(outcomes[which]):  # rows of two models without a fault are alike
                items = _mixed(items, outcomes[donor], given, rng)
            if own_units:
                items = items[rng.random(len(items)) > LOST].reset_index(drop=True)
            name = f"{bases[which].model.name}-{number:04}"
            store.save(*_derived(bases[which], items, name))
            count += 1
    return count


def _bases(group: list[Result]) -> list[Result]:
    """Results of models, or methods, that have rows."""
    return [each for each in group if each.model.kind in ("model", "method") and each.items]


def _mixable(group: list[Result]) -> bool:
    """Whether there are two models, or methods, and rows enough."""
    bases = _bases(group)
    return len(bases) > 1 and min(each.scores[each.headline].n for each in bases) >= FEWEST


def _mixed(
    own: pd.DataFrame, donor: pd.DataFrame, given: Collection[str], rng: np.random.Generator
) -> pd.DataFrame:
    """Rows of which a random share is the donor's, in all columns that are not given by the task.

    The donor's row is that of the same unit, or another one of `own` where their units differ.
    """
    mixed = own.copy()
    changed = np.flatnonzero(rng.random(len(own)) < rng.uniform(*SHARES))
    there = donor.reset_index(drop=True).reset_index().set_index("unit")["index"]
    if own["unit"].isin(there.index).all():
        rows = there[own["unit"].iloc[changed]].to_numpy()
    else:
        donor, rows = own, rng.permutation(len(own))[: len(changed)]
    for name in set(own) & set(donor) - {*KEYS, *given}:
        mixed[name] = own[name].astype(object)
        mixed.loc[mixed.index[changed], name] = donor[name].to_numpy(object)[rows]
        mixed[name] = mixed[name].astype(own[name].dtype)
    return mixed


def _derived(base: Result, items: pd.DataFrame, name: str) -> tuple[Result, pd.DataFrame]:
    """The result of a model of this name, which states what the rows give."""
    bare = base.with_items(None)
    decided = recount(bare, items).decided
    items = items.assign(**{column: given.astype(items[column].dtype) for column, given in decided.items()})
    made = recount(bare, items)
    scores = dict(bare.scores)
    for each in made.scores.keys() & scores.keys():
        scores[each] = _stated(scores[each], made.scores[each])
    scores[bare.headline] = scores[bare.headline].model_copy(update={"n": made.n})
    curves = [
        curve.model_copy(update={"points": [_stated(at, numbers[at.site]) for at in curve.points]})
        if (numbers := made.curves.get(curve.name))
        else curve
        for curve in bare.curves
    ]
    parts = base.model.parts | {"weights" if base.model.kind == "model" else "method": sha256_json(name)}
    model = dict(base.model) | {"name": name, "parts": parts, "sha256": sha256_json(parts)}
    fields = {**dict(bare), "model": ModelInfo(**model), "scores": scores, "curves": curves}
    return Result(**{**fields, "content_sha256": "", "record_sha256": ""}), items


def _stated(stated: Stated, number: Number) -> Stated:
    value, low, high = number
    return stated.model_copy(update={"value": value, "low": low, "high": high})
