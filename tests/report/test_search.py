"""The search over models, tasks, corpora, scores and results, as data and in a browser."""

import re
from pathlib import Path

import pytest
from synthetic import make_family, make_result
from test_heads import HOSTILE

from innerear.report.cards import Card, card_of
from innerear.report.leaderboard import tables
from innerear.report.search import KINDS, PAGES, Entry, entries
from innerear.report.site import build
from innerear.results.store import Store
from innerear.tasks.task import task_names
from innerear.util.io import sha256_json


def _store(folder: Path) -> Store:
    store = Store(folder)
    for result, items in make_family():
        store.save(result, items)
    score = make_result().scores["accuracy"]
    more = {"accuracy": score, "delta_wer": score, "wer": score}
    store.save(make_result(0.5, model={"name": HOSTILE}, scores=more))
    return store


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    build(_store(folder / "results"), folder / "site")
    return folder / "site"


def _found(browser) -> list[tuple[str, str]]:
    rows = browser.find_elements("css selector", "#found li")
    return [tuple(row.find_element("css selector", part).text for part in ("a", "small")) for row in rows]


def _entries_of(folder: Path, *tasks: str, headline: str = "accuracy") -> list[Entry]:
    """What is found of a result of each of these tasks."""
    store = Store(folder)
    scores = {headline: make_result().scores["accuracy"]}
    for name in tasks:
        task = {"id": name, "sha256": sha256_json(name)}
        store.save(make_result(task=task, headline=headline, scores=scores, curves=[]))
    return entries({str(at): table for at, table in enumerate(tables(store))}, card_of, {})


def _has(entry: Entry, words: str) -> bool:
    return all(word in " ".join(entry.row()).lower() for word in words.split())


def test_everything_has_an_entry_whose_place_exists(site):
    named = {"anchor": tables(Store(site.parent / "results"))[0]}
    found = entries(named, card_of, {"audit.html": ("Audit", "headlines under stress")})
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
    wait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait
    for page in (site / "index.html", site / "models" / "whisper-base.html"):
        browser.get(page.as_uri())
        browser.find_element("css selector", "#search input").send_keys("tiny.en selectivity\n")
        wait(browser, 20).until(
            lambda open_: open_.current_url.endswith("/search.html?q=tiny.en+selectivity")
        )
        assert browser.find_element("id", "count").text == "0 found."
        field = browser.find_element("css selector", "#search input")
        field.clear()
        field.send_keys("whisper-tiny.en")
        assert _found(browser)[0] == ("whisper-tiny.en", "model · whisper, model")
        assert any(kind.startswith("result · phoneme-probing") for _, kind in _found(browser))
        assert browser.current_url.endswith("?q=whisper-tiny.en")
    assert browser.get_log("browser") == []


def test_a_task_is_found_by_what_its_card_asks_and_cites(browser, site, tmp_path):
    tasks = {each for each in _entries_of(tmp_path, "mitigation", "speech-detection") if each.kind == "task"}
    assert {each.name for each in tasks if _has(each, "hallucination")} == {"mitigation", "speech-detection"}
    browser.get(f"{(site / 'search.html').as_uri()}?q=spoken+read+off+linearly")
    assert ("phoneme-probing", f"task · {card_of('phoneme-probing').title}") in _found(browser)
    assert browser.get_log("browser") == []


def test_scores_are_found_by_their_long_names_and_lead_to_what_explains_them(browser, site, tmp_path):
    found = _entries_of(tmp_path, "transcription", headline="wer")
    (wer,) = [each for each in found if each.kind == "score"]
    assert (wer.name, wer.place) == ("wer", "tasks/transcription.html#how-to-read-it")
    assert {each.kind for each in found if _has(each, "word error rate")} == {"task", "score"}
    browser.get(f"{(site / 'search.html').as_uri()}?q=word+error+rate")
    assert [name for name, _ in _found(browser)] == ["wer", "delta_wer"]
    browser.get(f"{(site / 'search.html').as_uri()}?q=selectivity")
    (link,) = browser.find_elements("css selector", "#found a")
    assert "control labels" in browser.find_element("id", "found").text
    link.click()
    place = browser.execute_script("return document.querySelector(':target').closest('tr').innerText")
    assert place.startswith("selectivity")


def test_every_card_says_how_its_headline_is_read_and_what_its_columns_are():
    for name in task_names():
        made = card_of(name)
        places = [made.headline, *(place for place, _ in made.columns.values())]
        assert len(places) > 1
        assert all(made.html.count(f'id="{place}"') == 1 for place in places), name
        assert all(meaning for _, meaning in made.columns.values())
    assert card_of("transcription").columns["CER"] == (
        "column-6",
        "character error rate on the clean clips",
    )


def test_a_task_that_does_not_come_with_innerear_has_no_card():
    assert card_of("of-mine") == Card("of-mine")


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
