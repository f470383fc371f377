"""Planted features: a direction for each phone is found, pure, stable and erased by itself."""

import numpy as np
import pytest
import torch
from conftest import idle, make_item, measured, noise, playing, tiny_model

from innerear.activations.capture import capture
from innerear.data.phones import ARPABET
from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus
from innerear.protocols.sparse_features import SparseFeaturesProtocol
from innerear.tasks.task import load_task
from innerear.util.errors import InputError

TASK = load_task("sparse-features").resolve(clips_per_speaker=2)
SMALL = {"expansion": 2, "k": 1, "steps": 400, "batch": 256, "rate": 3e-3, "dead_after": 20}
CHANGES = {
    "seeds": [0, 1],
    "least": 5,
    "steering": None,
    "dictionary": TASK.measure.dictionary.model_dump() | SMALL,
}
TASK = TASK.resolve(measure=TASK.measure.model_dump() | CHANGES)


@pytest.fixture(scope="module")
def asked():
    return SparseFeaturesProtocol(TASK, load_corpus)


def planted(corpus):
    """A model whose second block writes nothing but the code of the phone that is heard."""
    model = tiny_model("moonshine")
    codes = 10 * torch.eye(32)
    heard = playing(model, corpus)

    def write(_module, _args, states):
        item = heard[-1]
        times = model.clock.times(len(item.audio()))
        made = 0.01 * states
        for segment in item.phones:
            inside = np.flatnonzero((segment.start <= times) & (times < segment.end))
            if segment.label in ARPABET[:32]:
                made[0, inside] += codes[ARPABET.index(segment.label)]
        return made

    model.network.model.encoder.layers[1].register_forward_hook(write)
    return model


def test_features_of_planted_phones_are_pure_stable_and_erased_alone(asked):
    untouched = measured(asked, tiny_model("moonshine"))
    found = measured(asked, planted(asked.corpus))
    assert found.tuned == {"site": "encoder.2"}
    assert found.scores["phone_purity"].value > 0.9 > untouched.scores["phone_purity"].value + 0.5
    assert found.scores["stability"].value > 0.9
    assert found.scores["explained"].value > 0.9
    assert found.scores["erased"].value == 1
    alone = [row for row in found.tables["erasure"] if row["before"] > 0.95]
    assert np.median([row["features"] for row in alone]) == 1
    assert np.median([row["random_features"] or 64 for row in alone]) > 5
    assert np.mean([row["damage"] for row in alone]) < 0.02
    assert found.items["outcome"].mean() == pytest.approx(found.scores["phone_purity"].value)


def test_same_seed_same_findings(asked):
    one, same = (measured(asked, tiny_model("whisper")) for _ in range(2))
    assert one.scores == same.scores
    assert one.tables == same.tables


def test_steering_stands_beside_the_means_and_a_random_direction(tmp_path):
    steering = {"clips": 3, "features": 4, "strengths": [0.5, 1, 2, 4], "most": 10}
    dictionary = TASK.measure.dictionary.model_dump() | {"steps": 20}
    task = TASK.resolve(
        measure=TASK.measure.model_dump() | {"steering": steering, "dictionary": dictionary}
    ).resolve(clips_per_speaker=1)
    asked = SparseFeaturesProtocol(task, load_corpus)
    model = tiny_model("moonshine")
    demands = asked.demands(model)
    heard = dict(zip(demands, capture(model, list(demands.values())), strict=True))
    found = asked.measure(model, heard, "cpu")
    rows = found.tables["steering"]
    assert [row["direction"] for row in rows[::4]] == ["none", "features", "means", "random"]
    assert len(rows) == 13
    assert rows[0]["delta_wer"] == 0
    assert found.tuned["contrast"] in ("silent against writing", "sounds against speech")
    assert set(asked.demands(tiny_model("wav2vec2"))) == {"frames"}, "CTC has no decoder to steer"
    asked.cache = tmp_path
    assert asked.measure(model, heard, "cpu").tables == found.tables
    with idle(model):
        assert asked.measure(model, heard, "cpu").tables == found.tables


def test_bad_input():
    clips = [make_item(f"c{at}", noise(0.5, at), speaker=f"s{at}") for at in range(6)]
    corpus = Corpus("made", "1", tuple(clips), "made", "none")
    with pytest.raises(InputError, match="speech with phones and other sounds"):
        SparseFeaturesProtocol(TASK, lambda _: corpus)
    with pytest.raises(InputError, match="split with 2 folds"):
        SparseFeaturesProtocol(TASK.model_copy(update={"split": None}), lambda _: corpus)
