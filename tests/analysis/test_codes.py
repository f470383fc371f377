"""Purity, stability and erasure on features whose meaning is known."""

import numpy as np
import pytest

from innerear.analysis.codes import Codes, Side, erasure, neurons, purity, stability


def one_hot(label, width):
    """Codes in which a frame of class c activates feature c alone."""
    return Codes(np.ones((len(label), 1), dtype=np.float32), label[:, None], width)


def test_purity_is_the_share_of_activation_on_the_class_that_training_chose():
    label = np.array([0, 0, 1, 1])
    train = Codes(np.ones((4, 1)), np.array([[0], [0], [1], [2]]), 4)
    held = Codes(np.array([[3.0], [1.0], [1.0], [1.0]]), np.array([[0], [0], [0], [1]]), 4)
    found = purity(train, label, held, label, 3, least=1)
    assert found["feature"].tolist() == [0, 1]
    assert found["label"].tolist() == [0, 1]
    assert found["purity"].tolist() == [0.8, 1.0]
    assert found["chance"].tolist() == [0.5, 0.5]
    assert found["active"].tolist() == [3, 1]
    assert purity(train, label, held, label, 3, least=2)["feature"].tolist() == [0]


def test_each_sign_of_a_neuron_is_a_feature():
    states = np.array([[1.0, -2.0], [-1.0, 2.0]])
    codes = neurons(states, np.arange(2), k=2)
    assert sorted(codes.index[0].tolist()) == [0, 3]
    assert sorted(codes.index[1].tolist()) == [1, 2]
    assert (codes.value > 0).all()


def test_stability_counts_live_features_that_another_seed_has():
    eye = np.eye(4)
    assert stability([eye, eye[::-1]], [np.arange(4)] * 2) == 1
    assert stability([eye[:2], -eye[:2]], [np.arange(2)] * 2) == 0
    assert stability([eye[:2], eye[1:3]], [np.array([0, 1]), np.array([0])]) == pytest.approx(0.75)


def test_a_class_of_one_feature_is_erased_by_it_and_no_other_is_harmed():
    rng = np.random.default_rng(0)
    rows = np.eye(12, 16)
    sides = []
    for _ in range(2):
        label = rng.integers(0, 6, 600)
        states = 5 * rows[label] + 0.1 * rng.standard_normal((600, 16))
        codes = one_hot(label, 12)
        sides.append(Side(states, Codes(5 * codes.value, codes.index, 12), label))
    found = erasure(*sides, rows, np.arange(12), list("abcdef"), least=20, seed=0)
    assert found["label"].tolist() == list("abcdef")
    assert (found["before"] > 0.99).all()
    assert (found["features"] == 1).all()
    assert (found["share"] == 1 / 12).all()
    assert found["damage"].max() < 0.01
    assert found["random_features"].mean() > 2
