"""Examples in Python that the documents print run as printed."""

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
