"""A plan for a hundred models is worked out from measured rates, and its page has those numbers."""

from pathlib import Path

import pytest
from measured import measured
from scale import CLIP, DIM, FRAMES, HOURS, LAYERS, MODELS, PHONES, RATES, SWEPT, Rates, Whole, one, tables

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
RATES_NOW = Rates.of(measured())


def test_the_page_has_the_tables_that_are_worked_out():
    text = PAGE.read_text()
    for line in filter(None, tables(RATES_NOW)):
        assert line in text.splitlines(), "python benchmarks/scale.py prints the tables"


def test_rates_are_those_that_are_recorded():
    told = {round(each.value, 6) for each in measured().figures}
    used = (RATES_NOW.exact * 1000, RATES_NOW.half * 1000, RATES_NOW.captured, RATES_NOW.layer)
    assert {round(each, 6) for each in used} <= told
    assert RATES_NOW.sweep == pytest.approx(12.4, abs=0.05)


def test_hearing_and_probing_are_rates_times_amounts():
    plan, clips = one(RATES_NOW), HOURS * 3600 / CLIP
    assert plan.hear == pytest.approx(clips * 0.0556 * 1.31 / 3600)
    assert plan.hear_half / plan.hear == pytest.approx(7.94 / 55.6)
    assert plan.states == pytest.approx(HOURS * 3600 * PHONES * LAYERS * DIM * 4 / 1e9)
    assert plan.drawn_probes / plan.probes == pytest.approx(100_000 / (HOURS * 3600 * PHONES))
    assert plan.sweeps == pytest.approx(SWEPT * 12.416 / 3600)
    alone = RATES_NOW._replace(layer=FRAMES * 3600.0)  # an hour a frame and layer
    assert one(alone).drawn_probes == pytest.approx(100_000 * LAYERS * 4 * 2 * 0.6)


def test_writing_takes_longer_by_each_of_its_steps(monkeypatch):
    before = one(RATES_NOW).write
    monkeypatch.setitem(RATES, "24 steps of 64 rows", 2 * RATES["24 steps of 64 rows"])
    steps = HOURS * 3600 / CLIP * 0.9 * 2 * CLIP * 4 / 24 / 64 / 3600  # four tokens a second
    assert one(RATES_NOW).write - before == pytest.approx(steps)


def test_twice_as_many_models_take_twice_as_much(monkeypatch):
    plan = one(RATES_NOW)
    whole = Whole.of(plan)
    for size in MODELS:
        monkeypatch.setitem(MODELS, size, 2 * MODELS[size])
    twice = Whole.of(plan)
    assert twice == pytest.approx(tuple(2 * each for each in whole))
    assert twice.hours == pytest.approx(2 * whole.hours)
