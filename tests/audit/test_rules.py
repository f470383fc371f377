"""The rules of the audit on planted tables: what must pass passes, what must fail fails and says why."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innerear.audit.rules import MIN_LEVELS, Difference, damage, half, human, planted, same, shuffled, spread
from innerear.results.schema import CurvePoint

LEVELS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


def answer(values, direction="higher", p=0.001, levels=LEVELS, reason=""):
    """The rule over values whose every step has one p."""
    pairs = pairwise(values)
    steps = [Difference(after - before, p, False) for before, after in pairs]
    return damage(
        levels[: len(values)], values, direction, steps, Difference(values[-1] - values[0], p, False), reason
    )


def test_a_metric_that_falls_with_damage_passes_and_one_that_rises_fails():
    falling = (0.9, 0.8, 0.7, 0.5, 0.3, 0.2)
    assert answer(falling).outcome == "pass"
    assert answer(falling).values["tau"] == pytest.approx(1.0)
    risen = answer(falling[::-1])
    assert risen.outcome == "fail"
    assert "not monotone (τ = -1.00)" in risen.says
    assert answer(falling, "lower").outcome == "fail"
    assert answer(falling[::-1], "lower").outcome == "pass"


def test_a_metric_without_direction_may_go_either_way_but_one_way():
    assert answer((0.2, 0.3, 0.4, 0.5, 0.6, 0.7), "none").outcome == "pass"
    assert answer((0.7, 0.6, 0.5, 0.4, 0.3, 0.2), "none").outcome == "pass"
    assert answer((0.2, 0.7, 0.2, 0.7, 0.2, 0.7), "none").outcome == "fail"


def test_a_metric_that_does_not_move_fails():
    still = answer((1.0,) * 6)
    assert still.outcome == "fail"
    assert "same value, 1, at every level" in still.says


def test_a_fall_that_is_not_told_apart_fails():
    found = answer((0.90, 0.89, 0.88, 0.87, 0.86, 0.85), p=0.4)
    assert found.outcome == "fail"
    assert "not significantly worse" in found.says
    assert found.values["tau"] == pytest.approx(1.0)


def test_one_sure_step_back_fails_though_the_trend_is_right():
    values = (0.9, 0.8, 0.6, 0.7, 0.4, 0.2)
    assert answer(values, p=0.02).outcome == "pass"  # 0.02 is not sure over five steps
    back = answer(values, p=0.001)
    assert back.outcome == "fail"
    assert "better again at noise 0.3" in back.says


def test_too_few_degrees_are_not_judge_and_a_cut_series_says_where_and_why():
    few = answer((0.9, 0.5, 0.1), reason="it writes nothing")
    assert few.outcome == "not run"
    assert few.says == "n/a beyond noise 0.2: it writes nothing"
    enough = answer((0.9, 0.7, 0.5, 0.1)[:MIN_LEVELS], reason="it writes nothing")
    assert enough.outcome == "pass"
    assert "n/a beyond noise 0.3 (it writes nothing)" in enough.says


def test_without_pairs_disjoint_intervals_decide():
    values = (0.9, 0.8, 0.7, 0.5, 0.3, 0.2)
    steps = [Difference(-0.1, None, False)] * 5
    assert damage(LEVELS, values, "higher", steps, Difference(-0.7, None, True)).outcome == "pass"
    assert damage(LEVELS, values, "higher", steps, Difference(-0.7, None, False)).outcome == "fail"


@given(st.lists(st.floats(0, 1), min_size=6, max_size=6, unique=True))
def test_any_strictly_falling_series_that_is_told_apart_passes_and_its_mirror_fails(values):
    falling = sorted(values, reverse=True)
    assert answer(falling).outcome == "pass"
    assert answer(falling[::-1]).outcome == "fail"


@pytest.mark.parametrize(
    ("difference", "p", "direction", "outcome"),
    [
        (-0.2, 0.01, "higher", "pass"),
        (0.2, 0.01, "higher", "fail"),
        (-0.2, 0.2, "higher", "fail"),
        (0.2, 0.01, "lower", "pass"),
        (-0.2, 0.01, "none", "pass"),
        (0.0, 1.0, "none", "fail"),
    ],
)
def test_shuffled_blocks_must_make_it_worse(difference, p, direction, outcome):
    assert shuffled(0.5, Difference(difference, p, False), direction).outcome == outcome


def test_shuffled_blocks_that_leave_nothing_to_measure_are_not_run():
    assert shuffled(None, None, "higher", "it loops").says == "n/a: it loops"


def test_seeds_that_move_more_than_items_fail():
    assert spread([0.8, 0.81, 0.79], 0.02, [1, 2, 3]).outcome == "pass"
    wide = spread([0.8, 0.9, 0.7], 0.02, [1, 2, 3])
    assert wide.outcome == "fail"
    assert wide.values["sd"] == pytest.approx(0.1)
    assert spread([0.8, 0.8, 0.8], 0.0, [1, 2, 3]).says == "the same with 3 seeds"


def test_half_precision_that_moves_more_than_items_fails():
    steady = half(0.8, {"bfloat16": 0.79, "float16": 0.8}, error=0.02)
    assert (steady.outcome, steady.values["after"]) == ("pass", 0.79)
    assert steady.says == "-0.01 in bfloat16, the same in float16; standard error over items 0.02"
    shaky = half(0.8, {"bfloat16": 0.81, "float16": 0.75}, error=0.02)
    assert (shaky.outcome, shaky.values["after"]) == ("fail", 0.75)


def test_what_moves_beyond_the_tolerance_fails():
    assert same("batch", "with 4", 0.8, 0.805, 0.01).outcome == "pass"
    assert same("batch", "with 4", 0.8, 0.8, 0.01).says == "the same with 4"
    off = same("batch", "with 4", 0.8, 0.78, 0.01)
    assert off.outcome == "fail"
    assert "beyond the tolerance of 0.01" in off.says


def test_human_speech_contradicts_by_layers_or_by_models_that_surely_change_places():
    assert human([0.9, 0.8], [], 2).outcome == "pass"
    assert human([0.3, 0.2, 0.9], [], 3).outcome == "fail"
    crossed = human([], [("a", "b")], 2)
    assert crossed.outcome == "fail"
    assert crossed.says == "a is significantly ahead of b on one and behind on the other"
    assert human([], [], 0).outcome == "not run"


def curve(values, half=0.02):
    return [
        CurvePoint(
            site=f"encoder.{at}", layer=at, depth=at / 3, value=value, low=value - half, high=value + half
        )
        for at, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("after", "outcome", "says"),
    [
        ([0.6, 0.7, 0.4, 0.5], "pass", "0.8 → 0.4 there, earlier layers unchanged"),
        ([0.6, 0.69, 0.4, 0.5], "fail", "layer 1 changed, which is earlier"),
        ([0.6, 0.7, 0.79, 0.5], "fail", "not significantly worse"),
        ([0.6, 0.7, 0.95, 0.5], "fail", "not significantly worse"),
        ([0.6, 0.7, 0.8, 0.5], "not run", "too few speakers"),
    ],
)
def test_a_curve_must_fall_where_something_was_taken_away(after, outcome, says):
    change = after[2] - 0.8
    there = Difference(change, 0.01 if abs(change) > 0.1 else 0.4, disjoint=False) if change else None
    found = planted(curve([0.6, 0.7, 0.8, 0.8]), curve(after), 2, "higher", there)
    assert found.outcome == outcome
    assert says in found.says
