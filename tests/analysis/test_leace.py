"""Erasers take from states what tells classes apart, all of it and nothing more."""

import numpy as np
import pytest
import torch

from innerear.analysis.erasure import Whitening
from innerear.analysis.probes import fit_probes
from innerear.util.errors import InputError


@pytest.fixture(scope="module")
def states():
    """600 frames of 12 correlated dimensions and their labels: three classes whose means differ in two."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 600)
    made = random.standard_normal((600, 12)) @ random.standard_normal((12, 12))
    made += np.array([[3, 0], [0, 3], [-2, -2]])[labels] @ random.standard_normal((2, 12))
    return made.astype(np.float32), labels


def exact(states):
    """With the very covariance of the states."""
    return Whitening.from_covariance(states.mean(axis=0), np.cov(states.T.astype(float), bias=True))


def class_means(states, labels):
    return np.stack([states[labels == label].mean(axis=0) for label in np.unique(labels)])


@pytest.mark.parametrize("whitening", [Whitening.of, exact])
def test_after_erasure_all_classes_have_one_mean_and_a_probe_is_at_chance(states, whitening):
    values, labels = states
    eraser = whitening(values).concept(values, labels)
    assert eraser.rank == 2
    left = eraser(values)
    assert np.ptp(class_means(left, labels), axis=0).max() < 1e-4 < np.ptp(class_means(values, labels))

    def accuracy(features):
        every = np.arange(len(labels))
        fit = fit_probes(features[None], labels, every, every, classes=3, grid=[1.0])
        return (fit.probes.predict(features[None], every)[0] == labels).mean()

    assert accuracy(values) > 0.9
    assert accuracy(left) == pytest.approx(np.bincount(labels).max() / len(labels))
    assert np.allclose(left.mean(axis=0), values.mean(axis=0), atol=1e-4)
    assert np.allclose(eraser(left), left, atol=1e-4)


def test_no_other_map_that_erases_changes_states_less(states):
    values, labels = (each.astype(float) if each.dtype == np.float32 else each for each in states)
    least = exact(values).concept(values, labels)
    identity = Whitening.from_covariance(values.mean(axis=0), np.eye(12))
    random = np.random.default_rng(1)
    metrics = [np.eye(12), np.diag(random.uniform(0.1, 10, 12))]
    for attempt in range(20):
        drawn = random.standard_normal((12, 12))
        other = Whitening.from_covariance(identity.mean, drawn @ drawn.T + np.eye(12))
        rival = (identity if not attempt else other).concept(values, labels)
        assert np.ptp(class_means(rival(values), labels), axis=0).max() < 1e-9
        for metric in metrics:  # least in every one at once
            own, its = (np.square(each.removed(values) @ metric).sum() for each in (least, rival))
            assert own < its


def test_a_random_subspace_has_the_rank_and_leaves_the_classes_told_apart(states):
    values, labels = states
    space = Whitening.of(values)
    one, same, another = (space.random(2, seed) for seed in (0, 0, 1))
    assert (one.rank, np.linalg.matrix_rank(one.write)) == (2, 2)
    assert np.array_equal(one(values), same(values))
    assert not np.allclose(one(values), another(values))
    assert np.ptp(class_means(one(values), labels)) > 1
    assert np.allclose(one(one(values)), one(values), atol=1e-4)


def test_dimensions_without_variance_and_fewer_frames_than_dimensions_are_no_obstacle(states):
    values, labels = states
    few = np.concatenate([values[:10], np.ones((10, 5), np.float32)], axis=1)
    eraser = Whitening.of(few).concept(few, labels[:10])
    assert np.ptp(class_means(eraser(few), labels[:10]), axis=0).max() < 1e-4
    assert (eraser(few)[:, 12:] == 1).all()


def test_one_class_has_nothing_to_erase(states):
    values, labels = states
    eraser = Whitening.of(values).concept(values, np.zeros_like(labels))
    assert eraser.rank == 0
    assert np.array_equal(eraser(values), values)


def test_states_that_are_not_finite_are_one_line(states):
    values = states[0].copy()
    values[3, 3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        Whitening.of(values)


def test_agrees_with_the_package_concept_erasure(states):
    """Belrose's own; it scales by n - 1, which no projection depends on, and may shrink on top."""
    concept_erasure = pytest.importorskip("concept_erasure")
    values, labels = states
    x, z = torch.from_numpy(values.astype(float)), torch.nn.functional.one_hot(torch.from_numpy(labels))
    theirs = concept_erasure.LeaceFitter.fit(
        x, z.double(), shrinkage=False, constrain_cov_trace=False, svd_tol=1e-6
    ).eraser
    ours = exact(values.astype(float)).concept(values.astype(float), labels)
    assert np.allclose(ours(values.astype(float)), theirs(x).numpy(), atol=1e-9)
