"""The search over models, tasks, corpora, scores and results, as data and in a browser."""

import re
from pathlib import Path

import pytest
from synthetic import make_family, make_result
from test_heads import HOSTILE

from innerear.report.leaderboard import tables
from innerear.report.search import KINDS, PAGES, entries
from innerear.report.site import build
from innerear.results.store import Store


def _store(folder: Path) -> Store:
    store = Store(folder)
    for result, items in make_family():
        store.save(result, items)
    store.save(make_result(0.5, model={"name": HOSTILE}))
    return store


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    build(_store(folder / "results"), folder / "site")
    return folder / "site"


def _found(browser) -> list[tuple[str, str]]:
    rows = browser.find_elements("css selector", "#found li")
    return [tuple(row.find_element("css selector", part).text for part in ("a", "small")) for row in rows]


def test_everything_has_an_entry_whose_place_exists(site):
    named = {"anchor": tables(Store(site.parent / "results"))[0]}
    found = entries(named, str.upper, {"audit.html": ("Audit", "headlines under stress")})
    assert {each.kind for each in found} == set(KINDS)
    names = {(each.kind, each.name) for each in found}
    assert {
        ("model", "whisper-base"),
        ("corpus", "toy 1"),
        ("score", "selectivity"),
        ("page", "Audit"),
    } <= names
    assert ("result", "log-mel") in names
    assert len(found) == len(set(found))


def test_every_place_that_the_search_leads_to_is_there(site):
    text = (site / "search.html").read_text()
    places = set(re.findall(r'"((?:\w+/)?[^"/]+\.html(?:#[^"]+)?)","', text))
    assert len(places) > len(PAGES) + 10
    for place in places:
        page, _, anchor = place.partition("#")
        assert not anchor or f'id="{anchor}"' in (site / page).read_text(), place
        assert (site / page).is_file(), place


def test_a_word_in_the_header_of_any_page_leads_to_what_has_it(browser, site):
    for page in (site / "index.html", site / "models" / "whisper-base.html"):
        browser.get(page.as_uri())
        browser.find_element("css selector", "#search input").send_keys("tiny.en selectivity\n")
        assert browser.current_url.endswith("/search.html?q=tiny.en+selectivity")
        assert browser.find_element("id", "count").text == "0 found."
        field = browser.find_element("css selector", "#search input")
        field.clear()
        field.send_keys("whisper-tiny.en")
        assert _found(browser)[0] == ("whisper-tiny.en", "model · whisper, model")
        assert any(kind.startswith("result · phoneme-probing") for _, kind in _found(browser))
        assert browser.current_url.endswith("?q=whisper-tiny.en")
    assert browser.get_log("browser") == []


def test_arrows_lead_from_the_field_through_what_was_found(browser, site):
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys

    def at() -> str:
        return browser.execute_script("return document.activeElement.textContent")

    browser.get(f"{(site / 'search.html').as_uri()}?q=selectivity")
    for key, name in (
        (keys.ARROW_DOWN, "selectivity"), (keys.ARROW_UP, ""), (keys.ARROW_UP, ""),
        (keys.ARROW_DOWN, "selectivity"),
    ):  # fmt: skip
        browser.switch_to.active_element.send_keys(key)
        assert at() == name
    browser.switch_to.active_element.send_keys(keys.ENTER)
    assert "/tasks/phoneme-probing.html#" in browser.current_url


def test_names_of_models_stay_text_in_what_is_found(browser, site):
    browser.get(f"{(site / 'search.html').as_uri()}?q=onerror")
    assert {name for name, _ in _found(browser)} == {HOSTILE}
    assert browser.title == "innerear: search"
    browser.get(
        f"{(site / 'search.html').as_uri()}?q=%3Cimg%20src%3Dx%20onerror%3D%22document.title%3D1%22%3E%zz"
    )
    assert browser.title == "innerear: search"
    assert browser.get_log("browser") == []
    browser.get((site / "search.html").as_uri())
    assert browser.find_element("id", "count").text.endswith(" entries.")
