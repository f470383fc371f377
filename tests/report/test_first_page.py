"""What the first page says, and its address, which holds filters, sorted columns and opened tables."""

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import make_family, make_result
from test_heads import HOSTILE, looping

from innerear.report.findings import findings
from innerear.report.leaderboard import resolution, tables
from innerear.report.site import build
from innerear.results.schema import ORGANISM_SPEECH
from innerear.results.store import Store


def _store(folder: Path, *more) -> Store:
    store = Store(folder)
    for result, items in make_family():
        store.save(result, items)
    for result in more:
        store.save(result)
    return store


def test_sentences_have_the_numbers_of_results(tmp_path):
    shown = tables(_store(tmp_path, looping("looper", p=0.02), looping("other")))
    measured, phones, loops = [each.says for each in findings(shown)]
    assert measured.endswith("5 models, 2 tasks and 1 corpora here, beside random twins and floors.")
    assert phones.startswith(
        "Phones are read best from whisper-base: 86.0 [84.0, 88.0] % right on toy (its random twin 44.0 %, "
        "log-mel 58.0 %), at the layer that each fold's dev speakers choose"
    )
    assert (
        "on dev speakers whisper-base, whisper-tiny.en and moonshine-tiny come within 95 % of their peaks at "
        "depth 0.50" in phones
    )
    assert loops == (
        "Without head 1 of the self-attention of layer 2, looper no longer loops on 50.0 % [30.0, 70.0] of "
        "20 loops that had no part in choosing this head; none of other does."
    )


def test_models_that_the_tests_do_not_tell_apart_are_said_to_be_tied(tmp_path):
    shown = tables(_store(tmp_path))
    (table,) = shown
    best, *others = [each for each in table.results if each.model.kind == "model"]
    told = {pair[1] for pair in table.apart.ahead if pair[0] == best.record_sha256}
    tied = [each.model.name for each in others if each.record_sha256 not in told]
    (says,) = [each.says for each in findings(shown) if each.table]
    assert ("tied with" in says) == bool(tied)
    assert all(name in says.partition("tied with")[2].partition(";")[0] for name in tied)


def test_nothing_is_claimed_where_a_result_is_missing(tmp_path):
    store = Store(tmp_path)
    store.save(make_result(task={"id": "abx", "protocol": "abx"}))
    (only,) = findings(tables(store))
    assert only.table is None
    store.save(make_result(status="n/a", reason="no encoder", scores={}, curves=[]))
    assert len(findings(tables(store))) == 1


def test_where_no_head_stands_out_that_is_the_finding(tmp_path):
    store = Store(tmp_path)
    store.save(looping("one"))
    store.save(looping("two"))
    assert (
        findings(tables(store))[-1].says
        == "No single head stands out as the one that makes one and two loop."
    )


def test_models_that_others_trained_are_named_before_model_organisms(tmp_path):
    organism = make_result(0.99, model={"name": "organism", "training_data": [ORGANISM_SPEECH]})
    says = findings(tables(_store(tmp_path, organism)))[1].says
    assert "from whisper-base" in says
    alone = Store(tmp_path / "alone")
    alone.save(organism)
    assert "from organism" in findings(tables(alone))[1].says


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    named = make_result(0.7, model={"name": HOSTILE})
    store = _store(folder / "results", looping("looper", p=0.02), named)
    build(store, folder / "site")
    return folder / "site" / "index.html"


def test_the_story_is_above_the_fold(browser, page):
    browser.get("about:blank")
    browser.get(page.as_uri())
    hero = browser.find_element("css selector", ".hero")
    assert hero.rect["y"] + hero.rect["height"] < 900
    assert [each.text for each in hero.find_elements("css selector", "p")[:3]] == [
        f"{each.says}{' All numbers' if each.table else ''}"
        for each in findings(tables(Store(page.parents[1] / "results")))
    ]
    assert len(hero.find_elements("css selector", ".plot")) == 1
    assert resolution(tables(Store(page.parents[1] / "results"))) in browser.page_source
    assert browser.get_log("browser") == []


def test_a_store_of_one_result_has_a_first_page(browser, tmp_path):
    store = Store(tmp_path / "results")
    store.save(make_result(status="n/a", reason="no encoder", scores={}, curves=[]))
    build(store, tmp_path / "site")
    browser.get((tmp_path / "site" / "index.html").as_uri())
    assert browser.find_elements("css selector", ".hero .plot") == []
    assert browser.find_element("css selector", ".hero p").text.startswith("innerear measures")
    assert browser.get_log("browser") == []


def _open(browser, address: str) -> None:
    wait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait
    browser.get("about:blank")
    browser.get(address)
    wait(browser, timeout=5).until(lambda shown: shown.find_element("id", "shown").text)  # its script has run


def _view(browser) -> str:
    """All that is seen of the tables, and how the controls stand."""
    return browser.execute_script("""
        const elements = [...document.querySelector("#filters").elements];
        const controls = elements.filter((each) => each.name);
        const seen = [...document.querySelectorAll(".glance, .board, #shown, [data-name=overall]")];
        const set = controls.map((each) => `${each.value} ${each.checked}`);
        return [...set, ...seen.map((each) => each.innerText)].join("\\n");
    """)


def test_a_copied_address_opens_the_same_view(browser, page):
    _open(browser, page.as_uri())
    assert "#" not in browser.current_url
    untouched = _view(browser)
    browser.execute_script("""
        const task = document.querySelector("[name=task]");
        task.value = "phoneme-probing";
        task.dispatchEvent(new Event("input", { bubbles: true }));
    """)
    browser.find_element("name", "text").send_keys("whisper & co")
    for _ in " & co":
        browser.find_element("name", "text").send_keys("\b")
    browser.find_element("name", "controls").click()
    board = browser.find_element("css selector", ".board:not([hidden])")
    assert board.get_attribute("open"), "the tables of a chosen task are open"
    board.find_elements("css selector", "th button")[3].click()
    browser.find_element("css selector", "details.more summary").click()
    browser.execute_async_script("setTimeout(arguments[0], 50)")
    address, shown = browser.current_url, _view(browser)
    assert "task=phoneme-probing" in address
    assert "sort=" in address
    _open(browser, address)
    assert _view(browser) == shown
    names = [
        row.text for row in browser.find_elements("css selector", ".board:not([hidden]) tbody th") if row.text
    ]
    assert names == ["whisper-tiny.en", "whisper-base"], "sorted by rising accuracy"
    browser.execute_script("location.hash = ''")
    assert _view(browser) != shown
    browser.execute_script(
        "document.querySelectorAll('details[open]').forEach((each) => { each.open = false; })"
    )
    assert _view(browser) == untouched, "an address without a choice shows everything in its first order"
    assert browser.get_log("browser") == []


def test_a_folded_table_opens_and_folds_by_address_and_by_click(browser, page):
    _open(browser, page.as_uri())
    board = browser.find_element("css selector", ".board")
    slug = board.find_element("tag name", "h2").get_attribute("id")
    assert board.get_attribute("open") is None
    board.find_element("tag name", "summary").click()
    browser.execute_async_script("setTimeout(arguments[0], 50)")
    assert browser.current_url.endswith(f"#open={slug}")
    board.find_element("tag name", "summary").click()
    browser.execute_async_script("setTimeout(arguments[0], 50)")
    assert "#" not in browser.current_url


def test_an_old_anchor_still_leads_to_its_table(browser, page):
    _open(browser, page.as_uri())
    slugs = [each.get_attribute("id") for each in browser.find_elements("css selector", ".board h2")]
    for slug in (*slugs, "headlines"):
        _open(browser, f"{page.as_uri()}#{slug}")
        head = browser.find_element("id", slug)
        assert browser.execute_script("return arguments[0].closest('details').open", head)
        assert browser.execute_script("return arguments[0].getBoundingClientRect().top < innerHeight", head)
        assert browser.current_url.endswith(f"#{slug}")


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (
            "#suite=nothing&size=9&sort=x:y:z&open=none",
            "No such suite here: nothing. No such size here: 9. No such table here: x. "
            "No such table here: none.",
        ),
        ("#sort={table}:99:up", "No such column of {table} here: 99."),
        ("#family=nobody&controls=some", "No such family here: nobody. No such controls here: some."),
        ("#nowhere", "No such choice here: nowhere."),
        ("#%zz", "No such choice here: %zz."),
        ("#=&=&", ""),
    ],
)
def test_a_broken_address_shows_everything_and_says_what_is_not_there(browser, page, part, told):
    _open(browser, page.as_uri())
    whole = _view(browser)
    table = browser.find_element("css selector", ".board table").get_attribute("data-name")
    _open(browser, page.as_uri() + part.format(table=table))
    assert browser.get_log("browser") == []
    assert _view(browser) == whole
    assert browser.find_element("id", "told").text == told.format(table=table)


def test_a_table_without_ranks_has_no_best_model(tmp_path):
    store = _store(tmp_path)
    (table,) = tables(store)
    (says,) = [each.says for each in findings([replace(table, standing={}, apart=None)]) if each.table]
    assert says.startswith(
        "Phones are read from whisper-base, in a table without ranks: 86.0 [84.0, 88.0] % right"
    )
    assert "tied" not in says


def test_what_was_learnt_on_another_corpus_is_said(tmp_path):
    store = Store(tmp_path)
    other = make_result().corpus.model_copy(update={"name": "elsewhere", "fingerprint": "e" * 64})
    store.save(make_result(train_corpus=other))
    measured, phones = [each.says for each in findings(tables(store))]
    assert "2 corpora" in measured
    assert "right on toy (learnt on elsewhere)" in phones
