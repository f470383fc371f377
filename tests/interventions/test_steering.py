"""Steering: which direction is taken, how long it is, what it changes, and that it is measured once."""

import numpy as np
import torch
from conftest import idle, make_item, noise, tiny_model

from innerear.activations.capture import Demand, capture
from innerear.activations.readings import unpacked
from innerear.analysis.codes import Codes
from innerear.analysis.sae import SAE
from innerear.data.schema import Corpus
from innerear.interventions.ablation import stop_at_loop
from innerear.interventions.run import encode_from_site, generate
from innerear.interventions.spec import Intervention
from innerear.interventions.steering import steering_directions, steering_outcomes, steering_sweep

DIRECTIONS = {
    name: 5 * np.random.default_rng(seed).standard_normal(32) for seed, name in enumerate(("up", "aside"))
}


def corpus(count=2, text="5 6 7"):
    items = tuple(make_item(f"c{at}", noise(0.5, at), text=text) for at in range(count))
    return Corpus("made", "1", items, "made", "none")


def steered(model, clips, directions, strengths=(1.0, 4.0), site="encoder.2", max_tokens=10, **options):
    sweep = steering_sweep(site, directions, strengths, max_tokens)
    (swept,) = capture(model, [Demand(clips, sweep)], **options)
    return swept, steering_outcomes(clips, swept)


def test_directions_follow_the_features_that_differ_most_and_are_equally_long():
    rows = torch.eye(4, 6)
    sae = SAE(rows.T, torch.zeros(4), rows, torch.zeros(6), 1)
    index = np.array([[0], [0], [1], [1]])
    codes = Codes(np.array([[3.0], [3.0], [1.0], [1.0]]), index, 4)
    states = sae.decode(sae.encode(torch.zeros(4, 6))).numpy() + codes.dense() @ rows.numpy()
    made = steering_directions(sae, codes, states, np.array([0, 1]), np.array([2, 3]), features=1, seed=0)
    length = np.sqrt(10)
    np.testing.assert_allclose(made["features"], [length, 0, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(made["means"], [3, -1, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose([np.linalg.norm(each) for each in made.values()], length, rtol=1e-6)


def test_a_sweep_gives_what_encoding_and_generating_by_hand_give():
    model, clips = tiny_model("whisper"), corpus()
    fresh, _ = steered(model, clips, DIRECTIONS)
    worlds = [()] + [
        (Intervention(site="encoder.2", kind="add", source=name, alpha=strength),)
        for name in DIRECTIONS
        for strength in (1.0, 4.0)
    ]
    tensors = {name: torch.from_numpy(each).float() for name, each in DIRECTIONS.items()}
    for at, item in enumerate(clips):
        encoded = encode_from_site(model, [item.audio()], [0] * 5, worlds, tensors)
        rows = generate(model, encoded, [()] * 5, max_tokens=10, stop=stop_at_loop)
        expected = [{"text": row.text, "tokens": list(row.tokens), "ended": row.ended} for row in rows]
        assert unpacked(fresh.values[at]["json"])["rows"] == expected
        assert len({row.text for row in rows}) > 1, "no direction changes anything"


def test_a_sweep_is_run_once_and_any_other_one_anew(tmp_path):
    model, clips = tiny_model("moonshine"), corpus()
    first, outcomes = steered(model, clips, DIRECTIONS, cache=tmp_path)
    with idle(model):
        again, same = steered(model, clips, DIRECTIONS, cache=tmp_path)
    assert all(torch.equal(first.values[at]["json"], again.values[at]["json"]) for at in range(2))
    for name in ("written", "errors", "words"):
        np.testing.assert_array_equal(getattr(outcomes, name), getattr(same, name))
    nearly = {**DIRECTIONS, "up": np.nextafter(DIRECTIONS["up"].astype(np.float32), np.float32(np.inf))}
    for directions, changes in (
        (nearly, {}),
        (DIRECTIONS, {"strengths": (1.0, 3.0)}),
        (DIRECTIONS, {"site": "encoder.1"}),
        (DIRECTIONS, {"max_tokens": 5}),
    ):
        swept, _ = steered(model, clips, directions, cache=tmp_path, **changes)
        assert swept.log.processed == 2


def test_a_killed_sweep_goes_on_at_the_clip_where_it_stopped(tmp_path):
    model, clips = tiny_model("moonshine"), corpus(3)
    whole, _ = steered(model, clips, DIRECTIONS)
    steered(model, corpus(1), DIRECTIONS, cache=tmp_path)
    swept, _ = steered(model, clips, DIRECTIONS, cache=tmp_path)
    assert (swept.log.cached, swept.log.processed) == (1, 2)
    assert all(torch.equal(swept.values[at]["json"], whole.values[at]["json"]) for at in range(3))


def test_adding_nothing_changes_nothing():
    _, found = steered(tiny_model("whisper"), corpus(), {"nothing": np.zeros(32)})
    assert found.written.shape == found.errors.shape == (3, 2)
    assert (found.written == found.written[0]).all()
    assert (found.errors == found.errors[0]).all()
    assert found.words.tolist() == [3, 3]


def test_clips_without_words_have_no_word_errors():
    _, found = steered(tiny_model("whisper"), corpus(1, text=""), {"up": np.ones(32)}, [1.0])
    assert found.words.tolist() == [0]
    assert (found.errors == 0).all()
    assert (found.written > 0).all()
