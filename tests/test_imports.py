"""What innerear imports: nothing heavy at first; tasks, results and reports need no library of models."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import innerear

HEAVY = ("torch", "transformers", "librosa", "mlflow", "pandas", "datasets", "evaluate", "sklearn")
MODELS = ("torch", "transformers", "librosa")
PACKAGE = Path(innerear.__file__).parent

SCRIPT = """
import json, sys
from importlib import import_module
modules, unwanted = json.loads(sys.argv[1])
found = {}
for module in modules:
    import_module(module)
    new = [name for name in unwanted if name in sys.modules and name not in sum(found.values(), [])]
    if new:
        found[module] = new
print(json.dumps(found))
"""


def loaded(modules, unwanted):
    """Unwanted packages that a fresh interpreter has loaded, by the module that loaded them."""
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([modules, unwanted])],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(ran.stdout)


def rooms(*names):
    """Every module of these packages."""
    for name in names:
        for path in sorted((PACKAGE / name).glob("*.py")):
            yield f"innerear.{name}" if path.stem == "__init__" else f"innerear.{name}.{path.stem}"


@pytest.mark.parametrize("module", ["innerear", "innerear.cli"])
def test_what_every_user_imports_is_light(module):
    assert loaded([module], HEAVY) == {}


def test_tasks_results_and_reports_are_read_without_the_libraries_of_models():
    assert loaded(list(rooms("stats", "tasks", "results", "report")), MODELS) == {}
