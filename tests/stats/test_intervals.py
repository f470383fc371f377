"""Intervals and corrections fit references; what they cover is in test_simulations.py."""

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit
from scipy.stats import sem, t

from innerear.stats.intervals import (
    FEWEST,
    auroc_pairs,
    auroc_without,
    clusters,
    holm,
    jackknife,
    jackknife_error,
    mean_interval,
    median_interval,
    ratio_interval,
)
from innerear.util.errors import InnerearError


def simulated(rng, speakers, spread):
    """Hits and counts of speakers whose accuracies differ; about 150 phones each, as in a test fold."""
    counts = rng.integers(80, 220, speakers)
    accuracy = np.clip(rng.normal(0.8, spread, speakers), 0.05, 0.99)
    return rng.binomial(counts, accuracy), counts


def test_the_interval_of_a_mean_leaves_out_speakers_and_not_items():
    rng = np.random.default_rng(0)
    hits, speaker = (rng.random(60) < 0.7).astype(float), np.repeat(np.arange(6), 10)
    once = mean_interval(hits[None], speaker, level=0.95, scale="share")
    thrice = mean_interval(np.tile(hits, 3)[None], np.tile(speaker, 3), level=0.95, scale="share")
    np.testing.assert_allclose(thrice, once)
    assert mean_interval(hits[None], np.zeros(60), level=0.95, scale="share") is None


def test_the_interval_of_a_weighted_mean_is_that_of_its_sums():
    """As of errors by words: the weights of a speaker's items add up to their count."""
    rng = np.random.default_rng(0)
    words, speaker = rng.integers(5, 20, 80), np.repeat(np.arange(8), 10)
    errors = rng.binomial(words, 0.2)
    found = mean_interval(errors[None], speaker, words, level=0.95, scale="rate")
    sums = [[each[speaker == at].sum() for at in range(8)] for each in (errors, words)]
    expected = ratio_interval(np.array(sums[:1]), np.array(sums[1]), level=0.95, scale="rate")
    np.testing.assert_allclose(found, expected)


def test_an_accuracy_without_errors_has_an_interval_of_no_width():
    low, high = ratio_interval(np.full((1, 8), 20.0), np.full(8, 20), level=0.95, scale="share")
    assert (low[0], high[0]) == (1.0, 1.0)


def test_layers_have_the_intervals_that_they_have_alone():
    rng = np.random.default_rng(0)
    hits, counts = simulated(rng, 12, 0.05)
    both = np.stack([hits, hits[::-1]]).astype(float)
    together = ratio_interval(both, counts, level=0.95, scale="share")
    for layer, sums in enumerate(both):
        alone = ratio_interval(sums, counts, level=0.95, scale="share")
        assert [bound[layer] for bound in together] == list(alone)


@pytest.mark.parametrize("counts", [[40], [40, 0, 0]])
def test_what_one_speaker_says_has_no_interval(counts):
    sums = np.array([30.0, 0.0, 0.0])[: len(counts)]
    assert ratio_interval(sums, np.array(counts), level=0.95, scale="share") is None


def test_the_interval_of_a_ratio_is_the_jackknife_of_its_data():
    """Against a loop over speakers; with equal ones it is the t interval of their means."""
    rng = np.random.default_rng(1)
    errors, words = rng.poisson(9, 9).astype(float), rng.integers(50, 200, 9)
    left = [np.delete(errors, at).sum() / np.delete(words, at).sum() for at in range(9)]
    error = np.sqrt(8 / 9 * np.square(np.array(left) - np.mean(left)).sum())
    value = errors.sum() / words.sum()
    shares = words / words.sum()
    factor = np.exp(t.ppf(0.975, 1 / np.square(shares).sum() - 1) * error / value)
    found = ratio_interval(errors, words, level=0.95, scale="rate")
    assert found == pytest.approx((value / factor, value * factor))
    even = ratio_interval(errors, np.full(9, 50), level=0.95, scale="difference")
    assert even == pytest.approx(t.interval(0.95, 8, errors.mean() / 50, sem(errors / 50)))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(10, 30)), min_size=8, max_size=12))
def test_the_interval_of_a_rate_holds_it_and_is_not_negative(rows):
    errors, words = np.array(rows, float).T
    low, high = ratio_interval(errors, words, level=0.95, scale="rate")
    assert 0 <= low <= errors.sum() / words.sum() * (1 + 1e-12)
    assert high >= errors.sum() / words.sum() * (1 - 1e-12)


def test_values_of_another_scale_are_refused():
    gain, speaker = np.array([[1.0, -1.0, 0.0, 1.0]]), np.array(list("abcd"))
    for scale in ("share", "rate"):
        with pytest.raises(InnerearError, match=f"from -1 to 1 do not fit a {scale}"):
            mean_interval(gain, speaker, level=0.95, scale=scale)
    assert mean_interval(gain, speaker, level=0.95, scale="difference") is not None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1))
def test_cluster_sums_add_up(rows):
    speaker = np.array([name for name, _ in rows])
    values = np.array([float(hit) for _, hit in rows])
    sums, counts = clusters(values, speaker)
    assert sums.sum() == values.sum()
    assert counts.sum() == len(rows)
    for index, name in enumerate(sorted(set(speaker))):
        assert sums[index] == values[speaker == name].sum()


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [([], []), ([0.03], [0.03]), ([0.01, 0.01, 0.04], [0.03, 0.03, 0.04]), ([1.0, 0.0], [1.0, 0.0]),
     ([0.04, 0.03], [0.06, 0.06])],
)  # fmt: skip
def test_holm_steps_down(p, adjusted):
    assert holm(p) == pytest.approx(adjusted)


def test_holm_does_not_walk_over_all_objects_that_live():
    """statsmodels collects garbage at each call: 0.2 s among the objects of 240 results."""
    alive, walked = len(gc.get_objects()), []

    def watch(phase, info):
        if phase == "start" and info["generation"] == 2:
            walked.append(len(gc.get_objects()))

    gc.callbacks.append(watch)
    try:
        holm([0.01, 0.04])
    finally:
        gc.callbacks.remove(watch)
    assert walked
    assert max(walked) < alive / 10
    assert (gc.get_freeze_count(), len(gc.get_objects()) > 0.9 * alive) == (0, True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_corrects_upwards_and_keeps_the_order(p):
    adjusted = np.array(holm(p))
    assert (adjusted >= p).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_auroc_is_scikit_learns_also_without_a_cluster():
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(0)
    positive = random.random(300) < 0.4
    score = np.round(random.standard_normal(300) + positive, 1)  # ties
    cluster = random.integers(0, 20, 300)
    wins, pairs = auroc_pairs(score, positive, cluster, np.zeros(300))
    assert wins.sum() / pairs.sum() == pytest.approx(roc_auc_score(positive, score))
    left = [roc_auc_score(positive[cluster != each], score[cluster != each]) for each in range(20)]
    np.testing.assert_allclose(auroc_without(wins, pairs), left)


def test_the_jackknife_of_a_mean_is_its_t_interval():
    values = np.random.default_rng(0).random(12)
    left = (values.sum() - values) / 11
    low, high = jackknife(values.mean(), left, level=0.95, scale="difference")
    mean, error = values.mean(), sem(values)
    assert jackknife_error(left) == pytest.approx(error)
    assert (low, high) == pytest.approx(t.interval(0.95, 11, mean, error))
    low, high = jackknife(mean, left, level=0.95, scale="share")
    step = t.ppf(0.975, 11) * error / (mean * (1 - mean))
    assert (logit(low), logit(high)) == pytest.approx((logit(mean) - step, logit(mean) + step))


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3])
def test_a_share_that_never_varies_has_an_interval_of_no_width(value):
    low, high = jackknife(value, np.full(5, value), level=0.95, scale="share")
    assert (low, high) == (value, value)


@given(st.lists(st.floats(0, 1), min_size=4, max_size=9))
def test_the_interval_of_a_share_holds_it_and_stays_a_share(values):
    left = np.array(values)
    value = float(left.mean())
    low, high = jackknife(value, left, level=0.95, scale="share")
    assert 0 <= low <= value <= high <= 1


def test_too_few_clusters_have_no_interval():
    rng = np.random.default_rng(0)
    for scale, fewest in FEWEST.items():
        sums, counts = rng.integers(1, 20, 12).astype(float), np.full(12, 20)
        for n in range(1, 12):
            found = ratio_interval(sums[:n], counts[:n], level=0.95, scale=scale)
            assert (found is None) == (n < fewest)


def test_a_rate_of_one_long_speaker_among_short_ones_has_no_interval():
    """Of two such speakers, the logarithm of 6.6 % reached from 0 to 49,133,087,086 %."""
    errors, words = np.array([20.0, *[1.0] * 8]), np.array([300.0, *[10.0] * 8])
    assert ratio_interval(errors, words, level=0.95, scale="rate") is None
    assert ratio_interval(errors, words, level=0.95, scale="difference") is not None


def test_a_difference_of_shares_stays_in_its_range():
    gain = np.array([1.0, 1.0, 1.0, -0.5])
    left = (gain.sum() - gain) / 3
    assert jackknife(gain.mean(), left, level=0.95, scale="difference")[1] > 1
    low, high = jackknife(gain.mean(), left, level=0.95, scale="difference", most=1.0)
    assert (low >= -1, high) == (True, 1)


def test_where_leaving_one_out_leaves_nothing_there_is_no_interval():
    assert jackknife(0.5, np.array([0.4]), level=0.95, scale="share") is None
    assert jackknife(0.5, np.array([0.4, np.nan, 0.6, 0.5]), level=0.95, scale="difference") is None


def test_auroc_compares_within_a_stratum_only():
    score, positive = np.array([1.0, 0.0, 11.0, 10.0]), np.array([True, False, True, False])
    wins, pairs = auroc_pairs(score, positive, np.array(list("abcd")), np.array([0, 0, 1, 1]))
    assert (wins.sum(), pairs.sum()) == (2, 2)


def test_a_divergence_that_rounding_puts_below_zero_is_zero():
    values = np.tile([[-4e-6, 1e-6, 2.0, 3.0], [-2e-6, 1e-7, -1e-6, 0.0]], 2)
    cluster = np.array(list("abcdefgh"))
    low, high = mean_interval(values, cluster, level=0.95, scale="rate")
    assert (low >= 0).all()
    assert np.isfinite(high).all()
    assert low[1] == 0 <= high[1] < 1e-4
    with pytest.raises(InnerearError, match="do not fit a rate"):
        mean_interval(values - 1e-3, cluster, level=0.95, scale="rate")


@pytest.mark.parametrize("repetitions", [6, 9, 20])
def test_the_interval_of_a_median_holds_the_truth_as_often_as_it_says(repetitions):
    rng = np.random.default_rng(0)
    drawn = rng.lognormal(sigma=1.0, size=(4000, repetitions))  # timings have a long tail; the median is 1
    found = [median_interval(values, level=0.95) for values in drawn]
    held = np.mean([low <= 1 <= high for low, high in found])
    assert 0.945 <= held <= 0.985
    narrower = [np.sort(values)[[repetitions // 3, -1 - repetitions // 3]] for values in drawn]
    assert np.mean([low <= 1 <= high for low, high in narrower]) < 0.9


def test_few_repetitions_have_no_interval():
    assert median_interval(np.arange(5.0), level=0.95) is None
    assert median_interval(np.array([3.0, 1, 2, 5, 4, 0]), level=0.95) == (0, 5)
    assert median_interval(np.arange(9.0), level=0.95) == (1, 7)
