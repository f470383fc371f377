"""The head that alone carries the audio is found and confirmed; a deaf model or head carries nothing."""

import numpy as np
import pytest
import torch
from conftest import make_item, measured, noise, tiny_model
from synthetic import make_result
from test_audio_lm_causes import audio_lm

from innerear.data.schema import Corpus
from innerear.interventions.listening import heads
from innerear.models.decoder import decoder_of
from innerear.models.site import Site
from innerear.protocols.base import NotApplicable
from innerear.protocols.listening import ListeningProtocol, _agreement
from innerear.results.recount import disagreements
from innerear.tasks.task import load_task
from innerear.util.errors import InputError

TASK = load_task("listening").resolve(clips_per_speaker=1)
TASK = TASK.resolve(
    measure=TASK.measure.model_dump() | {"most": 8, "nodes": [1, 2], "best": 0.12, "draws": 2}
)
KINDS = ("moonshine", "audio LM")


def corpus(speakers=8, **labels):
    """Noise that swells at a pace of each speaker's own, so that no clip sounds like another."""
    clips = []
    for at in range(speakers):
        swell = np.sin(np.linspace(0, (at + 2) * np.pi, 8000)) ** 2
        clips.append(
            make_item(
                f"c{at}", (3 * swell * noise(0.5, at)).astype(np.float32), **{"speaker": f"s{at}"} | labels
            )
        )
    return Corpus("made", "1", tuple(clips), "made", "none")


def hearing(kind, carrying=None):
    """A model in which these heads alone, or all, write what they hear, louder than tokens speak."""
    model = audio_lm(window=1) if kind == "audio LM" else tiny_model(kind)
    decoder = decoder_of(model)
    with torch.no_grad():
        output = model.network.get_submodule(model.family.head)
        output.weight = torch.nn.Parameter(torch.randn(output.weight.shape))  # not the embeddings
        for site in heads(decoder):
            place = model.places[site]
            weight = model.network.get_submodule(place.module).weight
            own = slice(8 * site.head, 8 * site.head + 8)
            weight[:, own] = 0 if carrying is not None and site not in carrying else 20 * weight[:, own]
    return model


def measure(model, task=TASK):
    return measured(ListeningProtocol(task, lambda _: corpus()), model)


def lost(found, name="lost_in_silence"):
    return found.scores[name].value


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_that_alone_carries_the_audio_is_ranked_first_and_confirmed(kind):
    part = "self_attn" if kind == "audio LM" else "cross_attn"
    carrier = Site("decoder", 2, part, 1)
    found = measure(hearing(kind, {carrier}))
    assert lost(found) > 0.2
    assert found.tuned == {"best": [carrier]}
    held = found.items[found.items["half"] == "confirm"]
    assert lost(found, "lost_best") == pytest.approx(held["outcome"].mean(), abs=1e-5)
    assert [row["confirmed"] for row in found.tables["heads"][1:]] == pytest.approx([0.0] * 7, abs=1e-6)
    at, onwards = found.curves[:2]
    assert at.chosen == "decoder.2"
    assert [point.value for point in at.points] == pytest.approx([0, held["outcome"].mean()], abs=1e-5)
    assert [point.value for point in onwards.points] == pytest.approx([held["outcome"].mean()] * 2, abs=1e-5)
    assert lost(found, "lost_random") == pytest.approx(0, abs=1e-6)
    ranked = [row["lost"] for row in found.tables["faithfulness"] if row["ranking"] == "ranked"]
    assert ranked == pytest.approx([held["outcome"].mean()] * 3, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_with_all_heads_deaf_a_model_predicts_what_it_predicts_for_silence(kind):
    found = measure(hearing(kind))
    held = found.items[found.items["half"] == "confirm"]
    assert (held["outcome"].abs() > 1e-3).any()
    np.testing.assert_allclose(held["from.decoder.1"], held["p.silence"], atol=1e-5)
    every = [row["lost"] for row in found.tables["faithfulness"] if row["heads"] == 8]
    assert every == pytest.approx([held["outcome"].mean()] * 3, abs=1e-5)


def test_a_head_that_looks_but_passes_nothing_on_is_told_from_one_that_carries():
    model = hearing("moonshine")
    silent = Site("decoder", 1, "cross_attn", 3)
    place = model.places[silent]
    model.network.get_submodule(place.module).weight.data[:, 24:32] = 0
    found = measure(model)
    (row,) = (row for row in found.tables["heads"] if row["site"] == silent)
    assert row["attention"] > 0
    assert (row["ranked"], row["confirmed"]) == pytest.approx((0, 0), abs=1e-6)
    assert max(abs(each["ranked"]) for each in found.tables["heads"]) > 0.01


def test_nothing_of_the_output_of_a_deaf_model_rests_on_the_audio():
    found = measure(hearing("moonshine", set()))
    for name in ("in_silence", "on_other"):
        assert lost(found, f"lost_{name}") == pytest.approx(0, abs=1e-6)
        assert lost(found, f"kl_{name}") == pytest.approx(0, abs=1e-6)
    assert lost(found, "lost_without_text") != pytest.approx(0, abs=1e-3)
    assert lost(found, "best_over_random") == pytest.approx(0, abs=1e-6)


def test_a_model_that_reads_no_earlier_text_loses_nothing_without_it():
    model = hearing("moonshine")
    for site in model.places:
        if site.stack == "decoder" and site.part == "self_attn" and site.is_head:
            model.network.get_submodule(model.places[site].module).weight.data.zero_()
    found = measure(model)
    assert lost(found, "lost_without_text") == pytest.approx(0, abs=1e-6)
    assert abs(lost(found)) > 0.01


def test_every_score_and_curve_is_recounted_from_the_rows():
    found = measure(hearing("moonshine"))
    task = {"protocol": "listening", "spec": TASK.canonical()}
    result = make_result(
        task=task, headline=found.headline, scores=found.scores, curves=found.curves, items=None
    )
    assert list(disagreements(result, found.items)) == []
    for column in found.items.columns.drop(["item", "unit", "speaker", "half", "words"]):
        forged = found.items.copy()
        forged.loc[forged["half"] == "confirm", column] *= 0.9
        assert list(disagreements(result, forged)), column


def test_intervals_are_over_speakers_and_numbers_over_clips():
    found = measure(hearing("moonshine"))
    score = found.scores["lost_in_silence"]
    assert score.n == 8
    assert score.low < score.value < score.high
    assert found.scores["lost_best"].n == 4
    assert found.scores["wordless"].value == 0


def test_bad_input_and_models_that_do_not_fit():
    with pytest.raises(InputError, match="split of two folds"):
        ListeningProtocol(TASK.model_copy(update={"split": None}), lambda _: corpus())
    alike = TASK.resolve(split=TASK.split.model_dump() | {"sentence_disjoint": False})
    with pytest.raises(InputError, match="no clip by somebody else that says something else than c0"):
        ListeningProtocol(alike, lambda _: corpus(text="the same"))
    with pytest.raises(NotApplicable, match="nobody speaks in c0"):
        ListeningProtocol(TASK, lambda _: corpus(text="", extra=(("kind", "hum"),)))
    assert "no decoder" in ListeningProtocol(TASK, lambda _: corpus()).unsupported_reason(
        tiny_model("hubert")
    )


def test_heads_whose_attention_differs_by_rounding_alone_have_no_ranks_of_it():
    effect = np.linspace(0, 0.2, 8)
    assert _agreement(1 - 1e-9 * np.arange(8) ** 2, effect) == {}
    assert _agreement(1 - 1e-3 * np.arange(8) ** 2, effect)["attention_tau"].value == pytest.approx(-1)
