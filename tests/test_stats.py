"""Intervals cover what they claim, with few clusters too; permutation and correction fit references."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from innerear.stats import (
    auroc_interval,
    auroc_pairs,
    cluster_bootstrap,
    clusters,
    holm,
)

SETTINGS = {"level": 0.95, "resamples": 999}


def simulated(rng, speakers, spread):
    """Hits and counts of speakers whose accuracies differ; about 150 phones each, as in a test fold."""
    counts = rng.integers(80, 220, speakers)
    accuracy = np.clip(rng.normal(0.8, spread, speakers), 0.05, 0.99)
    return rng.binomial(counts, accuracy), counts


@pytest.mark.parametrize("speakers", [8, 16, 28])
def test_intervals_cover_95_percent(speakers):
    """1500 simulations: the Monte-Carlo error (two sigma) of a coverage of 95 % is 1.1 points."""
    rng = np.random.default_rng(speakers)
    truth = np.clip(rng.normal(0.8, 0.05, 200_000), 0.05, 0.99).mean()
    sums, counts = zip(*(simulated(rng, speakers, 0.05) for _ in range(1500)), strict=True)
    covered = 0
    for hits, frames in zip(sums, counts, strict=True):
        low, high = cluster_bootstrap(hits[None].astype(float), frames, seed=0, **SETTINGS)
        covered += low[0] <= truth <= high[0]
    assert 0.93 <= covered / 1500 <= 0.97


@pytest.mark.parametrize("speakers", [8, 16])
def test_intervals_of_a_paired_difference_cover_95_percent(speakers):
    """Two models on the same items, as in selectivity; 1000 simulations: Monte-Carlo error 1.4 points."""
    rng = np.random.default_rng(speakers)
    covered = 0
    for _ in range(1000):
        counts = rng.integers(80, 220, speakers)
        shared, own = rng.normal(0.7, 0.05, speakers), rng.normal(0.1, 0.03, speakers)
        gain = rng.binomial(counts, np.clip(shared + own, 0, 1)) - rng.binomial(counts, np.clip(shared, 0, 1))
        low, high = cluster_bootstrap(gain[None].astype(float), counts, seed=0, **SETTINGS)
        covered += low[0] <= 0.1 <= high[0]
    assert 0.93 <= covered / 1000 <= 0.97


def test_two_speakers_give_the_widest_interval_that_their_data_allow():
    low, high = cluster_bootstrap(np.array([[30.0, 20.0]]), np.array([40, 40]), seed=0, **SETTINGS)
    assert (low[0], high[0]) == (0.5, 0.75)


def test_an_accuracy_without_errors_has_an_interval_of_no_width():
    low, high = cluster_bootstrap(np.full((1, 8), 20.0), np.full(8, 20), seed=0, **SETTINGS)
    assert (low[0], high[0]) == (1.0, 1.0)


def test_layers_share_their_resamples():
    rng = np.random.default_rng(0)
    hits, counts = simulated(rng, 12, 0.05)
    both = cluster_bootstrap(np.stack([hits, hits]).astype(float), counts, seed=3, **SETTINGS)
    assert both[0][0] == both[0][1]
    assert both[1][0] == both[1][1]


def test_one_speaker_has_no_interval():
    assert cluster_bootstrap(np.array([[30.0]]), np.array([40]), seed=0, **SETTINGS) is None


def test_the_same_seed_gives_the_same_interval():
    hits, counts = simulated(np.random.default_rng(1), 10, 0.05)
    first, second = (
        cluster_bootstrap(hits[None].astype(float), counts, seed=5, **SETTINGS) for _ in range(2)
    )
    assert first[0] == second[0]
    assert first[1] == second[1]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1))
def test_cluster_sums_add_up(rows):
    speaker = np.array([name for name, _ in rows])
    values = np.array([float(hit) for _, hit in rows])
    sums, counts = clusters(values, speaker)
    assert sums.sum() == values.sum()
    assert counts.sum() == len(rows)
    for index, name in enumerate(sorted(set(speaker))):
        assert sums[index] == values[speaker == name].sum()


@pytest.mark.parametrize("p", [[0.03], [0.01, 0.01, 0.04], [0.9, 0.001, 0.02, 0.02, 0.6], [1.0, 0.0]])
def test_holm_is_statsmodels_holm(p):
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], atol=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_corrects_upwards_and_keeps_the_order(p):
    adjusted = np.array(holm(p))
    assert (adjusted >= p).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_auroc_is_scikit_learns_and_its_interval_holds_it():
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(0)
    positive = random.random(300) < 0.4
    score = np.round(random.standard_normal(300) + positive, 1)  # ties
    cluster = random.integers(0, 20, 300).astype(str)
    wins, pairs = auroc_pairs(score, positive, cluster, np.zeros(300))
    area = wins.sum() / pairs.sum()
    assert area == pytest.approx(roc_auc_score(positive, score))
    low, high = auroc_interval(wins, pairs, level=0.95, resamples=1000, seed=0)
    assert low < area < high


def test_auroc_compares_within_a_stratum_only():
    score, positive = np.array([1.0, 0.0, 11.0, 10.0]), np.array([True, False, True, False])
    wins, pairs = auroc_pairs(score, positive, np.array(list("abcd")), np.array([0, 0, 1, 1]))
    assert (wins.sum(), pairs.sum()) == (2, 2)
