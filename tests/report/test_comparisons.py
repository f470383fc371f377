"""Comparisons as a table and as JSON: both tell who is ahead, and which verdicts are near their threshold."""

import json
from dataclasses import replace

import pytest
from synthetic import make_items, make_result, make_sound
from typer.testing import CliRunner

from innerear.cli import app
from innerear.report.comparisons import COLUMNS, FORMATS
from innerear.results.compare import compare
from innerear.results.store import Store


@pytest.fixture
def compared(tmp_path):
    """A sure difference, and one that is near its threshold."""
    store = Store(tmp_path)
    for seed, (name, value) in enumerate([("good", 0.85), ("fair", 0.8), ("same", 0.8)]):
        store.save(make_result(value, model={"name": name}), make_items(value, seed))
    found, _ = compare(store, ["good", "fair", "same"])
    sure, _, equal = found
    return [replace(sure, near=False), replace(equal, near=True)]


def test_the_table_marks_what_is_near_the_threshold(compared):
    lines = FORMATS["markdown"](compared).splitlines()
    rows = [dict(zip(COLUMNS, line.strip("| ").split(" | "), strict=True)) for line in (lines[2], lines[3])]
    assert [row["p, Holm"].endswith(" ≈") for row in rows] == [False, True]
    assert [row["ahead"] for row in rows] == ["good", "–"]
    assert "≈: near the threshold" in lines[-1]


def test_json_has_every_number_in_full_and_the_models_by_hash(compared):
    sure, equal = json.loads(FORMATS["json"](compared))
    assert [sure["near_threshold"], equal["near_threshold"]] == [False, True]
    assert (sure["a"], sure["b"], sure["ahead"], equal["ahead"]) == ("good", "fair", "a", None)
    assert sure["a_sha256"] == compared[0].a.model.sha256
    assert (sure["p"], sure["p_holm"]) == (compared[0].p, compared[0].adjusted)
    assert sure["low"] <= sure["difference"] <= sure["high"]


def test_the_command_prints_json_and_refuses_other_formats(tmp_path):
    store = Store(tmp_path)
    for value in (0.86, 0.7):
        store.save(*make_sound(value, model={"name": f"model-{value}"}))
    arguments = ["compare", "model-0.7", "model-0.86", "--results", str(tmp_path), "--format"]
    told = CliRunner().invoke(app, [*arguments, "json"])
    assert told.exit_code == 0
    ((row),) = json.loads(told.stdout)
    assert (row["a"], row["b"], row["ahead"]) == ("model-0.7", "model-0.86", "b")
    told = CliRunner().invoke(app, [*arguments, "jsn"])
    assert told.exit_code != 0
    assert "json" in str(told.exception)
