"""Without the head that alone hears, other words are written; nothing rests on the audio of a deaf model."""

import pytest
from conftest import noise
from test_listening import hearing

from innerear.interventions.ablation import ablated, stop_at_loop
from innerear.interventions.run import generate
from innerear.look.clip import saliency_rows, sweep_rows
from innerear.models.site import Site

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
