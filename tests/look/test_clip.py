"""What is shown of one clip is what the model does: planted heads stand out, and sums come out."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import noise, tiny_model

from innerear.data.schema import SAMPLING_RATE
from innerear.interventions.run import encode, teacher_force
from innerear.look.clip import attention_rows, heard_by, lens_rows, saliency_rows, sweep_rows
from innerear.look.phones import frame_edges
from innerear.models.frames import FrameClock
from innerear.models.site import Site
from innerear.util.errors import InputError

DECODERS = ("whisper", "moonshine")


@pytest.fixture
def clip():
    return noise(0.5)


@pytest.mark.parametrize("family", DECODERS)
def test_the_last_layer_of_the_lens_writes_what_the_model_writes(family, clip):
    model = tiny_model(family)
    rows = lens_rows(model, clip, "a")
    last = max(row["layer"] for row in rows)
    written = model.transcribe([clip])[0]
    shown = [row for row in rows if row["layer"] == last]
    assert [row["top"] for row in shown] == [row["token"] for row in shown] == model.pieces(written.tokens)
    assert {(row["rank"], row["kl"]) for row in shown} == {(0, 0.0)}


@pytest.mark.parametrize("family", DECODERS)
def test_attention_is_that_of_the_heads_and_covers_the_clip(family, clip):
    model = tiny_model(family)
    head = Site("decoder", 2, "cross_attn", 1)
    rows = attention_rows(model, clip, [head])
    tokens = model.transcribe([clip])[0].tokens
    _, weights = model.attention(model.encode([clip]), tokens)
    frames = len(model.heard_times(len(clip)))
    its = weights[1, 1, model.prefix_length - 1 :, :frames]
    for at in range(len(tokens)):
        own = [row for row in rows if row["at"] == at]
        assert [row["weight"] for row in own] == pytest.approx(its[at].tolist(), abs=1e-6)
        assert own[0]["start"] == pytest.approx(model.heard_times(len(clip))[0])
        assert own[-1]["end"] == 0.5
        assert all(a["end"] == b["start"] for a, b in pairwise(own))


def test_heads_that_do_not_hear_the_audio_are_refused():
    with pytest.raises(InputError, match=r"decoder\.LAYER\.cross_attn\.head\.N"):
        heard_by(tiny_model("whisper"), ["decoder.1.self_attn.head.0"])


def test_the_heads_published_for_alignment_are_looked_at_or_else_all():
    model = tiny_model("whisper")
    assert {site.part for site in heard_by(model)} == {"cross_attn"}
    assert len(heard_by(model)) == 8
    model.generation = replace(model.generation, alignment_heads=frozenset({(1, 2)}))
    assert heard_by(model) == [Site("decoder", 2, "cross_attn", 2)]


@pytest.mark.parametrize("family", DECODERS)
def test_saliency_is_what_a_token_loses_without_a_stretch(family, clip):
    model = tiny_model(family)
    rows = saliency_rows(model, clip)
    tokens = model.transcribe([clip])[0].tokens
    one = next(row for row in rows if row["at"] == 1 and row["start"] > 0)
    without = clip.copy()
    without[round(one["start"] * 16_000) : round(one["end"] * 16_000)] = 0
    with torch.inference_mode():
        whole, rest = (
            teacher_force(model, encode(model, [audio], [()]), [tokens], [()])[0].log_softmax(-1)[
                1, tokens[1]
            ]
            for audio in (clip, without)
        )
    assert one["lost"] == pytest.approx(float(whole - rest), abs=1e-5)
    assert [row["end"] - row["start"] for row in rows] == pytest.approx([0.1] * len(rows))


def test_a_model_without_a_decoder_has_the_heads_of_its_encoder(clip):
    model = tiny_model("wav2vec2")
    rows = sweep_rows(model, clip)
    assert {row["stack"] for row in rows} == {"encoder"}
    with pytest.raises(InputError, match="no decoder"):
        lens_rows(model, clip, "a")


def test_a_clip_that_does_not_fit_is_refused(clip):
    model = tiny_model("whisper")
    with pytest.raises(InputError, match="longer than the model's window"):
        lens_rows(model, np.tile(clip, 100), "a")


def test_only_heads_are_swept(clip):
    with pytest.raises(InputError, match=r"decoder\.2\.mlp is no head of this model; there are encoder"):
        sweep_rows(tiny_model("whisper"), clip, ["decoder.2.mlp"])


@pytest.mark.parametrize("clock", [FrameClock.of_causal_conformer(8), FrameClock.of_fast_conformer(8)])
def test_frames_are_within_the_clip(clock):
    for samples in (4_000, 16_000, 40_123):
        middle, length = clock.times(samples), samples / SAMPLING_RATE
        edges = frame_edges(middle, length)
        assert len(edges) == len(middle) + 1
        assert (edges[0], edges[-1]) == (0, length)
        assert (np.diff(edges) >= 0).all()
