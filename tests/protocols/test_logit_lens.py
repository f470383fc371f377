"""Every family is read through its lens; tokens are classed; a right word that was given up is found."""

import numpy as np
import pytest
from conftest import make_item, measured, noise, tiny_model

from innerear.activations.readings import packed
from innerear.analysis.lens import LensOutput
from innerear.data.schema import Corpus
from innerear.protocols.base import NotApplicable
from innerear.protocols.logit_lens import LogitLensProtocol
from innerear.protocols.tokens import classes_of, written_tokens
from innerear.tasks.task import load_task
from innerear.util.errors import InnerearError, InputError

TASK = load_task("logit-lens").resolve(noise={"snr": [10], "kinds": ["white"]}, clips_per_speaker=1)
TASK = TASK.resolve(measure=TASK.measure.model_dump() | {"steps": 4, "checks": 2})


def corpus(text="red green blue sky"):
    clips = tuple(
        make_item(f"c{at}", noise(0.5, at), text=f"{text} {at}" if text else "", speaker=f"s{at}")
        for at in range(6)
    )
    return Corpus("made", "1", clips, "made", "none")


def test_every_family_is_read(model):
    found = measured(LogitLensProtocol(TASK, lambda _: corpus()), model)
    layers = model.decoder_layers or model.encoder_layers
    main = found.curves[0]
    assert [point.layer for point in main.points] == list(range(layers + 1))
    assert main.points[-1].value == 1
    assert 0 <= found.scores["saturation_depth"].value <= 1
    assert set(found.items["item"]) == {f"c{at}{noisy}" for at in range(6) for noisy in ("", "@10dB")}
    kl = next(curve for curve in found.curves if curve.name == "kl")
    assert kl.unit == "nats"
    assert kl.points[-1].value == 0
    if model.decoder_layers:
        assert found.split.folds[0].test.speakers == 3
        assert len(found.tables["tuned_against_plain"]) == layers + 1
        assert len(found.tuned["dev_kl"]) == layers
    else:
        assert {"wer", "cer", "blank"} <= {curve.name for curve in found.curves}


def tokens_of(text, pieces, reference, ended=True):
    made = {
        "text": text, "tokens": list(range(5, 5 + len(pieces))), "log_probs": [], "ended": ended,
        "pieces": list(pieces),
    }  # fmt: skip
    item = make_item("c", noise(0.2), text=reference, speaker="s")
    return written_tokens(tiny_model("whisper"), 0, item, packed(made))


def test_tokens_are_classed_by_their_words():
    pieces = ["▁The", "▁l", "ice", "▁is", "▁here", ".", "</s>"]
    made = tokens_of("The lice is here.", pieces, "The rice is here")
    assert list(made.tokens["right"]) == ["right", "wrong", "wrong", "right", "right", "right", ""]
    assert list(made.tokens["kind"]) == [
        "function", "content", "content", "function", "function", "function", "",
    ]  # fmt: skip
    assert list(made.tokens["place"]) == ["first", "first", "later", "first", "first", "later", "end"]
    assert made.misheard == {1: "rice"}
    assert {name: int(mine.sum()) for name, mine in classes_of(made.tokens)}["end"] == 1


def test_where_another_word_would_have_gone_another_way():
    made = tokens_of("1 2", ["▁1", "▁2"], "1 9", ended=False)
    assert made.written == (5, 6)
    assert made.diverging(1, "9") == [(1, 9), (1, 9)]  # two spellings, both of one token here
    assert made.diverging(1, "6") == []


def test_words_that_do_not_fit_the_pieces_are_an_error():
    with pytest.raises(InnerearError, match="3 words by its tokens but 1"):
        tokens_of("one", ["▁a", "▁b", "▁c"], "one two", ended=False)


def test_a_regressive_error_is_found_at_its_layer():
    protocol = LogitLensProtocol(TASK, lambda _: corpus())
    made = tokens_of("1 2", ["▁1", "▁2"], "1 9", ended=False)
    top = np.array([[0, 0], [5, 9], [5, 6]])
    seen = LensOutput(top, rank=np.zeros_like(top), kl=np.zeros(top.shape))
    found = protocol._regressive([made], seen, ["decoder.0", "decoder.1", "decoder.2"])
    assert list(found["site"]) == ["decoder.1"]
    assert list(found["said"]) == ["9"]
    assert not found["by_chance"].any()
    top[1, 1] = 6
    assert list(protocol._regressive([made], seen, ["decoder.0", "decoder.1", "decoder.2"])["layer"]) == [-1]


def test_a_decoder_that_does_not_replay_its_output_is_an_error():
    protocol = LogitLensProtocol(TASK, lambda _: corpus())
    model = tiny_model("moonshine")
    unembed = model.unembed
    model.unembed = lambda states: -unembed(states)
    with pytest.raises(InnerearError, match="do not agree"):
        measured(protocol, model)


def test_a_corpus_without_words_is_na():
    with pytest.raises(NotApplicable, match="c0 has no words"):
        LogitLensProtocol(TASK, lambda _: corpus(text=""))


def test_a_task_without_a_split_is_one_line():
    with pytest.raises(InputError, match="needs a split"):
        LogitLensProtocol(TASK.model_copy(update={"split": None}), lambda _: corpus())
