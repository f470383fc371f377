"""Capture yields the asked frames of every layer in one pass, and its cache changes nothing."""

import numpy as np
import pytest
import torch
from conftest import make_item, noise, tiny_model

from innerear.capture import capture
from innerear.corpora.schema import Corpus
from innerear.errors import InnerearError, InputError

TIMES = [np.array([0.1, 0.5]), np.array([]), np.array([0.2, 0.7, 0.9]), np.array([0.3])]


def corpus(*extra):
    clips = [make_item(f"c{index}", noise(1.0 + 0.1 * (index % 2), index)) for index in range(4 - len(extra))]
    return Corpus("test", "1", (*clips, *extra), "made", "none")


def test_features_equal_the_states_of_each_clip_alone(model):
    features = capture(model, corpus(), model.encoder_sites, TIMES)
    assert features.values.shape == (model.encoder_layers + 1, 6, 32)
    assert features.item.tolist() == [0, 0, 2, 2, 2, 3]
    assert features.position.tolist() == [0, 1, 0, 1, 2, 0]
    for column, (index, position) in enumerate(zip(features.item, features.position, strict=True)):
        audio = corpus().items[index].audio()
        frame = model.clock.nearest(TIMES[index], len(audio))[position]
        states = model.states([audio], model.encoder_sites)
        for layer, site in enumerate(model.encoder_sites):
            assert torch.equal(torch.from_numpy(features.values[layer, column]), states[site][0, frame])


def test_batches_hold_only_clips_of_one_shape_and_give_the_same_features():
    model = tiny_model("moonshine")
    alone = capture(model, corpus(), model.encoder_sites, TIMES)
    batched = capture(model, corpus(), model.encoder_sites, TIMES, batch_size=2)
    assert batched.item.tolist() == alone.item.tolist()
    np.testing.assert_allclose(batched.values, alone.values, atol=1e-5)


def test_a_second_capture_reads_the_cache_and_hears_nothing(tmp_path):
    model = tiny_model("moonshine")
    first = capture(model, corpus(), model.encoder_sites, TIMES, cache=tmp_path)
    second = capture(model, corpus(), model.encoder_sites, TIMES, cache=tmp_path)
    assert (first.log.heard, first.log.cached) == (3, 0)
    assert (second.log.heard, second.log.cached) == (0, 3)
    assert np.array_equal(first.values, second.values)


def test_the_cache_knows_weights_sites_and_times(tmp_path):
    model = tiny_model("moonshine")
    capture(model, corpus(), model.encoder_sites, TIMES, cache=tmp_path)
    later = [asked + 0.05 for asked in TIMES]
    assert capture(model, corpus(), model.encoder_sites, later, cache=tmp_path).log.cached == 0
    assert capture(model, corpus(), ["encoder.1"], TIMES, cache=tmp_path).log.cached == 0


def test_a_damaged_cache_file_is_made_again(tmp_path):
    model = tiny_model("moonshine")
    first = capture(model, corpus(), model.encoder_sites, TIMES, cache=tmp_path)
    damaged = next(tmp_path.rglob("*.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:50])
    again = capture(model, corpus(), model.encoder_sites, TIMES, cache=tmp_path)
    assert (again.log.heard, again.log.cached) == (1, 2)
    assert np.array_equal(first.values, again.values)


def test_a_bad_clip_is_counted_and_the_others_go_on():
    model = tiny_model("whisper")
    features = capture(model, corpus(make_item("bad", b"not audio")), model.encoder_sites, TIMES)
    assert features.log.refused[0][0] == "bad"
    assert features.item.tolist() == [0, 0, 2, 2, 2]


def test_strict_stops_at_a_bad_clip():
    model = tiny_model("whisper")
    with pytest.raises(InputError, match="bad: cannot decode"):
        capture(model, corpus(make_item("bad", b"not audio")), model.encoder_sites, TIMES, strict=True)


def test_a_corpus_without_a_usable_clip_is_refused():
    model = tiny_model("whisper")
    only = Corpus("test", "1", (make_item("bad", b""),), "made", "none")
    with pytest.raises(InputError, match=r"no clip could be heard.*bad: the audio file is empty"):
        capture(model, only, model.encoder_sites, [np.array([0.1])])


def test_states_that_are_not_finite_are_an_error():
    model = tiny_model("whisper")
    with torch.no_grad():
        model.network.model.encoder.layers[1].fc2.bias.fill_(float("nan"))
    with pytest.raises(InnerearError, match="not finite"):
        capture(model, corpus(), model.encoder_sites, TIMES)
