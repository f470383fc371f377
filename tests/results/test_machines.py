"""Repetitions on another machine: what moved is found, strangers are refused, near verdicts are told."""

import numpy as np
import pytest
from synthetic import make_items, make_result

from innerear.results.compare import compare
from innerear.results.machines import FILE, Machines, RepeatedPair, machines, measured_again, near
from innerear.results.schema import Score
from innerear.results.store import Store
from innerear.util.errors import InnerearError
from innerear.util.io import write_json

OTHER = {"environment": {"cpu": "another processor"}}
NONE = Machines(results=[], pairs=[])


def score(value):
    return {"accuracy": Score(value=value, n=1200, unit="fraction", direction="higher")}


def store(folder, values, seeds=(0, 1, 2), **changes):
    """Results of models by name, with rows of these shares, in one table."""
    made = Store(folder)
    for seed, (name, value) in zip(seeds, values.items(), strict=False):
        result = make_result(value, model={"name": name}, scores=score(value), **changes)
        made.save(result, make_items(value, seed))
    return made


@pytest.fixture
def published(tmp_path) -> Store:
    return store(tmp_path / "published", {"one": 0.80, "two": 0.76})


def pair(p, again, task="phoneme-probing", version=1):
    return RepeatedPair(
        task=task, version=version, task_sha256="a", corpus="toy", learnt_on="", first="x", second="y",
        a="one", b="two", a_content="1", b_content="2", p=p, again=again,
    )  # fmt: skip


def test_what_is_the_same_has_not_moved(published, tmp_path):
    found = measured_again(published, store(tmp_path / "again", {"one": 0.80, "two": 0.76}, **OTHER))
    assert [(each.model, each.moved, each.point, each.where, each.differ) for each in found.results] == [
        ("one", 0, 0, "", 0),
        ("two", 0, 0, "", 0),
    ]
    assert {(each.first, each.second) for each in found.results} == {("a processor", "another processor")}
    ((only),) = found.pairs
    assert (only.a, only.b, only.moved) == ("one", "two", 0)
    assert 0 < only.p == only.again < 1


def test_headlines_curves_and_p_that_moved_are_found(published, tmp_path):
    again = store(tmp_path / "again", {"one": 0.80, "two": 0.79}, **OTHER)
    found = measured_again(published, again)
    one, two = found.results
    assert (one.moved, one.differ) == (0, 0)
    assert two.moved == pytest.approx(0.03)
    assert (two.value, two.again, two.differ, two.scores) == (0.76, 0.79, 1, 1)
    assert two.point == pytest.approx(0.03)
    assert two.where.startswith("probe at ")
    assert found.pairs[0].again > found.pairs[0].p


def test_choices_on_dev_that_turned_are_counted(published, tmp_path):
    changes = OTHER | {"tuned": {"c": [[0.1, 0.1, 1.0, 1.0, 1.0]] * 4}}
    (found,) = measured_again(published, store(tmp_path / "again", {"one": 0.80}, **changes)).results
    assert (found.choices, found.turned) == (20, 4)


def test_results_that_only_one_machine_has_are_passed_over(published, tmp_path):
    again = store(tmp_path / "again", {"two": 0.76, "three": 0.8}, seeds=(1, 2), **OTHER)
    found = measured_again(published, again)
    assert [each.model for each in found.results] == ["two"]
    assert not found.pairs


def test_models_that_were_published_from_different_machines_are_no_pair(tmp_path):
    published = store(tmp_path / "published", {"one": 0.80})
    store(tmp_path / "published", {"two": 0.76}, seeds=(1,), **OTHER)
    again = store(tmp_path / "again", {"one": 0.80, "two": 0.76}, environment={"cpu": "a third"})
    found = measured_again(published, again)
    assert len(found.results) == 2
    assert not found.pairs


def test_a_gpu_is_a_machine(published, tmp_path):
    gpu = {"environment": {"gpu": "a GPU"}, "run": {"device": "cuda"}}
    found = measured_again(published, store(tmp_path / "again", {"one": 0.80}, **gpu))
    assert [each.second for each in found.results] == ["a GPU"]


def test_copies_and_results_that_are_n_a_on_one_machine_are_refused(published, tmp_path):
    with pytest.raises(InnerearError, match=r"one-.*a copy; measure it again on another machine"):
        measured_again(published, store(tmp_path / "copies", {"one": 0.80}))
    none = make_result(model={"name": "one"}, status="n/a", reason="no text", scores={}, curves=[], **OTHER)
    Store(tmp_path / "none").save(none)
    with pytest.raises(InnerearError, match="n/a, published as ok"):
        measured_again(published, Store(tmp_path / "none"))


def test_new_measurements_take_the_place_of_old_ones_and_stale_ones_go(published, tmp_path):
    old = measured_again(published, store(tmp_path / "old", {"one": 0.81, "two": 0.76}, **OTHER))
    new = measured_again(published, store(tmp_path / "new", {"one": 0.80}, **OTHER))
    kept = NONE.updated(old, published)
    assert kept == old
    assert [each.again for each in kept.updated(new, published).results] == [0.80, 0.76]
    store(tmp_path / "published", {"two": 0.70}, seeds=(3,))  # published anew
    left = kept.updated(NONE, published)
    assert [each.model for each in left.results] == ["one"]
    assert not left.pairs


def test_the_spread_is_that_of_the_task_or_else_of_all():
    found = Machines(
        results=[], pairs=[pair(0.04, 0.06), pair(0.5, 0.5, task="abx"), pair(0.3, 0.1, "abx", 2)]
    )
    assert found.spread("abx", 1) == 0
    assert found.spread("phoneme-probing", 1) == pytest.approx(2.0537 - 1.8808, abs=1e-3)
    assert found.spread("noise", 1) == found.spread("abx", 2) > found.spread("phoneme-probing", 1)
    assert NONE.spread("abx", 1) == 0


@pytest.mark.parametrize(
    ("p", "spread", "expected"),
    [
        ([0.049], 0.0, [False]),
        ([0.049], 0.1, [True]),
        ([0.051], 0.1, [True]),
        ([0.03], 0.1, [False]),
        ([0.03], 0.3, [True]),
        ([1.0], 0.3, [False]),
        ([0.024, 0.6], 0.1, [True, False]),  # 0.048 with Holm's correction
        ([0.024, 0.001], 0.1, [False, False]),  # the other is significant, so that 0.024 stands for itself
    ],
)
def test_a_verdict_is_near_its_threshold_where_the_spread_reaches_it(p, spread, expected):
    assert near(p, np.full(len(p), spread), 0.05).tolist() == expected


def test_compare_tells_the_verdicts_that_another_machine_may_turn(tmp_path):
    made = store(tmp_path, {"one": 0.80, "two": 0.79, "three": 0.60})

    def marks(*pairs):
        write_json(tmp_path / FILE, Machines(results=[], pairs=pairs).model_dump(mode="json"))
        (found, _) = compare(made, ["one", "two", "three"])
        return {(each.a.model.name, each.b.model.name): (each.near, each.adjusted) for each in found}

    still = marks(pair(0.5, 0.5))
    assert not any(near for near, _ in still.values())
    (_, p) = still["one", "two"]
    assert p != 0.05
    assert not marks(pair(0.04, 0.0401))["one", "three"][0]
    wide = marks(pair(1.0, 1e-4))
    assert all(near for near, _ in wide.values())
    assert [p for _, p in wide.values()] == [p for _, p in still.values()]


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(InnerearError, match=r"run `python docs/reproducibility.py` again"):
        machines(tmp_path)
