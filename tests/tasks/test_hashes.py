"""Hashes that published results hold stay as they are, whatever module the code lives in."""

import json
from pathlib import Path

import pytest

from innerear.planted.methods import BUILT_IN, VERSIONS, source_of
from innerear.protocols.planted_causes import MethodSubject
from innerear.tasks.task import PROSE, Task, load_suite, load_task, suites, task_names

ROOT = Path(__file__).parents[2]
STORED = json.loads(Path(__file__).with_name("hashes.json").read_text())
"""By hand only where a task gets a new version: `registered` tasks, and those that a suite changes."""


def test_every_registered_task_has_its_stored_hash():
    assert {name: load_task(name).sha256() for name in task_names()} == STORED["registered"]


def test_every_task_of_a_suite_has_its_stored_hash():
    found = {
        f"{suite} {at} {'full' if full else 'share'}": entry.task(full).sha256()
        for suite in suites()
        for at, entry in enumerate(load_suite(suite).tasks)
        for full in (False, True)
    }
    assert found == STORED["suites"]


def test_published_results_are_of_tasks_that_this_innerear_hashes_alike():
    for path in sorted((ROOT / "results").glob("*/*/*.json")):
        task = json.loads(path.read_text())["task"]
        prose = {name: task[name] for name in PROSE}
        assert Task.model_validate(task["spec"] | prose).sha256() == task["sha256"], path


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Another"},
        {"question": "Why?"},
        {"profile": "A depth."},
        {"citation": "@misc{x}"},
        {"tolerance": 0.5},
    ],
    ids=lambda change: next(iter(change)),
)
def test_prose_and_tolerance_are_not_hashed(change):
    task = load_task("phoneme-probing")
    assert task.resolve(**change).sha256() == task.sha256()


@pytest.mark.parametrize(
    "change",
    [
        {"version": 9},
        {"limit": 5},
        {"seed": 1},
        {"corpus": "ravdess"},
        {"confidence": 0.9},
        {"only": {"a": "b"}},
    ],
)
def test_what_decides_numbers_is_hashed(change):
    task = load_task("phoneme-probing")
    assert task.resolve(**change).sha256() != task.sha256()


def test_methods_are_those_of_their_published_results():
    published = {}
    for path in sorted((ROOT / "results" / "planted-causes").glob("*/*.json")):
        model = json.loads(path.read_text())["model"]
        published[model["name"]] = model["parts"]
    assert published == {
        name: MethodSubject(name, method).identity.parts for name, method in BUILT_IN.items()
    }


def test_a_method_is_named_by_what_it_is_and_not_by_where_it_is(monkeypatch):
    monkeypatch.setattr(BUILT_IN["zero-ablation"], "__module__", "moved.elsewhere")
    assert source_of("zero-ablation", BUILT_IN["zero-ablation"]) == "innerear:zero-ablation@1"


def test_a_new_version_of_a_method_is_another_method(monkeypatch):
    monkeypatch.setitem(VERSIONS, "zero-ablation", 2)
    assert source_of("zero-ablation", BUILT_IN["zero-ablation"]) == "innerear:zero-ablation@2"


def test_a_method_of_another_package_is_named_by_its_import_path():
    def method(problem):
        return None

    source = source_of("zero-ablation", method)
    assert source.startswith(f"{__name__}.")
