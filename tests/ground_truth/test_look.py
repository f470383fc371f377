"""Without the head that alone hears, other words are written; nothing rests on the audio of a deaf model."""

import numpy as np
import pytest
from conftest import Forgetful, noise, tiny_model
from test_listening import hearing

from innerear.data.registry import load_corpus
from innerear.interventions.ablation import ablated, stop_at_loop
from innerear.interventions.run import generate
from innerear.look.clip import saliency_rows, sweep_rows
from innerear.look.phones import phone_rows
from innerear.models.site import Site
from innerear.protocols.phone_probing import PhoneProbingProtocol
from innerear.tasks.task import load_task

CLIP = noise(0.5)


def test_nothing_is_lost_in_a_model_that_does_not_listen():
    rows = saliency_rows(hearing("moonshine", carrying=set()), CLIP)
    assert [row["lost"] for row in rows] == pytest.approx([0] * len(rows), abs=1e-5)


def test_without_the_head_that_alone_hears_other_words_are_written():
    carrier = Site("decoder", 2, "cross_attn", 1)
    model = hearing("moonshine", {carrier})
    rows = {row["site"]: row for row in sweep_rows(model, CLIP)}
    assert set(rows) == {site for site in model.places if site.is_head and site.stack == "decoder"}
    own = generate(model, model.encode([CLIP]), [()], stop=stop_at_loop)[0].text
    deaf = generate(model, model.encode([CLIP]), [ablated([carrier])], stop=stop_at_loop)[0].text
    assert rows[carrier]["text"] == deaf != own
    assert rows[carrier]["changed"] > 0
    other = Site("decoder", 1, "cross_attn", 0)
    assert (rows[other]["text"], rows[other]["changed"]) == (own, 0)


def test_probes_name_the_phones_of_a_clip_up_to_the_layer_that_wipes_them_out(tmp_path, monkeypatch):
    monkeypatch.setenv("INNEREAR_CACHE", str(tmp_path))
    protocol = PhoneProbingProtocol(load_task("phoneme-probing").resolve(limit=84), load_corpus)
    model = tiny_model("whisper")
    model.network.model.encoder.layers[1] = Forgetful()
    item = protocol.corpus.items[0]
    rows = phone_rows(model, item.audio(), protocol)
    by_layer = [[row for row in rows if row["layer"] == layer] for layer in range(3)]
    for own in by_layer:
        edges = [own[0]["start"], *(row["end"] for row in own)]
        assert edges[0] == 0
        assert edges[-1] == pytest.approx(item.duration)
        assert [row["start"] for row in own] == edges[:-1]
    named = [{row["phone"] for row in own} for own in by_layer]
    assert len(named[0]) > 5
    assert len(named[1]) > 5
    assert len(named[2]) == 1, "where nothing is left, the commonest phone is named everywhere"
    held_out = [own[0]["held_out"] for own in by_layer]
    assert min(held_out[:2]) > held_out[2] + 0.05
    said = {(segment.label, segment.middle) for segment in item.phones}
    right = np.mean([
        any(row["start"] <= middle < row["end"] and row["phone"] == label for row in by_layer[0])
        for label, middle in said
    ])  # fmt: skip
    assert right > held_out[2], "the clip is one of those that the probe learnt from or is like them"
