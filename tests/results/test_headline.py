"""Headlines are those of the protocols, and exchanging models is what exchanging their rows would be."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from innerear.results.headline import Auroc, NestedMean, Ratio, flipped, headline, pseudo_values
from innerear.results.store import Store
from innerear.util.paths import data_folder

RNG = np.random.default_rng(0)
SPEAKERS = [f"s{at}" for at in range(6)]
PUBLISHED = data_folder("tasks").parent / "results"


def ratio(seed):
    rng = np.random.default_rng(seed)
    items = pd.DataFrame({"speaker": np.repeat(SPEAKERS, 5), "outcome": rng.random(30)})
    return Ratio.of, items.assign(weight=rng.random(30))


def mean(seed):
    return Ratio.mean, ratio(seed)[1]


def area(seed):
    """Labels differ between models, too; the last speaker has one clip only."""
    rng = np.random.default_rng(seed)
    items = pd.DataFrame(
        {
            "speaker": np.repeat(SPEAKERS, [8, 8, 8, 8, 8, 1]),
            "fold": rng.integers(0, 2, 41),
            "score": rng.random(41),
        }
    )
    return Auroc.of, items.assign(truth=np.where(rng.random(41) < 0.4, "word", "no word"))


def nested(seed):
    rng = np.random.default_rng(seed)
    rows = [
        {"phone": p, "other": o, "speaker": s, "x_speaker": x, "mode": "across", "outcome": rng.random()}
        for p, o in (("a", "b"), ("b", "a"), ("a", "c"))
        for s in SPEAKERS[: 6 - (p == "b")]
        for x in SPEAKERS[:3]
        if x != s
    ]
    return NestedMean.of, pd.DataFrame(rows)


MAKERS = pytest.mark.parametrize("make", [ratio, mean, area, nested])


@pytest.mark.parametrize("make", [ratio, mean])
def test_exchanged_clusters_are_exchanged_rows(make):
    (compute, a), (_, b) = make(1), make(2)
    swaps = RNG.random((20, 6)) < 0.5
    fast = compute(a).permuted_differences(compute(b), swaps)
    if make is ratio:  # the rows of either model weigh as much as those of the other
        columns = ["outcome", "weight"]
        a, b = (each.assign(**each[columns] / each["weight"].sum()) for each in (a, b))
    for swap, difference in zip(swaps, fast, strict=True):
        swapped = set(np.array(SPEAKERS)[swap])
        mine, its = (
            pd.concat([one[~one["speaker"].isin(swapped)], two[two["speaker"].isin(swapped)]])
            for one, two in ((a, b), (b, a))
        )
        assert difference == pytest.approx(compute(mine).value() - compute(its).value())


def test_of_equal_clusters_changing_signs_is_exchanging_rows():
    (_, a), (_, b) = mean(1), mean(2)
    swaps = RNG.random((20, 6)) < 0.5
    one, other = Ratio.mean(a), Ratio.mean(b)
    added = pseudo_values(one.value() - other.value(), one.difference_without(other))
    np.testing.assert_allclose(added, one.contributions(other), atol=1e-12)
    np.testing.assert_allclose(flipped(added, swaps), one.permuted_differences(other, swaps), atol=1e-12)


def test_an_area_is_that_of_scikit_learn_folds_weighted_by_their_pairs():
    compute, items = area(1)
    parts = []
    for _, fold in items.groupby("fold"):
        positive = fold["truth"] == "word"
        parts.append((roc_auc_score(positive, fold["score"]), positive.sum() * (~positive).sum()))
    values, weights = zip(*parts, strict=True)
    assert compute(items).value() == pytest.approx(np.average(values, weights=weights))


@MAKERS
def test_without_a_cluster_is_without_its_rows(make):
    compute, items = make(3)
    left = [
        compute(items[~items.filter(like="speaker").eq(speaker).any(axis=1)]).value() for speaker in SPEAKERS
    ]
    made = compute(items).without()
    if make is nested:  # deviations are shrunk, see innerear.stats.nested
        assert np.corrcoef(made, left)[0, 1] == pytest.approx(1)
        assert made.mean() == pytest.approx(np.mean(left))
    else:
        np.testing.assert_allclose(made, left)


@pytest.mark.parametrize("make", [ratio, area])
def test_without_the_only_cluster_that_has_something_nothing_is_left(make):
    compute, items = make(3)
    column = "truth" if make is area else "weight"
    only = items["speaker"] == SPEAKERS[0]
    items[column] = np.where(only, "word", "no word") if make is area else only.astype(float)
    made = compute(items).without()
    assert np.isnan(made[0])
    assert np.isfinite(made[1:]).all()


@MAKERS
def test_over_some_rows_it_is_that_of_a_table_of_these_rows(make):
    compute, items = make(4)
    for kept in (RNG.random(len(items)) < 0.7, (items["speaker"] != SPEAKERS[2]).to_numpy()):
        some, alone = compute(items).over(kept), compute(items[kept])
        assert some.clusters == alone.clusters
        assert some.value() == pytest.approx(alone.value())
        np.testing.assert_allclose(some.without(), alone.without())


@pytest.mark.parametrize("make", [area, nested])
def test_what_speakers_add_to_a_difference_sums_to_it_and_changes_sign(make):
    (compute, a), (_, b) = make(1), make(2)
    one, other = compute(a), compute(b)
    gap = one.value() - other.value()
    nobody, everybody = one.permuted_differences(other, np.array([[False] * 6, [True] * 6]))
    assert nobody == pytest.approx(gap)
    assert everybody == pytest.approx(-gap)
    alone = one.permuted_differences(other, np.eye(6, dtype=bool))
    assert (gap - alone).sum() == pytest.approx(2 * gap)
    assert np.argmax(alone) == np.argmax(one.difference_without(other))


def test_every_published_headline_is_that_of_its_items():
    store = Store(PUBLISHED)
    results = [result for result in store.load_all() if result.score and result.items]
    assert len({result.task.id for result in results}) >= 15
    for result in results:
        value = headline(result, store.read_items(result)).value()
        assert value == pytest.approx(result.score.value, abs=1e-9), store.path_of(result)
