"""The chart of all headlines."""

from synthetic import make_family, make_result
from vega import check, legend, texts

from innerear.report.leaderboard import tables
from innerear.report.overview import all_looks, matrices, overview_chart
from innerear.results.store import Store


def overview(tmp_path, *more):
    store = Store(tmp_path)
    for result, items in [*make_family(), *((each, None) for each in more)]:
        store.save(result, items)
    shown = tables(store)
    return check(overview_chart(shown, all_looks(shown)))


def test_every_headline_is_a_point_with_its_interval(tmp_path):
    chart = overview(tmp_path)
    assert ("whisper-base", "86.0 [84.0, 88.0]") in [row[1:] for row in chart.rows]
    assert [f"{100 * row['value']:.1f}" for row in chart.data] == [row[2].split()[0] for row in chart.rows]
    assert legend(chart) == ["moonshine-tiny", "whisper-base", "whisper-tiny.en", "twins", "floors"]
    assert "phoneme-probing · toy ↑" in texts(chart)
    assert chart.caption.endswith("Grey: twins and floors.")


def test_a_cell_at_a_glance_says_its_interval(tmp_path):
    store = Store(tmp_path)
    store.save(make_result(0.86))
    store.save(make_result(model={"name": "ctc"}, status="n/a", reason="no decoder", scores={}, curves=[]))
    (matrix,) = matrices(tables(store), [])
    assert {row.model.name: (cell.text, cell.says) for row, (cell,) in matrix.rows} == {
        "whisper-base": ("86.0", "86.0 [84.0, 88.0]"), "ctc": ("n/a", "no decoder"),
    }  # fmt: skip


def test_an_interval_beyond_all_values_does_not_press_the_others_together(tmp_path):
    wide = make_result(0.5, model={"name": "wide"})
    score = wide.score.model_copy(update={"low": -9.0, "high": 9.0})
    changed = {"scores": {**wide.scores, "accuracy": score}, "content_sha256": "", "record_sha256": ""}
    chart = overview(tmp_path, type(wide)(**{**dict(wide), **changed}))
    points = chart.spec["layer"][1]["encoding"]["x"]["scale"]
    assert points["domain"] == [0, 1]
    assert ("wide", "50.0 [-900.0, 900.0]") in [row[1:] for row in chart.rows]


def test_tables_of_equal_names_are_lines_of_their_own(tmp_path):
    other = make_result(0.4, task={"sha256": "9" * 64})
    assert {row["table"] for row in overview(tmp_path, other).data} == {
        "phoneme-probing · toy ↑", "phoneme-probing · toy ↑ (2)",
    }  # fmt: skip
