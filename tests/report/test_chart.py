"""A chart as a file, in a page and in print."""

import json
import re
from itertools import combinations

import numpy as np
import pytest
from synthetic import make_family

from innerear.report.chart import (
    LIGHT,
    PALETTE,
    SHAPES,
    THEME,
    Chart,
    looks_of,
    save,
    shortened,
    theme,
    unlike,
)
from innerear.report.layer_charts import table_chart
from innerear.util.errors import InputError
from innerear.util.io import sha256_file

# what colours are to people without one kind of cones (Machado, Oliveira & Fernandes 2009)
BLIND = {
    "protan": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deutan": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
}  # fmt: skip
LAB = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


@pytest.fixture
def chart() -> Chart:
    results = [result for result, _ in make_family()]
    return table_chart(results, looks_of(result.model.name for result in results))


def one_text(text: str) -> Chart:
    spec = {
        "data": {"values": [{"text": text}]},
        "mark": "text",
        "encoding": {"text": {"field": "text", "type": "nominal"}},
    }
    return Chart(text, text, spec, ("text",), ((text,),))


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_equal_charts_are_equal_files(tmp_path, chart, kind):
    paths = [tmp_path / f"{name}.{kind}" for name in "ab"]
    for path in paths:
        save(chart, path)
    assert len({sha256_file(path) for path in paths}) == 1
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}


def test_a_format_that_cannot_be_drawn_is_named_with_those_that_can(tmp_path, chart):
    with pytest.raises(InputError, match=r"a\.gif: unknown format 'gif'; there are: pdf, svg, png"):
        save(chart, tmp_path / "a.gif")


@pytest.mark.parametrize("text", ["\f", "\x02", "\uffff", "\ud800", "字", "$x^", "</script><b>"])
def test_any_text_can_be_drawn(tmp_path, text):
    save(one_text(text), tmp_path / "text.png")
    assert (tmp_path / "text.png").read_bytes().startswith(b"\x89PNG")


def test_a_page_is_not_ended_by_what_a_chart_says():
    chart = one_text("</script><script>\u2028")
    assert "<" not in chart.embedded()
    assert json.loads(chart.embedded())["data"] == chart.spec["data"]


def test_every_colour_of_the_theme_has_a_value_in_print_and_in_both_styles_of_pages():
    names = set(re.findall(r'"(--\w+)"', json.dumps(THEME)))
    assert names == LIGHT.keys()
    assert "--" not in json.dumps(theme(LIGHT))
    from importlib.resources import files

    style = files("innerear.report").joinpath("templates", "style.css").read_text()
    for name, colour in LIGHT.items():
        values = re.findall(rf"{name}: (#\w+);", style)
        assert len(values) == 2, f"{name} has no value for a dark page"
        assert values[0] == colour


def test_models_look_alike_whoever_is_beside_them_as_long_as_the_names_are_the_same():
    looks = looks_of(f"m{at:02}" for at in range(50))
    assert looks == looks_of(f"m{at:02}" for at in reversed(range(50)))
    assert len(set(looks.values())) == 50
    assert {look.shape for look in looks.values()} == set(SHAPES) - {"stroke"}


def perceived(colour: str, blind: str | None) -> np.ndarray:
    """A colour in CIELAB, as someone sees it."""
    rgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    if blind:
        linear = np.clip(BLIND[blind] @ linear, 0, 1)
    x, y, z = np.cbrt(LAB @ linear / np.sum(LAB, axis=1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("blind", [None, *BLIND])
def test_colours_are_told_apart_without_a_kind_of_cones(blind):
    seen = [perceived(colour, blind) for colour in PALETTE]
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 10


@pytest.mark.parametrize("page", ["#ffffff", "#0d1117"])
def test_colours_stand_out_from_the_page(page):
    light = [perceived(colour, None)[0] for colour in (page, *PALETTE)]
    assert min(abs(light[0] - each) for each in light[1:]) > 25


def test_names_are_short_and_unlike():
    assert shortened("a" * 99) == "a" * 39 + "…"
    assert shortened("a\x1b[2J\u202eb") == "a [2J b"
    assert unlike(["a", "b", "a", "a"]) == ["a", "b", "a (2)", "a (3)"]
    assert unlike(["a", "a (2)", "a"]) == ["a", "a (2)", "a (3)"]
