"""A context feature planted at one encoder layer is found there, and nothing in the layers before."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_item, measured, noise, pair_corpus, tiny_model

from innerear.data.minimal_pairs import CARRIERS
from innerear.data.schema import SAMPLING_RATE, Corpus
from innerear.protocols import bias_localisation
from innerear.protocols.base import NotApplicable
from innerear.protocols.bias_localisation import BiasLocalisationProtocol
from innerear.tasks.task import load_task
from innerear.util.errors import InputError

TASK = load_task("bias-localisation")
TASK = TASK.resolve(measure=TASK.measure.model_dump() | {"words": 12})
ONSET = 5760


def audio(at, number, carrier, _voice=0):
    """A tone that tells the carrier, and then the word's own noise."""
    made = noise(0.7, 10 * at + number)
    time = np.arange(ONSET - 960) / SAMPLING_RATE
    pitch = {"favours-spoken": 300, "favours-foil": 2500, "neutral": 900, "alone": 50}[carrier]
    made[: ONSET - 960] = 0.1 * np.sin(2 * np.pi * pitch * time)
    return made


CORPUS = pair_corpus(audio)


def protocol(monkeypatch, favoured=True, task=TASK):
    def judged(words, _captured):
        return pd.DataFrame({"pair": [word.pair for word in words], "favoured": [favoured] * len(words)})

    monkeypatch.setattr(bias_localisation, "favoured_by_text", judged)
    # one text for all carriers, so that the decoder has no context but what it hears
    monkeypatch.setattr("innerear.interventions.context_patching.context", lambda item: "they said")
    return BiasLocalisationProtocol(task, lambda _: CORPUS)


def untouched():
    """A model whose frames know nothing of each other."""
    model = tiny_model("moonshine")
    for layer in model.network.model.encoder.layers:
        layer.self_attn.o_proj.weight.data.zero_()
    return model


def planted(block, sign):
    """The same, where a block adds a direction to the word's frames, by what tone it heard before."""
    model = untouched()
    direction = 3 * torch.randn(32, generator=torch.Generator().manual_seed(1))
    before, known = f"encoder.{block - 1}", {}
    for name in CARRIERS[:2]:
        with torch.inference_mode(), model.reading([before]) as kept:
            model.encode([audio(0, 0, name)])
        known[name] = kept[before][0, 2]
    away = known["favours-spoken"] - known["favours-foil"]
    middle = (known["favours-spoken"] + known["favours-foil"]) / 2

    def add(_module, args, kwargs, output):
        states = output[0] if isinstance(output, tuple) else output
        came = args[0] if args else kwargs["hidden_states"]
        gate = torch.sign((came[:, 2] - middle) @ away)
        states = states.clone()
        states[:, 15:] += sign * gate[:, None, None] * direction
        return (states, *output[1:]) if isinstance(output, tuple) else states

    model.network.model.encoder.layers[block - 1].register_forward_hook(add, with_kwargs=True)
    return model


def found_in_favour(monkeypatch, task=TASK):
    """What is found where the planted direction speaks for the words."""
    # first words alone: a direction that speaks for them speaks against the second words
    monkeypatch.setattr(bias_localisation, "one_word_each", lambda pairs, most: pairs[:most])
    asked = protocol(monkeypatch, task=task)
    try:
        return measured(asked, planted(2, 1))
    except NotApplicable:  # the direction happened to speak for the foil
        return measured(asked, planted(2, -1))


def test_the_layer_of_a_planted_context_is_found(monkeypatch):
    found = found_in_favour(monkeypatch)
    curve = {point.site: point.value for point in found.curves[0].points}
    assert curve["encoder.0"] == pytest.approx(0, abs=0.02)
    assert curve["encoder.1"] == pytest.approx(0, abs=0.02)
    assert curve["encoder.2"] > 0.7  # the tone itself is heard, too
    assert found.scores["encoder_share"].value == pytest.approx(curve["encoder.3"])
    assert found.scores["decoder_share"].value < 0.3
    half = [row for row in found.tables["arms"] if row["alpha"] == 0.5]
    assert 0 < half[0]["given_back"] < 1


def test_the_untouched_model_gives_nothing_back_and_names_no_component(monkeypatch):
    found = measured(protocol(monkeypatch), untouched())
    for curve in found.curves[:2]:  # the favouring carrier's and the neutral one's states
        shares = [point.value for point in curve.points]
        assert shares == pytest.approx([shares[0]] * 4, abs=1e-3)  # what its front end mixes in, and no more
        assert abs(shares[0]) < 0.1
    assert found.scores["encoder_share"].low <= 0
    assert found.scores["component_p"].value > 0.05


def test_the_share_is_of_all_words_also_where_components_are_patched_in_a_part(monkeypatch):
    few = TASK.resolve(measure=TASK.measure.model_dump() | {"words": 8})
    whole, found = found_in_favour(monkeypatch), found_in_favour(monkeypatch, few)
    for name in ("encoder_share", "decoder_share", "context_effect", "crossed_audio"):
        assert found.scores[name].model_dump() == pytest.approx(whole.scores[name].model_dump(), abs=1e-5)
    assert found.scores["encoder_share"].n == found.curves[0].n == len(found.items) == 12
    assert {curve.n for curve in found.curves[1:]} == {8}
    assert found.split.folds[0].train.items == found.split.folds[0].test.items == 4


def test_words_that_no_text_favours_are_not_measured(monkeypatch):
    with pytest.raises(NotApplicable, match="0 of 12 words have carriers"):
        measured(protocol(monkeypatch, favoured=False), tiny_model("whisper"))


def test_a_corpus_without_pairs_is_refused():
    plain = Corpus("plain", "1", (make_item("c", noise(0.7)),), "made", "none")
    with pytest.raises(InputError, match="no minimal pair"):
        BiasLocalisationProtocol(TASK, lambda _: plain)
