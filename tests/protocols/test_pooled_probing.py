"""A class that is written into one layer is found there and not before; bad corpora are one line."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_item, measured, noise, tiny_model

from innerear.data.schema import Corpus
from innerear.models.floors import LogMelStatistics, Pitch
from innerear.protocols import probing
from innerear.protocols.base import NotApplicable
from innerear.protocols.pooled_probing import PooledProbingProtocol
from innerear.protocols.registry import protocol_of
from innerear.tasks.task import load_task
from innerear.util.errors import InputError

TASK = load_task("speaker-gender").resolve(clips_per_speaker=3)
TASK = TASK.resolve(measure=TASK.measure.model_dump() | {"pitch": False, "control_draws": 3})


def corpus(gender=lambda speaker: ("female", "male")[speaker % 2], speakers=12):
    """Noise by a dozen speakers: nothing tells their gender."""
    clips = [
        make_item(
            f"s{speaker}-{clip}", noise(0.5, 10 * speaker + clip), speaker=f"s{speaker:02d}",
            gender=gender(speaker), text=f"sentence {speaker} {clip}",
        )
        for speaker in range(speakers) for clip in range(3)
    ]  # fmt: skip
    return Corpus("made", "1", tuple(clips), "made", "none")


def probed(model):
    return measured(PooledProbingProtocol(TASK, lambda _: corpus()), model)


def planted(layer):
    """A model whose block writes the gender of the speaker along one direction."""
    model, clips = tiny_model("whisper"), corpus()
    playing = []
    direction = torch.randn(32, generator=torch.Generator().manual_seed(0))
    encode = model.encode

    def follow(audio):
        playing.append(next(item for item in clips if np.array_equal(item.audio(), audio[0])))
        return encode(audio)

    def write(_module, _args, output):
        states = output[0] if isinstance(output, tuple) else output
        sign = 1.0 if playing[-1].gender == "male" else -1.0
        moved = states + 3 * sign * direction
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    model.encode = follow
    model.network.model.encoder.layers[layer - 1].register_forward_hook(write)
    return model


def test_selectivity_is_of_the_layers_that_the_accuracy_is_of():
    found = measured(PooledProbingProtocol(TASK, lambda _: corpus()), tiny_model("moonshine", seed=4))
    scores = {name: score.value for name, score in found.scores.items()}
    (curve,) = [each for each in found.curves if each.name == probing.SELECTIVITY]
    assert scores["selectivity"] not in [pytest.approx(point.value) for point in curve.points]
    assert scores["selectivity"] == pytest.approx(scores["accuracy"] - scores["control_accuracy"])


@pytest.mark.parametrize("women", [6, 8])
def test_control_labels_of_new_speakers_count_by_the_share_of_their_class(monkeypatch, women):
    """What few speakers happen to draw does not decide it: a constant answer has its class's share."""
    monkeypatch.setattr(probing, "control_labels", lambda types, *_: np.zeros(len(types), dtype=int))
    clips = corpus(lambda speaker: "female" if speaker < women else "male")
    protocol = PooledProbingProtocol(TASK, lambda _: clips)
    found = measured(protocol, tiny_model("whisper"))
    shares = [
        np.mean([protocol.corpus.items[at].gender == "female" for at in fold.train])
        for fold in protocol.folds()
        for _ in fold.test
    ]
    assert found.scores["control_accuracy"].value == pytest.approx(np.mean(shares))


def test_a_dev_side_without_any_class_of_training_is_na_with_the_reason():
    """Three classes of two speakers each: a class with its speakers in dev and test is in no training."""
    label = lambda speaker: ("female", "male", "other")[speaker // 2]  # noqa: E731
    protocol = PooledProbingProtocol(TASK, lambda _: corpus(label, speakers=6))
    with pytest.raises(
        NotApplicable, match="where C and the layer are chosen, has no class that training has"
    ):
        measured(protocol, tiny_model("whisper"))


def test_gender_written_at_a_layer_is_found_there_and_the_twin_has_none():
    found = probed(planted(2))
    probe, code = found.curves[0], found.curves[-1]
    assert [point.value > 0.95 for point in probe.points] == [False, False, True, True]
    assert probe.chosen in ("encoder.2", "encoder.3")
    assert found.scores["accuracy"].value > 0.95
    assert found.scores["accuracy_at_2_speakers"].value > 0.95
    assert code.points[2].value < min(code.points[0].value, code.points[1].value) - 0.05
    assert found.scores["control_accuracy"].value < 0.8
    untouched = probed(tiny_model("whisper"))
    assert untouched.scores["accuracy"].value < 0.75
    assert untouched.scores["code_bits"].value > 0.8


def test_every_family_has_the_task(model):
    found = probed(model)
    assert len(found.curves[0].points) == model.encoder_layers + 1
    assert len(found.items) == 36
    assert found.items["outcome"].mean() == pytest.approx(found.scores["accuracy"].value)


def test_classes_that_a_corpus_cannot_split_are_na_with_the_reason():
    genders = {"'male' has one speaker only": lambda speaker: "male" if speaker == 0 else "female",
               "all clips have the gender 'female'": lambda _: "female"}  # fmt: skip
    for reason, gender in genders.items():
        protocol = protocol_of(TASK, lambda _, gender=gender: corpus(gender))
        assert reason in protocol.unsupported_reason(tiny_model("whisper"))
        assert len(protocol.corpus) == len(corpus(gender))


def test_no_class_is_na():
    with pytest.raises(NotApplicable, match="has no gender"):
        PooledProbingProtocol(TASK, lambda _: corpus(lambda _: ""))


def test_clips_without_the_label_are_left_out_and_counted():
    protocol = PooledProbingProtocol(
        TASK, lambda _: corpus(lambda speaker: ("female", "male")[speaker % 2] if speaker else "")
    )
    assert {item.gender for item in protocol.corpus} == {"female", "male"}
    assert all("has no gender" in reason for _, reason in protocol.corpus.refused)
    assert len(protocol.corpus.refused) == len(corpus()) - len(protocol.corpus)


def test_clips_of_a_class_with_one_speaker_are_left_out_and_counted_where_two_others_are_left():
    protocol = PooledProbingProtocol(
        TASK, lambda _: corpus(lambda speaker: ("Scots", "Welsh")[speaker % 2] if speaker else "Irish")
    )
    assert protocol.classes == ("Scots", "Welsh")
    assert {name for name, _ in protocol.corpus.refused} == {"s0-0", "s0-1", "s0-2"}
    assert all("gender 'Irish' has one speaker only" in reason for _, reason in protocol.corpus.refused)
    found = measured(protocol, tiny_model("whisper"))
    assert len(found.items) == len(protocol.corpus) == 33


def test_only_keeps_what_it_names():
    task = TASK.resolve(only={"gender": "female"})
    assert {item.gender for item in task.select(corpus())} == {"female"}
    with pytest.raises(InputError, match="no clip has gender = robot"):
        TASK.resolve(only={"gender": "robot"}).select(corpus())


def test_log_mel_statistics_are_the_mean_and_deviation_of_the_frames():
    clip = noise(1.0)
    floor = LogMelStatistics(40)
    states = floor.states([clip], floor.encoder_sites)["log-mel"]
    assert states.shape == (1, 1, 80)
    assert floor.clock.count(len(clip)) == 1


def test_pitch_finds_a_tone_and_is_zero_on_noise_free_silence():
    seconds = np.arange(16000) / 16000
    tone = sum(np.sin(2 * np.pi * 200 * k * seconds) / k for k in range(1, 6)).astype(np.float32)
    floor = Pitch()
    median = floor.states([0.2 * tone], ("pitch",))["pitch"][0, 0, 0]
    assert 2**median == pytest.approx(200, rel=0.02)
    silent = floor.states([np.zeros(16000, dtype=np.float32)], ("pitch",))["pitch"]
    assert not silent.any()


def test_folds_keep_the_unit_of_the_rule_together():
    rule = TASK.split.model_copy(update={"unit": "kind"})
    item = corpus().items[0]
    assert rule.unit_of(item) == item.speaker
    assert rule.unit_of(replace(item, extra=(("kind", "hum"),))) == "hum"


def test_clips_of_shared_sentences_are_counted():
    shared = corpus()
    items = tuple(replace(item, text="the same" if item.id.endswith("-0") else item.text) for item in shared)
    clips = shared.with_items(items)
    found = measured(PooledProbingProtocol(TASK, lambda _: clips), tiny_model("whisper"))
    assert {fold.dropped_shared_sentences for fold in found.split.folds} == {12}


def test_few_speakers_are_of_all_classes_even_where_every_speaker_has_an_accent_of_its_own():
    clips = corpus()
    items = tuple(replace(item, accent=item.speaker) for item in clips)
    found = measured(PooledProbingProtocol(TASK, lambda _: clips.with_items(items)), planted(2))
    assert found.scores["accuracy_at_2_speakers"].value > 0.95
