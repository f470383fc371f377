"""Every kind of input that once broke innerear has its tests, and the page lists them."""

import ast
from pathlib import Path

import pytest
from kinds import KINDS, kinds_table

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("test", sorted({test for tests in KINDS.values() for test in tests}))
def test_a_test_that_holds_a_kind_exists(test):
    path, name = test.split("::")
    parsed = ast.parse((ROOT / path).read_text())
    assert name in {node.name for node in ast.walk(parsed) if isinstance(node, ast.FunctionDef)}


def test_the_page_lists_them():
    assert kinds_table() in (ROOT / "docs" / "robustness.md").read_text()
