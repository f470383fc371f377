"""What tests of charts share: the schema of Vega-Lite, and what a chart draws."""

from xml.etree import ElementTree

import altair
import vl_convert

from innerear.report.chart import LIGHT, Chart, theme

SVG = "{http://www.w3.org/2000/svg}"


def check(chart: Chart) -> Chart:
    """The chart, if its specification is valid, as a page has it and in print, and nothing is not drawn."""
    altair.Chart.from_dict(chart.spec)
    altair.Chart.from_dict({**chart.printed(), "config": theme(LIGHT)})
    assert all(len(row) == len(chart.columns) for row in chart.rows)
    assert chart.rows
    return chart


def drawn(chart: Chart) -> ElementTree.Element:
    """The chart as SVG."""
    return ElementTree.fromstring(vl_convert.vegalite_to_svg(chart.printed(), config=theme(LIGHT)))


def texts(chart: Chart) -> list[str]:
    """All texts in the picture."""
    return [each.text or "" for each in drawn(chart).iter(f"{SVG}text")]


def labels(chart: Chart, mark: str) -> list[str]:
    """Descriptions of the marks of a kind, such as `point`: their values, as a screen reader has them."""
    return [
        each.get("aria-label", "")
        for each in drawn(chart).iter(f"{SVG}path")
        if each.get("aria-roledescription") == mark
    ]


def legend(chart: Chart) -> list[str]:
    """Names in the legend of a page."""
    return [name for name, *_ in chart.spec["usermeta"]["legend"]]
