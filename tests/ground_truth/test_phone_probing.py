"""Planted causes for phone probing: the layer where phones are wiped out, and the one that writes them."""

import numpy as np
import pytest
import torch
from conftest import Forgetful, measured, tiny_model

from innerear.data.registry import load_corpus
from innerear.protocols.phone_probing import PhoneProbingProtocol
from innerear.tasks.task import load_task

TASK = load_task("phoneme-probing").resolve(limit=84)


@pytest.fixture(scope="module")
def heard():
    return PhoneProbingProtocol(TASK, load_corpus)


def gaps(found):
    """Accuracy of each layer over the majority class."""
    probe = next(curve for curve in found.curves if curve.name == "probe")
    return np.array([point.value for point in probe.points]) - found.scores["majority"].value


def test_the_layer_that_wipes_out_phones_is_found_and_the_twin_has_none(heard):
    twin = gaps(measured(heard, tiny_model("whisper")))
    assert (twin > 0.08).all(), "phones are readable at every layer of the untouched model"
    planted = tiny_model("whisper")
    planted.network.model.encoder.layers[1] = Forgetful()
    found = gaps(measured(heard, planted))
    np.testing.assert_allclose(found[:2], twin[:2], atol=1e-6)
    assert (found[2:] < 0.03).all()


def test_phones_written_at_one_layer_are_found_there_and_only_from_there(heard):
    """A block that adds the phone's one-hot code: dev chooses it, and emergence is at its depth."""
    corpus, frames = heard.corpus, heard.frames["test"]
    model = tiny_model("moonshine")
    codes = {
        label: 10 * torch.nn.functional.one_hot(torch.tensor(index % 32), 32)
        for index, label in enumerate(sorted(set(frames.phone)))
    }
    block = model.network.model.encoder.layers[1]
    playing = []

    def write(_module, _args, states):
        item = corpus.items[playing[-1]]
        samples = len(item.audio())
        scored = [segment for segment in item.phones if segment.label in codes]
        at = model.clock.nearest(np.array([segment.middle for segment in scored]), samples)
        states = states.clone()
        for frame, segment in zip(at, scored, strict=True):
            states[0, frame] += codes[segment.label]
        return states

    encode = model.encode

    def follow(audio):
        playing.append(next(i for i, item in enumerate(corpus) if np.array_equal(item.audio(), audio[0])))
        return encode(audio)

    model.encode = follow
    block.register_forward_hook(write)
    found = measured(heard, model)
    accuracy = gaps(found) + found.scores["majority"].value
    assert accuracy[2] > 0.7 > accuracy[1] + 0.2
    assert set(found.tuned["chosen_site"]) <= {"encoder.2", "encoder.3"}
    assert found.scores["emergence_depth"].value == pytest.approx(2 / 3)
