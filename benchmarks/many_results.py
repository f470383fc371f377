"""A folder of many results, made from the published ones: models of other names and of perturbed outcomes."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from innerear.results.headline import Headline, headline, headline_rows
from innerear.results.schema import ModelInfo, Result
from innerear.results.store import Store
from innerear.stats.intervals import Scale, jackknife
from innerear.tasks.declarations import declaration
from innerear.util.io import sha256_json

SHARE = 0.4
"""Maximum share of outcomes that a derived model has otherwise than the published one."""
LOST = 0.02
"""Share of units that a derived model lacks where published models have units of their own."""


def derive(published: Store, output: Path, models: int, tables: int, seed: int = 0) -> int:
    """Write results of `models` models in `tables` tables, beside the published twins and floors of these.

    The tables are the first of each task, then the second. Outcomes are those of a published model, a random
    share of them replaced by better or by worse ones; where published models have units of their own, so have
    these, and each lacks some. Headlines, intervals and hashes follow from them by the functions that results
    are made and checked with. Returns the number of derived results.
    """
    store, count = Store(output), 0
    groups: dict[tuple[str, ...], list[Result]] = defaultdict(list)
    for result in published.load_all():
        groups[result.group].append(result)
    tasks = [group[0].task.id for group in groups.values()]
    nth = [tasks[:at].count(task) for at, task in enumerate(tasks)]
    for at in sorted(range(len(tasks)), key=nth.__getitem__)[:tables]:
        group = list(groups.values())[at]
        for control in (each for each in group if each.model.kind in ("twin", "floor")):
            store.take(published.path_of(control), control)
        bases = [each for each in group if each.model.kind in ("model", "method") and each.items]
        outcomes = [published.read_items(each) for each in bases]
        own_units = len({tuple(items["unit"]) for items in outcomes}) > 1
        for number in range(models):
            rng = np.random.default_rng([seed, number, at])
            which = number % len(bases)
            items = outcomes[which]
            if own_units:
                items = items[rng.random(len(items)) > LOST].reset_index(drop=True)
            name = f"{bases[which].model.name}-{number:04}"
            store.save(*_derived(bases[which], items, name, rng))
            count += 1
    return count


def _derived(
    base: Result, items: pd.DataFrame, name: str, rng: np.random.Generator
) -> tuple[Result, pd.DataFrame]:
    rows = headline_rows(base, items).index
    column = "score" if declaration(base.task.protocol).formula == "auroc" else "outcome"
    values = items.loc[rows, column].to_numpy(float, copy=True)
    half = (
        np.sort(values)[len(values) // 2 :] if rng.random() < 0.5 else np.sort(values)[: len(values) // 2 + 1]
    )
    changed = rng.random(len(values)) < SHARE * rng.random()
    values[changed] = rng.choice(half, changed.sum())
    items = items.copy()
    items.loc[rows, column] = values.astype(items[column].dtype)
    parts = {"weights": sha256_json(name)}
    model = ModelInfo(**{**dict(base.model), "name": name, "parts": parts, "sha256": sha256_json(parts)})
    bare = base.with_items(None)
    made = headline(bare, items)
    assert bare.score is not None
    low, high = _bounds(bare, made)
    score = bare.score.model_copy(update={"value": made.value(), "low": low, "high": high})
    fields = {**dict(bare), "model": model, "scores": {**bare.scores, bare.headline: score}}
    return Result(**{**fields, "content_sha256": "", "record_sha256": ""}), items


def _bounds(result: Result, made: Headline) -> tuple[float | None, float | None]:
    scale: Scale = "difference"
    if result.score and result.score.unit == "fraction" and made.value() >= 0:
        scale = "rate" if declaration(result.task.protocol).formula == "ratio" else "share"
    bounds = jackknife(made.value(), made.without(), level=result.level, scale=scale)
    return (None, None) if bounds is None else (float(bounds[0]), float(bounds[1]))
