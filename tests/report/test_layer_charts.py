"""What the charts over layers show of results."""

import pytest
from synthetic import curve, make_family, make_result
from vega import check, labels, legend, texts

from innerear.report.chart import DASHED, GREY, PALETTE, Look, looks_of
from innerear.report.layer_charts import headline_curve, result_charts, table_chart
from innerear.results.schema import PROBE, Curve, CurvePoint
from innerear.util.errors import InputError


@pytest.fixture
def results():
    return [result for result, _ in make_family()]


def of_all(results):
    names = [result.model.name for result in results if result.model.kind == "model"]
    return check(table_chart(results, looks_of(names)))


def encoded(chart, mark: str, channel: str) -> dict[str, object]:
    """What a channel of a mark gives each series."""
    found = next(
        each["encoding"][channel]["scale"]
        for each in chart.spec["layer"]
        if each["mark"] == mark or (isinstance(each["mark"], dict) and each["mark"]["type"] == mark)
    )
    return dict(zip(found["domain"], found["range"], strict=True))


def test_every_model_has_its_curve_over_relative_depth(results):
    rows = [row for row in of_all(results).data if row["series"] == "whisper-base"]
    assert [row["depth"] for row in rows] == [0, 0.25, 0.5, 0.75, 1]
    assert [row["value"] for row in rows] == [point.value for point in results[0].curve(PROBE).points]
    assert [row["low"] for row in rows] == pytest.approx([row["value"] - 0.02 for row in rows])


def test_the_table_behind_has_every_value_that_is_drawn(results):
    chart = of_all(results)
    assert chart.columns == ("series", "layer", "accuracy, %")
    shown = [f"{100 * row['value']:.1f}" for row in chart.data]
    assert [cells[2].split()[0] for cells in chart.rows] == shown
    assert ("whisper-base", "encoder.3", "86.0 [84.0, 88.0]") in chart.rows
    assert ("majority", "every layer", "11.0") in chart.rows


def test_a_twin_is_dashed_in_the_colour_of_its_model(results):
    chart = of_all(results)
    colours, dashes = encoded(chart, "line", "color"), encoded(chart, "line", "strokeDash")
    for name, colour in zip(("moonshine-tiny", "whisper-base", "whisper-tiny.en"), PALETTE, strict=False):
        assert colours[name] == colours[f"{name}-random"] == colour
        assert dashes[f"{name}-random"] == DASHED != dashes[name]


def test_floors_hold_at_every_layer(results):
    chart = of_all(results)
    assert [row["value"] for row in chart.data if row.get("flat")] == [0.58, 0.11]
    assert len(labels(chart, "rule")) == 0  # rules are lines in SVG, without a path
    assert sum("flat" not in row for row in chart.data) == 6 * 5


def test_the_layer_chosen_on_dev_is_marked(results):
    chosen = [row for row in of_all(results).data if row.get("chosen")]
    assert [(row["depth"], row["value"]) for row in chosen] == [(0.75, 0.86), (0.75, 0.84), (0.75, 0.83)]


def test_the_legend_has_all_in_the_order_of_ranks(results):
    chart = of_all(results)
    names = legend(chart)
    assert names[:3] == ["whisper-base", "whisper-tiny.en", "moonshine-tiny"]
    assert {"log-mel", "majority"} < set(names)
    assert set(names) == {row["series"] for row in chart.data}
    assert {name for name in names if name in texts(chart)} == set(names)  # in print, too


def test_captions_promise_only_what_is_drawn(results):
    every = of_all(results).caption
    for said in ("toy 1: 12 speakers.", "95% intervals", "Ring:", "Dashed:", "floors"):
        assert said in every
    bare = [CurvePoint(site=f"encoder.{at}", layer=at, depth=at / 2, value=0.5) for at in range(3)]
    plain = Curve(name=PROBE, metric="accuracy", kind="model", n=1, points=bare)
    alone = make_result(curves=[plain])
    alone = alone.model_copy(update={"scores": {"accuracy": alone.score}})
    assert of_all([alone]).caption == "toy 1: 12 speakers."


def test_the_headline_is_beside_the_curve_that_it_is_from():
    crossed = curve("cross_attn", [0.1, 0.2, 0.1])
    own = curve("self_attn", [0.3, 0.79, 0.4], chosen=1)
    result = make_result(0.79, curves=[crossed, own])
    assert headline_curve(result) is result.curves[1]
    (chart,) = [check(chart) for _, chart in result_charts(result, [], Look(PALETTE[3]))]
    (labelled,) = [row for row in chart.data if "label" in row]
    assert (labelled["series"], labelled["label"]) == ("self_attn", "headline 79.0 %")
    assert "headline 79.0 %" in texts(chart)
    assert encoded(chart, "line", "color")["self_attn"] == PALETTE[3]
    together = of_all([result, make_result(0.7, model={"name": "other"}, curves=[crossed])])
    assert legend(together)[:2] == ["whisper-base (self_attn)", "other (cross_attn)"]


def test_a_headline_of_another_kind_is_no_label_of_a_curve():
    """As where what is lost in silence is the headline, and the curve is of single layers."""
    lost = curve("deaf-at-layer", [0.1, 0.33, 0.2], chosen=1).model_copy(
        update={"metric": "probability lost"}
    )
    ((_, chart),) = result_charts(make_result(0.83, curves=[lost]), [], Look())
    assert not [row for row in chart.data if "label" in row]
    assert not any("headline" in each for each in texts(check(chart)))


def test_a_headline_of_layers_that_folds_chose_stands_at_its_own_height():
    own = curve(PROBE, [0.3, 0.86, 0.4], chosen=1)
    ((_, chart),) = result_charts(make_result(0.71, curves=[own]), [], Look())
    (labelled,) = [row for row in chart.data if "label" in row]
    assert (labelled["value"], labelled["headline"], labelled["label"]) == (0.86, 0.71, "headline 71.0 %")
    assert "Bar: the headline, which is of the layer that each fold chose." in chart.caption
    ((_, equal),) = result_charts(make_result(0.86, curves=[own]), [], Look())
    assert "Bar" not in equal.caption


@pytest.mark.parametrize(
    ("twin", "control", "says"),
    [
        (True, True, "Dashed: random twins and other controls."),
        (True, False, "Dashed: random twins."),
        (False, True, "Dashed: controls."),
        (False, False, ""),
    ],
)
def test_a_caption_promises_what_is_drawn_alone(results, twin, control, says):
    kept = [each for each in results[0].curves if control or each.kind == "model"]
    result = results[0].model_copy(update={"curves": kept})
    ((_, chart),) = result_charts(result, [results[1]] * twin, Look())
    assert ("Dashed" in chart.caption) == bool(says)
    assert says in chart.caption
    assert "Level lines: floors." in chart.caption, "the majority"
    lone = make_result(scores={"accuracy": result.score}, curves=kept)
    ((_, bare),) = result_charts(lone, [], Look())
    assert "floors" not in bare.caption


@pytest.mark.parametrize("below", [None, 0.3])
def test_values_below_zero_are_not_cut_and_neither_are_their_bands(below):
    points = [
        CurvePoint(
            site=f"encoder.{at}", layer=at, depth=at / 2, value=value, low=below and value - below,
            high=below and value + below,
        )
        for at, value in enumerate((0.4, -0.2, 0.1))
    ]  # fmt: skip
    drawn = Curve(name="given back", metric="effect given back", kind="model", n=1, points=points)
    chart = of_all([make_result(curves=[drawn])])
    domain = chart.spec["layer"][-2]["encoding"]["y"]["scale"]["domain"]
    assert domain[0] < -0.2 - (below or 0)


def test_a_model_of_one_layer_or_without_intervals_can_be_drawn():
    point = CurvePoint(site="encoder.0", layer=0, depth=0.0, value=0.5)
    one = Curve(name=PROBE, metric="accuracy", kind="model", n=1, points=[point])
    assert [row["series"] for row in of_all([make_result(curves=[one])]).data] == ["whisper-base", "majority"]
    assert not list(result_charts(make_result(curves=[one]), [], Look())), "a curve of a point is a score"


def test_a_twin_without_its_model_is_grey(results):
    chart = of_all([results[1]])
    assert encoded(chart, "line", "color")["whisper-base-random"] == GREY


def test_what_cannot_be_compared_is_not_drawn_together(results):
    other = make_result(task={"sha256": "9" * 64})
    with pytest.raises(InputError, match="different tasks or corpora"):
        of_all([*results, other])
    with pytest.raises(InputError, match="every result is n/a"):
        of_all([make_result(status="n/a", reason="no encoder", scores={}, curves=[])])


def test_all_curves_of_a_result_are_drawn_a_chart_for_each_metric(results):
    result = results[0]
    bits = result.curves[0].model_copy(update={"name": "code", "metric": "bits per label", "unit": "bits"})
    result = result.model_copy(update={"curves": [*result.curves, bits]})
    charts = dict(result_charts(result, [results[1], results[-1]], Look()))
    assert list(charts) == ["layers", "layers-bits-per-label-bits"]
    accuracy, code = map(check, charts.values())
    own = ["probe", "dev", "difference-of-means", "control-labels", "selectivity"]
    assert legend(accuracy) == [*own, "whisper-base-random", "log-mel", "majority"]
    assert legend(code) == ["code"]
    assert "Bits per label (bits)" in texts(code)


def test_names_are_text_and_not_formulas():
    odd = make_result(model={"name": r"_$\undefined{$"}, task={"title": "100 $ for $x^"})
    chart = of_all([odd])
    assert r"_$\undefined{$" in texts(chart)
    assert "100 $ for $x^" in texts(chart)
