"""Planted shifts are found again, in simulation, with intervals that hold them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from innerear.stats.psychometric import fit, shift_interval

LEVELS = np.arange(7.0)


def drawn(thresholds, slope, lapse, pairs, seed):
    rng = np.random.default_rng(seed)
    p = lapse / 2 + (1 - lapse) * expit(slope * (LEVELS - np.array(thresholds)[:, None]))
    return (rng.random((pairs, *p.shape)) < p).astype(float)


@settings(max_examples=20, deadline=None)
@given(
    shift=st.floats(-2, 2), middle=st.floats(2, 4), slope=st.floats(1, 4), lapse=st.floats(0, 0.1),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_a_planted_shift_is_found(shift, middle, slope, lapse, seed):
    chose = drawn([middle + shift / 2, middle - shift / 2], slope, lapse, 600, seed)
    made = fit(LEVELS, chose.sum(axis=0), np.full(chose.shape[1:], 600))
    assert made.shift(0, 1) == pytest.approx(shift, abs=0.35)
    assert np.abs(made.at(LEVELS) - chose.mean(axis=0)).max() < 0.1


def test_the_interval_holds_the_shift_about_as_often_as_it_says():
    held = 0
    for seed in range(20):
        chose = drawn([3.6, 2.4], 2, 0.02, 24, seed)
        low, high = shift_interval(LEVELS, chose, (0, 1), level=0.95, resamples=60, seed=0)
        held += low <= 1.2 <= high
    assert 16 <= held <= 20


def test_a_curve_that_never_falls_is_censored():
    chose = np.ones((20, 2, 7))
    chose[:, 1] = drawn([3.0], 2, 0, 20, 0)[:, 0]
    made = fit(LEVELS, chose.sum(axis=0), np.full((2, 7), 20))
    assert made.censored(0)
    assert not made.censored(1)
