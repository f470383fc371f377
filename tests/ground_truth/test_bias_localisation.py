"""A context feature planted at one encoder layer is found there, and nothing in the layers before."""

from dataclasses import replace

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


def relabelled(item):
    """The same words in all pairs, so that what speaks for one of them does so in every clip."""
    labels = {key: f"rig{value[-2:]}" if key in ("word", "foil") else value for key, value in item.extra}
    return replace(item, extra=tuple(labels.items()))


CORPUS = pair_corpus(audio)
CORPUS = CORPUS.with_items(map(relabelled, CORPUS))


def protocol(monkeypatch, favoured=True, task=TASK, text="they said"):
    def judged(words, _captured):
        return pd.DataFrame({"pair": [word.pair for word in words], "favoured": [favoured] * len(words)})

    monkeypatch.setattr(bias_localisation, "favoured_by_text", judged)
    if text:  # one for all carriers, so that the decoder has no context but what it hears
        monkeypatch.setattr("innerear.interventions.context_patching.context", lambda item: text)
    return BiasLocalisationProtocol(task, lambda _: CORPUS)


def found_in(monkeypatch, model, **options):
    """What is found for the first words of all pairs, or for the second ones where contexts favour those."""
    for turn in (1, -1):
        monkeypatch.setattr(
            bias_localisation, "one_word_each",
            lambda pairs, most, turn=turn: [pair[::turn] for pair in pairs[:most]],
        )  # fmt: skip
        try:
            return measured(protocol(monkeypatch, **options), model)
        except NotApplicable:
            continue
    raise AssertionError("contexts favour no words")


def untouched():
    """A model whose frames know nothing of each other."""
    model = tiny_model("moonshine")
    for layer in model.network.model.encoder.layers:
        layer.self_attn.o_proj.weight.data.zero_()
    return model


def planted(block):
    """The same, where a block adds a direction to the word's frames, by what tone it heard before."""
    model = untouched()
    direction = 3 * torch.randn(32, generator=torch.Generator().manual_seed(5))
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
        states[:, 15:] += gate[:, None, None] * direction
        return (states, *output[1:]) if isinstance(output, tuple) else states

    model.network.model.encoder.layers[block - 1].register_forward_hook(add, with_kwargs=True)
    return model


def test_the_layer_of_a_planted_context_is_found(monkeypatch):
    found = found_in(monkeypatch, planted(2))
    curve = {point.site: point.value for point in found.curves[0].points}
    assert curve["encoder.0"] == pytest.approx(0, abs=0.02)
    assert curve["encoder.1"] == pytest.approx(0, abs=0.02)
    assert curve["encoder.2"] > 0.7  # the tone itself is heard, too
    assert found.scores["encoder_share"].value == pytest.approx(curve["encoder.3"])
    assert found.scores["decoder_share"].value < 0.3
    part = {row["alpha"]: row["given_back"] for row in found.tables["arms"] if row["arm"] == "favoured"}
    assert 0 < part[0.5] < 1
    assert abs(part[0.25]) < curve["encoder.3"] / 2 < part[0.75]


def test_where_texts_alone_favour_words_the_encoder_gives_nothing_back_and_no_component_is_named(monkeypatch):
    found = found_in(monkeypatch, untouched(), text=None)
    assert found.scores["context_effect"].low > 0
    for curve in found.curves[:2]:  # the favouring carrier's and the neutral one's states
        shares = [point.value for point in curve.points]
        assert shares == pytest.approx([shares[0]] * 4, abs=1e-3)  # what its front end mixes in, and no more
        assert abs(shares[0]) < 0.1
    assert abs(found.scores["encoder_share"].value) < 0.1
    assert found.scores["component_p"].value > 0.05


def test_an_effect_that_may_be_none_is_not_split(monkeypatch):
    # every other word is the second one of its pair: what speaks for a word speaks against the next
    with pytest.raises(NotApplicable, match=r"12 words by .* nats, 95% interval from -.* no effect"):
        measured(protocol(monkeypatch), planted(2))


def test_the_share_is_of_all_words_also_where_components_are_patched_in_a_part(monkeypatch):
    few = TASK.resolve(measure=TASK.measure.model_dump() | {"words": 8})
    whole, found = (found_in(monkeypatch, planted(2), task=task) for task in (TASK, few))
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
