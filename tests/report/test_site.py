"""The site as text, and in a browser where one is installed."""

import re
import shutil
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from synthetic import make_family, make_result

from innerear.report.all_figures import draw_all
from innerear.report.leaderboard import tables
from innerear.report.markdown import publish
from innerear.report.overview import NO_SUITE, matrices, suites_of
from innerear.report.pages import page_of
from innerear.report.site import build
from innerear.results.audit import FILE, Audit
from innerear.results.store import Store
from innerear.tasks.task import load_task, suites, task_names
from innerear.util.errors import InputError
from innerear.util.sanitise import clean

PUBLISHED = Path(__file__).parents[2] / "results"
HOSTILE = '<img src=x onerror="document.title=`owned`"> & <script>document.title="owned"</script>'


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        self.scripts += tag == "script" and dict(attrs).get("type") != "application/json"
        self.links += [value for name, value in attrs if name in ("href", "src") and value]


def _parsed(path: Path) -> _Links:
    parser = _Links()
    parser.feed(path.read_text())
    return parser


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    store = Store(folder / "results")
    for result, items in make_family():
        store.save(result, items)
    store.save(make_result(0.9, model={"name": HOSTILE}))
    store.save(make_result(model={"name": "ctc"}, status="n/a", reason=HOSTILE, scores={}, curves=[]))
    build(store, folder / "site")
    return folder / "site"


def test_every_link_leads_to_a_file_of_the_site(built):
    pages = sorted(built.rglob("*.html"))
    assert len(pages) > 8
    for page in pages:
        parsed = _parsed(page)
        assert len(set(parsed.ids)) == len(parsed.ids), f"{page.name} has an id twice"
        for link in parsed.links:
            assert not re.match(r"\w+:|//", link), f"{page.name} leaves the site: {link}"
            if link.startswith("#"):
                assert link[1:] in parsed.ids, f"{page.name}: {link} leads nowhere"
            else:
                place, _, part = link.partition("#")
                there = (page.parent / place).resolve()
                assert there.is_file(), f"{page.name}: {link} leads nowhere"
                if "=" in part:  # choices that the script of the page reads
                    table = dict(choice.split("=") for choice in part.split("&")).get("table")
                    assert table is None or (built / "items" / f"{table}.js").is_file(), link
                else:
                    assert not part or part in _parsed(there).ids, f"{page.name}: {link} leads nowhere"


def test_results_with_long_names_have_places_of_their_own_on_a_page(tmp_path):
    store = Store(tmp_path / "results")
    for seed in (2, 3):
        named = {"name": "model-" * 9, "parts": {"weights": str(seed)}}
        store.save(make_result(model=named, corpus={"name": "corpus-" * 5}))
    build(store, tmp_path / "site")
    (page,) = (tmp_path / "site" / "models").iterdir()
    parsed = _parsed(page)
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert len({link for link in parsed.links if link.startswith("#phoneme-probing-")}) == 2


def test_no_page_has_what_its_own_policy_forbids(tmp_path, built):
    """Cards too: what an attribute of theirs styles would not be seen, and a console would complain."""
    store = Store(tmp_path / "results")
    for name in task_names():
        store.save(make_result(task={"id": name}, status="n/a", reason="none", scores={}, curves=[]))
    build(store, tmp_path / "site")
    pages = [*built.rglob("*.html"), *(tmp_path / "site").rglob("*.html")]
    assert {path.stem for path in pages} >= set(task_names())
    for page in pages:
        inline = [name for name in _parsed(page).attributes if name == "style" or name.startswith("on")]
        assert not inline, page.name
    assert 'class="right"' in (tmp_path / "site" / "tasks" / "repetition.html").read_text()


def test_names_and_reasons_of_models_stay_text(built):
    for page in built.rglob("*.html"):
        assert "<img src=x" not in page.read_text()
        more = {"index.html": 1, "compare.html": 1, "heads.html": 1, "items.html": 2, "search.html": 1}
        assert _parsed(page).scripts == 2 + more.get(page.name, 0)
    assert (built / "models" / f"{page_of(HOSTILE)}.html").is_file()
    assert page_of("a/b") != page_of("a-b") == "a-b"


def test_equal_results_make_equal_sites(tmp_path, built):
    store = Store(built.parent / "results")
    build(store, tmp_path)
    files = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        path.relative_to(built): path.read_bytes() for path in built.rglob("*") if path.is_file()
    }


def test_a_table_stands_in_the_suites_that_run_its_task(built):
    store = Store(built.parent / "results")
    (table,) = tables(store)
    assert suites_of([table]) == [(NO_SUITE,)]
    task = suites()["observe"].tasks[0].task()
    info = table.results[0].task.model_copy(update={"sha256": task.sha256()})
    shared = replace(table, results=(table.results[0].model_copy(update={"task": info}),))
    assert suites_of([shared]) == [("quick", "observe")]
    (one, two) = matrices([shared, table], [])
    assert (one.suite, two.suite) == ("quick", NO_SUITE)
    names = [row.model.name for row, _ in two.rows]
    assert names[0] == HOSTILE
    assert names.index("log-mel") < names.index("whisper-base-random")
    cells = {row.model.name: cell for row, (cell,) in two.rows}
    assert (cells["ctc"].text, cells["ctc"].says) == ("n/a", HOSTILE)
    assert (cells["whisper-base"].text, cells["whisper-base"].place) == ("86.0", 2)
    assert cells["log-mel"].place == 0


def test_all_pictures_are_drawn_for_a_paper(built, tmp_path):
    store = Store(built.parent / "results")
    made = draw_all(store, tmp_path, "pdf")
    assert all(path.read_bytes().startswith(b"%PDF") for path in made)
    assert tmp_path / "overview.pdf" in made
    models = [result for result in store.load_all() if result.model.kind == "model" and result.score]
    assert len(made) == 2 + len(models)  # the overview, the table's and those of each model
    with pytest.raises(InputError, match="unknown format 'gif'"):
        draw_all(store, tmp_path, "gif")


def test_a_folder_without_results_is_wrong_input(tmp_path):
    with pytest.raises(InputError, match="no results here"):
        build(Store(tmp_path), tmp_path / "site")


def test_the_published_leaderboard_is_that_of_the_published_results(tmp_path):
    copy = tmp_path / "results"
    shutil.copytree(PUBLISHED, copy)
    publish(Store(copy))
    assert (copy / "README.md").read_text() == (PUBLISHED / "README.md").read_text(), (
        "results/README.md is not up to date: innerear leaderboard --results results --output results"
    )


def test_the_published_audit_has_every_merit_as_it_is_now():
    audit = Audit.model_validate_json((PUBLISHED / FILE).read_bytes())
    audited = {each.task: each.version for each in audit.metrics}
    tasks = list(map(load_task, task_names()))
    assert audited.items() <= {task.id: task.version for task in tasks}.items()
    assert {task.id for task in tasks if not task.profile} <= audited.keys()  # only merits have to pass


def _unfolded(browser, page: Path, part: str = "") -> None:
    """Open a page and all of its tables; `part` is what its address says behind #."""
    browser.get("about:blank")
    browser.get(page.as_uri() + part)
    browser.execute_script(
        "document.querySelectorAll('details.board').forEach((each) => { each.open = true; })"
    )


def _asks_for_nothing_outside(browser) -> None:
    asked = re.findall(
        r'"url":"(\w+:[^"]*)"', "".join(each["message"] for each in browser.get_log("performance"))
    )
    assert asked
    assert all(url.startswith(("file:", "data:", "about:", "chrome")) for url in asked), asked


def _column(browser, at: int, part: str = ".board") -> list[str]:
    rows = browser.find_elements("css selector", f"{part} table tbody tr")
    return [row.find_elements("css selector", "td, th")[at].text for row in rows if row.is_displayed()]


def _choose(browser, name: str, value: str) -> list[str]:
    """Models that the boards show with one filter set."""
    element = browser.find_element("name", name)
    script = (
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
    )
    browser.execute_script(script, element, value)
    shown = _column(browser, 1)
    browser.execute_script(script, element, "")
    return shown


def test_tables_sort_and_nothing_leaves_the_page(browser, built):
    _unfolded(browser, built / "index.html")
    first = browser.find_element("css selector", ".board table")
    heads = [head.text for head in first.find_elements("css selector", "thead th")]
    value = next(at for at, head in enumerate(heads) if head.startswith("accuracy"))
    buttons = first.find_elements("css selector", "th button")
    buttons[value].click()
    numbers = [float(cell.split()[0]) for cell in _column(browser, value) if cell != "n/a"]
    assert numbers == sorted(numbers)
    assert _column(browser, value)[-1] == "n/a"
    buttons[value].send_keys("\n")  # the keyboard does the same
    numbers = [float(cell.split()[0]) for cell in _column(browser, value) if cell != "n/a"]
    assert numbers == sorted(numbers, reverse=True)
    assert browser.title == "innerear: leaderboard"  # no name ran as a script
    assert browser.get_log("browser") == []
    _asks_for_nothing_outside(browser)


def test_filters_keep_what_fits_and_say_how_much(browser, built):
    _unfolded(browser, built / "index.html")
    everything = _column(browser, 1)
    assert {"whisper-base", "log-mel", "moonshine-tiny-random", "majority"} < set(everything)
    assert _choose(browser, "text", "tiny.en") == ["whisper-tiny.en", "whisper-tiny.en-random"]
    assert set(_choose(browser, "language", "multilingual")) == {
        "whisper-base", "whisper-base-random", "log-mel", "majority",
    }  # fmt: skip
    assert _choose(browser, "suite", NO_SUITE) == everything
    assert _choose(browser, "task", "phoneme-probing") == everything
    assert _choose(browser, "family", "whisper") == everything
    browser.find_element("name", "controls").click()
    assert "moonshine-tiny-random" not in _column(browser, 1)
    assert "moonshine-tiny-random" not in _column(browser, 0, ".glance")
    browser.find_element("name", "text").send_keys("tiny.en")
    assert _column(browser, 1) == _column(browser, 0, ".glance") == ["whisper-tiny.en"]
    assert browser.find_element("id", "shown").text == "1 tables, 1 results of models"


def test_every_table_can_be_taken_away_as_it_is_shown(browser, built, tmp_path):
    browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    for page in built.rglob("*.html"):
        browser.get(page.as_uri())
        tables, buttons = (
            browser.find_elements("css selector", name) for name in ("main table.sortable", ".take")
        )
        assert len(tables) == len(buttons), page.name
    _unfolded(browser, built / "index.html")
    browser.find_element("name", "text").send_keys("img")
    browser.find_element("css selector", ".board .take").click()
    for _ in range(50):
        if made := list(tmp_path.glob("*.csv")):
            break
        time.sleep(0.1)
    (row,) = pd.read_csv(made[0]).to_dict("records")
    assert row["model"] == clean(HOSTILE)
    assert row["accuracy ↑"] == "90.0 [88.0, 92.0]"


def test_a_phone_can_read_every_page(browser, built):
    webdriver_wait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait

    def fits(shown):
        return shown.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")

    browser.set_window_size(500, 900)
    browser.get_log("performance")  # what came before is no page's
    for page in built.rglob("*.html"):
        browser.get(page.as_uri())
        waiting = webdriver_wait(browser, timeout=5)  # a resized window is laid out when the machine has time
        waiting.until(fits, f"{page.name} is wider than the screen")
        assert browser.get_log("browser") == [], page.name
    _asks_for_nothing_outside(browser)
