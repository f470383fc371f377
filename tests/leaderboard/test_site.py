"""The site as text, and in a browser where one is installed."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic import make_family, make_result

from innerear.errors import InputError
from innerear.leaderboard.render import publish
from innerear.leaderboard.site import build, slug
from innerear.store import Store

PUBLISHED = Path(__file__).parents[2] / "results"
HOSTILE = '<img src=x onerror="document.title=`owned`"> & <script>document.title="owned"</script>'


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
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
        for link in _parsed(page).links:
            assert not re.match(r"\w+:|//", link), f"{page.name} leaves the site: {link}"
            if not link.startswith("#"):
                assert (page.parent / link).resolve().is_file(), f"{page.name}: {link} leads nowhere"


def test_names_and_reasons_of_models_stay_text(built):
    for page in built.rglob("*.html"):
        assert "<img src=x" not in page.read_text()
        assert _parsed(page).tags.count("script") == 1
    assert (built / "models" / f"{slug(HOSTILE)}.html").is_file()


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


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    paths = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in paths:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,1500"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(paths[1]))
    yield driver
    driver.quit()


def _column(browser, at: int) -> list[str]:
    rows = browser.find_elements("css selector", ".board table tbody tr")
    return [row.find_elements("css selector", "td")[at].text for row in rows if row.is_displayed()]


def test_tables_sort_and_filter_and_nothing_leaves_the_page(browser, built):
    browser.get((built / "index.html").as_uri())
    first = browser.find_element("css selector", ".board table")
    heads = [head.text for head in first.find_elements("css selector", "th")]
    value = next(at for at, head in enumerate(heads) if head.startswith("accuracy"))
    buttons = first.find_elements("css selector", "th button")
    buttons[value].click()
    numbers = [float(cell.split()[0]) for cell in _column(browser, value) if cell != "n/a"]
    assert numbers == sorted(numbers)
    assert _column(browser, value)[-1] == "n/a"
    buttons[value].send_keys("\n")  # the keyboard does the same
    numbers = [float(cell.split()[0]) for cell in _column(browser, value) if cell != "n/a"]
    assert numbers == sorted(numbers, reverse=True)
    browser.find_element("name", "controls").click()
    assert "random twin" not in _column(browser, heads.index("kind"))
    browser.find_element("name", "text").send_keys("tiny.en")
    assert _column(browser, heads.index("model")) == ["whisper-tiny.en"]
    assert browser.find_element("id", "shown").text == "1 tables, 1 results of models"
    assert browser.title == "innerear: leaderboard"  # no name ran as a script
    assert browser.get_log("browser") == []
    asked = re.findall(
        r'"url":"(\w+:[^"]*)"', "".join(each["message"] for each in browser.get_log("performance"))
    )
    assert asked
    assert all(url.startswith(("file:", "data:", "about:", "chrome")) for url in asked), asked


def test_a_phone_can_read_every_page(browser, built):
    browser.set_window_size(500, 900)
    for page in built.rglob("*.html"):
        browser.get(page.as_uri())
        wide = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{page.name} is wider than the screen"
        assert browser.get_log("browser") == [], page.name
