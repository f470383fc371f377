"""A head that makes the decoder write one token for ever is found, confirmed, and told from all others."""

import numpy as np
import pytest
import torch
from conftest import make_item, measured, noise, tiny_model, write_when_loud

from innerear.data.schema import Corpus
from innerear.protocols.base import NotApplicable
from innerear.protocols.repetition import RepetitionProtocol, Swept
from innerear.tasks.task import load_task
from innerear.util.errors import InputError

TASK = load_task("repetition").resolve(clips_per_speaker=1)
TASK = TASK.resolve(measure=TASK.measure.model_dump() | {"most": 20, "nodes": [1, 2], "best": 2})


def corpus(hard=24, clean=4):
    """Loud clips of some kind, which loop in the planted model, and soft clean ones."""
    clips = [
        make_item(
            f"h{at}",
            np.clip(8 * noise(0.5, at), -0.99, 0.99),
            text="",
            speaker=f"h{at}",
            extra=(("kind", "loud"),),
        )
        for at in range(hard)
    ]
    clips += [make_item(f"c{at}", noise(0.5, 90 + at), text="5 6", speaker=f"c{at}") for at in range(clean)]
    return Corpus("made", "1", tuple(clips), "made", "none")


def ending():
    """A model that ends its outputs after a few tokens: later positions point at end-of-text."""
    model = tiny_model("whisper")
    torch.manual_seed(3)
    network = model.network
    weight = torch.randn(60, 32)
    end, loop = (torch.linalg.qr(torch.randn(32, 32))[0][:, at] for at in (0, 1))
    end, loop = end - end.mean(), loop - loop.mean()
    weight[model.end_of_text], weight[7] = 5 * end, 5 * loop
    network.proj_out.weight = torch.nn.Parameter(weight)
    network.model.decoder.embed_positions.weight.data[5:] = 30 * end
    return model, loop


def planted(layer, head):
    """The same, where one cross-attention head writes towards one token whenever the clip is loud."""
    model, loop = ending()
    attention = model.network.model.decoder.layers[layer].encoder_attn
    write_when_loud(model, attention, head, loop, loud=0.5)
    return model


def test_the_looping_head_is_ranked_first_and_confirmed():
    found = measured(RepetitionProtocol(TASK, lambda _: corpus()), planted(1, 2))
    assert found.tuned == {"component": "decoder.2.cross_attn", "head": "decoder.2.cross_attn.head.2"}
    assert found.scores["resolved_head"].value == 1
    assert found.scores["resolved"].value == 1
    assert found.scores["head_p"].value == pytest.approx(1 / 16)
    assert found.scores["delta_wer_head"].value == 0
    assert found.scores["loop_rate"].value == 1
    best, second = found.tables["heads"][:2]
    assert (best["confirmed"], second["confirmed"]) == (1, 0)
    assert [row["resolved"] for row in found.tables["faithfulness"] if row["ranking"] == "ranked"] == [
        1,
        1,
        1,
    ]
    assert found.scores["cpr"].value == pytest.approx(1)
    assert found.scores["cmd"].value == pytest.approx(0)
    cross = next(curve for curve in found.curves if curve.name == "cross_attn")
    assert [point.value for point in cross.points] == [0, 1]
    assert {row["value"] for row in found.tables["head_map_self"]} == {0}


def test_a_head_that_resolves_the_ranking_half_only_is_not_confirmed(monkeypatch):
    protocol = RepetitionProtocol(TASK, lambda _: corpus())
    ranking = np.isin(np.arange(len(protocol.hard)), (*protocol._fold.train, *protocol._fold.dev))
    model = planted(1, 2)
    lucky = [site for (site,) in protocol._sites(model)].index("decoder.1.self_attn.head.3") + 1

    def read(_model, corpus, _captured, worlds):
        n = len(corpus)
        looped = np.tile(np.array([bool(item.label("kind")) for item in corpus]), (worlds, 1))
        if n == len(ranking) and lucky < worlds:
            looped[lucky] = ~ranking
        return Swept(np.arange(n), looped, np.zeros_like(looped), np.zeros(looped.shape), np.full(n, 2.0))

    monkeypatch.setattr(protocol, "_read", read)
    found = measured(protocol, model)
    assert found.tuned["head"] == "decoder.1.self_attn.head.3"
    first = found.tables["heads"][0]
    assert (first["site"], first["ranked"], first["confirmed"]) == ("decoder.1.self_attn.head.3", 1, 0)
    assert found.scores["resolved_head"].value == 0
    assert set(found.items["item"]) == {protocol.hard.items[at].id for at in np.flatnonzero(~ranking)}


def test_the_untouched_model_does_not_loop_and_the_task_says_so():
    model, _ = ending()
    with pytest.raises(NotApplicable, match="loops on 0 of 24 clips"):
        measured(RepetitionProtocol(TASK, lambda _: corpus()), model)


def test_bad_input_and_models_without_a_decoder():
    with pytest.raises(InputError, match=r"clips that may loop \(with a kind\) and clean speech"):
        RepetitionProtocol(TASK, lambda _: corpus(hard=0))
    with pytest.raises(InputError, match="split with 2 folds"):
        RepetitionProtocol(TASK.model_copy(update={"split": None}), lambda _: corpus())
    assert "no decoder" in RepetitionProtocol(TASK, lambda _: corpus()).unsupported_reason(
        tiny_model("wav2vec2")
    )
