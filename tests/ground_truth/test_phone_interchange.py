"""A word that is told by one phone's frames alone becomes its foil with them, and with nothing else."""

import numpy as np
import pytest
import torch
from conftest import measured, noise, pair_corpus, tiny_model

from innerear.data.schema import SAMPLING_RATE
from innerear.interventions import phone_patching
from innerear.interventions.word_frames import frames_in_span
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


WORDS = {
    f"rig{chr(97 + at)}{end}": 10 + 2 * at + number
    for at in range(12)
    for number, end in enumerate(("ab", "oc"))
}
"""Each word is one token: an even one where its phone is low, an odd one where it is high."""
CARRIER, STOP = 5, 6


def tokenize(text):
    """One token a word; words of the carrier are all alike."""
    words = text.removesuffix(".").lower().split()
    return [WORDS.get(word, CARRIER) for word in words] + [STOP] * text.endswith(".")


@pytest.fixture
def model():
    """A model whose frames know nothing of each other, and whose decoder tells words by the tone of a frame.

    One head of the last cross-attention attends to frames with a tone. It writes a direction for a low tone
    and its opposite for a high one, and the unembedding has this direction for low words, its opposite for
    high ones. A component of all embeddings makes the carrier's token the likeliest everywhere.
    """
    made = tiny_model("moonshine")
    made.tokenize = tokenize
    network = made.network.model
    for layer in network.encoder.layers:
        layer.self_attn.o_proj.weight.data.zero_()
    inside = frames_in_span(made, (START + 1000, END - 300), int(0.7 * SAMPLING_RATE))
    with torch.inference_mode():
        low, high = (made.encode([audio(0, number, "neutral", 0)])[0] for number in (0, 1))
        rest = torch.cat([low[: inside[0] - 2], high[: inside[0] - 2]]).mean(dim=0)
    low, high = (each[inside].mean(dim=0) for each in (low, high))
    basis, _ = torch.linalg.qr(torch.stack([(low + high) / 2, rest], dim=1))
    away = (low - high) - basis @ (basis.T @ (low - high))  # orthogonal to what the tones share and to noise
    brought, along = torch.linalg.qr(torch.randn(32, 2, generator=torch.Generator().manual_seed(0)))[0].T
    attention = network.decoder.layers[-1].encoder_attn
    tone = (low + high) / 2 - rest
    for projection, row in ((attention.q_proj, brought), (attention.k_proj, tone / tone.norm())):
        projection.weight.data.zero_()
        projection.weight.data[0] = row
    attention.v_proj.weight.data.zero_()
    attention.v_proj.weight.data[0] = away / away.norm()
    attention.o_proj.weight.data.zero_()
    attention.o_proj.weight.data[:, 0] = 20 * along
    network.decoder.embed_tokens.weight.data += 20 * brought
    readout = 0.02 * torch.randn(60, 32, generator=torch.Generator().manual_seed(1))
    readout[CARRIER] += 5 * brought
    for token in WORDS.values():
        readout[token] += along if token % 2 == 0 else -along
    made.network.proj_out.weight = torch.nn.Parameter(readout)
    return made


def test_the_phone_that_tells_the_words_is_exchanged(model):
    found = measured(PhoneInterchangeProtocol(TASK, lambda _: corpus()), model)
    assert found.scores["words_told"].value == 1
    assert found.scores["interchange"].value == 1
    assert found.scores["isolation"].value == 1
    assert found.scores["interchange_other_voice"].value == 0
    for arm in ("other_phone", "random_frames"):  # without a tone the word is a guess
        assert found.scores[f"interchange_{arm}"].value < 1
    shares = {(row["arm"], row["site"]): row["interchange"] for row in found.tables["arms"]}
    assert {shares["phone", site] for site in model.encoder_sites} == {1.0}
    assert {shares["all frames", site] for site in model.encoder_sites} == {1.0}
    assert found.scores["disentangle"].value == 1


def test_a_decoder_that_writes_the_carrier_anew_does_not_leave_it_as_it_was(model):
    model.network.proj_out.weight.data[CARRIER] = 0  # so that words are the likeliest tokens everywhere
    found = measured(PhoneInterchangeProtocol(TASK, lambda _: corpus()), model)
    assert found.scores["interchange"].value == 1
    assert found.scores["isolation"].value == 0
    assert found.scores["disentangle"].value == 0.5


def test_a_swap_of_all_frames_that_is_not_the_foil_is_an_error(model, monkeypatch):
    whole = phone_patching._world

    def wrong(model, arm, *rest):
        return whole(model, "other voice" if arm == "all frames" else arm, *rest)

    monkeypatch.setattr(phone_patching, "_world", wrong)
    with pytest.raises(InnerearError, match="with all frames of the foil"):
        measured(PhoneInterchangeProtocol(TASK, lambda _: corpus()), model)


def test_without_the_head_that_tells_the_words_nothing_is_measured(model):
    model.network.model.decoder.layers[-1].encoder_attn.o_proj.weight.data.zero_()
    with pytest.raises(NotApplicable, match="of 12 words from their foils"):
        measured(PhoneInterchangeProtocol(TASK, lambda _: corpus()), model)


def test_words_that_are_not_told_apart_are_not_measured():
    with pytest.raises(NotApplicable, match="of 12 words from their foils"):
        measured(PhoneInterchangeProtocol(TASK, lambda _: corpus()), tiny_model("whisper"))


def test_one_voice_is_refused():
    with pytest.raises(InputError, match="only one voice"):
        PhoneInterchangeProtocol(TASK, lambda _: corpus(voices=1))
