"""Linear CTC probes: their loss is that of all alignments, and they write what states say and no more."""

from itertools import groupby, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from innerear.analysis.ctc_probes import BLANK, Said, _Loss, fit_ctc
from innerear.util.errors import InputError

PHONES, EACH = 4, 3
"""Phones, and frames of each."""


def said(*clips, frames):
    return Said(np.cumsum([0, *frames]), tuple(np.array(clip, dtype=int) for clip in clips))


def spoken(rng, clips):
    """Clips of phones that last some frames, each followed by a pause, with a little noise."""
    states, phones, frames = [], [], []
    for _ in range(clips):
        own = rng.integers(PHONES, size=rng.integers(3, 7))
        phones.append(own)
        shown = np.concatenate([[phone + 1] * EACH + [0] for phone in own])
        states.append(np.eye(PHONES + 1)[shown] + 0.1 * rng.standard_normal((len(shown), PHONES + 1)))
        frames.append(len(shown))
    return np.concatenate(states).astype(np.float32), said(*phones, frames=frames)


def collapsed(path):
    return [label - 1 for label, _ in groupby(path) if label != BLANK]


@given(seed=st.integers(0, 99), phones=st.lists(st.integers(0, 2), min_size=1, max_size=3))
def test_the_loss_is_the_log_probability_of_all_alignments(seed, phones):
    rng = np.random.default_rng(seed)
    x, weight = rng.standard_normal((5, 2)).astype(np.float32), rng.standard_normal((3, 4))
    own = said(phones, frames=[5])
    if not own.fits(0):
        return
    log_probs = torch.log_softmax(torch.from_numpy(x @ weight[:-1] + weight[-1]), dim=-1).numpy()
    paths = [path for path in product(range(4), repeat=5) if collapsed(path) == phones]
    expected = -np.log(sum(np.exp(sum(log_probs[t, k] for t, k in enumerate(path))) for path in paths))
    found = _Loss(x, own, [0], "cpu")(torch.from_numpy(weight).float())
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_the_start_is_flat_phones_last_equally_long_and_each_frame_is_half_a_blank():
    rng = np.random.default_rng(3)
    x, weight = rng.standard_normal((9, 2)).astype(np.float32), rng.standard_normal((3, 4)).astype(np.float32)
    log_probs = torch.log_softmax(torch.from_numpy(x @ weight[:-1] + weight[-1]), dim=-1).numpy()
    shown = [2, 2, 2, 1, 1, 3, 3, 3, 3]  # phones 1 and 0 in five frames, phone 2 in four
    expected = -sum((log_probs[at, label] + log_probs[at, BLANK]) / 2 for at, label in enumerate(shown))
    found = _Loss(x, said([1, 0], [2], frames=[5, 4]), [0, 1], "cpu").evenly(torch.from_numpy(weight))
    assert found.item() == pytest.approx(float(expected), rel=1e-5)


@given(phones=st.lists(st.integers(0, 2), min_size=1, max_size=4), frames=st.integers(1, 6))
def test_a_clip_fits_if_some_path_writes_its_phones(phones, frames):
    some = any(collapsed(path) == phones for path in product(range(4), repeat=frames))
    assert said(phones, frames=[frames]).fits(0) == some


def test_what_states_say_is_written_and_what_they_do_not_is_not():
    rng = np.random.default_rng(0)
    values, own = spoken(rng, 60)
    learn, dev, held = range(40), range(40, 50), range(50, 60)
    probe = fit_ctc(values, own, learn, dev, classes=PHONES, grid=[0.01, 0.1, 1.0])
    for clip, written in zip(held, probe.written(values, own, held), strict=True):
        assert written.tolist() == own.phones[clip].tolist()
    assert probe.dev_score > -0.3
    assert probe.c == [0.01, 0.1, 1.0][int(np.argmax(probe.dev_grid))]
    again = fit_ctc(values, own, learn, dev, classes=PHONES, grid=[1.0, 0.1, 0.01])
    np.testing.assert_array_equal(again.weight, probe.weight)  # the order of a grid says nothing
    noise = rng.standard_normal(values.shape).astype(np.float32)
    nothing = fit_ctc(noise, own, learn, dev, classes=PHONES, grid=[0.01, 0.1, 1.0])
    right = [written.tolist() == own.phones[clip].tolist()
             for clip, written in zip(held, nothing.written(noise, own, held), strict=True)]  # fmt: skip
    assert not any(right)
    assert nothing.dev_score < -1


def test_scale_and_place_of_features_do_not_matter():
    rng = np.random.default_rng(1)
    values, own = spoken(rng, 30)
    one, other = (
        fit_ctc(each, own, range(20), range(20, 30), classes=PHONES, grid=[0.1])
        for each in (values, 8 * values + 4)
    )
    assert one.dev_score == pytest.approx(other.dev_score, abs=1e-3)


def test_what_cannot_be_fitted_is_said():
    values, own = spoken(np.random.default_rng(2), 4)
    with pytest.raises(InputError, match="there are 0 and 2"):
        fit_ctc(values, own, [], [0, 1], classes=PHONES, grid=[0.1])
    values[0, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        fit_ctc(values, own, [0, 1], [2, 3], classes=PHONES, grid=[0.1])
