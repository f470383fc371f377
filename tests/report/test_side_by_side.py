"""The page that sets models side by side, as data and in a browser where one is installed."""

from pathlib import Path
from urllib.parse import unquote

import pytest
from synthetic import make_family, make_result
from vega import check, legend

from innerear.report.leaderboard import tables
from innerear.report.overview import all_looks, matrices
from innerear.report.side_by_side import models_of, rows_of, speed_chart
from innerear.report.site import build
from innerear.results.compare import compare
from innerear.results.store import Store

DRAWN = """
const done = arguments[0];
const look = () => document.querySelector('.profile svg') ? setTimeout(done, 300) : setTimeout(look, 50);
look();
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    store = Store(tmp_path_factory.mktemp("results"))
    for result, items in make_family():
        store.save(result, items)
    store.save(
        make_result(model={"name": "ctc, 'x'"}, status="n/a", reason="no decoder", scores={}, curves=[])
    )
    for number in range(3):
        store.save(make_result(0.5 - number / 10, model={"name": f"more-{number}"}))
    return store


@pytest.fixture(scope="module")
def page(store, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build(store, folder)
    return folder / "compare.html"


def test_every_table_has_its_scores_and_reasons_by_model_and_a_verdict_on_each_pair(store):
    (table,) = tables(store)
    (row,) = rows_of({"board": table})
    assert row["merit"]
    assert row["scores"]["whisper-base"] == "86.0 [84.0, 88.0]"
    assert row["reasons"] == {"ctc, 'x'": "no decoder"}
    assert row["items"] == "board"
    assert row["emergence"]["whisper-base"] == "0.5"
    verdicts = {(a, b): (gap, ahead) for a, b, gap, _, ahead in row["pairs"]}
    assert len(verdicts) == 3, "models without outcomes cannot be paired"
    for one in compare(store, ["whisper-base", "whisper-tiny.en"])[0]:
        gap, _ = verdicts["whisper-base", "whisper-tiny.en"]
        assert float(gap) == pytest.approx(100 * one.difference, abs=0.05)
    assert verdicts["whisper-base", "moonshine-tiny"] == ("+3.0", "whisper-base")


def test_controls_are_no_models(store):
    names = models_of(tables(store))
    assert names == [
        "ctc, 'x'",
        "moonshine-tiny",
        "more-0",
        "more-1",
        "more-2",
        "whisper-base",
        "whisper-tiny.en",
    ]


def test_the_front_has_whoever_no_other_beats_in_accuracy_at_its_speed(tmp_path):
    store = Store(tmp_path)
    for name, value, speed in (
        ("slow", 0.9, 1.0),
        ("fast", 0.6, 9.0),
        ("beaten", 0.5, 8.0),
        ("untimed", 0.8, None),
    ):
        store.save(make_result(value, model={"name": name}, run={"rtfx": speed}))
    shown = tables(store)
    chart = check(speed_chart(shown, all_looks(shown)))
    assert {row["series"]: row["front"] for row in chart.data} == {
        "slow": True,
        "fast": True,
        "beaten": False,
    }
    assert {row[0]: row[-1] for row in chart.rows} == {"slow": "yes", "fast": "yes", "beaten": "no"}
    assert legend(chart) == ["beaten", "fast", "slow"]
    untimed = [table for table in shown if table.results[0].model.name == "nobody"]
    assert speed_chart(untimed, {}) is None


def texts(browser, table: str) -> list[list[str]]:
    wait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait
    place = ("css selector", f"#{table}-table tr")
    rows = wait(browser, timeout=5).until(lambda shown: shown.find_elements(*place))  # its script has run
    return [[cell.text for cell in row.find_elements("css selector", "td, th")] for row in rows]


def chosen(browser) -> list[str]:
    boxes = browser.find_elements("css selector", "#models input")
    return [box.get_attribute("value") for box in boxes if box.is_selected()]


def test_the_address_holds_the_choice(browser, page):
    browser.get(f"{page.as_uri()}#models=moonshine-tiny,ctc%2C%20'x'")
    assert chosen(browser) == ["ctc, 'x'", "moonshine-tiny"]
    head, row = texts(browser, "merit")
    assert head == ["task", "moonshine-tiny", "ctc, 'x'"]
    assert row[1:] == ["83.0 [81.0, 85.0]", "n/a"]
    assert texts(browser, "lack")[1][1:] == ["moonshine-tiny", "ctc, 'x'", "no decoder"]
    browser.find_element("css selector", '[value="whisper-base"]').click()
    assert browser.current_url.endswith("#models=ctc%2C%20'x',moonshine-tiny,whisper-base")
    assert texts(browser, "verdict")[1][1:3] == ["whisper-base − moonshine-tiny", "+3.0"]
    assert texts(browser, "verdict")[1][4] == "whisper-base"
    browser.back()
    assert chosen(browser) == ["ctc, 'x'", "moonshine-tiny"]
    assert browser.get_log("browser") == []


def test_the_first_choice_stands_in_the_address_too(browser, page):
    browser.get("about:blank")
    browser.get(page.as_uri())
    assert len(chosen(browser)) == 2
    assert unquote(browser.current_url).endswith(f"#models={','.join(chosen(browser))}")
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#emergence")
    assert browser.current_url.endswith("#emergence")


def test_emergence_is_shown_of_the_chosen_models(browser, page):
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#models=moonshine-tiny,whisper-base")
    head, row = texts(browser, "emergence")
    assert head == ["task", "moonshine-tiny", "whisper-base"]
    assert row[1:] == ["0.5", "0.5"]


def test_what_cannot_be_shown_is_said(browser, page):
    def note() -> str:
        return browser.find_element("id", "chosen").text

    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#models=nobody,whisper-base")
    assert note() == "No such model here: nobody. Choose at least two models."
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#models=more-0,more-1,more-2,whisper-base,moonshine-tiny")
    assert note() == ""
    browser.find_element("css selector", '[value="whisper-tiny.en"]').click()
    assert note() == "At most 5 models are shown."
    assert "whisper-tiny.en" not in chosen(browser)


def test_curves_are_those_of_the_chosen_models_with_their_twins_and_floors(browser, page):
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#models=moonshine-tiny,whisper-base")
    browser.execute_script("document.querySelector('.profile .plot').scrollIntoView()")
    browser.execute_async_script(DRAWN)
    shown = [
        each.text[1:].strip()
        for each in browser.find_elements("css selector", ".profile .legend button")
        if each.text
    ]
    assert set(shown) == {
        "moonshine-tiny", "moonshine-tiny-random", "whisper-base", "whisper-base-random", "log-mel",
        "majority",
    }  # fmt: skip
    rows = browser.execute_script("""
        return [...document.querySelectorAll(".profile details tbody tr")]
            .filter((row) => !row.hidden).map((row) => row.cells[0].textContent);
    """)
    assert rows[0] in ("moonshine-tiny", "whisper-base")
    assert set(rows) == set(shown), "the table behind a chart has what it shows"
    marks = browser.find_elements("css selector", '.profile [aria-roledescription="point"]')
    said = {mark.get_attribute("aria-label") for mark in marks}
    assert any("series: whisper-base" in label for label in said)
    assert not any("whisper-tiny.en" in label for label in said)


def test_one_model_alone_has_a_merit_too(tmp_path):
    store = Store(tmp_path)
    store.save(make_result())
    (row,) = rows_of({"board": tables(store)[0]})
    assert row["merit"]


def test_another_headline_than_that_of_the_table_is_named(tmp_path):
    store = Store(tmp_path)
    store.save(make_result(0.9))
    store.save(
        make_result(
            0.5, model={"name": "other"}, headline="cer", scores={"cer": make_result(0.5).scores["accuracy"]}
        )
    )
    (table,) = tables(store)
    (row,) = rows_of({"board": table})
    assert row["scores"]["whisper-base"] == "90.0 [88.0, 92.0]"
    assert row["scores"]["other"].startswith("cer 50.0")
    (matrix,) = matrices([table], [])
    assert {row.model.name: cell.text for row, (cell,) in matrix.rows} == {
        "whisper-base": "90.0",
        "other": "cer 50.0",
    }


def test_a_model_may_have_any_name(browser, tmp_path):
    """Every object of a script has a `constructor`, which is no score."""
    store = Store(tmp_path / "results")
    for name in ("one", "two"):
        store.save(make_result(0.9, model={"name": name}))
    store.save(make_result(0.5, model={"name": "constructor"}, task={"id": "abx", "protocol": "abx"}))
    build(store, tmp_path / "site")
    browser.get("about:blank")
    browser.get(f"{(tmp_path / 'site/compare.html').as_uri()}#models=one,constructor")
    phones = next(row for row in texts(browser, "merit") if row[0].startswith("phoneme-probing"))
    assert phones[1:] == ["90.0 [88.0, 92.0]", "–"]
    assert ["not measured"] in [row[3:] for row in texts(browser, "lack")]
