"""Made-up words are counted and compared with what the output tells of itself; nothing to find is n/a."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import FAMILIES, make_item, measured, mute, noise, playing, scripted, tiny_model
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from innerear.data.schema import Corpus
from innerear.models.families import FAMILIES as ROWS
from innerear.protocols.base import NotApplicable
from innerear.protocols.detection import Pairs
from innerear.protocols.hallucination_detection import (
    HallucinationDetectionProtocol,
    calibration,
    equal_error_rate,
)
from innerear.tasks.task import load_task

TASK = load_task("hallucination-detection")
TASK = TASK.resolve(
    measure=TASK.measure.model_dump() | {"control_draws": 1, "probe": {"grid": [0.01, 1.0]}},
).model_copy(update={"noise": None})


def corpus(name="made", text=None, clips=3):
    """Noise by a dozen speakers, each clip with words of its own."""
    items = [
        make_item(
            f"{name}{at}-{clip}", noise(0.4, len(name) * 1000 + 10 * at + clip), speaker=f"{name}{at:02}",
            condition=("loud", "soft")[clip % 2],
            text=f"the red {name}{'abcdefghijkl'[at]}{'abc'[clip]} flew away" if text is None else text,
        )
        for at in range(12) for clip in range(clips)
    ]  # fmt: skip
    return Corpus(name, "1", tuple(items), "made", "none")


def every_third(item):
    """One clip of every speaker."""
    return (int(item.speaker[-2:]) + int(item.id[-1])) % 3 == 0


def asked(family="moonshine", made_up=every_third, task=TASK, corpora=None):
    """What the protocol finds on a model that writes to order."""
    corpora = corpora or {task.corpus: corpus()}
    model = tiny_model(family)
    heard = playing(model, [item for each in corpora.values() for item in each])
    scripted(model, heard, made_up)
    return measured(HallucinationDetectionProtocol(task, corpora.__getitem__), model)


def area(items, column, strata):
    """AUROC over the pairs of all strata."""
    won = compared = 0.0
    for _, rows in items.groupby(strata):
        truth = rows["truth"] == "insertion"
        if 0 < truth.mean() < 1:
            pairs = truth.sum() * (~truth).sum()
            won += pairs * roc_auc_score(truth, rows[column])
            compared += pairs
    return won / compared


@pytest.mark.parametrize("family", [family for family in FAMILIES if ROWS[family].decoder])
def test_every_family_with_a_decoder_has_the_task(family):
    found = asked(family)
    items = found.items
    wrong = items["truth"] == "insertion"
    assert (wrong == (items["insertions"] > 0)).all()
    assert found.scores["insertion_rate"].value == pytest.approx(wrong.mean())
    won, compared, rival = 0.0, 0, 0.0
    for _, rows in items.groupby("fold"):
        truth = rows["truth"] == "insertion"
        pairs = truth.sum() * (~truth).sum()
        won += pairs * roc_auc_score(truth, rows["score"])
        rival += pairs * roc_auc_score(truth, rows["baselines"])
        compared += pairs
    assert found.scores["auroc"].value == pytest.approx(won / compared)
    assert found.headline == "added"
    assert found.scores["added"].value == pytest.approx(
        area(items, "both", ["fold", "condition"]) - area(items, "baselines", ["fold", "condition"])
    )
    assert found.scores["auroc_both"].value == pytest.approx(area(items, "both", ["fold"]))
    assert found.scores["auroc_same_condition"].value == pytest.approx(
        area(items, "score", ["fold", "condition"])
    )
    assert found.scores["gain"].value == pytest.approx((won - rival) / compared)
    assert found.scores["gain"].low <= found.scores["gain"].value <= found.scores["gain"].high
    arm = next(row for row in found.tables["arms"] if row["arm"] == "A")
    assert arm["positives"] == arm["negatives"] == min(wrong.sum(), (~wrong).sum())
    named = [row["detector"] for row in found.tables["baselines"]]
    assert named[-3:] == ["all together", "probe", "both"]
    assert all(0 <= row["equal_error_rate"] <= 1 for row in found.tables["baselines"])
    assert sum(row["clips"] for row in found.tables["calibration"]) == len(items) == 36
    assert [row["condition"] for row in found.tables["insertions_by_condition"]] == ["loud", "soft"]


@pytest.mark.parametrize("family", [family for family in FAMILIES if not ROWS[family].decoder])
def test_a_model_without_a_decoder_is_na(family):
    protocol = HallucinationDetectionProtocol(TASK, lambda _: corpus())
    assert protocol.unsupported_reason(tiny_model(family)) == f"tiny-{family} has no decoder"


@pytest.mark.parametrize("made_up", [lambda _: False, lambda _: True])
def test_a_model_that_never_errs_or_always_does_is_na(made_up):
    with pytest.raises(NotApplicable, match=r"nobody said in (0|36) of 36 clips: train of fold 0 of made"):
        asked(made_up=made_up)


def test_a_model_that_writes_nothing_is_na():
    model = tiny_model("moonshine")
    mute(model)
    with pytest.raises(NotApplicable, match="in 0 of 36 clips"):
        measured(HallucinationDetectionProtocol(TASK, lambda _: corpus()), model)


def test_whatever_is_written_where_nobody_speaks_was_made_up():
    silent = Corpus("made", "1", tuple(
        replace(item, text="") if item.id.endswith("-2") else item for item in corpus()
    ), "made", "none")  # fmt: skip
    found = asked(made_up=lambda item: item.is_speech and every_third(item), corpora={TASK.corpus: silent})
    rows = found.items[found.items["words"] == 0]
    assert len(rows) == 12
    assert (rows["truth"] == "insertion").all()
    assert (rows["insertions"] == rows["written"].str.split().str.len()).all()


@pytest.mark.parametrize(
    ("score", "rate"),
    [([0, 1, 2, 3], 0.0), ([0, 2, 1, 3], 0.5), ([3, 2, 1, 0], 1.0), ([1, 1, 1, 1], 0.5)],
)
def test_the_equal_error_rate_is_that_of_misses_and_false_alarms(score, rate):
    truth = np.array([False, False, True, True])
    strata = np.zeros(4, dtype=int)
    pairs = Pairs(truth, np.arange(4), strata, np.ones(4, dtype=bool))
    assert equal_error_rate(np.array(score, float), pairs) == pytest.approx(rate)


def test_a_corpus_without_words_is_na():
    with pytest.raises(NotApplicable, match="made0-0 has no words"):
        HallucinationDetectionProtocol(TASK.model_copy(update={"split": None}), lambda _: corpus(text="..."))


def test_learning_on_another_corpus_tests_all_of_this_one():
    task = TASK.resolve(corpus="made", train_corpus="other").model_copy(update={"noise": None})
    found = asked(task=task, corpora={"made": corpus(), "other": corpus("other")})
    (fold,) = found.split.folds
    assert fold.test.items == len(found.items) == 36
    assert fold.train.items + fold.dev.items == 36
    assert set(found.items["fold"]) == {0}


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.integers(2, 12))
def test_bins_hold_every_clip_once_and_rise(rows, bins):
    probability, positive = np.array([a for a, _ in rows]), np.array([b for _, b in rows])
    made = calibration(probability, positive, bins)
    assert sum(row["clips"] for row in made) == len(rows)
    assert max(row["clips"] for row in made) - min(row["clips"] for row in made) <= 1
    assert np.all(np.diff([row["predicted"] for row in made]) >= -1e-12)
    assert sum(row["clips"] * row["observed"] for row in made) == pytest.approx(positive.sum())
