import warnings

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread
from synthetic import make_family, make_result

from innerear.report.plots import GREY, PALETTE, layer_curves, layer_figure, save
from innerear.results.schema import PROBE, Curve, CurvePoint
from innerear.util.errors import InputError


@pytest.fixture
def results():
    return [result for result, _ in make_family()]


def lines(figure) -> dict[str, list]:
    """Lines of the figure by label, rings apart."""
    (axes,) = figure.axes
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_every_model_has_its_curve_over_relative_depth(results):
    drawn = lines(layer_figure(results))
    np.testing.assert_allclose(drawn["whisper-base  86.0%"].get_xdata(), [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(
        drawn["whisper-base  86.0%"].get_ydata(), [p.value for p in results[0].curve(PROBE).points]
    )
    assert len(drawn) == 3 + 3 + 2


def test_a_twin_is_dashed_in_the_colour_of_its_model(results):
    drawn = lines(layer_figure(results))
    for model, twin, colour in zip(
        ("moonshine-tiny  83.0%", "whisper-base  86.0%", "whisper-tiny.en  84.0%"),
        ("moonshine-tiny-random", "whisper-base-random", "whisper-tiny.en-random"),
        PALETTE,
        strict=False,
    ):
        assert drawn[model].get_color() == drawn[twin].get_color() == colour
        assert drawn[model].get_linestyle() == "-"
        assert drawn[twin].get_linestyle() == "--"


def test_floors_are_horizontal_and_log_mel_has_a_band(results):
    figure = layer_figure(results)
    drawn = lines(figure)
    assert list(drawn["log-mel  58.0%"].get_ydata()) == [0.58, 0.58]
    assert list(drawn["majority  11.0%"].get_ydata()) == [0.11, 0.11]
    (band,) = figure.axes[0].patches
    assert (band.get_y(), band.get_height()) == pytest.approx((0.56, 0.04))


def test_the_layer_chosen_on_dev_is_ringed(results):
    rings = [line for line in layer_figure(results).axes[0].lines if line.get_label() == "_chosen"]
    assert [(float(r.get_xdata()[0]), float(r.get_ydata()[0])) for r in rings] == [
        (0.75, 0.86), (0.75, 0.84), (0.75, 0.83),
    ]  # fmt: skip
    assert {r.get_markerfacecolor() for r in rings} == {"none"}


def test_bands_span_the_intervals(results):
    band, *_ = layer_figure(results[:1]).axes[0].collections
    values = [point.value for point in results[0].curve(PROBE).points]
    extent = band.get_datalim(layer_figure(results[:1]).axes[0].transData)
    assert (extent.y0, extent.y1) == pytest.approx((min(values) - 0.02, max(values) + 0.02))
    assert to_hex(band.get_facecolor()[0]) == PALETTE[0].lower()


def test_title_and_axes_say_what_was_measured(results):
    (axes,) = layer_figure(results).axes
    assert axes.get_title(loc="left") == "Layerwise phoneme probing"
    (facts,) = axes.texts
    assert facts.get_text() == "toy 1: n = 1,200, 12 speakers; bands are 95% intervals"
    assert axes.get_ylabel() == "Accuracy on test speakers"
    assert axes.get_ylim() == (0, 1)


@pytest.mark.parametrize("below", [None, 0.3])
def test_values_below_zero_are_not_cut_and_neither_are_their_bands(below):
    points = [
        CurvePoint(
            site=f"encoder.{at}", layer=at, depth=at / 2, value=value, low=below and value - below,
            high=below and value + below,
        )
        for at, value in enumerate((0.4, -0.2, 0.1))
    ]  # fmt: skip
    curve = Curve(name="given back", metric="effect given back", kind="model", n=1, points=points)
    (axes,) = layer_figure([make_result(curves=[curve])]).axes
    assert axes.get_ylim()[0] < -0.2 - (below or 0)


def test_the_level_of_the_bands_is_the_tasks(results):
    spec = {"confidence": 0.9}
    (axes,) = layer_figure([make_result(task={"spec": spec})]).axes
    assert "90% intervals" in axes.texts[0].get_text()


def test_the_legend_hides_nothing(results):
    figure = layer_figure(results)
    figure.canvas.draw()
    (axes,) = figure.axes
    legend = axes.get_legend().get_window_extent()
    assert legend.x0 >= axes.get_window_extent().x1
    assert legend.x1 <= figure.bbox.x1
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "whisper-base  86.0%", "whisper-tiny.en  84.0%", "moonshine-tiny  83.0%", "layer chosen on dev",
        "random twins", "log-mel  58.0%", "majority  11.0%",
    ]  # fmt: skip


def test_names_are_text_and_not_formulas(tmp_path):
    path = tmp_path / "a.png"
    odd = make_result(model={"name": r"_$\undefined{$"}, task={"title": "100 $ for $x^"})
    layer_curves([odd], path)
    (axes,) = layer_figure([odd]).axes
    assert axes.get_legend().get_texts()[0].get_text() == r"$\undefined{$  80.0%"
    assert not axes.title.get_parse_math()


def test_a_model_of_one_layer_or_without_intervals_can_be_drawn():
    one = Curve(
        name=PROBE, metric="accuracy", kind="model", n=1,
        points=[CurvePoint(site="encoder.0", layer=0, depth=0.0, value=0.5)],
    )  # fmt: skip
    assert len(lines(layer_figure([make_result(curves=[one])]))) == 2


def test_a_twin_without_its_model_is_grey(results):
    drawn = lines(layer_figure([results[1]]))
    assert drawn["whisper-base-random"].get_color() == GREY


def test_what_cannot_be_compared_is_not_drawn_together(results):
    other = make_result(task={"sha256": "9" * 64})
    with pytest.raises(InputError, match="different tasks or corpora"):
        layer_figure([*results, other])
    with pytest.raises(InputError, match="every result is n/a"):
        layer_figure([make_result(status="n/a", reason="no encoder", scores={}, curves=[])])


def test_the_picture_is_sharp_and_the_same_every_time(tmp_path, results):
    for suffix in ("png", "svg", "pdf"):
        layer_curves(results, tmp_path / f"a.{suffix}")
        layer_curves(results, tmp_path / f"b.{suffix}")
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    assert imread(tmp_path / "a.png").shape[1] == 1400
    assert len(list(tmp_path.iterdir())) == 6
    with pytest.raises(InputError, match=r"\.png, \.svg, \.pdf"):
        layer_curves(results, tmp_path / "a.gif")


def test_many_models_keep_distinct_looks():
    many = [make_result(0.5 + k / 100, model={"name": f"m{k}"}) for k in range(20)]
    drawn = lines(layer_figure(many)).values()
    looks = {(line.get_color(), line.get_marker()) for line in drawn if line.get_marker() != "None"}
    assert len(looks) == 20


def test_a_model_looks_alike_whatever_its_rank():
    def colours(first, second):
        made = [
            make_result(value, model={"name": name, "parts": {"weights": sign * 64}})
            for name, value, sign in (("a", first, "1"), ("b", second, "2"))
        ]
        (axes,) = layer_figure(sorted(made, key=lambda result: -result.score.value)).axes
        return {line.get_label().split()[0]: line.get_color() for line in axes.get_lines()}

    before, after = colours(0.9, 0.8), colours(0.8, 0.9)
    assert before["a"] == after["a"] != before["b"] == after["b"]


@pytest.mark.parametrize("piece", ["\f", "\x02", "字"])
def test_a_token_that_no_font_has_is_drawn_without_a_warning(piece, tmp_path):
    def draw():
        figure = Figure()
        figure.text(0.5, 0.5, piece)
        return figure

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(draw, tmp_path / "token.png")
    assert (tmp_path / "token.png").read_bytes().startswith(b"\x89PNG")
