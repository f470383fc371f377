"""Forced choice: what the text alone favours is computed as by hand, and once."""

import numpy as np
import pytest
import torch
from conftest import idle, noise, pair_corpus, tiny_model

from innerear.activations.capture import capture
from innerear.data.minimal_pairs import context, spoken_words
from innerear.data.schema import SAMPLING_RATE
from innerear.interventions import forced_choice
from innerear.interventions.forced_choice import (
    favoured_by_text,
    log_probs,
    option,
    text_prior,
)
from innerear.models.base import Transcript

WORDS = [
    word
    for pair in spoken_words(pair_corpus(lambda *which: noise(0.7, which[0]), voices=2, pairs=9), 2)
    for word in pair
]


@pytest.fixture(scope="module")
def model():
    return tiny_model("moonshine")


def by_hand(model):
    """Log-odds of each word in its three carriers: the rows of all words, 48 a batch."""
    once = {(word.pair, word.word): word for word in WORDS}
    options = [
        option(model, context(clip), spelling)
        for word in once.values()
        for clip in word.clips[:3]
        for spelling in (word.word, word.foil)
    ]
    with torch.inference_mode():
        encoded = model.encode([np.zeros(2 * SAMPLING_RATE, dtype=np.float32)])
        rows = torch.cat([log_probs(model, encoded, options[at : at + 48]) for at in range(0, 108, 48)])
    assert len(rows) == 108
    return (rows[0::2] - rows[1::2]).double().numpy().reshape(-1, 3)


def test_the_prior_of_texts_is_that_of_teacher_forcing_them_over_silence(model):
    (priors,) = capture(model, [text_prior(WORDS)])
    expected = by_hand(model)
    np.testing.assert_array_equal(priors.values[0]["odds"].double().numpy(), expected.ravel())
    found = favoured_by_text(WORDS, priors)
    assert len(found) == 18, "the texts of two voices are the same"
    np.testing.assert_array_equal(found["prior"], expected[:, 0] - expected[:, 1])
    between = (expected[:, 0] > expected[:, 2]) & (expected[:, 2] > expected[:, 1])
    np.testing.assert_array_equal(found["favoured"], between)


@pytest.mark.parametrize(
    ("writes", "expected"), [("as ever", str.lower), ("AS EVER", str.upper), ("As", str)]
)
def test_words_are_judged_in_the_letters_that_the_model_writes(monkeypatch, writes, expected):
    model = tiny_model("moonshine")
    monkeypatch.setattr(model, "transcribe", lambda audio: [Transcript(writes, (), ()) for _ in audio])
    made = option(model, "Lisa hid the hive of", "Bees")
    assert list(made.tokens) == model.tokenize(expected("Lisa hid the hive of Bees"))
    assert made.first == len(model.tokenize(expected("Lisa hid the hive of")))


def test_the_prior_of_texts_is_computed_once_and_that_of_others_anew(model, tmp_path, monkeypatch):
    (first,) = capture(model, [text_prior(WORDS)], cache=tmp_path)
    with idle(model):
        (again,) = capture(model, [text_prior(WORDS)], cache=tmp_path)
    assert torch.equal(first.values[0]["odds"], again.values[0]["odds"])
    assert capture(model, [text_prior(WORDS[4:])], cache=tmp_path)[0].log.processed == 1
    monkeypatch.setattr(forced_choice, "BATCH", 16)
    assert capture(model, [text_prior(WORDS)], cache=tmp_path)[0].log.processed == 1
