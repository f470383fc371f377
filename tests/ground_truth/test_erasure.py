"""A concept that the text rests on is found to be used, and one that can be read as well is not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_item, measured, noise, tiny_model
from synthetic import make_result

from innerear.analysis.erasure import Whitening
from innerear.data.schema import SAMPLING_RATE, Corpus, Segment
from innerear.data.splits import Fold
from innerear.interventions.run import encode, encode_from_site
from innerear.interventions.spec import Intervention
from innerear.models.site import Site
from innerear.models.spelling import Spelling
from innerear.protocols.base import NotApplicable
from innerear.protocols.erasure import ErasureProtocol
from innerear.protocols.erasure_concepts import ClipFrames, Concept
from innerear.results.recount import disagreements
from innerear.tasks.task import load_task
from innerear.util.errors import InputError

WORDS = ("alpha", "bravo", "delta", "foxtrot")
PHONES = ("aa", "b", "d", "f", "z")
"""A word is a tone, and so is the phone that it is made of; `z` announces the last word."""
FEMALE, MALE, LAST, YES, NO = 8, 9, 10, 12, 13
"""Tones: what hums in the voice, what announces the last word, and what may say which it is."""
CHANNELS, STEP = 16, 0.16
TASK = load_task("erasure")
TASK = TASK.resolve(
    clips_per_speaker=2,
    split=TASK.split.model_dump() | {"sentence_disjoint": False},
    measure=TASK.measure.model_dump() | {"tested": 1, "noise": {"snr": [10], "kinds": ["white"]}},
)


def tone(channel, seconds):
    time = np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    return np.sin(2 * np.pi * 400 * (channel + 1) * time)


def corpus(told_by_voice):
    """Five words a clip. The last is told by the hum of the voice, or by a tone of its own by chance."""
    items = []
    for at in range(12):
        gender, hum = (("female", FEMALE), ("male", MALE))[at % 2]
        for clip in range(2):
            draw = np.random.default_rng([at, clip])
            spoken, yes = draw.permutation(4), gender == "female" if told_by_voice else draw.random() < 0.5
            audio = (
                0.3 * tone(hum, 6 * STEP) + noise(6 * STEP, 100 * at + clip)[: round(6 * STEP * 16_000)] / 20
            )
            for place, channel in enumerate([*spoken, LAST]):
                start = round((place + 0.5) * STEP * SAMPLING_RATE)
                part = tone(channel, 0.1)
                if channel == LAST and not told_by_voice:
                    part = part + tone(YES if yes else NO, 0.1)
                audio[start : start + len(part)] += part
            phones = [PHONES[min(channel, 4)] for channel in [*spoken, LAST]]
            text = [*(WORDS[channel] for channel in spoken), "yes" if yes else "no"]
            items.append(
                make_item(
                    f"{at}-{clip}", (0.1 * audio).astype(np.float32), text=" ".join(text), speaker=f"s{at}",
                    gender=gender, accent="american",
                    phones=tuple(
                        Segment(phone, (place + 0.5) * STEP, (place + 0.5) * STEP + 0.1)
                        for place, phone in enumerate(phones)
                    ),
                )
            )  # fmt: skip
    items += [
        make_item(f"n{at}", noise(0.9, at), text="", speaker=f"n{at}", extra=(("kind", "hiss"),))
        for at in range(8)
    ]
    return Corpus("tones", "1", tuple(items), "made", "none")


class Tones(torch.nn.Module):
    """How loud each of the tones is in each frame, [clip, channel, frame]."""

    def __init__(self):
        super().__init__()
        time = torch.arange(400) / SAMPLING_RATE
        angle = 2 * torch.pi * 400 * torch.arange(1, CHANNELS + 1)[:, None] * time
        self.filters = torch.stack([angle.cos(), angle.sin()])

    def forward(self, audio):
        return torch.einsum("bnt,pct->pbcn", audio.unfold(-1, 400, 320), self.filters).norm(dim=0) / 200


class Words(Spelling):
    """Spells tokens as words; blanks and repetitions are left out."""

    def __init__(self):
        super().__init__(None)

    def collapse(self, tokens):
        kept = [token for at, token in enumerate(tokens) if token and token != ([0, *tokens][at])]
        return " ".join(("", *WORDS, "yes", "no")[token] for token in kept)

    def pieces(self, tokens):
        return [f"▁{token}" for token in tokens]


def listening_model(told_by_voice):
    """A CTC model: all layers hold the tones, each as a direction, and the head reads some of them."""
    made = tiny_model("wav2vec2", num_hidden_layers=2)
    made._spelling = Words()
    network = made.network.wav2vec2
    network.feature_extractor = Tones()
    network.feature_projection.layer_norm = torch.nn.Identity()
    network.encoder.layer_norm = torch.nn.Identity()
    network.encoder.pos_conv_embed = torch.nn.Module()
    network.encoder.pos_conv_embed.forward = torch.zeros_like
    for layer in network.encoder.layers:
        layer.layer_norm = layer.final_layer_norm = torch.nn.Identity()
        for linear in (layer.attention.out_proj, layer.feed_forward.output_dense):
            torch.nn.init.zeros_(linear.weight)
            torch.nn.init.zeros_(linear.bias)
    directions, _ = torch.linalg.qr(torch.randn(32, CHANNELS, generator=torch.Generator().manual_seed(0)))
    network.feature_projection.projection.weight.data = directions.clone()
    network.feature_projection.projection.bias.data.zero_()
    head = torch.zeros(20, CHANNELS)
    for word in range(4):
        head[1 + word, word] = 10
    for token, voice, own in ((5, FEMALE, YES), (6, MALE, NO)):
        head[token, LAST] = 10
        head[token, voice if told_by_voice else own] = 8
    made.network.lm_head.weight.data = head @ directions.T
    made.network.lm_head.bias.data = torch.tensor([6.0] + 4 * [0.0] + [-1.0, -3.0] + 13 * [-99.0])
    return made


@pytest.fixture(scope="module")
def found():
    """What the task finds where the voice tells the last word, and where it does not."""
    return {
        used: measured(ErasureProtocol(TASK, lambda _, used=used: corpus(used)), listening_model(used))
        for used in (True, False)
    }


def test_what_the_head_reads_is_used_and_what_it_ignores_is_not(found):
    for used, made in found.items():
        scores = {name: score.value for name, score in made.scores.items()}
        assert scores["wer"] == 0
        assert scores["read_phones"] == scores["read_gender"] == 1
        assert scores["left_phones"] < 0.5
        assert scores["left_gender"] < 0.75
        assert scores["left_random_gender"] > 0.95
        assert scores["other_left_gender"] > 0.95, "phones are still there without gender"
        assert scores["use_phones"] > 0.5
        assert abs(scores["delta_wer_random_gender"]) < 0.05
        assert scores["delta_wer_mean"] > 0.9
        if used:
            assert scores["use_gender"] > 0.08, "one word of five is a guess"
        else:
            assert abs(scores["use_gender"]) < 0.03
        assert {row["concept"] for row in made.tables["left_out"]} == {"accent"}


def test_the_same_holds_at_every_layer_where_all_hold_the_same(found):
    curves = {curve.name: [point.value for point in curve.points] for curve in found[True].curves}
    assert found[True].curves[0].name == "phones"
    assert min(curves["gender"]) > 0.05
    assert min(curves["phones"]) > 0.5


def test_errors_that_one_group_bears_are_seen_in_it(found):
    """Where voices cannot be told, the head says yes to all."""
    scores = found[True].scores
    assert scores["delta_wer_gender_male"].value > scores["delta_wer_gender_female"].value + 0.05
    groups = {(row["concept"], row["group"]): row for row in found[True].tables["groups"]}
    assert groups["gender", "male"]["delta_wer"] == scores["delta_wer_gender_male"].value


def test_every_score_and_curve_follows_from_the_outcomes(found):
    made = found[True]
    items = made.items
    assert not items.isna().any(axis=None)
    assert items["unit"].is_unique
    wrong = dict(made.scores)
    for name in made.scores:
        result = _result(
            made, wrong | {name: made.scores[name].model_copy(update={"value": 2.0, "high": 3.0})}
        )
        assert any(line.startswith(f"{name} = 2") for line in disagreements(result, items)), name
    assert list(disagreements(_result(made, made.scores), items)) == []
    assert {name.split("_")[0] for name in made.scores} >= {"use", "read", "left", "other", "wer", "delta"}


def _result(made, scores):
    task = {"protocol": "erasure", "id": TASK.id, "spec": TASK.canonical()}
    return make_result(
        task=task, headline=made.headline, scores=scores, curves=made.curves, tables=made.tables, tuned={}
    )


def test_a_concept_that_no_tested_clip_has_is_left_out():
    frames = ClipFrames(np.zeros((1, 6, 1)), np.arange(6))
    fold = Fold(train=(0, 1), dev=(2, 3), test=(4, 5))
    known = Concept("gender", ("female", "male"), np.array([0, 1, 0, 1, -1, 0]), np.ones(6, bool))
    assert known.unlearnable(frames, [fold]) == ""
    bare = replace(known, label=np.array([0, 1, 0, 1, -1, -1]))
    assert "no clip that is tested has any of its classes" in bare.unlearnable(frames, [fold])


def test_nothing_to_score_is_not_applicable():
    protocol = ErasureProtocol(TASK, lambda _: corpus(True))
    with pytest.raises(NotApplicable, match="nothing to score"):
        protocol.score(np.array([]), np.array([]))


def test_erasing_in_a_model_is_what_the_eraser_does(model):
    values = np.random.default_rng(0).standard_normal((200, 32)).astype(np.float32)
    eraser = Whitening.of(values).concept(values, np.arange(200) % 3)
    audio, last = noise(0.7), model.encoder_sites[-1]
    worlds = [(), (Intervention(site=last, kind="erase", source="it", positions=(3, 4)),)]
    tensors = {"it": eraser.packed()}
    clean = model.states([audio], [last])[last]
    expected = clean.clone()
    expected[0, 3:5] = torch.from_numpy(eraser(clean[0, 3:5].numpy()))
    for encoded in (
        encode(model, [audio], worlds, tensors),
        encode_from_site(model, [audio], [0, 0], worlds, tensors),
    ):
        output = model.encoder_output(expected, len(audio))
        assert torch.allclose(encoded[1:, : output.shape[1]], output, atol=1e-5)
        assert not torch.allclose(encoded[0], encoded[1], atol=1e-3)
    assert Site.parse(last) in model.places


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"phones": ()}, "has no phones"), ({"text": "", "extra": (("kind", "hiss"),)}, "nobody speaks")],
)
def test_a_corpus_without_what_is_needed_is_one_line(changes, said):
    made = corpus(True)
    made = made.with_items(replace(item, **changes) for item in made if item.is_speech)
    with pytest.raises((InputError, NotApplicable), match=said):
        ErasureProtocol(TASK, lambda _: made)
