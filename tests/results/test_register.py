"""A result is held against what is published: outcomes of another model are told, chance is not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import make_result

from innerear.results import published, register


@pytest.mark.parametrize(
    ("kind", "rows", "told"),
    [
        ("method", 2, False),
        ("method", 19, False),
        ("method", 20, True),
        ("model", 2, True),
        ("model", 112, True),
    ],
)
def test_equal_outcomes_are_a_copy_only_where_they_are_no_chance(monkeypatch, kind, rows, told):
    """Two methods that put the planted heads of a small model in one order have equal outcomes."""
    own = pd.DataFrame({"outcome": np.linspace(0, 1, rows)})
    monkeypatch.setattr(published, "rows", lambda path: own.copy())
    mine, other = (
        make_result(0.5, model={"name": name, "sha256": name, "kind": kind}) for name in ("a", "b")
    )
    assert register._copied(mine, own, Path("other.json"), other) is told
    assert not register._copied(mine, own, Path("other.json"), mine)
