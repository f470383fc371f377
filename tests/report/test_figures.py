"""Every table that has a chart gets one, and what it shows is what the table says."""

import pytest
from drawable import TABLES
from synthetic import make_result
from vega import check, labels, legend, texts

from innerear.report.chart import Look
from innerear.report.field_charts import methods_chart, token
from innerear.report.figures import charts, draw
from innerear.report.table_charts import DRAWINGS, table_chart_of
from innerear.tasks.declarations import DECLARATIONS


def with_tables(**tables):
    result = make_result()
    return type(result)(
        **{**dict(result), "tables": TABLES | tables, "content_sha256": "", "record_sha256": ""}
    )


def of(table, drawing, rows=None):
    result = with_tables(**({table: rows} if rows else {}))
    return check(table_chart_of(result, table, drawing, "Caption"))


def test_confusions_are_shares_of_the_true_class():
    chart = of("confusion_matrix", "confusions")
    shares = {(row["said"], row["heard"]): row["share"] for row in chart.data}
    assert shares == {("AA", "AA"): 0.75, ("AA", "AE"): 0.25, ("AE", "AE"): 1}  # what never was is empty
    assert chart.columns == ("truth", "AA", "AE")
    assert chart.rows == (("AA", "3", "1"), ("AE", "0", "5"))
    assert "share of what was said" in texts(chart)


def test_classes_of_any_name_are_classes():
    odd = "a.b[0]'\\"
    chart = of("confusion_matrix", "confusions", [{"truth": odd, odd: 2}])
    assert odd in texts(chart)
    assert len(labels(chart, "rect mark")) == 1


def test_the_lens_shows_ranks_from_one_with_the_last_layer_on_top():
    chart = of("lens_map", "lens")
    assert [row["rank"] for row in chart.data if row["layer"] == 2] == [1] * 4
    assert [row["rank"] for row in chart.data if row["layer"] == 0] == [1 + 10**at for at in range(4)]
    shown = texts(chart)
    assert {f"t{at}" for at in range(4)} <= {text.strip() for text in shown}
    assert chart.spec["encoding"]["y"]["sort"] == "descending"
    colour = chart.spec["layer"][0]["encoding"]["color"]
    assert colour["legend"]["title"] == ["rank of the", "written token"]


def test_kinds_of_output_fill_every_bar():
    chart = of("kinds", "kinds")
    sums: dict[tuple[str, str], float] = {}
    for row in chart.data:
        sums[row["layer"], row["norm"]] = sums.get((row["layer"], row["norm"]), 0) + row["share"]
    assert len(sums) == 6
    assert list(sums.values()) == pytest.approx([1] * 6)


def test_heads_have_a_labelled_scale_and_published_ones_are_marked():
    chart = of("head_map", "heads")
    assert "accuracy" in texts(chart)  # of the colours: the metric of the curve that the map belongs to
    assert "published" in chart.caption
    assert len(labels(chart, "point")) == 2
    signed = of("head_map_self", "heads")
    assert signed.spec["layer"][0]["encoding"]["color"]["scale"]["domain"] == [-0.2, 0.2]
    assert "published" not in signed.caption


def test_calibration_is_drawn_against_the_diagonal():
    chart = of("calibration", "calibration")
    assert "n = 5 in 1 bins" in chart.caption
    assert chart.data == [{"predicted": 0.1, "observed": 0.2, "clips": 5}]


def test_the_ranking_stands_out_from_random_ones():
    chart = of("faithfulness", "faithfulness")
    ends = {row["ranking"]: (row["series"], row["resolved"]) for row in chart.data if row["heads"] == 4}
    assert ends == {
        "ranked": ("by the ranking", 1.0), "random-0": ("at random", 0.2), "random-1": ("at random", 0.4),
    }  # fmt: skip
    assert legend(chart) == ["by the ranking", "at random"]


def test_what_deaf_heads_lose_is_named_so():
    rows = [{"ranking": "ranked", "heads": count, "lost": 0.1 * count} for count in (1, 2, 4)]
    shown = texts(of("faithfulness", "faithfulness", rows))
    assert {"heads deaf together", "probability lost"} <= set(shown)


def test_each_arm_has_a_look_of_its_own_and_a_line_a_place():
    chart = of("points", "remedies")
    signs = {(colour, sign) for _, colour, sign, _ in chart.spec["usermeta"]["legend"]}
    assert len(signs) == 9
    assert len(labels(chart, "line mark")) == 18


def test_methods_are_a_row_each_and_what_does_not_apply_is_empty():
    first, second = (
        with_tables(by_recipe=[{"recipe": name, "auroc": 0.9}]).model_copy(
            update={"model": make_result(model={"name": name, "kind": "method"}).model}
        )
        for name in ("loop", "deaf")
    )
    chart = check(methods_chart([first, second]))
    assert chart.rows == (("loop", "loop", "0.900"), ("deaf", "deaf", "0.900"))
    assert "node AUROC" in texts(chart)


def test_a_result_gets_a_chart_of_each_table(tmp_path):
    made = with_tables()
    drawn = set()
    for protocol, declared in DECLARATIONS.items():
        own = made.model_copy(update={"task": made.task.model_copy(update={"protocol": protocol})})
        found = dict(charts(own, [], Look()))
        assert list(found) == ["layers", *(picture.name for picture in declared.pictures)]
        for picture in declared.pictures:
            assert found[picture.name].caption.startswith(picture.caption)
        kinds = {picture.drawing for picture in declared.pictures}
        if kinds - drawn:
            files = draw(own, [], tmp_path)
            assert [path.name for path in files] == [f"{name}.png" for name in found]
            assert all(path.stat().st_size > 1000 for path in files)
        drawn |= kinds
    assert drawn == set(DRAWINGS)


def test_tokens_are_shown_as_their_readers_know_them():
    assert [token(text) for text in ("Ġthe", "▁the", "ice", "</s>")] == [" the", " the", "ice", "(end)"]
    assert token("ÐºÐ¾") == "ко"  # two Cyrillic letters, byte by byte
    assert token("Ð") == "Ð"
    assert token("a\x02\n") == "a ⏎"
