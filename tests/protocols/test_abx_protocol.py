"""ABX by layer: a layer that wipes phones out is at chance, and the twin is not."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import Forgetful, make_item, measured, noise, tiny_model

from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus
from innerear.protocols.abx import AbxProtocol
from innerear.tasks.task import load_task
from innerear.util.errors import InputError

TASK = load_task("abx").resolve(limit=84)


@pytest.fixture(scope="module")
def protocol():
    return AbxProtocol(TASK, load_corpus)


def test_the_layer_that_wipes_phones_out_is_at_chance(protocol):
    untouched = measured(protocol, tiny_model("moonshine"))
    planted = tiny_model("moonshine")
    planted.network.model.encoder.layers[1] = Forgetful()
    found = measured(protocol, planted)
    before = np.array([point.value for point in untouched.curves[0].points])
    after = np.array([point.value for point in found.curves[0].points])
    np.testing.assert_allclose(after[:2], before[:2], atol=1e-6)
    assert after[2] == pytest.approx(0.5, abs=0.1)
    assert (before[1:] < 0.47).all()


def test_a_clip_that_cannot_be_decoded_leaves_the_others_to_compare(protocol):
    def fail():
        raise InputError("broken")

    broken = protocol.plans["across"].tokens[0].clip
    corpus = protocol.corpus
    damaged = corpus.with_items(replace(item, audio=fail) if item.id == broken else item for item in corpus)
    without = corpus.with_items(item for item in corpus if item.id != broken)
    model = tiny_model("moonshine")
    found, expected = (measured(AbxProtocol(TASK, lambda _, c=c: c), model) for c in (damaged, without))
    assert found.scores.keys() == expected.scores.keys()
    assert 0 < found.scores["error_across"].n <= expected.scores["error_across"].n


def test_what_cannot_be_compared_is_said(protocol):
    if "within" not in protocol.plans:
        assert protocol.not_measured[0]["mode"] == "within"
    with pytest.raises(InputError, match="phones"):
        AbxProtocol(TASK, lambda _: Corpus("made", "1", (make_item("a", noise(1.0), speaker="s"),), "", ""))
