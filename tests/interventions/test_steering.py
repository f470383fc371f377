"""Steering: which direction is taken, how long it is, and that it does what it says."""

import numpy as np
import torch
from conftest import make_item, noise, tiny_model

from innerear.analysis.codes import Codes
from innerear.analysis.sae import SAE
from innerear.interventions.steering import directions, steer


def test_directions_follow_the_features_that_differ_most_and_are_equally_long():
    rows = torch.eye(4, 6)
    sae = SAE(rows.T, torch.zeros(4), rows, torch.zeros(6), 1)
    index = np.array([[0], [0], [1], [1]])
    codes = Codes(np.array([[3.0], [3.0], [1.0], [1.0]]), index, 4)
    states = sae.decode(sae.encode(torch.zeros(4, 6))).numpy() + codes.dense() @ rows.numpy()
    made = directions(sae, codes, states, np.array([0, 1]), np.array([2, 3]), features=1, seed=0)
    length = np.sqrt(10)
    np.testing.assert_allclose(made["features"], [length, 0, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(made["means"], [3, -1, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose([np.linalg.norm(each) for each in made.values()], length, rtol=1e-6)


def test_what_is_added_is_what_changes_the_output():
    model = tiny_model("whisper")
    items = [make_item(f"c{at}", noise(0.5, at), text="5 6 7") for at in range(2)]
    nothing = {"nothing": np.zeros(32)}
    found = steer(model, "encoder.2", items, nothing, [1.0, 4.0], most=10)
    assert found.written.shape == found.errors.shape == (3, 2)
    assert (found.written == found.written[0]).all()
    assert (found.errors == found.errors[0]).all()
    assert found.words.tolist() == [3, 3]


def test_clips_without_words_have_no_word_errors():
    model = tiny_model("whisper")
    items = [make_item("c", noise(0.5), text="")]
    found = steer(model, "encoder.2", items, {"up": np.ones(32)}, [1.0], most=10)
    assert found.words.tolist() == [0]
    assert (found.errors == 0).all()
    assert (found.written > 0).all()
