"""The page of attention heads, as data and in a browser where one is installed."""

import json
import re
from pathlib import Path

import pytest
from synthetic import make_family, make_result

from innerear.models.site import Site
from innerear.report.heads import headless, heads_of, loop_head, values_of
from innerear.report.leaderboard import tables
from innerear.report.pages import anchor_of
from innerear.report.site import build
from innerear.results.schema import Result, Score
from innerear.results.store import Store
from innerear.tasks.declarations import DECLARATIONS
from innerear.util.io import sha256_json

PUBLISHED = Path(__file__).parents[2] / "results"
HOSTILE = '<img src=x onerror="document.title=`owned`">'
WITH_HEADS = sorted(name for name, each in DECLARATIONS.items() if each.heads)


def share(value: float, low: float | None = None, high: float | None = None, n: int = 20, unit="fraction"):
    return Score(value=value, low=low, high=high, n=n, unit=unit, direction="none")


def looping(name: str = "looper", p: float = 1 / 6, **changes) -> Result:
    """A result of repetition: head 1 of layer 2 was chosen; head 0 of layer 1 does better at 40 points."""
    cells = [(layer, head) for layer in (1, 2) for head in range(3)]
    values = {(2, 1): 0.5, (1, 0): 0.75}
    found = [
        {"layer": layer, "head": head, "value": values.get((layer, head), 0.05), "marked": False}
        for layer, head in cells
    ]
    best = {"ranked": 0.6, "empty": 0.0, "wer_after": None, "created": 0.0}
    fields = dict(
        task={"id": "repetition", "protocol": "repetition", "sha256": sha256_json("repetition")},
        model={"name": name},
        headline="resolved",
        scores={
            "resolved": share(0.8, 0.6, 0.9), "resolved_head": share(0.5, 0.3, 0.7),
            "head_p": share(p, n=6, unit="p"),
            "delta_wer_head": share(0.02, -0.01, 0.05, 900), "resolved_when_ranked": share(0.6, n=18),
        },
        curves=[],
        tuned={"head": "decoder.2.self_attn.head.1", "component": "decoder.1.cross_attn"},
        tables={
            "head_map": [{**row, "value": 0.05} for row in found],
            "head_map_self": [{**row, "induction": 0.1 * row["head"]} for row in found],
            "heads": [
                {"site": "decoder.2.self_attn.head.1", "price": 0.01, "delta_wer": 0.02, **best},
                {"site": "decoder.1.self_attn.head.0", "price": 0.4, "delta_wer": 0.4, **best},
            ],
        },
    )  # fmt: skip
    return make_result(0.8, **fields | changes)


def aligned(name: str) -> Result:
    site = "decoder.1.cross_attn.head.0"
    row = {
        "site": site,
        "ranked": 0.9,
        "confirmed": 0.8,
        "low": 0.7,
        "high": 0.9,
        "late_ms": -20.0,
        "published": True,
    }
    cells = [{"layer": 1, "head": head, "value": 0.8 - head / 2, "marked": head == 0} for head in range(2)]
    return make_result(
        0.8, model={"name": name}, headline="on_word", curves=[],
        task={"id": "alignment-heads", "protocol": "alignment-heads", "sha256": sha256_json("alignment")},
        scores={"on_word": share(0.8, 0.7, 0.9, 300), "by_order": share(0.6, n=600)},
        tables={"heads": [row], "head_map": cells},
    )  # fmt: skip


@pytest.fixture(scope="module")
def published() -> list[Result]:
    return Store(PUBLISHED).load_all()


def every_measure():
    return [(name, each) for name in WITH_HEADS for each in DECLARATIONS[name].heads]


@pytest.mark.parametrize(
    ("protocol", "measure"), every_measure(), ids=lambda each: getattr(each, "title", each)
)
def test_every_declared_number_is_in_published_results(protocol, measure, published):
    """A column that is misspelt would be missing from the page without a word."""
    own = [each for each in published if each.task.protocol == protocol]
    found = [result for result in own if values_of(result, measure)]
    assert found
    for result in found:
        assert not measure.n or measure.n in result.scores
        for column in measure.columns:
            rows = result.tables.get(column.table, [])
            assert all({column.low, column.high} - {""} <= set(row) for row in rows)


def test_the_chosen_head_has_the_interval_that_the_scores_have():
    result = looping()
    confirmed = next(each for each in DECLARATIONS["repetition"].heads if each.chosen == "resolved_head")
    values = values_of(result, confirmed)
    assert len(values) == 12
    chosen = values[Site.parse("decoder.2.self_attn.head.1")]
    assert (chosen.value, chosen.low, chosen.high) == (0.5, 0.3, 0.7)
    other = values[Site.parse("decoder.1.self_attn.head.0")]
    assert (other.value, other.low) == (0.75, None)


def test_a_sentence_says_which_head_makes_a_model_loop_and_how_sure_that_is():
    says = loop_head(looping()).says()
    assert says.startswith(
        "Without head 1 of the self-attention of layer 2, looper no longer loops on 50.0 % [30.0, 70.0] of "
        "20 loops that had no part in choosing it."
    )
    assert (
        "1 of 6 heads, itself included, does at least as well there (p = 0.167), so it does not stand out"
        in says
    )
    assert "the WER on clean speech by +2.0 points [-1.0, +5.0]" in says
    assert "head 0 of the self-attention of layer 1 (75.0 %, WER +40.0 points)" in says
    assert (
        "The headline of the table (resolved) is of whole components: without the cross-attention of "
        "layer 1, with all its heads if it has any, 80.0 % [60.0, 90.0] of the same loops are resolved."
        in says
    )
    assert "so it stands out from the others." in loop_head(looping(p=0.02)).says()


def test_a_result_without_a_chosen_head_says_nothing_of_loops():
    assert loop_head(aligned("m")) is None
    assert loop_head(looping(tuned={})) is None
    assert loop_head(looping(status="n/a", reason="it never loops", scores={}, tables={})) is None


def test_who_has_no_heads_has_a_reason(tmp_path):
    store = Store(tmp_path)
    store.save(looping("one"))
    store.save(looping("two", status="n/a", reason="two never loops", scores={}, tables={}, tuned={}))
    store.save(make_result(model={"name": "wav2vec2-base-960h", "family": "wav2vec2"}))
    silent = {"id": "alignment-heads", "protocol": "alignment-heads", "sha256": sha256_json("alignment")}
    store.save(make_result(model={"name": "one"}, task=silent))
    shown = tables(store)
    by_name = {each.name: each for each in heads_of(shown)}
    assert by_name["one"].maps
    assert dict(by_name["one"].without).keys() == set(WITH_HEADS) - {"repetition"}
    assert dict(by_name["one"].without)["alignment-heads"] == "its result has no numbers of single heads"
    assert dict(by_name["two"].without)["repetition"] == "two never loops"
    assert dict(by_name["two"].without)["listening"] == "there is no result of it here"
    assert "wav2vec2-base-960h has no decoder" in dict(by_name["wav2vec2-base-960h"].without)["repetition"]
    assert headless(shown) == ["phoneme-probing"]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    store = Store(folder / "results")
    for result, items in make_family():
        store.save(result, items)
    for result in (looping(), looping(HOSTILE), aligned(HOSTILE)):
        store.save(result)
    build(store, folder / "site")
    return folder / "site" / "heads.html"


def cells(browser) -> dict[str, str]:
    buttons = browser.find_elements("css selector", "#maps button")
    return {each.get_attribute("data-site"): each.text for each in buttons}


def pressed(browser) -> str:
    (button,) = browser.find_elements("css selector", '#maps button[aria-pressed="true"]')
    return button.get_attribute("data-site")


def until(browser, condition):
    """What a condition gives once it is true: an address takes a moment to be read."""
    wait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait
    return wait(browser, timeout=5).until(condition)


def option(browser, name: str, text: str) -> None:
    select = pytest.importorskip("selenium.webdriver.support.ui").Select
    select(browser.find_element("css selector", f'#choice [name="{name}"]')).select_by_visible_text(text)


def evidence(browser) -> dict[str, list[str]]:
    rows = browser.find_elements("css selector", "#evidence tbody tr")
    lines = [[cell.text for cell in row.find_elements("css selector", "td, th")] for row in rows]
    return {name: rest for name, *rest in lines}


def test_the_map_is_coloured_by_what_is_chosen_and_its_bar_says_what_that_is(browser, page):
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#model=looper")
    assert len(cells(browser)) == 12
    assert cells(browser)["decoder.1.self_attn.head.0"] == "75.0"
    bar = browser.find_element("id", "bar").text.splitlines()
    assert bar[:3] == ["loops resolved without it, on the confirming half, %", "0.0 %", "75.0 %"]
    option(browser, "colour", "change of the WER on clean speech without it, on the confirming half")
    assert cells(browser)["decoder.1.self_attn.head.0"] == "+40.0"
    assert cells(browser)["decoder.1.cross_attn.head.0"] == ""
    bar = browser.find_element("id", "bar").text.splitlines()
    assert bar[1:4] == ["-40.0 points", "+0.0 points", "+40.0 points"]
    assert browser.get_log("browser") == []


def test_a_click_shows_all_evidence_of_a_head_and_where_it_is_from(browser, page):
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#model=looper")
    assert pressed(browser) == "decoder.2.self_attn.head.1", "the head that the sentence names"
    shown = evidence(browser)
    assert shown["loops resolved without it, on the confirming half"] == [
        "50.0 %",
        "30.0 to 70.0 %",
        "20 loops",
    ]
    assert shown["loops resolved without it, on the ranking half"] == [
        "60.0 %",
        "none in the result",
        "18 loops",
    ]
    assert shown["induction: attention to what came next a repetition ago"][2] == "not in the result"
    browser.find_element("css selector", '[data-site="decoder.1.cross_attn.head.2"]').click()
    assert until(browser, lambda shown: pressed(shown) == "decoder.1.cross_attn.head.2")
    assert list(evidence(browser)) == ["loops resolved without it, on the confirming half"]
    assert browser.find_element("css selector", "#evidence summary").text.startswith(
        "6 of 7 numbers are not known"
    )
    link = browser.find_element("css selector", "#evidence h4 a").get_attribute("href")
    assert link.endswith(f"models/looper.html#{anchor_of(looping())}")
    place = Path(link.partition("#")[0].removeprefix("file://"))
    assert f'id="{link.partition("#")[2]}"' in place.read_text()


def test_arrows_move_over_the_map_and_enter_chooses(browser, page):
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys

    def focused() -> str:
        return browser.execute_script("return document.activeElement.dataset.site")

    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#model=looper")
    browser.execute_script("document.querySelector('#maps [tabindex=\"0\"]').focus()")
    assert focused() == "decoder.2.self_attn.head.1"
    for key, place in (
        (keys.ARROW_RIGHT, "decoder.2.self_attn.head.2"), (keys.ARROW_RIGHT, "decoder.2.self_attn.head.2"),
        (keys.ARROW_DOWN, "decoder.1.self_attn.head.2"), (keys.ARROW_LEFT, "decoder.1.self_attn.head.1"),
        (keys.ARROW_UP, "decoder.2.self_attn.head.1"), (keys.ARROW_UP, "decoder.2.self_attn.head.1"),
        (keys.ARROW_LEFT, "decoder.2.self_attn.head.0"),
    ):  # fmt: skip
        browser.switch_to.active_element.send_keys(key)
        assert focused() == place
    browser.switch_to.active_element.send_keys(keys.ENTER)
    assert focused() == "decoder.2.self_attn.head.0"
    assert until(browser, lambda shown: pressed(shown) == focused())
    tabbed = browser.find_elements("css selector", '#maps [tabindex="0"]')
    assert len(tabbed) == 2, "one stop of the tab key in each map"


def test_the_address_holds_what_is_shown(browser, page):
    browser.get("about:blank")
    browser.get(page.as_uri())
    option(browser, "model", HOSTILE)
    option(browser, "colour", "words on which its attention peaks, on both halves")
    browser.find_element("css selector", '[data-site="decoder.1.cross_attn.head.1"]').click()
    address, shown = browser.current_url, browser.find_element("id", "main").text
    assert browser.title == "innerear: attention heads", "no name ran as a script"
    browser.get("about:blank")
    browser.get(address)
    assert browser.find_element("id", "main").text == shown
    assert pressed(browser) == "decoder.1.cross_attn.head.1"
    option(browser, "model", "looper")
    assert browser.current_url.endswith("#model=looper")
    browser.back()
    assert browser.find_element("id", "main").text == shown


def test_the_page_opens_on_a_model_of_which_a_head_stands_out(browser, tmp_path):
    store = Store(tmp_path / "results")
    for result in (looping("any"), looping("clear", p=0.02), looping("other")):
        store.save(result)
    build(store, tmp_path / "site")
    browser.get((tmp_path / "site" / "heads.html").as_uri())
    shown = browser.execute_script("return document.querySelector('[name=model]').selectedOptions[0].text")
    assert shown == "clear"
    assert browser.find_element("css selector", ".verdict:not([hidden]) h2").text.endswith("clear loop")
    assert browser.get_log("browser") == []


def test_what_an_address_asks_for_in_vain_is_told(browser, page):
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#model=nobody&colour=beauty&head=decoder.9.mlp&shade=red")
    assert browser.find_element("id", "told").text == (
        "No such choice here: shade. No such model here: nobody. No such colour here: beauty. "
        "No such head here: decoder.9.mlp."
    )


def test_a_table_with_all_numbers_stands_behind_the_map(browser, page):
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#model=looper")
    browser.find_element("css selector", "#behind summary").click()
    table = until(browser, lambda shown: shown.find_elements("css selector", "#behind table"))[0]
    rows = table.find_elements("css selector", "tbody tr")
    assert len(rows) == 12
    head = next(row for row in rows if row.text.startswith("decoder.2.self_attn.head.1"))
    assert "50.0 [30.0, 70.0]" in head.text
    table.find_elements("css selector", "th button")[1].click()
    first = table.find_element("css selector", "tbody tr").text
    assert " 5.0 " in first
    assert browser.find_element("css selector", "#behind .take").text == "CSV as shown"
    option(browser, "model", HOSTILE)
    assert len(browser.find_elements("css selector", "#behind table")) == 1
    assert len(browser.find_elements("css selector", "#behind .take")) == 1
    assert browser.get_log("browser") == []


def test_numbers_can_be_read_on_every_colour_in_the_light_and_in_the_dark(browser, page):
    """Contrast of 4.5 as WCAG 2.2 wants it, of what the browser paints."""
    script = """
    const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const light = (colour) => {
      paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1);
      const linear = (v) => v <= 10 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
      const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map(linear);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const button = document.querySelector("#maps button");
    const found = [];
    for (const kind of ["share", "plus", "minus", "none"]) for (let part = 0; part <= 100; part += 2) {
      button.className = kind;
      button.style.setProperty("--part", `${part}%`);
      const style = getComputedStyle(button);
      const [a, b] = [light(style.color), light(style.backgroundColor)].sort((x, y) => y - x);
      found.push([(a + 0.05) / (b + 0.05), kind, part]);
    }
    return found.sort((a, b) => a[0] - b[0])[0];
    """
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#model=looper")
    for scheme in ("dark", "light"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        worst = browser.execute_script(script)
        assert worst[0] >= 4.5, (scheme, worst)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_store_without_heads_says_so_and_its_page_runs(browser, tmp_path):
    store = Store(tmp_path / "results")
    store.save(make_result())
    build(store, tmp_path / "site")
    page = tmp_path / "site" / "heads.html"
    browser.get(page.as_uri())
    rows = browser.find_elements("css selector", "main tbody tr")
    assert len(rows) == len(WITH_HEADS)
    assert all("whisper-base" in row.text and "there is no result of it here" in row.text for row in rows)
    assert browser.find_elements("id", "maps") == []
    assert browser.get_log("browser") == []


def test_data_of_a_page_is_json_that_no_name_ends(page):
    found = re.findall(r'<script type="application/json" class="heads-data">(.*?)</script>', page.read_text())
    assert [json.loads(each)["name"] for each in found] == [HOSTILE, "looper"]
