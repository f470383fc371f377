"""Methods stand in their own table: they are ranked there, and are no models elsewhere."""

import pytest
from synthetic import make_items, make_result

from innerear.report.leaderboard import tables
from innerear.report.markdown import publish
from innerear.report.overview import overview_chart
from innerear.report.ranking import win_rates
from innerear.results.store import Store


@pytest.fixture
def store(tmp_path):
    """Two methods and nothing else."""
    store = Store(tmp_path)
    for name, value in (("zero-ablation", 0.9), ("probe-weights", 0.4)):
        found = make_result(
            value, model={"name": name, "kind": "method"}, task={"protocol": "planted-causes"}, curves=[],
            tables={"by_recipe": [{"recipe": "loop", "auroc": value}]},
        )  # fmt: skip
        store.save(found, make_items(value))
    return store


def test_methods_are_ranked_and_win_no_duels_of_models(store):
    (table,) = tables(store)
    assert [row.cells[:3] for row in table.rows][:2] == [
        ("1", "zero-ablation", "method"),
        ("2", "probe-weights", "method"),
    ]
    assert win_rates([table.results]) == []


def test_the_overview_has_no_methods(store):
    assert overview_chart(tables(store), {}).rows == ()


def test_a_picture_of_methods_by_cause_is_published(store):
    text = publish(store).read_text()
    assert "![methods by cause](" in text
    assert len(list(store.folder.glob("*/*/methods-*.png"))) == 1
