"""Phone recognition: a layer that wipes phones out is one from which none is written."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import Forgetful, make_item, measured, noise, tiny_model

from innerear.analysis.ctc_probes import Said
from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus
from innerear.protocols.base import NotApplicable
from innerear.protocols.ctc_probing import CtcProbingProtocol, Utterances
from innerear.protocols.phone_probing import PhoneProbingProtocol
from innerear.tasks.task import load_task
from innerear.util.errors import InputError

WHOLE = load_task("phone-recognition")
TASK = WHOLE.resolve(limit=28, measure=WHOLE.measure.model_dump() | {"probe": {"grid": [0.01]}})


@pytest.fixture(scope="module")
def protocol():
    return CtcProbingProtocol(TASK, load_corpus)


def rates(found):
    return np.array([point.value for point in found.curves[0].points])


def test_the_layer_that_wipes_phones_out_writes_none(protocol):
    untouched = measured(protocol, tiny_model("moonshine"))
    planted = tiny_model("moonshine")
    planted.network.model.encoder.layers[1] = Forgetful()
    found = measured(protocol, planted)
    np.testing.assert_array_equal(rates(found)[:2], rates(untouched)[:2])
    assert rates(found)[2] > 0.97
    assert rates(untouched)[2] < 0.97
    rows = untouched.items
    assert (rows["outcome"] == rows[["substitutions", "insertions", "deletions"]].sum(axis=1)).all()
    assert rows["weight"].sum() == sum(len(text.split()) for text in rows["truth"])
    assert untouched.scores["per"].value == rows["outcome"].sum() / rows["weight"].sum()
    assert sorted(rows["item"]) == sorted(item.id for item in protocol.corpus)
    best = [f"errors.{site}" for site in untouched.tuned["chosen_site"]]
    assert all(row[best[row["fold"]]] == row["outcome"] for _, row in rows.iterrows())


def test_clips_with_more_phones_than_frames_are_tested_and_not_learnt_from(protocol):
    test = Utterances(
        protocol.corpus, np.zeros((1, 1, 1)), said_of(protocol, short=0), np.arange(len(protocol.corpus))
    )
    fold = next(each for each in protocol._folds if 0 in each.train)
    made = protocol._side(fold, test, test)
    assert (made.left, 0 in made.learn) == ([0], False)
    assert len(made.learn) == len(fold.train) - 1
    tested = next(each for each in protocol._folds if 0 in each.test)
    assert 0 in protocol._side(tested, test, test).held
    everything = replace(test, said=said_of(protocol, short=None))
    with pytest.raises(NotApplicable, match="as many frames as phones"):
        protocol._side(fold, everything, everything)


def said_of(protocol, short):
    """Phones of the corpus, with frames enough but for one clip; or for none."""
    phones = tuple(np.arange(len(protocol._phones["test"][item.id])) for item in protocol.corpus)
    frames = [0 if short in (at, None) else len(own) for at, own in enumerate(phones)]
    return Said(np.cumsum([0, *frames]), phones)


@pytest.mark.parametrize("task", [TASK, load_task("phoneme-probing").resolve(limit=28)])
def test_clips_without_phones_are_refused_by_name_and_take_no_place(task):
    whole = load_corpus("innerear-speech")
    first = {item.speaker: item for item in reversed(whole.items)}
    bare = [replace(item, phones=()) if item is first[item.speaker] else item for item in whole]
    kind = CtcProbingProtocol if task is TASK else PhoneProbingProtocol
    made = kind(task, lambda _: whole.with_items(bare))
    refused = dict(made.corpus.refused)
    assert refused.keys() == {item.id for item in first.values()}
    assert all("has no phones" in reason for reason in refused.values())
    assert len(made.corpus) == 28


def test_a_corpus_without_phones_is_refused():
    with pytest.raises(InputError, match="no clip has phones"):
        CtcProbingProtocol(TASK, lambda _: Corpus("made", "1", (make_item("a", noise(1.0)),), "", ""))
