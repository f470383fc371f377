import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import make_result

from innerear.report.ranking import possible_ranks, tie_letters, win_rates
from innerear.results.schema import Score


@st.composite
def significant_pairs(draw):
    n = draw(st.integers(1, 7))
    pairs = list(combinations(range(n), 2))
    return n, draw(st.sets(st.sampled_from(pairs))) if pairs else set()


@given(significant_pairs())
def test_two_share_a_letter_exactly_where_they_are_not_told_apart(drawn):
    n, differ = drawn
    made = tie_letters(n, differ)
    assert all(made)
    for one, other in combinations(range(n), 2):
        assert bool(set(made[one]) & set(made[other])) == ((one, other) not in differ)


def test_letters_start_with_the_best():
    assert tie_letters(4, {(0, 2), (0, 3), (1, 3)}) == ["a", "ab", "bc", "c"]
    assert tie_letters(3, set()) == ["a", "a", "a"]
    assert tie_letters(0, set()) == []


def test_letters_of_many_groups_can_be_told_apart():
    n = 60
    differ = {(a, b) for a, b in combinations(range(n), 2) if b - a > 1}
    made = tie_letters(n, differ)
    assert made[:2] == ["a", "ab"]
    assert made[25:28] == ["yz", "za2", "a2b2"]
    assert made[-1] == "g3"


def test_two_hundred_models_have_letters():
    """Six in a row are tied: 195 groups, for which an algorithm that is not made for that takes hours."""
    n, width = 200, 6
    made = tie_letters(n, {(a, b) for a, b in combinations(range(n), 2) if b - a >= width})
    assert len({letter for each in made for letter in re.findall(r"[a-z]\d*", each)}) == n - width + 1
    assert made[0] == "a"


def test_a_rank_is_as_wide_as_what_is_not_told_apart():
    assert possible_ranks(3, {(0, 1), (0, 2)}) == [(1, 1), (2, 3), (2, 3)]
    assert possible_ranks(3, set()) == [(1, 3)] * 3
    assert possible_ranks(2, {(1, 0)}) == [(2, 2), (1, 1)]


def _score(value: float, direction: str) -> dict[str, Score]:
    return {"accuracy": Score(value=value, n=9, unit="fraction", direction=direction)}


def _table(direction: str, task: str, **values: float):
    made = []
    for name, value in values.items():
        result = make_result()
        model = result.model.model_copy(update={"name": name})
        info = result.task.model_copy(update={"id": task})
        made.append(
            result.model_copy(update={"model": model, "task": info, "scores": _score(value, direction)})
        )
    return made


def test_each_task_weighs_the_same_and_a_depth_is_no_merit():
    rates = {
        rate.model: rate
        for rate in win_rates(
            [
                _table("higher", "probing", a=0.9, b=0.8, c=0.7),
                _table("higher", "probing", a=0.9, b=0.8, c=0.7),
                _table("lower", "abx", a=0.3, b=0.2, c=0.2),
                _table("none", "share", a=0.1, b=0.5, c=0.9),
            ]
        )
    }
    assert rates["a"].value == pytest.approx(0.5)  # wins all of probing, none of abx
    assert rates["b"].value == pytest.approx((0.5 + 0.75) / 2)
    assert rates["a"].tables == 3
    assert rates["a"].low is None  # two tasks are too few for an interval


def test_many_tasks_give_an_interval():
    values = [0.9, 0.7, 0.9, 0.7, 0.9]
    tables = [_table("higher", f"task{at}", a=value, b=0.8) for at, value in enumerate(values)]
    rates = {rate.model: rate for rate in win_rates(tables)}
    assert rates["a"].low <= rates["a"].value <= rates["a"].high


def test_one_model_alone_and_one_task_alone():
    assert win_rates([_table("higher", "probing", a=0.9)]) == []
    rate, _ = win_rates([_table("higher", "probing", a=0.9, b=0.8)])
    assert (rate.model, rate.value, rate.low, rate.tables) == ("a", 1.0, None, 1)


def test_a_word_error_rate_is_not_compared_with_a_character_error_rate():
    first, *others = _table("lower", "transcription", a=0.1, b=0.2, c=0.3)
    scores = {"cer": first.scores["accuracy"]}
    table = [first.model_copy(update={"headline": "cer", "scores": scores}), *others]
    assert {rate.model: rate.value for rate in win_rates([table])} == {"b": 1.0, "c": 0.0}
