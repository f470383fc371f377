"""Planted causes for detection: a flag that one block of the decoder writes is found there and not before."""

from conftest import flagged, make_item, measured, noise, playing, scripted, tiny_model

from innerear.data.schema import Corpus
from innerear.protocols.hallucination_detection import HallucinationDetectionProtocol
from innerear.protocols.speech_detection import SpeechDetectionProtocol
from innerear.tasks.task import load_task


def quick(name):
    """A task with less of everything that takes time, and without added noise."""
    task = load_task(name)
    return task.resolve(
        measure=task.measure.model_dump() | {"control_draws": 1, "probe": {"grid": [0.01, 1.0]}},
    ).model_copy(update={"noise": None})


def clips(name, texts, **labels):
    return [
        make_item(f"{name}-{at}", noise(0.4, seed_of(name) + at), text=text, speaker=name, **labels)
        for at, text in enumerate(texts)
    ]


def seed_of(name):
    """Ten apart, so that no two clips are the same noise."""
    return 10 * sum(ord(letter) * 997**at for at, letter in enumerate(name))


SOUNDS = Corpus(
    "sounds", "1",
    tuple(
        item
        for number in range(10)
        for item in (
            *clips(f"k{number}", ["", "", ""], extra=(("kind", f"kind-{number}"), ("near_speech", "yes"))),
            *clips(f"s{number}", ["green sky"] * 3),
        )
    ),
    "made", "none",
)  # fmt: skip
SPEECH = Corpus(
    "speech", "1",
    tuple(
        item
        for speaker in "abcdefghijkl"
        for item in clips(speaker, [f"the red q{speaker}{clip} flew far away" for clip in "abc"])
    ),
    "made", "none",
)  # fmt: skip


def curve(found):
    return [point.value for point in found.curves[0].points]


def spoken(item):
    return item.is_speech


def test_speech_flagged_by_one_block_is_found_there_and_the_untouched_model_has_none():
    protocol = SpeechDetectionProtocol(quick("speech-detection"), lambda _: SOUNDS)
    untouched = measured(protocol, tiny_model("moonshine"))
    model = tiny_model("moonshine")
    flagged(model, playing(model, SOUNDS), 1, spoken)
    found = measured(protocol, model)
    assert curve(found)[:2] == curve(untouched)[:2]
    assert max(curve(untouched)) < 0.75
    assert curve(found)[2] > 0.99
    assert found.curves[0].chosen == "decoder.2"
    assert found.scores["auroc_near"].value > 0.99
    assert found.scores["auroc_difference_of_means"].value > 0.99
    assert found.scores["auroc_over_the_output"].value > 0.99
    assert found.scores["accuracy"].value > 0.95
    assert found.scores["emergence_depth"].value == 1.0


def made_up(item):
    """One or two clips of every speaker."""
    return (ord(item.speaker) + int(item.id[-1])) % 2 == 0


def detected(block):
    """What is found on a model that makes words up, and has a block flag it, or none."""
    model = tiny_model("moonshine")
    heard = playing(model, SPEECH)
    scripted(model, heard, made_up)
    if block is not None:
        flagged(model, heard, block, made_up)
    protocol = HallucinationDetectionProtocol(quick("hallucination-detection"), lambda _: SPEECH)
    return measured(protocol, model)


def test_made_up_words_flagged_by_one_block_are_found_there_beyond_the_baselines():
    untouched, found = detected(None), detected(1)
    assert curve(found)[:2] == curve(untouched)[:2]
    assert max(curve(untouched)) < 0.75
    assert untouched.scores["gain"].low < 0.1
    assert curve(found)[2] > 0.99
    assert found.curves[0].chosen == "decoder.2"
    assert found.scores["auroc"].value > 0.99
    assert found.scores["gain"].low > 0
    assert found.scores["auroc_baselines"].value == untouched.scores["auroc_baselines"].value
    assert found.scores["auroc_arm_a"].value > 0.99
    assert found.scores["calibration_error"].value < untouched.scores["calibration_error"].value
