"""A word that is told by one phone's frames alone becomes its foil with them, and with nothing else."""

import numpy as np
import pytest
import torch
from conftest import measured, noise, pair_corpus, tiny_model

from innerear.data.schema import SAMPLING_RATE
from innerear.interventions import phone_patching as interchange
from innerear.protocols.base import NotApplicable
from innerear.protocols.phone_interchange import PhoneInterchangeProtocol
from innerear.tasks.task import load_task
from innerear.util.errors import InnerearError, InputError

TASK = load_task("phone-interchange")
TASK = TASK.resolve(measure=TASK.measure.model_dump() | {"words": 12})
START, END = (int(at * SAMPLING_RATE) for at in (0.46, 0.56))


def audio(at, number, _carrier, voice):
    """Noise, and in the middle phone a tone that tells the word."""
    made = noise(0.7, 100 * at + 10 * number + voice)
    time = np.arange(END - START) / SAMPLING_RATE
    made[START:END] = 0.3 * np.sin(2 * np.pi * (300, 2500)[number] * time)
    return made


def corpus(voices=2):
    return pair_corpus(audio, voices=voices, position=1)


@pytest.fixture
def model(monkeypatch):
    """A model whose frames know nothing of each other, and whose words are told by the middle phone."""
    made = tiny_model("moonshine")
    for layer in made.network.model.encoder.layers:
        layer.self_attn.o_proj.weight.data.zero_()
    with torch.inference_mode():
        low, high = (made.encode([audio(0, number, "neutral", 0)])[0] for number in (0, 1))
    frames = interchange._frames(made, (START + 1000, END - 300), int(0.7 * SAMPLING_RATE))
    away, middle = (low - high)[frames].mean(dim=0), (low + high)[frames].mean(dim=0) / 2
    names = {}

    def follow(model, encoded, *rest):
        heard.append((encoded[0, frames].mean(dim=0) - middle) @ away)
        return led(model, encoded, *rest)

    def scored(_rows, options, _end):
        # words of even number are low, those of odd number high
        told = heard[-1] if names[options[0].tokens] == 0 else -heard[-1]
        return torch.stack([told, -told])

    def option(model, before, word):
        found = real(model, before, word)
        names[found.tokens] = int(word.endswith("oc"))
        return found

    heard, real, led = [], interchange.option, interchange.follow
    monkeypatch.setattr(interchange, "option", option)
    monkeypatch.setattr(interchange, "follow", follow)
    monkeypatch.setattr(interchange, "scored", scored)
    return made


def test_the_phone_that_tells_the_words_is_exchanged(model):
    found = measured(PhoneInterchangeProtocol(TASK, lambda _: corpus()), model)
    assert found.scores["words_told"].value == 1
    assert found.scores["interchange"].value == 1
    assert found.scores["interchange_other_voice"].value == 0
    shares = {(row["arm"], row["site"]): row["interchange"] for row in found.tables["arms"]}
    assert {shares["phone", site] for site in model.encoder_sites} == {1.0}
    assert {shares["all frames", site] for site in model.encoder_sites} == {1.0}
    assert found.scores["disentangle"].value == pytest.approx(
        (found.scores["interchange"].value + found.scores["isolation"].value) / 2
    )


def test_a_swap_of_all_frames_that_is_not_the_foil_is_an_error(model, monkeypatch):
    whole = interchange._world

    def wrong(model, arm, *rest):
        return whole(model, "other voice" if arm == "all frames" else arm, *rest)

    monkeypatch.setattr(interchange, "_world", wrong)
    with pytest.raises(InnerearError, match="with all frames of the foil"):
        measured(PhoneInterchangeProtocol(TASK, lambda _: corpus()), model)


def test_words_that_are_not_told_apart_are_not_measured():
    with pytest.raises(NotApplicable, match="of 12 words from their foils"):
        measured(PhoneInterchangeProtocol(TASK, lambda _: corpus()), tiny_model("whisper"))


def test_one_voice_is_refused():
    with pytest.raises(InputError, match="one voice only"):
        PhoneInterchangeProtocol(TASK, lambda _: corpus(voices=1))
