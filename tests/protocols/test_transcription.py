"""Rates are sums over clips and equal the metric; conditions are told apart; speed is measured bare."""

from dataclasses import replace

import pytest
from conftest import make_item, noise, tiny_model

from innerear.activations.capture import capture
from innerear.activations.readings import packed
from innerear.data.schema import Corpus
from innerear.protocols.base import NotApplicable
from innerear.protocols.registry import protocol_of
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
    assert list(found.scores) == ["wer_over_snr", "wer", "cer", "wer_10db", "cer_10db"]
    assert found.headline == "wer_over_snr"
    assert found.rtfx > 0
    clean = found.items[found.items["condition"] == "clean"]
    assert found.scores["wer"].value == pytest.approx(clean["errors"].sum() / clean["words"].sum())
    assert len(found.items) == 12


def write(protocol, captured, noisy):
    """Put in what a model writes: clean clips as they were said."""
    for index in captured["text"].indices:
        item = protocol.corpus.items[index]
        text = item.text if item.condition == "clean" else noisy(item.text)
        made = {"text": text, "tokens": [], "log_probs": [], "ended": True, "pieces": []}
        captured["text"].values[index]["json"] = packed(made)


def test_the_headline_is_the_mean_over_levels_in_which_a_loop_weighs_no_more_than_a_lost_clip():
    captured = captured_by(
        tiny_model("moonshine"), protocol := TranscriptionProtocol(TASK, lambda _: corpus())
    )
    write(protocol, captured, noisy=lambda text: " ".join([text] * 50))
    found = protocol.measure(tiny_model("moonshine"), captured, "meta")
    assert found.scores["wer_10db"].value == pytest.approx(49)
    assert found.scores["wer_over_snr"].value == pytest.approx((0 + 1) / 2)
    outcome = found.items.set_index("condition")["outcome"]
    assert set(outcome["clean"]) == {0}
    assert set(outcome["10 dB"]) == {4}


def test_levels_weigh_the_same_where_some_lack_clips():
    """Babble is left out where nobody knows who speaks: then there are fewer noisy clips than clean ones."""
    task = load_task("transcription").resolve(noise={"snr": [10], "kinds": ["white", "babble"]})
    unknown = corpus().with_items(replace(item, speaker="") for item in corpus())
    captured = captured_by(
        tiny_model("moonshine"), protocol := TranscriptionProtocol(task, lambda _: unknown)
    )
    assert len(protocol.corpus) == 6 + 3
    write(protocol, captured, noisy=lambda text: "other words all along")
    found = protocol.measure(tiny_model("moonshine"), captured, "meta")
    assert found.scores["wer"].value == 0
    assert found.scores["wer_10db"].value == 1
    assert found.scores["wer_over_snr"].value == pytest.approx(0.5)


def test_without_noise_the_headline_is_the_plain_rate():
    plain = load_task("transcription").model_copy(update={"noise": None})
    captured = captured_by(
        tiny_model("moonshine"), protocol := TranscriptionProtocol(plain, lambda _: corpus())
    )
    found = protocol.measure(tiny_model("moonshine"), captured, "meta")
    assert (found.headline, list(found.scores)) == ("wer", ["wer", "cer"])


def test_rates_are_those_of_the_texts():
    protocol = TranscriptionProtocol(
        TASK.resolve(noise={"snr": [10], "kinds": ["white"]}), lambda _: corpus()
    )
    model = tiny_model("moonshine")
    captured = captured_by(model, protocol)
    write(protocol, captured, noisy=lambda text: text.replace("green", "grey grin"))
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


def long_corpus(seconds=45.0):
    clips = [make_item("long", noise(seconds, 9), text="red green blue sky", speaker="s0")]
    clips += [make_item(f"c{at}", noise(0.5, at), text="red sky", speaker=f"s{at}") for at in range(3)]
    return Corpus("made", "1", tuple(clips), "made", "none")


def test_a_long_clip_is_written_by_the_long_form_of_a_model_and_the_result_says_how():
    plain = load_task("transcription").model_copy(update={"noise": None})
    protocol = TranscriptionProtocol(plain, lambda _: long_corpus())
    assert protocol.task.canonical() == plain.canonical() | {"long_form": 1}
    model = tiny_model("wav2vec2")
    found = protocol.measure(model, captured_by(model, protocol), "cpu")
    assert found.tables["long_form"] == [{"clips": 1, "how": model.long_form}]
    assert list(found.items["item"]) == ["long", "c0", "c1", "c2"]
    assert found.rtfx > 0


def test_a_model_without_a_long_form_leaves_a_long_clip_out_and_says_so():
    plain = load_task("transcription").model_copy(update={"noise": None})
    protocol = TranscriptionProtocol(plain, lambda _: long_corpus())
    captured = captured_by(model := tiny_model("moonshine"), protocol)
    assert captured["text"].refused == (
        ("long", "long: 45.0 s is longer than the model's window of 30 s, and it has no long form"),
    )
    found = protocol.measure(model, captured, "cpu")
    assert "long_form" not in found.tables
    assert len(found.items) == 3


def test_where_all_clips_are_short_nothing_is_said_of_long_ones_and_the_hash_stays():
    protocol = TranscriptionProtocol(TASK, lambda _: corpus())
    assert protocol.task.sha256() == TASK.sha256()
    assert "long_form" not in TASK.canonical()
    assert load_task("logit-lens").resolve(long_form=1).sha256() != load_task("logit-lens").sha256()


def test_a_task_that_cannot_hear_long_clips_leaves_them_out():
    protocol = protocol_of(load_task("encoder-lens"), lambda _: long_corpus())
    assert protocol.task.long_form is None
    for found in captured_by(tiny_model("moonshine"), protocol).values():
        assert [name for name, _ in found.refused] == ["long"]
