"""The page of items in a browser where one is installed: every choice, an opened item, and its sound."""

import json
import re
import time
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from listened import HOSTILE, SITES, clips, listened, phones, transcripts
from synthetic import make_items, make_result

from innerear.report.item_files import script
from innerear.report.site import build
from innerear.results.store import Store

SET = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("listened")
    build(listened(folder / "results"), folder / "site")
    return folder / "site"


@pytest.fixture
def page(browser, site):
    """The page, opened from its folder; in the end: no error in the console, and nothing asked elsewhere."""
    browser.set_window_size(1200, 1500)
    browser.get_log("performance")
    yield Page(browser, site)
    assert browser.get_log("browser") == []
    messages = "".join(each["message"] for each in browser.get_log("performance"))
    assert set(re.findall(r'"url":"(\w+):', messages)) <= {"file", "data", "about", "chrome"}


class Page:
    def __init__(self, browser, site: Path) -> None:
        self.browser, self.site = browser, site

    def open(self, choices: str = "") -> None:
        self.browser.get("about:blank")
        self.browser.get(f"{(self.site / 'items.html').as_uri()}{choices}")
        self.wait("document.querySelector('#list tbody') || !document.getElementById('list')")

    def wait(self, says: str) -> None:
        for _ in range(400):  # a script that waits in the page would be a text that its policy refuses
            if self.browser.execute_script(f"return Boolean({says})"):
                return
            time.sleep(0.05)
        pytest.fail(f"this did not come: {says}")

    def all(self, selector: str) -> list:
        return self.browser.find_elements("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        """Text on one line each, with what only screen readers have."""
        return [" ".join(each.text.split()) for each in self.all(selector)]

    def choose(self, name: str, value: str) -> None:
        """Set a control; the list is there again when the number of items is told."""
        self.browser.execute_script("document.getElementById('count').textContent = ''")
        self.browser.execute_script(SET, self.all(f'[name="{name}"]')[0], value)
        self.wait("document.getElementById('count').textContent")

    def items(self) -> list[str]:
        return self.texts("#list tbody th")

    def table(self, task: str) -> str:
        """Name of the table of a task."""
        return next(path.stem for path in self.site.glob(f"items/{task}-v*.js"))

    def address(self) -> dict[str, str]:
        return dict(
            part.split("=", 1) for part in unquote(self.browser.current_url.partition("#")[2]).split("&")
        )


def ids(task: str) -> list[str]:
    return [item.id for item in clips(task)[1]]


def test_items_stand_with_what_each_model_answered(page):
    page.open()
    assert page.items() == ids("transcription")
    head = page.texts("#list thead th")
    names = ["item", "speaker", "condition", "noise", "reference", "one", "two"]
    assert head == [*names, "difference in errors per word"]
    second = page.texts("#list tbody tr:nth-child(2) td")
    assert second[:3] == ["af_alloy", "20 dB", "white"]
    assert second[4] == "wrong 1 of 8 the decision to join the choir was [said easy ] [written wrong ]"
    assert page.texts("#count") == [f"{len(ids('transcription'))} of {len(ids('transcription'))} items."]


def test_choices_are_in_the_address_and_come_back_from_it(page):
    page.open()
    every = page.items()
    page.choose("show", "outcomes")
    assert page.items() == [every[1]]
    page.choose("show", "same")
    assert page.items() == [each for each in every if each != every[1]]
    page.choose("show", "")
    page.choose("outcome", "wrong one")
    assert page.items() == [every[1]]
    page.choose("outcome", "all right")
    assert every[1] not in page.items()
    page.choose("outcome", "")
    page.choose("is.condition", "0 dB")
    assert page.items() == [each for each in every if each.endswith("@0dB")]
    page.choose("text", "DECISION")
    kept = page.items()
    assert kept == [every[4]]
    assert page.address() == {
        "table": page.table("transcription"), "models": "one,two", "is.condition": "0 dB", "text": "DECISION",
    }  # fmt: skip
    page.open(f"#{page.browser.current_url.partition('#')[2]}")
    assert page.items() == kept
    assert page.browser.execute_script("return document.querySelector('[name=text]').value") == "DECISION"
    page.all("#clear")[0].click()
    page.wait("document.querySelectorAll('#list tbody tr').length > 1")
    assert page.items() == every


def test_arrow_keys_go_through_all_outcomes_and_the_menu_keeps_the_choice(page):
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    page.open()
    menu = page.all('[name="outcome"]')[0]
    seen = []
    for _ in range(6):
        page.browser.execute_script("document.getElementById('count').textContent = ''")
        menu.send_keys(keys.ARROW_DOWN)
        page.wait("document.getElementById('count').textContent")
        seen.append(menu.get_attribute("value"))
        assert page.address()["outcome"] == seen[-1]
    assert seen == ["all right", "all wrong", "right one", "wrong one", "right two", "wrong two"]


def test_a_range_is_of_the_error_rate_and_the_order_by_difference(page):
    page.open(f"#table={page.table('transcription')}&models=one,two")
    every = page.items()
    page.choose("from", "0.1")
    assert page.items() == [every[1]]
    page.choose("from", "")
    page.choose("to", "0.1")
    assert page.items() == [each for each in every if each != every[1]]
    page.choose("to", "")
    page.choose("order", "difference")
    assert page.items()[0] == every[1]


def test_answers_may_differ_where_outcomes_do_not(page):
    page.open(f"#table={page.table('phoneme-probing')}&models=one,two")
    page.choose("show", "outcomes")
    one, two = page.texts("#list tbody td:nth-of-type(2)")  # what was said
    assert page.texts("#list tbody .value") == ["wrong zh", f"right {one}", f"right {two}", "wrong zh"]
    page.choose("show", "answers")
    assert len(page.items()) == 2
    page.choose("show", "")
    page.choose("is.word", "word3")
    assert len(page.items()) == 1


def test_models_are_chosen_by_mouse_and_keyboard_and_come_back_with_the_button(page):
    page.open(f"#table={page.table('phoneme-probing')}&models=one,two")
    box = page.all('#models [value="two"]')[0]
    box.send_keys(" ")
    page.wait("document.querySelectorAll('#list thead th').length === 5")
    assert page.address()["models"] == "one"
    assert page.browser.execute_script("return document.activeElement.value") == "two", "the focus stays"
    assert "Choose a second model" in page.texts("#count")[0]
    page.all('#models [value="one"]')[0].click()
    assert page.texts("#count") == ["Choose at least one model."]
    page.browser.back()
    page.wait("document.querySelectorAll('#list thead th').length === 6")


def test_what_is_not_there_is_said(page):
    page.open(f"#table={page.table('transcription')}&models=one,two&text=no+such+text")
    assert page.texts("#list tbody tr") == ["No item fits these choices."]
    page.open("#table=nothing&models=nobody&item=nowhere")
    assert page.texts("#told") == [
        "No such table here: nothing. No such model here: nobody. No such item here: nowhere."
    ]


def test_choices_that_no_menu_has_are_said_and_the_first_of_the_menu_is_shown(page):
    page.open("#show=nonsense&outcome=bad&is.condition=9+dB&order=up&from=much&is.shoe=5&colour=red")
    assert page.texts("#told") == [
        "No such choice here: is.shoe. No such choice here: colour. No such filter here: nonsense. "
        "No such outcome here: bad. No such condition here: 9+dB. No such order here: up. "
        "No such number here: much."
    ]
    chosen = "return [...document.querySelectorAll('.filters select')].map((each) => each.selectedIndex)"
    assert set(page.browser.execute_script(chosen)) == {0}
    assert page.items() == ids("transcription")
    page.open("#show=same")
    assert page.texts("#told") == [""]


def test_ranges_and_differences_say_what_they_are_of(page):
    page.open(f"#table={page.table('transcription')}&models=one,two")
    assert [text for text in page.texts(".filters label") if "per word" in text] == [
        "Errors per word from", "Errors per word to",
    ]  # fmt: skip
    assert page.texts("#list thead th")[-1] == "difference in errors per word"


def test_layers_are_numbered_beside_the_rows_of_a_probe(page):
    item = clips("phoneme-probing")[1].items[0]
    page.open(
        f"#table={page.table('phoneme-probing')}&models=one,two&item={item.id}@{item.phones[1].middle:.4f}"
    )
    page.wait("document.querySelector('#item .layers')")
    script = """
    const box = (each) => each.getBoundingClientRect();
    const layers = document.querySelector("#item .layers");
    const rows = [...layers.nextElementSibling.querySelectorAll("rect")].slice(0, arguments[0]).map(box);
    return [...layers.children].map((each) => {
      const middle = (box(each).top + box(each).bottom) / 2;
      return [each.textContent, rows.findIndex(({ top, bottom }) => top <= middle && middle <= bottom)];
    });
    """
    assert page.browser.execute_script(script, len(SITES)) == [[str(at), at] for at in range(len(SITES))]


@pytest.fixture
def narrow(page):
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield page
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_on_a_narrow_screen_an_item_is_a_block_whose_texts_can_be_read_without_scrolling(narrow):
    page = narrow
    page.open(f"#table={page.table('transcription')}&models=one,two")
    boxes = """
    return [...document.querySelectorAll("#list tbody tr:nth-child(2) :is(td, th)")].map((cell) => {
      const { left, right, top } = cell.getBoundingClientRect();
      return [getComputedStyle(cell, "::before").content, left, right, top];
    });
    """
    cells = page.browser.execute_script(boxes)
    assert [name for name, *_ in cells[5:7]] == ['"one: "', '"two: "']
    assert all(left >= 0 and right <= 390 for _, left, right, _ in cells)
    tops = [top for *_, top in cells]
    assert tops == sorted(set(tops)), "below each other"
    wide = "return [document.documentElement, list.parentElement].map((each) => each.scrollWidth)"
    assert max(page.browser.execute_script(f"const list = document.getElementById('list'); {wide}")) <= 390


def test_an_opened_clip_has_its_sound_labels_texts_lens_probes_and_heads(page):
    _, corpus = clips("phoneme-probing")
    item = corpus.items[0]
    page.open(f"#table={page.table('transcription')}&models=one,two&item={item.id}")
    page.wait("document.querySelector('#item audio')?.readyState > 0")
    length = page.browser.execute_script("return document.querySelector('#item audio').duration")
    assert length == pytest.approx(item.duration, abs=0.001), "labels would be off"
    drawn = "return document.querySelector('#item .spectrogram').naturalWidth"
    assert page.browser.execute_script(drawn) > 100 * item.duration - 2
    tracks = [each.get_attribute("aria-label") for each in page.all("#item svg.track")]
    words = " ".join(word.label for word in item.words)
    assert tracks[0] == f"Words: {words}"
    assert tracks[1] == f"Phones: {' '.join(phone.label for phone in item.phones)}"
    assert tracks[2].startswith("one: 5 of 6 phones right")
    assert (
        tracks[4] == f"one: peaks of the best heads, {len(item.words) - 1} of {len(item.words)} in their word"
    )
    assert len(page.all("#item svg.track:nth-of-type(3) rect")) >= 6 * len(SITES)
    for fold in page.all("#item details"):
        fold.find_element("css selector", "summary").send_keys("\n")
    phone_table = page.texts("#item details:nth-of-type(1) tbody tr")
    assert phone_table[0].endswith("right at 2–4")
    assert "right at none" in phone_table[3]
    lens = page.texts("#item table.lens")
    assert "top00" in lens[0]
    assert "✓" in lens[1]
    assert page.texts("#item h4") == ["one", "two"]
    assert page.texts('#item [aria-label="Lens of one"] thead th.error') == ["end"]
    rows = page.texts('#item [aria-label="Written from each encoder layer"] tbody tr')
    assert rows[-1] == "encoder.0 from encoder.0 from encoder.0"


def test_a_phone_is_marked_where_it_is_said_and_heard_from_there(page):
    item = clips("phoneme-probing")[1].items[0]
    phone = [each for each in item.phones if each.label != "sil"][3]
    word = next(each for each in item.words if each.start <= phone.middle < each.end)
    page.open(f"#table={page.table('phoneme-probing')}&models=one,two&item={item.id}@{phone.middle:.4f}")
    page.wait("document.querySelector('#item audio')?.currentTime > 0")
    at = page.browser.execute_script("return document.querySelector('#item audio').currentTime")
    assert at == pytest.approx(max(0, phone.middle - 0.3), abs=0.01)
    marked = [each.get_attribute("textContent") for each in page.all("#item .span.here")]
    assert [each.split(",")[0] for each in marked] == [word.label, phone.label]
    assert len(page.all("#item rect.here:not(.span)")) == 2, "one for the probe of each model"
    assert page.texts('#item [aria-label="Outcomes and answers"] tbody tr') == [
        "outcome wrong right", f"predicted zh {phone.label}", "correct at layers none 2–4",
    ]  # fmt: skip


def test_a_click_in_the_spectrogram_moves_the_sound_and_the_playhead(page):
    actions = pytest.importorskip("selenium.webdriver").ActionChains
    item = clips("transcription")[1].items[0]
    page.open(f"#table={page.table('transcription')}&models=one,two&item={item.id}")
    page.wait("document.querySelector('#item audio')?.readyState > 0")
    picture = page.all("#item .spectrogram")[0]
    actions(page.browser).move_to_element(picture).click().perform()
    page.wait("parseFloat(document.querySelector('.playhead').style.left) > 1")
    at = page.browser.execute_script("return document.querySelector('#item audio').currentTime")
    assert at == pytest.approx(item.duration / 2, abs=0.1)


def test_items_are_gone_through_in_the_order_of_the_list(page):
    every = ids("transcription")
    page.open(f"#table={page.table('transcription')}&models=one,two")
    page.all("#list tbody a")[1].click()
    page.wait(f"document.querySelector('#item h2')?.textContent === '{every[1]}'")
    assert page.browser.execute_script("return document.activeElement.textContent") == every[1]
    page.all("#item .bar button")[1].click()
    page.wait(f"document.querySelector('#item h2').textContent === '{every[2]}'")
    assert page.address()["item"] == every[2]
    page.all("#item .bar button")[2].click()
    page.wait("document.getElementById('item').hidden")
    assert "item" not in page.address()


def test_long_lists_come_in_pieces_and_leave_as_csv_in_one(browser, tmp_path):
    store = Store(tmp_path / "results")
    store.save(make_result(), make_items())
    build(store, tmp_path / "site")
    page = Page(browser, tmp_path / "site")
    folder = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", folder)
    page.open()
    assert len(page.items()) == 100
    page.all("#more")[0].click()
    assert len(page.items()) == 200
    page.all("#csv")[0].click()
    for _ in range(100):
        if made := list(tmp_path.glob("*.csv")):
            break
        time.sleep(0.05)
    assert pd.read_csv(made[0])["item"].tolist() == make_items()["unit"].tolist()
    assert browser.get_log("browser") == []


def test_text_of_models_stays_text(page):
    item = clips("transcription")[1].items[1]
    page.open(f"#table={page.table('transcription')}&models=one,two&item={item.id}")
    page.wait("document.querySelector('#item h2')")
    assert "onerror" in page.texts("#item")[0]
    assert not page.all("main img:not(.spectrogram)")
    assert page.browser.title == "innerear: items"


def test_the_dark_page_has_dark_pictures(page):
    item = clips("transcription")[1].items[0]
    for scheme, look in (("dark", "invert(1)"), ("light", "none")):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        page.open(f"#table={page.table('transcription')}&item={item.id}")
        page.wait("document.querySelector('#item .spectrogram')")
        style = "return getComputedStyle(document.querySelector('#item .spectrogram')).filter"
        assert page.browser.execute_script(style) == look
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_phone_can_show_an_opened_item(page):
    item = clips("transcription")[1].items[1]
    page.browser.set_window_size(500, 900)
    page.open(f"#table={page.table('transcription')}&models=one,two&item={item.id}")
    page.wait("document.querySelector('#item h2')")
    page.wait("document.documentElement.scrollWidth <= window.innerWidth")


def test_links_lead_to_the_items_on_which_two_models_differ(page):
    page.browser.get((page.site / "compare.html").as_uri() + "#models=one,two")
    links = page.all("#verdict-table a, #profile-table a")
    assert links
    place = links[0].get_attribute("href").partition("#")[2]
    page.open(f"#{place}")
    assert page.address()["show"] == "outcomes"
    assert page.address()["models"] == "one,two"
    boards = (page.site / "index.html").read_text()
    assert f'href="items.html#table={page.table("transcription")}"' in boards


def test_one_model_alone_is_shown_and_sound_that_was_not_measured_is_not(browser, tmp_path):
    store = Store(tmp_path / "results")
    store.save(*transcripts("alone", "wrong", measured={"fingerprint": "0" * 64}))
    build(store, tmp_path / "site")
    assert not (tmp_path / "site" / "sounds").exists()
    page = Page(browser, tmp_path / "site")
    page.open()
    assert page.texts("#list thead th")[-2:] == ["reference", "alone"]
    page.all("#list tbody a")[1].click()
    page.wait("document.querySelector('#item h2')")
    assert "another innerear-speech" in page.texts("#item .note")[0]
    assert not page.all("#item audio")
    assert browser.get_log("browser") == []


def test_phones_have_their_times_without_a_sound(browser, tmp_path):
    made, items = phones("alone", 3)
    people = made.corpus.model_copy(update={"name": "people", "human": True, "licence": "theirs"})
    store = Store(tmp_path / "results")
    store.save(
        type(made)(**{**dict(made), "corpus": people, "content_sha256": "", "record_sha256": ""}), items
    )
    build(store, tmp_path / "site")
    page = Page(browser, tmp_path / "site")
    page.open()
    page.all("#list tbody a")[0].click()
    page.wait("document.querySelector('#item h2')")
    assert page.texts("#item .note") == [
        "No sound of people: it is recorded human speech under a licence of its own (theirs)."
    ]
    spans, _probe = page.all("#item svg.track")
    own = items[items["item"] == items["item"][0]]
    assert spans.get_attribute("aria-label") == f"Phones: {' '.join(own['truth'])}"
    assert not page.all("#item img")
    assert browser.get_log("browser") == []


def test_a_store_without_items_has_a_page_that_says_so(browser, tmp_path):
    store = Store(tmp_path / "results")
    store.save(make_result())
    build(store, tmp_path / "site")
    page = Page(browser, tmp_path / "site")
    page.open()
    assert page.texts("main .note") == ["No result here has outcomes of single items."]
    assert browser.get_log("browser") == []


def test_data_come_as_text_that_no_name_can_leave():
    hostile = {"__proto__": HOSTILE, "a'b\\": "line\nend", "\u202ereversed": "'); alert('"}
    text = script(f"items/{HOSTILE}'", hostile).decode()
    quoted = re.fullmatch(r"""give\("(?:[^"\\]|\\.)*", '((?:[^'\\]|\\.)*)'\);\n""", text)
    parsed = json.loads(re.sub(r"\\(.)", r"\1", quoted[1]))
    assert parsed == {"__proto__": HOSTILE, "a'b\\": "line\nend", " reversed": "'); alert('"}
