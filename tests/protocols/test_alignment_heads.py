"""A head that looks at the word is found on one half and confirmed on the other, beside chance and order."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_item, measured, noise, tiny_model

from innerear.data.schema import Corpus, Segment
from innerear.data.text import edits, matched
from innerear.interventions.ablation import stop_at_loop
from innerear.protocols import alignment_heads
from innerear.protocols.alignment_heads import AlignmentHeadsProtocol, _within
from innerear.protocols.base import NotApplicable
from innerear.tasks.task import load_task
from innerear.util.errors import InputError

TASK = load_task("alignment-heads").resolve(clips_per_speaker=1)
TASK = TASK.resolve(split=TASK.split.model_dump() | {"sentence_disjoint": False})
SECONDS = 2.0


def corpus(model, clips=8, timed=True):
    """Noise whose text is what the model writes, its words spread evenly over the clip."""
    items = []
    for at in range(clips):
        audio = noise(SECONDS, at)
        text = model.transcribe([audio])[0].text
        words = text.split()
        ends = np.linspace(0, SECONDS, len(words) + 1)
        spans = [Segment(word, ends[i], ends[i + 1]) for i, word in enumerate(words)] if timed else []
        items.append(make_item(f"c{at}", audio, text=f"{text}", speaker=f"s{at}", words=tuple(spans)))
    return Corpus("made", "1", tuple(items), "made", "none")


def distinct(model):
    """Have the model write a word of its own at every place, so that words match one to one."""
    write = model.greedy_decode

    def counting(encoded, max_tokens=None):
        made = write(encoded, max_tokens)
        return [
            type(one)("alpha bravo charlie delta", (11, 12, 13, 14), one.log_probs[:4], ended=False)
            for one in made
        ]

    model.greedy_decode = counting
    model.pieces = lambda tokens: ["▁alpha", "▁bravo", "▁charlie", "▁delta"][: len(tokens)]
    return model


def following(model, layer, head):
    """One head looks at the middle of the word that is predicted; all others at the first frame."""

    def attention(encoded, tokens):
        frames = model.clock.count(int(SECONDS * 16000))
        weights = torch.zeros(2, 4, len(tokens), encoded.shape[1])
        weights[..., 0] = 1
        for at in range(len(tokens)):
            weights[layer, head, at, int((at + 0.5) / len(tokens) * frames)] = 2
        return torch.zeros(0), weights

    model.attention = attention
    return model


@pytest.mark.parametrize("family", ["whisper", "moonshine"])
def test_the_head_that_follows_time_is_ranked_first_and_confirmed(family):
    model = following(distinct(tiny_model(family)), 1, 2)
    found = measured(AlignmentHeadsProtocol(TASK, lambda _: corpus(model)), model)
    assert found.tuned["best"] == "decoder.2.cross_attn.head.2"
    assert found.scores["on_word"].value == 1
    frame = 1000 * SECONDS / model.clock.count(int(SECONDS * 16000))
    assert found.scores["timing_ms"].value < frame < 100
    assert found.scores["by_order_ms"].value < frame
    assert len(found.items) == 4 * 8
    late = found.items[[f"late.{at}" for at in range(TASK.measure.halvings)]].to_numpy()
    assert found.items["outcome"].to_numpy() == pytest.approx(1000 * np.abs(late).mean(axis=1))
    assert found.scores["heads_above_order"].value == 0  # words are evenly spread: order alone is right, too
    best, second = found.tables["heads"][:2]
    assert (best["confirmed"], second["confirmed"]) == (1.0, 0.25)  # the first frame is in the first word
    assert [point.layer for point in found.curves[0].points] == [1, 2]
    assert [point.depth for point in found.curves[0].points] == [0.5, 1.0]


@pytest.mark.parametrize("family", ["whisper", "moonshine"])
def test_weights_are_those_of_each_head_and_sum_to_one(family):
    model = tiny_model(family)
    with torch.inference_mode():
        encoded = model.encode([noise(SECONDS)])
        own, weights = model.attention(encoded, (5, 6, 7))
        before = model.teacher_force(encoded, (5, 6, 7))
    assert weights.shape == (2, 4, 3, encoded.shape[1])
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 3))
    torch.testing.assert_close(own.sum(-1), torch.ones(2, 4, 3))
    assert (own.triu(1) == 0).all()
    again = tiny_model(family)
    with torch.inference_mode():
        assert torch.equal(again.teacher_force(again.encode([noise(SECONDS)]), (5, 6, 7)), before)


def test_the_untouched_model_confirms_nothing_above_order():
    model = distinct(tiny_model("whisper"))
    found = measured(AlignmentHeadsProtocol(TASK, lambda _: corpus(model)), model)
    assert found.scores["on_word"].value < 0.9  # the best of eight heads that look at one place each
    assert found.scores["by_chance"].value == pytest.approx(0.3, abs=0.05)
    assert found.scores["timing_ms"].value > 150  # words last half a second


def test_two_seeds_of_the_split_share_no_draw_of_halves(monkeypatch):
    drawn, halve = {1: [], 2: []}, alignment_heads.make_folds
    clips = corpus(distinct(tiny_model("whisper")))
    for seed, seen in drawn.items():
        monkeypatch.setattr(
            alignment_heads,
            "make_folds",
            lambda clips, rule, seen=seen: seen.append(rule.seed) or halve(clips, rule),
        )
        AlignmentHeadsProtocol(TASK.resolve(split=TASK.split.model_dump() | {"seed": seed}), lambda _: clips)
    ours, others = (seen[1:] for seen in drawn.values())  # the first halves are those of the other scores
    assert len({*ours, *others}) == 2 * TASK.measure.halvings


def test_the_published_list_is_held_against_heads_of_its_layers():
    layer = np.array([0, 0, 0, 1, 1, 1])
    listed = np.array([False, False, False, True, False, False])
    assert _within(np.array([9, 9, 9, 3, 1, 2.0]), listed, layer) == 1
    assert _within(np.array([9, 9, 9, 2, 1, 3.0]), listed, layer) == 0.5
    assert _within(np.zeros(6), np.zeros(6, dtype=bool), layer) is None


def test_what_the_decoder_loses_without_its_heads_is_priced(monkeypatch):
    model = following(tiny_model("whisper"), 1, 2)
    clips = corpus(model)
    monkeypatch.setattr(type(model), "alignment_heads", frozenset({(1, 0)}))
    found = measured(AlignmentHeadsProtocol(TASK, lambda _: clips), model)
    confirming = found.items[found.items["half"] == "confirm"]
    held = [item for item in clips if item.speaker in set(confirming["speaker"])]
    sites = {"best": found.tuned["best"], "published": "decoder.2.cross_attn.head.0"}

    def wer(hooks):
        """Of whole decodings, cut where they have fallen into a loop."""
        counts = []
        for item in held:
            with model.hooks(hooks), torch.inference_mode():
                (made,) = model.greedy_decode(model.encode([item.audio()]))
            tokens = made.tokens
            ends = [at for at in range(len(tokens)) if stop_at_loop(tokens[:at])]
            counts.append(
                edits(item.text, model.transcript(tokens[: min(ends, default=None)], []).text, "en")
            )
        return sum(each.errors for each in counts) / sum(each.reference for each in counts)

    for name, site in sites.items():
        change = wer({site: torch.zeros_like}) - wer({})
        assert change > 0
        assert found.scores[f"delta_wer_{name}"].value == pytest.approx(change)
    assert found.scores["delta_wer_random"].n == found.scores["delta_wer_best"].n


def test_words_that_were_written_as_said_are_matched_by_place():
    assert matched(["The", "lice", "is", "here"], "The rice is here.", "en") == {0: 0, 2: 2, 3: 3}
    assert matched(["twenty", "one", "dogs"], "21 dogs", "en") == {1: 2}


def test_bad_input_is_one_line():
    model = tiny_model("whisper")
    with pytest.raises(NotApplicable, match="c0 has no word times"):
        AlignmentHeadsProtocol(TASK, lambda _: corpus(model, timed=False))
    items = (*corpus(model).items, *(replace(item, id=f"x{item.id}", words=()) for item in corpus(model)))
    protocol = AlignmentHeadsProtocol(TASK, lambda _: corpus(model).with_items(items))
    assert [item.id for item in protocol.corpus] == [item.id for item in corpus(model)]
    assert len(protocol.corpus.refused) == len(corpus(model))
    with pytest.raises(InputError, match="split of two folds"):
        AlignmentHeadsProtocol(TASK.model_copy(update={"split": None}), lambda _: corpus(model))
    assert "no decoder" in AlignmentHeadsProtocol(TASK, lambda _: corpus(model)).unsupported_reason(
        tiny_model("hubert")
    )
