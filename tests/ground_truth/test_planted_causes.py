"""Planted models misbehave, their repair is exact, and methods differ as they should."""

from functools import partial

import pytest

from innerear.data.registry import load_corpus
from innerear.planted.base_model import PlantingBase, load_base_model
from innerear.planted.methods import BUILT_IN
from innerear.planted.planting import plant
from innerear.planted.scoring import score_method
from innerear.protocols import planted_causes
from innerear.protocols.planted_causes import MethodSubject, PlantedCausesProtocol
from innerear.tasks.task import load_task
from innerear.util.cached import SUFFIX
from innerear.util.errors import InputError

TASK = load_task("planted-causes")
BASE = "tiny-random-1"


def task(plan):
    measure = TASK.measure.model_dump() | {"plan": plan}
    return TASK.resolve(measure=measure)


@pytest.fixture(scope="module")
def looping():
    """A copying head in a random model, with a decoy."""
    base = PlantingBase(load_base_model(BASE, 0), load_corpus(TASK.corpus), 12, 0)
    return plant(base, "loop-with-decoy", 0)


@pytest.mark.real
def test_the_behaviour_is_there_and_repair_is_bitwise(looping):
    outcomes = looping.outcomes
    assert looping.success_rate >= 0.8
    assert outcomes["planted"] > 0 > outcomes["untouched"]
    assert outcomes["repaired"] == outcomes["untouched"]
    assert looping.outcome(looping.causes) < 0 < looping.outcome(looping.decoys)
    for trial in looping.ranking_trials:
        assert trial.wrong == trial.target.tokens[-1]


@pytest.mark.real
def test_ablation_finds_the_head_and_attention_patterns_also_name_the_decoy(looping):
    zero = score_method(looping, BUILT_IN["zero-ablation"])
    assert (zero.auroc, zero.precision, zero.reciprocal) == (1, 1, 1)
    assert zero.top in looping.causes
    assert zero.alarms == zero.decoys == 0
    assert zero.curve[0] == [1, pytest.approx(1, abs=0.2)]
    assert score_method(looping, BUILT_IN["attention-to-copied"]).decoys == 1


@pytest.mark.real
def test_the_seed_determines_the_place(looping):
    base = looping.base
    again, other = (plant(base, "loop", seed) for seed in (0, 5))
    assert plant(base, "loop", 0).causes == again.causes
    assert plant(base, "loop", 0).outcomes == again.outcomes
    assert other.causes != again.causes


@pytest.mark.real
def test_methods_are_scored_and_cached(monkeypatch, tmp_path):
    monkeypatch.setattr(
        planted_causes,
        "methods",
        lambda: {name: BUILT_IN[name] for name in ("zero-ablation", "random-order")},
    )
    protocol = PlantedCausesProtocol(task({"loop": [BASE]}), load_corpus)
    protocol.cache = tmp_path
    model = protocol.scored_model("loop", BASE, "cpu")
    assert len(list((tmp_path / "planted").iterdir())) == 2
    protocol._scored.append(model)
    found = protocol.measure(protocol.methods[0], {}, "cpu")
    assert found.scores["auroc"].value == found.items["outcome"].mean() == 1
    assert found.seconds > 0
    assert found.tables["planted"][0]["top"] == found.tables["planted"][0]["causes"]
    monkeypatch.setattr(planted_causes, "plant", lambda *_: pytest.fail("planted again"))
    assert protocol.scored_model("loop", BASE, "cpu") == model, "the scores come from the cache"
    damaged = next(tmp_path.rglob(f"*{SUFFIX}"))
    damaged.write_bytes(damaged.read_bytes().replace(b"0.", b"1.", 1))
    with pytest.raises(pytest.fail.Exception, match="planted again"):
        protocol.scored_model("loop", BASE, "cpu")
    protocol.cache = None
    with pytest.raises(pytest.fail.Exception, match="planted again"):
        protocol.scored_model("loop", BASE, "cpu")


def test_every_method_has_an_identity_and_no_states():
    protocol = PlantedCausesProtocol(task({"loop": [BASE]}), load_corpus)
    kinds = {subject.identity.name: subject.identity.kind for subject in protocol.floors()}
    assert kinds["random-order"] == "floor"
    assert kinds["zero-ablation"] == "method"
    assert len({subject.identity.sha256 for subject in protocol.floors()}) == len(kinds)
    with pytest.raises(InputError, match="has no states"):
        MethodSubject("zero-ablation", BUILT_IN["zero-ablation"]).states([], [])


@pytest.mark.parametrize("method", [partial(BUILT_IN["zero-ablation"]), len, BUILT_IN.get])
def test_a_method_without_source_code_is_one_line(method):
    with pytest.raises(InputError, match=r"the method 'mine' has no source code .*; register a function"):
        MethodSubject("mine", method)


def test_an_edited_method_of_another_package_has_another_hash():
    def method(problem):
        return problem

    first = MethodSubject("mine", method).identity.sha256

    def method(problem):
        return -problem

    assert MethodSubject("mine", method).identity.sha256 != first


def test_an_unknown_recipe_is_refused():
    with pytest.raises(InputError, match="no recipe 'lop'"):
        PlantedCausesProtocol(task({"lop": [BASE]}), load_corpus)


def test_the_track_has_at_least_24_models_and_two_decoys():
    plan = TASK.measure.plan
    assert sum(map(len, plan.values())) >= 24
    assert sum("decoy" in recipe for recipe in plan) == 2
    assert {"whisper-base", "whisper-tiny.en", "moonshine-tiny"} <= {
        base for bases in plan.values() for base in bases
    }
