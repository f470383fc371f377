"""A package of one's own adds families, kinds of tasks, tasks, corpora and methods, by entry points alone."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import save_tiny

from innerear.tasks.declarations import Declaration
from innerear.util import plugins
from innerear.util.errors import InputError
from innerear.util.plugins import Extended

EXAMPLE = Path(__file__).parent / "example"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment of a process that has the package installed."""
    site = tmp_path_factory.mktemp("site")
    (site / "innerear_example").symlink_to(EXAMPLE / "innerear_example")
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = site / "innerear_example-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: innerear-example\nVersion: 1.0\n")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {where}" for name, where in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return site


def _environment(installed):
    return os.environ | {"PYTHONPATH": f"{installed}:{Path(__file__).parents[2]}"}


def run(installed, *arguments, code=0):
    """Output of an innerear command, or of Python code, where the package is installed."""
    made = subprocess.run(
        [sys.executable, "-m", "innerear", *map(str, arguments)], capture_output=True, text=True, timeout=300,
        env=_environment(installed),
    )  # fmt: skip
    assert made.returncode == code, made.stderr
    return made.stdout + made.stderr


def test_its_task_and_its_corpus_are_listed(installed):
    assert "How much larger are the states" in run(installed, "tasks", "list")
    assert "Twelve tones of a second." in run(installed, "corpora", "list")
    assert "An example of a card." in run(installed, "tasks", "show", "loudness")


def test_its_method_stands_beside_the_others(installed):
    code = "from innerear.planted.methods import methods; print(*methods())"
    made = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=_environment(installed)
    )
    assert made.stdout.split()[-2:] == ["random-order", "first-of-all"], made.stderr


def test_its_task_is_measured_on_a_model_of_its_family_and_verifies(installed, tmp_path):
    folder = save_tiny("hubert", tmp_path / "mine")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "example-hubert", "architectures": ["ExampleForCTC"]}
    (folder / "config.json").write_text(json.dumps(config))
    runs = tmp_path / "runs"
    run(installed, "run", "--models", folder, "--tasks", "loudness", "--output", runs)
    (result,) = (json.loads(path.read_text()) for path in (runs / "loudness").rglob("*.json"))
    assert result["task"]["protocol"] == "loudness"
    assert result["model"]["family"] == "example-hubert"
    assert result["scores"]["growth"]["n"] == 12
    run(installed, "verify", runs)
    assert "loudness" in run(installed, "leaderboard", "--results", runs)
    # where the package is not installed, a line says what is missing
    told = run(Path("/nowhere"), "leaderboard", "--results", runs, code=1)
    assert "loudness" in told
    assert "Traceback" not in told


def test_a_kind_of_task_that_does_not_say_its_scale_is_one_line(monkeypatch):
    class Scaleless(Entry):
        def load(self):
            return Declaration(formula="mean")

    monkeypatch.setattr(plugins, "entry_points", lambda group: [Scaleless("mine", None)])
    kinds = Extended("innerear.protocols", "protocol", {}, lambda loaded: True)
    with pytest.raises(InputError, match=r"the protocol 'mine' cannot be loaded .*'scale'"):
        kinds["mine"]


class Entry:
    """An entry point."""

    def __init__(self, name, loaded, value="mine:it"):
        self.name, self.loaded, self.value = name, loaded, value

    def load(self):
        if isinstance(self.loaded, Exception):
            raise self.loaded
        return self.loaded


def table(monkeypatch, *entries):
    monkeypatch.setattr(plugins, "entry_points", lambda group: entries)
    return Extended("innerear.numbers", "number", {"one": 1}, lambda loaded: isinstance(loaded, int))


def test_entries_are_loaded_when_they_are_used(monkeypatch):
    known = table(monkeypatch, Entry("two", 2), Entry("broken", ImportError("no module mine")))
    assert list(known) == ["one", "two", "broken"]
    assert "broken" in known
    assert known["two"] == 2
    with pytest.raises(InputError, match=r"mine:it: the number 'broken' cannot be loaded \(no module mine\)"):
        known["broken"]
    with pytest.raises(KeyError):
        known["three"]


def test_a_name_that_is_taken_and_a_thing_of_another_kind_are_one_line(monkeypatch):
    with pytest.raises(InputError, match="a number 'one' already exists"):
        list(table(monkeypatch, Entry("one", 3)))
    with pytest.raises(InputError, match="'two' is no number but str"):
        table(monkeypatch, Entry("two", "two"))["two"]
