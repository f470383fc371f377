"""Planted causes for the lenses: a saturation layer, and the layer at which speech appears or is lost."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import Forgetful, make_item, measured, noise, tiny_model

from innerear.data.schema import Corpus
from innerear.protocols.base import NotApplicable
from innerear.protocols.encoder_lens import EncoderLensProtocol
from innerear.protocols.logit_lens import LogitLensProtocol
from innerear.tasks.task import load_task

LENS = load_task("logit-lens").model_copy(update={"noise": None, "clips_per_speaker": 1})
LENS = LENS.resolve(measure=LENS.measure.model_dump() | {"steps": 2, "checks": 1})
DEEP = load_task("encoder-lens").resolve(measure={"protocol": "encoder-lens", "most": 19})


class Idle(torch.nn.Module):
    """A block that adds an offset and nothing else."""

    def __init__(self, offset=0.0):
        super().__init__()
        self.offset = offset

    def forward(self, states, *_args, **_kwargs):
        return states + self.offset


def corpus(clips=6):
    items = tuple(make_item(f"c{at}", noise(0.5, at), speaker=f"s{at}") for at in range(clips))
    return Corpus("made", "1", items, "made", "none")


@pytest.mark.parametrize("family", ["whisper", "moonshine"])
def test_the_layer_after_which_nothing_changes_is_the_saturation_layer(family):
    protocol = LogitLensProtocol(LENS, lambda _: corpus())
    untouched = measured(protocol, tiny_model(family))
    planted = tiny_model(family)
    planted.network.model.decoder.layers[1] = Idle()
    found = measured(protocol, planted)
    assert found.curves[0].points[1].value == 1
    assert found.scores["saturation_depth"].value <= 0.5
    kl = [next(c for c in made.curves if c.name == "kl").points[1].value for made in (found, untouched)]
    assert kl[0] == 0 < kl[1]
    if family == "whisper":  # the other random one repeats itself from its first layer on
        assert untouched.curves[0].points[1].value < 1


def speaking(blocks):
    """A model with these encoder blocks that ends its outputs."""
    model = tiny_model("whisper")
    for at, block in enumerate(blocks):
        model.network.model.encoder.layers[at] = block
    decode = model.greedy_decode
    model.greedy_decode = lambda *given: [replace(row, ended=True) for row in decode(*given)]
    return model


def texts_of(model, clips):
    items = tuple(replace(item, text=model.transcribe([item.audio()])[0].text) for item in clips)
    return Corpus("made", "1", items, "made", "none")


def grounded(found):
    return [point.value for point in next(c for c in found.curves if c.name == "grounded").points]


def test_the_layer_at_which_states_are_lost_is_found_and_the_twin_has_none():
    clips = texts_of(speaking([Idle(), Idle(), Idle()]), corpus())
    protocol = EncoderLensProtocol(DEEP, lambda _: clips)
    untouched = measured(protocol, speaking([Idle(), Idle(), Idle()]))
    assert grounded(untouched) == [1, 1, 1, 1]
    assert untouched.scores["emergence_depth"].value == 0
    assert untouched.scores["wer"].value == 0
    found = grounded(measured(protocol, speaking([Idle(), Forgetful(), Idle()])))
    assert found[:2] == [1, 1]
    assert max(found[2:]) < 1


def test_the_layer_from_which_the_decoder_understands_is_the_emergence_depth():
    offset = 50 * torch.randn(32, generator=torch.Generator().manual_seed(1))
    hidden = speaking([Idle(offset), Idle(-offset), Idle()])
    clips = texts_of(hidden, corpus())
    found = measured(EncoderLensProtocol(DEEP, lambda _: clips), hidden)
    assert grounded(found)[2:] == [1, 1]
    assert grounded(found)[1] == 0
    assert found.scores["emergence_depth"].value == pytest.approx(2 / 3)
    assert found.scores["grounded_at_last"].value == 1


@pytest.mark.parametrize("family", ["whisper", "moonshine"])
def test_every_decoder_has_the_encoder_lens(family):
    model = tiny_model(family)
    found = measured(EncoderLensProtocol(DEEP, lambda _: corpus()), model)
    assert len(found.curves[0].points) == model.encoder_layers + 1
    kinds = found.tables["kinds"]
    assert len(kinds) == 2 * (model.encoder_layers + 1)
    names = ("empty", "correct", "loop", "partial", "gibberish", "fluent")
    assert all(sum(row[name] for name in names) == 6 for row in kinds)
    assert np.isfinite(found.items["outcome"]).all()


def test_the_encoder_lens_of_ctc_reads_its_head():
    model = tiny_model("wav2vec2")
    clips = texts_of(model, corpus())
    found = measured(EncoderLensProtocol(DEEP, lambda _: clips), model)
    assert found.scores["wer"].value == 0
    assert grounded(found)[-1] == 1


def test_a_silent_clip_is_one_line():
    silent = Corpus("made", "1", (make_item("c", noise(0.5), text=""),), "made", "none")
    with pytest.raises(NotApplicable, match="c has no words"):
        EncoderLensProtocol(DEEP, lambda _: silent)
