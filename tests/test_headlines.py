"""Headlines are those of the protocols, and exchanging models is what exchanging their rows would be."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from innerear._paths import data_folder
from innerear.headlines import headline
from innerear.store import Store

RNG = np.random.default_rng(0)
SPEAKERS = [f"s{at}" for at in range(6)]
PUBLISHED = data_folder("tasks").parent / "results"


def ratio(seed, weighted=True):
    rng = np.random.default_rng(seed)
    items = pd.DataFrame({"speaker": np.repeat(SPEAKERS, 5), "outcome": rng.random(30)})
    return "made", items.assign(weight=rng.random(30)) if weighted else items


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
    return "auroc", items.assign(truth=np.where(rng.random(41) < 0.4, "word", "no word"))


def nested(seed):
    rng = np.random.default_rng(seed)
    rows = [
        {"phone": p, "other": o, "speaker": s, "mode": "across", "outcome": rng.random()}
        for p, o in (("a", "b"), ("b", "a"), ("a", "c"))
        for s in SPEAKERS[: 6 - (p == "b")]
        for _ in range(3)
    ]
    return "error_across", pd.DataFrame(rows)


MAKERS = pytest.mark.parametrize("make", [ratio, lambda seed: ratio(seed, weighted=False), area, nested])


@MAKERS
def test_exchanged_clusters_are_exchanged_rows(make):
    (name, a), (_, b) = make(1), make(2)
    swaps = RNG.random((20, 6)) < 0.5
    fast = headline(name, a).exchanged(headline(name, b), swaps)
    for swap, difference in zip(swaps, fast, strict=True):
        swapped = set(np.array(SPEAKERS)[swap])
        mine, its = (
            pd.concat([one[~one["speaker"].isin(swapped)], two[two["speaker"].isin(swapped)]])
            for one, two in ((ranked(a), ranked(b)), (ranked(b), ranked(a)))
        )
        if name == "auroc":
            assert difference == pytest.approx(plain_area(mine) - plain_area(its))
        else:
            assert difference == pytest.approx(headline(name, mine).value() - headline(name, its).value())


def ranked(items):
    """Scores of two models have a common scale as ranks only."""
    if "score" not in items:
        return items
    return items.assign(score=items.groupby("fold")["score"].rank())


def plain_area(items):
    """By scikit-learn, folds weighted by their pairs."""
    parts = []
    for _, fold in items.groupby("fold"):
        positive = fold["truth"] == "word"
        parts.append((roc_auc_score(positive, fold["score"]), positive.sum() * (~positive).sum()))
    values, weights = zip(*parts, strict=True)
    return np.average(values, weights=weights)


@MAKERS
def test_resampled_clusters_are_repeated_rows(make):
    name, items = make(3)
    counts = RNG.multinomial(6, np.full(6, 1 / 6), size=10)
    made = headline(name, items)
    np.testing.assert_allclose(made.resampled(np.ones((1, 6))), made.value())
    for count, value in zip(counts, made.resampled(counts.astype(float)), strict=True):
        parts = [
            items[items["speaker"] == speaker].assign(speaker=f"{speaker}-{copy}", was=speaker)
            for speaker, times in zip(SPEAKERS, count, strict=True)
            for copy in range(times)
        ]
        drawn = headline(name, pd.concat(parts))
        assert value == pytest.approx(drawn.value())


def test_every_published_headline_is_that_of_its_items():
    store = Store(PUBLISHED)
    results = [result for result in store.load_all() if result.score and result.items]
    assert len({result.task.id for result in results}) >= 15
    for result in results:
        value = headline(result.headline, store.read_items(result)).value()
        assert value == pytest.approx(result.score.value, abs=1e-9), store.path_of(result)
