"""Bias on tiny models whose texts and priors are scripted: rules of exclusion, counts, curves."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_item, measured, noise, pair_corpus, tiny_model

from innerear.activations.capture import capture
from innerear.data.minimal_pairs import CARRIERS
from innerear.data.schema import Corpus
from innerear.interventions import forced_choice
from innerear.models.base import Transcript
from innerear.protocols import base, semantic_bias
from innerear.protocols.base import NotApplicable
from innerear.protocols.semantic_bias import SemanticBiasProtocol
from innerear.tasks.task import load_task
from innerear.util.errors import InputError

TASK = load_task("semantic-bias")
TASK = TASK.resolve(
    measure=TASK.measure.model_dump() | {"graded": 2, "resamples": 100, "steps": 5},
)


def audio(at, number, carrier, _voice):
    """A word's own noise from 0.3 s on; before it that of the carrier."""
    made = noise(0.7, 10 * at + number)
    made[:4000] = noise(0.25, 1000 + 4 * at + CARRIERS.index(carrier))
    return made


CORPUS = pair_corpus(audio, start=0.3)


@pytest.fixture
def scene(monkeypatch):
    """Measure a model that writes what `say(item)` gives, with priors that favour what they should."""
    values = torch.tensor([2.0, -1.0, 0.0])
    monkeypatch.setattr(forced_choice, "text_log_odds", lambda _m, _e, texts: values.repeat(len(texts) // 3))
    protocol, model = SemanticBiasProtocol(TASK, lambda _: CORPUS), tiny_model("whisper")
    known = {item.audio().tobytes(): item for word in protocol._words for item in word.clips}
    model.letters = str  # which would hear other clips
    heard, encode = [], model.encode

    def follow(audio):
        heard.append(known.get(audio[0].tobytes()))
        return encode(audio)

    def script(say):
        model.encode = follow
        model.greedy_decode = lambda encoded, max_tokens=None: [
            Transcript(say(heard[-1]), (5, 3), (-0.1, -0.1))
        ]
        return measured(protocol, model)

    script.heard = heard
    return script


def test_words_written_are_counted_by_carrier(scene, monkeypatch):
    monkeypatch.setattr(semantic_bias, "homophones", lambda one, other: one == other)

    def say(item):
        if item.label("carrier") == "alone" and item.label("pair") == "pair03":
            return "nothing"
        return item.label("foil") if item.label("carrier") == "favours-foil" else item.label("word")

    found = scene(say)
    assert found.scores["understood_alone"].value == pytest.approx(22 / 24)
    assert found.scores["words_kept"].n == 24
    assert len(found.items) == 22
    assert found.scores["overruled"].value == found.scores["foil_incongruent"].value == 1
    assert found.scores["foil_neutral"].value == 0
    assert len(found.tables["overruled"]) == 20


def test_carriers_of_words_that_do_not_count_are_not_read(scene):
    scene(lambda item: "nothing" if item.label("pair") == "pair03" else item.label("word"))
    read = {(item.label("pair"), item.label("carrier")) for item in scene.heard if item is not None}
    assert {carrier for pair, carrier in read if pair == "pair03"} == {"alone"}
    assert {carrier for pair, carrier in read if pair == "pair04"} == set(CARRIERS)


@pytest.mark.parametrize(("processed", "kept"), [(11, 22), (9, None)])
def test_words_that_cannot_be_processed_in_their_carriers_are_not_kept(scene, monkeypatch, processed, kept):
    def read(model, demands, **options):
        made = capture(model, demands, **options)
        beyond = [
            {at for at, item in enumerate(each.corpus) if item.label("carrier") == "neutral"
             and item.label("pair") >= f"pair{processed:02}"}
            for each in demands
        ]  # fmt: skip
        return [
            replace(one, values={at: value for at, value in one.values.items() if at not in without})
            for one, without in zip(made, beyond, strict=True)
        ]

    monkeypatch.setattr(base, "capture", read)
    if kept:
        assert len(scene(lambda item: item.label("word")).items) == kept
    else:
        with pytest.raises(NotApplicable, match="18 of 24 words, of 9 pairs, can be processed in all"):
            scene(lambda item: item.label("word"))


def test_scores_are_of_the_words_kept(scene):
    found = scene(lambda item: item.label("word"))
    assert found.scores["understood_alone"].value == 1
    assert found.scores["overruled"].value == 0
    assert found.scores["bias"].value == pytest.approx(found.items["outcome"].mean())
    assert found.scores["bias"].n == len(found.items) == 24
    assert {row["evidence"] for row in found.tables["psychometric"]} == {"step", "dB"}
    assert {row["word"] for row in found.tables["carriers"]} == {1.0}
    assert all(np.isfinite(score.value) for score in found.scores.values())


def test_carriers_that_do_not_favour_are_left_out(scene, monkeypatch):
    monkeypatch.setattr(
        forced_choice, "text_log_odds", lambda _model, _encoded, texts: torch.zeros(len(texts))
    )
    with pytest.raises(NotApplicable, match="0 of 24 words"):
        scene(lambda item: item.label("word"))


def test_a_corpus_without_pairs_is_refused():
    plain = Corpus("plain", "1", (make_item("c", noise(0.7)),), "made", "none")
    with pytest.raises(InputError, match="no minimal pair"):
        SemanticBiasProtocol(TASK, lambda _: plain)
