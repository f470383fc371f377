"""The page of benchmarks is that of the recorded figures, with goals met or honestly not."""

import json

import pytest
from measured import FOLDER, Curve, Figure, Measured, Session, measured
from table import PAGE, ROWS, THEN, page

WHERE = {"of": "a model", "machine": "a machine", "created": "2026-01-01", "load": 0.5}


def figure(benchmark, value, unit="×", **changes):
    return Figure(**{"benchmark": benchmark, "value": value, "n": 9, "unit": unit} | WHERE | changes)


def lines(*figures, curves=()):
    made = page(Measured(figures=figures, curves=curves)).splitlines()
    return {
        line.split(" | ")[0].removeprefix("| "): line.split(" | ") for line in made if line.startswith("| ")
    }


def test_the_page_is_that_of_the_recorded_figures():
    assert PAGE.read_text() == page(measured()), "python benchmarks/table.py makes it anew"


def test_every_recorded_figure_is_shown():
    known = {row.benchmark for row in ROWS} | {name for row in THEN for name in (row.before, row.now)}
    assert {each.benchmark for each in measured().figures} <= known


@pytest.mark.parametrize(("value", "met"), [(1.04, "yes"), (1.05, "yes"), (1.06, "no")])
def test_a_goal_is_met_or_not(value, met):
    row = lines(figure("two tasks / one task", value, low=1.0, high=1.2))["two tasks / one task"]
    assert row[2:6] == [f"{value:g} × [1, 1.2]", "9", "≤ 1.05", met]


def test_what_was_not_measured_is_said_and_a_goal_that_is_missed():
    bare = lines()
    assert bare["two tasks / one task"][2] == "not measured yet"
    assert bare["two tasks / one task"][5] == "–"
    name = "memory at 100 / 1 × the clips"
    assert bare[name][2] == "not measured yet"
    assert lines(figure(name, 1.3))[name][5] == "no"


def test_figures_of_another_machine_say_nothing_of_a_goal_in_seconds():
    row = next(row for row in THEN if row.goal == 6.0)
    before = figure(row.before, 50.0, "s", machine="NVIDIA H200")
    other, same = figure(row.now, 3.0, "s"), figure(row.now, 3.0, "s", machine="NVIDIA H200")
    assert [lines(before, each)[row.what][-1] for each in (other, same)] == ["– |", "yes |"]
    assert lines(before)[row.what][2] == "not measured again"


def test_growth_is_the_power_of_the_size():
    curve = Curve(benchmark="sweep", x="heads", points=((1, 2.0), (2, 8.0), (4, 32.0)), **WHERE)
    assert curve.exponent == pytest.approx(2.0)
    assert lines(curves=[curve])["sweep"][3] == "2.00"


def test_a_session_records_medians_and_replaces_only_the_same_quantity(tmp_path):
    for value, name in ((1.0, "one"), (5.0, "other"), (3.0, "one")):
        session = Session(name)
        session.figure("two tasks / one task", [value, value, 100.0], "×")
        session.curve("capture", "hours", {1: value, 2: 2 * value})
        session.record("made", tmp_path)
    found = measured(tmp_path)
    assert [(each.of, each.value, each.low) for each in found.figures] == [
        ("one", 3.0, None),
        ("other", 5.0, None),
    ]
    assert [each.points[0][1] for each in found.curves] == [3.0, 5.0]
    assert found.figures[0].load is not None


def test_files_of_figures_have_no_other_fields():
    for path in FOLDER.glob("*.json"):
        text = path.read_text()
        changed = json.loads(text)
        changed["figures"] = [{**each, "goal": 1} for each in changed["figures"]] or [{"goal": 1}]
        with pytest.raises(ValueError, match="goal"):
            Measured.model_validate(changed)
