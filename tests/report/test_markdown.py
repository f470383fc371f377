import re

import pytest
from rich.console import Console
from synthetic import make_family, make_items, make_result

from innerear.report.leaderboard import tables
from innerear.report.legend import LEGEND
from innerear.report.markdown import escaped, publish, to_markdown, to_rich
from innerear.results.store import Store
from innerear.util.sanitise import clean

HOSTILE = "a|b<script>alert(1)</script>[x](javascript:y)`*_z_*\n# h\x1b[2J[bold red]"


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path)
    for result, items in make_family():
        made.save(result, items)
    return made


def printed(table, width: int) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(to_rich(table, width))
    return capture.get()


def test_markdown_is_one_table_with_the_numbers(store):
    text = to_markdown(tables(store))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert rows[2].startswith("| 1 | whisper-base |  | 86.0 [84.0, 88.0] | 1–2 | a | +2.0")
    assert text.startswith("## phoneme-probing v1, not registered, on toy 1\n")
    assert text.endswith(LEGEND)


def test_a_hostile_name_stays_text_in_markdown(store):
    store.save(
        make_result(model={"name": HOSTILE}, status="n/a", reason=HOSTILE, scores={}, curves=[]), make_items()
    )
    text = to_markdown(tables(store))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert "\x1b" not in text
    assert not re.search(r"(?<!\\)<", text)
    assert "](" not in text
    assert "\n# h" not in text


def test_a_hostile_heading_of_a_column_stays_text(store):
    scores = {HOSTILE: make_result().scores["accuracy"].model_copy(update={"column": HOSTILE})}
    store.save(make_result(headline=HOSTILE, scores=scores, task={"sha256": "9" * 64}), make_items())
    text = to_markdown(tables(store))
    assert "\x1b" not in text
    assert not re.search(r"(?<!\\)<", text)
    for table in tables(store):
        assert "\x1b" not in printed(table, 300)


def test_a_hostile_name_stays_text_in_the_terminal(store):
    store.save(make_result(0.99, model={"name": HOSTILE}))
    table, *_ = tables(store)
    text = printed(table, 300)
    assert "\x1b" not in text
    assert "[bold red]" in text


def test_plain_names_are_not_disfigured():
    for name in ("whisper-tiny.en", "clips_per_speaker", "86.0 [84.0, 88.0]", "hub:openai/whisper-base@abc"):
        assert escaped(name) == clean(name) == name


def test_a_wide_terminal_shows_all_columns_and_a_narrow_one_the_most_needed(store):
    (table,) = tables(store)
    wide, narrow = printed(table, 200), printed(table, 80)
    for name in table.columns:
        assert name in wide
    assert all(len(line) <= 80 for line in narrow.splitlines())
    for needed in ("whisper-tiny.en-random", "86.0 [84.0, 88.0]", "lead", "majority"):
        assert needed in narrow
    assert "2nd head" not in narrow


def test_publishing_writes_the_tables_and_their_plots(store):
    path = publish(store)
    text = path.read_text()
    assert path == store.folder / "README.md"
    assert "innerear leaderboard --output results" in text
    (plot,) = re.findall(r"!\[layer curves\]\((.+)\)", text)
    assert (store.folder / plot).read_bytes().startswith(b"\x89PNG")
    assert text.count("\n## ") == 1
    assert "## Over all tasks" not in text  # the task is no registered one


def test_publishing_twice_gives_the_same_bytes(store):
    before = {path: path.read_bytes() for path in (publish(store), *store.folder.rglob("*.png"))}
    publish(store)
    assert all(path.read_bytes() == data for path, data in before.items())
    assert len(store.load_all()) == 7
