"""Speech is told from other sounds on every family with a decoder; bad corpora are one line."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import FAMILIES, make_item, measured, mute, noise, tiny_model
from sklearn.metrics import roc_auc_score

from innerear.activations.capture import capture
from innerear.activations.captured import Readings
from innerear.data.schema import Corpus
from innerear.models.families import FAMILIES as ROWS
from innerear.protocols.speech_detection import SpeechDetectionProtocol
from innerear.tasks.task import load_task
from innerear.util.errors import InputError

TASK = load_task("speech-detection")
TASK = TASK.resolve(
    measure=TASK.measure.model_dump() | {"control_draws": 1, "probe": {"grid": [0.01, 1.0]}},
)


def corpus(kinds=8, speakers=8, clips=2, near=lambda kind: kind < 6):
    """Noise throughout: half of it is said to be speech, with words; of the rest most is near to speech."""
    silent = [
        make_item(
            f"k{kind}-{clip}", noise(0.4, 100 + 10 * kind + clip), text="", speaker=f"k{kind}",
            extra=(("kind", f"kind-{kind}"), ("near_speech", "yes" if near(kind) else "")),
        )
        for kind in range(kinds) for clip in range(clips)
    ]  # fmt: skip
    speech = [
        make_item(
            f"s{speaker}-{clip}",
            noise(0.4, 10 * speaker + clip),
            text="green sky",
            speaker=f"s{speaker}",
            gender=("female", "male")[speaker % 2],
        )
        for speaker in range(speakers)
        for clip in range(clips)
    ]
    return Corpus("made", "1", (*silent, *speech), "made", "none")


def protocol(**changes):
    return SpeechDetectionProtocol(TASK, lambda _: corpus(**changes))


def pooled_area(items):
    """AUROC over the pairs of all folds."""
    folds = [(rows["truth"] == "speech", rows["score"]) for _, rows in items.groupby("fold")]
    folds = [(truth, score) for truth, score in folds if 0 < truth.mean() < 1]
    return np.average(
        [roc_auc_score(*fold) for fold in folds], weights=[t.sum() * (~t).sum() for t, _ in folds]
    )


@pytest.mark.parametrize("family", [family for family in FAMILIES if ROWS[family].decoder])
def test_every_family_with_a_decoder_has_the_task(family):
    model = tiny_model(family)
    model.generation = replace(model.generation, no_speech=10)
    found = measured(protocol(), model)
    assert [point.site for point in found.curves[0].points] == ["decoder.0", "decoder.1", "decoder.2"]
    assert found.curves[0].points[0].value == 0.5, "the prefix's embedding knows nothing of the clip"
    items = found.items
    assert len(items) == 32
    assert items["outcome"].mean() == pytest.approx(found.scores["accuracy"].value)
    assert ((items["score"] > 0) == (items["predicted"] == "speech")).all()
    assert found.headline == "auroc_near"
    silent, near = items["truth"] == "no speech", items["sounds"] == "near"
    assert (items["kind"][silent & near] < "kind-6").all()
    assert near[~silent].all()
    for name, rows in (("auroc", items), ("auroc_near", items[near])):
        assert found.scores[name].value == pytest.approx(pooled_area(rows))
        assert found.scores[name].n == len(rows)
    for name, rows in (("written_rate", silent & ~near), ("written_near_rate", silent & near)):
        assert found.scores[name].value == pytest.approx((items[rows]["words"] > 0).mean())
    assert (found.scores["written_rate"].n, found.scores["written_near_rate"].n) == (4, 12)
    assert sum(row["clips"] for row in found.tables["written_by_kind"]) == 16
    assert sum(row["count"] for row in found.tables["commonest_texts"]) <= (items[silent]["words"] > 0).sum()
    assert {"auroc_log_prob", "auroc_no_speech", "stock_rate", "looped_rate"} < found.scores.keys()


@pytest.mark.parametrize("family", [family for family in FAMILIES if not ROWS[family].decoder])
def test_a_model_without_a_decoder_is_na(family):
    assert protocol().unsupported_reason(tiny_model(family)) == f"tiny-{family} has no decoder"


def test_a_twin_is_probed_and_never_writes():
    model = tiny_model("moonshine")
    model.identity = replace(model.identity, kind="twin")
    model.greedy_decode = None
    found = measured(protocol(), model)
    assert {"auroc", "auroc_near"} < found.scores.keys()
    assert "written_rate" not in found.scores
    assert "written" not in found.items


def test_a_model_that_writes_nothing_has_its_probes_and_rates_of_zero():
    model = tiny_model("moonshine")
    mute(model)
    found = measured(protocol(), model)
    assert found.scores["written_rate"].value == found.scores["stock_rate"].value == 0
    assert found.scores["unwritten_speech_rate"].value == 1
    assert found.scores["auroc_log_prob"].value == 0.5
    assert found.tables["commonest_texts"] == []


def test_a_class_that_could_not_be_heard_is_one_line():
    asked, model = protocol(), tiny_model("moonshine")
    demands = asked.demands(model)
    heard = dict(zip(demands, capture(model, list(demands.values())), strict=True))
    spoken = {at for at, item in enumerate(asked.corpus) if item.is_speech}
    lost = spoken & set(asked._folds[0].dev)
    for name, captured in heard.items():
        left = Readings({at: values for at, values in captured.values.items() if at not in lost})
        heard[name] = replace(captured, values=left)
    with pytest.raises(
        InputError, match="dev of fold 0 of made has no clip of 'speech' that the model can process"
    ):
        asked.measure(model, heard, "cpu")


def test_the_floor_has_the_headline_on_its_only_site():
    asked = protocol()
    (floor,) = asked.floors()
    found = measured(asked, floor)
    assert found.curves[0].points[0].site == "log-mel"
    assert found.scores["auroc_near"].value < 0.8, "noise is noise"


def test_kinds_are_held_out():
    asked = protocol()
    for fold in asked._folds:
        kinds = [
            {asked.corpus.items[at].label("kind") for at in side} - {""} for side in (fold.train, fold.test)
        ]
        assert not kinds[0] & kinds[1]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"kinds": 0}, "every clip is of 'speech'; a detector needs both"),
        ({"speakers": 0}, "every clip is of 'no speech'; a detector needs both"),
        ({"near": lambda _: False}, "made: no clip is marked as near to speech .* innerear-near-speech"),
        ({"kinds": 1}, r"of fold \d of made has no clip of 'no speech'; give the task more kinds and voices"),
    ],
)
def test_a_corpus_that_lacks_a_class_is_one_line(changes, complaint):
    with pytest.raises(InputError, match=complaint):
        protocol(**changes)
