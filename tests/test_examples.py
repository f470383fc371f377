"""Examples in Python that the documents print, and the notebooks, run as they are."""

import json
import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
DOCUMENTS = (TOP / "README.md", *sorted(TOP.glob("docs/**/*.md")))
EXAMPLES = [  # those that stand alone
    pytest.param(example, id=f"{path.relative_to(TOP)}:{number}")
    for path in DOCUMENTS
    for number, example in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.S))
    if example.startswith("import innerear") or "\nimport innerear" in example
    if "innerear.run(" not in example  # takes minutes; tests of the command line run tasks
]


@pytest.mark.real
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs_as_printed(example, monkeypatch, capsys):
    monkeypatch.chdir(TOP)  # results/ are read from there
    exec(compile(example, "example", "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.real
@pytest.mark.parametrize("path", sorted(TOP.glob("docs/notebooks/*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_from_its_first_cell_to_its_last_and_keeps_no_output(path, monkeypatch):
    monkeypatch.chdir(TOP)
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert cells
    space = {}
    for cell in cells:
        assert cell["outputs"] == []
        exec(compile("".join(cell["source"]), path.name, "exec"), space)
