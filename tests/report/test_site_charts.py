"""Charts in the pages of a site, in a browser where one is installed."""

import json
import re
from pathlib import Path

import pytest
from drawable import TABLES
from synthetic import make_family, make_result

from innerear.report.site import build
from innerear.results.store import Store
from innerear.tasks.declarations import DECLARATIONS
from innerear.util.io import sha256_json

SHOWN = ("count", "predicted", "observed", "clips", "chosen", "resolved", "reduction", "cost")
"""Fields of charts that stand in the tables behind them as they are."""
DRAW = """
const [chart, done] = arguments;
chart.scrollIntoView();
const wait = () => chart.querySelector(".waiting")
  ? setTimeout(wait, 20) : done(chart.querySelectorAll("svg .mark-group path, svg .mark-group line").length);
wait();
"""
POINTS = """
const done = arguments[0];
setTimeout(() => done(document.querySelectorAll('.plot [aria-roledescription="point"]').length), 200);
"""
INK = "return getComputedStyle(document.querySelector('.plot text')).fill"


@pytest.fixture(scope="module")
def charted(tmp_path_factory) -> Path:
    """A site with a chart of every kind."""
    folder = tmp_path_factory.mktemp("charts")
    store = Store(folder / "results")
    for result, items in make_family():
        store.save(result, items)
    for protocol, declared in DECLARATIONS.items():
        if declared.pictures:
            named = {"id": protocol, "protocol": protocol, "sha256": sha256_json(protocol)}
            store.save(make_result(model={"name": "looked-into"}, task=named, tables=TABLES))
    build(store, folder / "site")
    return folder / "site"


def _draw(browser, page: Path) -> int:
    """Draw all charts of a page; their number."""
    browser.get(page.as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    charts = browser.find_elements("css selector", "figure.chart")
    for chart in charts:
        assert browser.execute_async_script(DRAW, chart) > 3, page.name
    return len(charts)


def test_names_of_the_chart_library_do_not_meet_those_of_page_scripts(browser, charted, tmp_path):
    short = re.search(r"\b(?:const|let) (\w+)=", (charted / "vega.js").read_text()[:1000])[1]
    page = tmp_path / "page.html"
    page.write_text(
        f'<script>const {short} = 1;</script><script src="{(charted / "vega.js").as_uri()}"></script>'
    )
    browser.get(page.as_uri())
    assert browser.execute_script("return typeof vegaEmbed") == "function"
    assert browser.get_log("browser") == []


def test_every_chart_is_drawn_from_the_page_alone_in_the_light_and_in_the_dark(browser, charted):
    browser.get_log("performance")
    for scheme, ink in (("dark", "rgb(230, 237, 243)"), ("light", "rgb(27, 31, 36)")):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        pages = ("index.html", "models/looked-into.html", "tasks/phoneme-probing.html")
        counts = [_draw(browser, charted / page) for page in pages]
        declared = [each.pictures for each in DECLARATIONS.values() if each.pictures]
        assert counts == [2, sum(1 + len(pictures) for pictures in declared), 1]
        assert browser.execute_script(INK) == ink
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert browser.get_log("browser") == []
    messages = "".join(each["message"] for each in browser.get_log("performance"))
    assert set(re.findall(r'"url":"(\w+):', messages)) <= {"file", "data", "about", "chrome"}


def test_the_table_behind_a_chart_has_the_numbers_that_are_drawn(charted):
    """Read without a browser, so it is there without scripts, too."""
    compared = 0
    for page in charted.rglob("*.html"):
        for figure in page.read_text().split('<figure class="chart">')[1:]:
            spec, table = figure.split("</figure>")[0].split("</script>")
            values = json.loads(spec.split('<script type="application/json">')[1])["data"]["values"]
            rows = re.findall(r"<tr>(.*?)</tr>", table.split("<tbody>")[1])
            cells = [re.findall(r"<td>(.*?)</td>", row) for row in rows]
            if "layer" in values[0] and "series" in values[0] and "value" in values[0]:
                for row, shown in zip(values, cells, strict=True):
                    low_high = f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]" if "low" in row else ""
                    assert shown[-1] == f"{100 * row['value']:.1f}{low_high}"
                    compared += 1
            else:  # a table of the result, whose fractions have three digits
                found = {cell for row in cells for cell in row}
                numbers = [row[name] for row in values for name in SHOWN if name in row]
                texts = {f"{each:.3f}" if isinstance(each, float) else str(each) for each in numbers}
                assert texts <= found
                compared += len(texts)
    assert compared > 400


def _encodings(part):
    """All encodings of a specification, wherever they are in it."""
    if isinstance(part, dict):
        yield from part.get("encoding", {}).items()
    if isinstance(part, dict | list):
        for each in part.values() if isinstance(part, dict) else part:
            yield from _encodings(each)


def test_every_colour_bar_says_what_its_colours_are(charted):
    bars = 0
    for page in charted.rglob("*.html"):
        for figure in page.read_text().split('<figure class="chart">')[1:]:
            spec = json.loads(figure.split('<script type="application/json">')[1].split("</script>")[0])
            for name, encoding in _encodings(spec):
                if name == "color" and encoding.get("type") == "quantitative":
                    assert encoding["legend"]["title"], page.name
                    assert encoding["legend"].get("format") or encoding["field"] == "auroc", page.name
                    bars += 1
    assert bars > 6


def test_models_are_switched_off_and_on_by_mouse_and_keyboard(browser, charted):
    _draw(browser, charted / "tasks" / "phoneme-probing.html")
    buttons = browser.find_elements("css selector", ".legend button")
    button = next(each for each in buttons if each.text.endswith("whisper-base"))
    every = browser.execute_async_script(POINTS)
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert browser.execute_async_script(POINTS) == every - 6  # five layers and a ring
    button.send_keys("\n")
    assert button.get_attribute("aria-pressed") == "true"
    assert browser.execute_async_script(POINTS) == every


def test_values_are_told_on_hover(browser, charted):
    actions = pytest.importorskip("selenium.webdriver").ActionChains
    _draw(browser, charted / "tasks" / "phoneme-probing.html")
    point = browser.find_element("css selector", '.plot [aria-roledescription="point"]')
    actions(browser).move_to_element(point).perform()
    told = browser.find_element("id", "vg-tooltip-element")
    assert "visible" in told.get_attribute("class")
    assert re.search(r"layer\s*encoder\.\d", told.text)
    assert re.search(r"accuracy\s*\d+\.\d%", told.text)
    assert re.search(r"95% interval\s*\d+\.\d% to \d+\.\d%", told.text)
    assert browser.get_log("browser") == []
