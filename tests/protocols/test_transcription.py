"""Rates are sums over clips and equal the metric; conditions are told apart; speed is measured bare."""

import pytest
from conftest import make_item, noise, tiny_model

from innerear.activations.capture import capture
from innerear.activations.readings import packed
from innerear.data.schema import Corpus
from innerear.protocols.base import NotApplicable
from innerear.protocols.transcription import TranscriptionProtocol
from innerear.tasks.task import load_task
from innerear.util.errors import InnerearError

TASK = load_task("transcription").resolve(noise={"snr": [10], "kinds": ["white"]})


def corpus(text="red green blue sky"):
    clips = tuple(make_item(f"c{at}", noise(0.5, at), text=text, speaker=f"s{at % 3}") for at in range(6))
    return Corpus("made", "1", clips, "made", "none")


def captured_by(model, protocol):
    demands = protocol.demands(model)
    return dict(zip(demands, capture(model, list(demands.values())), strict=True))


def test_every_family_is_scored_clean_and_in_noise(model):
    protocol = TranscriptionProtocol(TASK, lambda _: corpus())
    found = protocol.measure(model, captured_by(model, protocol), "cpu")
    assert list(found.scores) == ["wer", "cer", "wer_10db", "cer_10db"]
    assert found.rtfx > 0
    clean = found.items[found.items["condition"] == "clean"]
    assert found.scores["wer"].value == pytest.approx(clean["outcome"].sum() / clean["weight"].sum())
    assert len(found.items) == 12


def test_rates_are_those_of_the_texts():
    protocol = TranscriptionProtocol(
        TASK.resolve(noise={"snr": [10], "kinds": ["white"]}), lambda _: corpus()
    )
    model = tiny_model("moonshine")
    captured = captured_by(model, protocol)
    for index in captured["text"].indices:
        item = protocol.corpus.items[index]
        text = item.text if item.condition == "clean" else item.text.replace("green", "grey grin")
        made = {"text": text, "tokens": [], "log_probs": [], "ended": True, "pieces": []}
        captured["text"].values[index]["json"] = packed(made)
    protocol.settings = protocol.settings.model_copy(update={"timed": 1})
    with pytest.raises(InnerearError, match="transcribed differently without hooks"):
        protocol.measure(model, captured, "cpu")
    found = protocol.measure(model, captured, "meta")  # another device than the bitwise one: no such check
    assert found.scores["wer"].value == 0
    assert found.scores["wer_10db"].value == pytest.approx(2 / 4)
    (edits,) = [row for row in found.tables["edits"] if row["condition"] == "10 dB"]
    assert (edits["substitutions"], edits["insertions"], edits["deletions"]) == (6, 6, 0)


@pytest.mark.parametrize("text", ["", "...", "Hmm, uh.", "<unk>", "[noise]"])
def test_a_clip_without_words_is_left_out_and_said(text):
    wordless = make_item("quiet", noise(0.5, 9), text=text, speaker="s0")
    protocol = TranscriptionProtocol(TASK, lambda _: corpus().with_items((*corpus(), wordless)))
    assert {item.id.partition("@")[0] for item in protocol.corpus} == {f"c{at}" for at in range(6)}
    ((name, reason),) = protocol.corpus.refused
    assert name == "quiet"
    assert reason.startswith("quiet has no words")
    with pytest.raises(NotApplicable, match="no clip can be used; the first: quiet has no words"):
        TranscriptionProtocol(TASK, lambda _: corpus().with_items((wordless,)))
