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


def test_a_split_is_that_of_what_is_published_by_clips_and_by_frames_where_all_models_have_the_same():
    def made(protocol, frames, items=4):
        side = {"items": items, "speakers": 2, "frames": frames}
        fold = {"train": side, "dev": side, "test": side, "dropped_shared_sentences": 0}
        return make_result(
            0.5,
            task={"protocol": protocol},
            corpus={"refused": []},
            split={"rule": "r", "seed": 1, "folds": [fold]},
        )

    def told(protocol, mine):
        return register._scores_differ(mine, made(protocol, 100))

    assert not told("phone-probing", made("phone-probing", 100))
    assert "split" in told("phone-probing", made("phone-probing", 50))
    assert not told("ctc-probing", made("ctc-probing", 50))  # its frames are half as many a second
    assert "split" in told("ctc-probing", made("ctc-probing", 50, items=3))
