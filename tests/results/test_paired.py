"""Comparisons of all pairs at once are those of a plain computation, one pair after the other."""

from collections import Counter
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from many_results import derive

from innerear.report.leaderboard import ranked
from innerear.results.compare import compare
from innerear.results.headline import KEYS, Auroc, NestedMean, Ratio, headline, headline_rows
from innerear.results.paired import DRAWS, ROUNDING, pairwise_comparisons
from innerear.results.store import Store
from innerear.results.verify import sound
from innerear.stats.intervals import detectable, holm, jackknife, jackknife_error
from innerear.stats.nested import pooled_without
from innerear.tasks.declarations import declaration
from innerear.util.paths import data_folder

PUBLISHED = Store(data_folder("tasks").parent / "results")
MODELS = 3
TABLES = 20
"""The first published table of each task."""


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    """Three models in a published table of each task, some of which lack some of the units."""
    store = Store(tmp_path_factory.mktemp("many"))
    derive(PUBLISHED, store.folder, models=MODELS, tables=TABLES)
    groups = {}
    for result in store.load_all():
        if result.model.kind in ("model", "method") and result.score.direction != "none":
            groups.setdefault(result.group, []).append(result)
    return store, {group: ranked(results) for group, results in groups.items()}


@pytest.fixture(scope="module")
def tables(groups):
    """All pairs of each group."""
    store, by_group = groups
    return {group: pairwise_comparisons(store, results) for group, results in by_group.items()}


def plain(store, a, b):
    """Difference, interval, p, detectable difference, units and clusters of two results; None if unfit."""
    declared = declaration(a.task.protocol)
    keys = KEYS if declared.paired == "units" else ["speaker"]
    mine, its = (headline_rows(each, store.read_items(each)) for each in (a, b))
    shared = pd.merge(mine[keys].drop_duplicates(), its[keys].drop_duplicates(), on=keys)
    mine, its = (
        rows.merge(shared, on=keys).sort_values(KEYS, kind="stable").reset_index(drop=True)
        for rows in (mine, its)
    )
    n, units = mine["speaker"].nunique(), min(len(mine), len(its))
    if declared.unpaired_reason or n < 4:
        return None
    one, other = headline(a, mine), headline(b, its)
    gap, without = one.value() - other.value(), one.without() - other.without()
    if isinstance(one, NestedMean):  # its deviations are shrunk by a factor of the difference's own
        without = pooled_without(one.index, one.outcome - other.outcome)
    share = declared.formula != "ratio" and a.score.unit == "fraction"
    low, high = jackknife(gap, without, level=a.level, scale="difference", most=1.0 if share else np.inf)
    if sampled := 2**n > DRAWS:
        swaps = np.random.default_rng(0).random((DRAWS, n)) < 0.5
    else:
        swaps = (np.arange(2**n)[:, None] >> np.arange(n)) & 1 > 0
    if isinstance(one, Auroc | NestedMean):
        added = gap + (n - 1) * (without.mean() - without)
        permuted = np.where(swaps, -1.0, 1.0) @ added / n
    else:
        columns = ["outcome", "weight"]
        if declared.formula == "mean":
            mine, its = mine.assign(weight=1.0), its.assign(weight=1.0)
        mine, its = (rows.groupby("speaker")[columns].sum() for rows in (mine, its))
        mine, its = (rows / rows["weight"].sum() for rows in (mine, its))  # each side has one weight in all
        sides = [
            np.where(swaps, y["outcome"], x["outcome"]).sum(axis=1)
            / np.where(swaps, y["weight"], x["weight"]).sum(axis=1)
            for x, y in ((mine, its), (its, mine))
        ]
        permuted = sides[0] - sides[1]
    p = ((np.abs(permuted) >= abs(gap) - ROUNDING).sum() + sampled) / (len(permuted) + sampled)
    least = detectable(float(jackknife_error(without)), n, level=a.level)
    return gap, low, high, p, least, units, n


def test_all_pairs_at_once_are_one_pair_after_the_other(groups, tables):
    store, by_group = groups
    tested = 0
    for group, results in by_group.items():
        expected = {
            (a, b): made
            for a, b in combinations(range(len(results)), 2)
            if (made := plain(store, results[a], results[b]))
        }
        found = tables[group]
        assert found.keys() == expected.keys(), group
        assert found.keys() | found.reasons.keys() == set(combinations(range(len(results)), 2))
        adjusted = holm([made[3] for made in expected.values()])
        for (pair, made), corrected in zip(expected.items(), adjusted, strict=True):
            each = found[pair]
            own = (each.difference, each.low, each.high, each.p, each.detectable, each.n, each.clusters)
            assert own == pytest.approx(made, abs=1e-12), group
            assert each.p == made[3], group  # to the last bit
            assert each.adjusted == corrected, group
            tested += 1
        assert sorted(found.ahead) == sorted(
            pair if each.ahead is each.a else pair[::-1] for pair, each in found.items() if each.ahead
        )
    assert tested > 40


@pytest.mark.parametrize("same", [True, False])
def test_a_model_with_more_rows_of_each_cluster_has_the_same_p(same):
    """As erasure has of a deeper model: a row for each layer."""
    rng = np.random.default_rng(0)
    speaker = np.repeat(np.arange(12), 6)
    strong = rng.normal(0, 1, 12)[speaker]
    one, other = (strong + shift + rng.normal(0, 0.1, 72) for shift in (0.1, 0.0))
    weight = np.ones(72) if same else rng.uniform(0.5, 1.5, 72)
    swaps = rng.random((500, 12)) < 0.5
    a, b = Ratio(one, weight, speaker), Ratio(other, np.ones(72), speaker)
    deeper = Ratio(np.tile(one, 5), np.tile(weight, 5), np.tile(speaker, 5))
    assert deeper.value() == pytest.approx(a.value())
    np.testing.assert_allclose(
        deeper.permuted_differences(b, swaps), a.permuted_differences(b, swaps), atol=1e-12
    )
    alone = deeper.contributions(b)
    assert (alone is None) == (not same)
    if same:
        np.testing.assert_allclose(alone, a.contributions(b), atol=1e-12)
    far = np.abs(deeper.permuted_differences(b, swaps)) >= deeper.value() - b.value() - ROUNDING
    assert far.mean() < 0.01


def test_derived_results_are_sound(groups):
    """Else the comparisons above were of rows that no model can have."""
    store, _ = groups
    found, wrong = sound(store.folder)
    assert wrong == []
    assert len(found.load_all()) >= MODELS * TABLES


def test_some_results_of_a_table_have_rows_of_their_own(groups):
    """Else the test above would not try what it should."""
    store, by_group = groups
    kinds = [
        len({tuple(store.read_items(each)["unit"]) for each in results}) for results in by_group.values()
    ]
    assert 1 in kinds
    assert MODELS in kinds


def test_the_command_that_compares_two_models_agrees_with_the_leaderboard(groups, tables):
    store, by_group = groups
    together = Counter(
        pair
        for results in by_group.values()
        for pair in combinations(sorted(each.model.name for each in results), 2)
    )
    agreed = 0
    for names, _ in together.most_common(2):
        found, _ = compare(store, list(names))
        made = {each.a.group: each for each in found}
        for group, results in by_group.items():
            pair = tuple(at for at, each in enumerate(results) if each.model.name in names)
            if len(pair) == 2 and pair in (table := tables[group]):
                sign = 1 if results[pair[0]].model.name == names[0] else -1
                assert table[pair].difference == pytest.approx(sign * made[group].difference, abs=1e-12)
                assert table[pair].p == made[group].p
                agreed += 1
    assert agreed > 10
