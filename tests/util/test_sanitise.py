"""Text of others on one line and as part of a file name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import make_result

from innerear.report.all_figures import draw_all
from innerear.report.markdown import publish
from innerear.report.site import build
from innerear.results.store import Store
from innerear.util.sanitise import LONGEST, clean, slug


@given(st.text())
def test_any_text_is_part_of_a_file_name(text):
    made = slug(text)
    assert 0 < len(made.encode()) <= LONGEST
    assert not set(made) & set("/\\:\0\n")
    assert not made.startswith(".")
    assert slug(made) == made


@given(st.text())
def test_any_text_is_on_one_line(text):
    assert len(clean(text).splitlines()) <= 1
    assert clean(clean(text)) == clean(text)


def test_a_name_does_not_turn_what_follows():
    assert clean("good\u202e\u2066model\x1b[2J\u2028end") == "good model [2J end"
    assert clean("می‌خواهم") == "می‌خواهم", "a joiner that belongs to the word stays"


@pytest.mark.parametrize("letter", ["x", "語", "𠀀"])
def test_names_of_any_length_have_files_of_their_own(tmp_path, letter):
    store = Store(tmp_path / "results")
    for number, (heard, key) in enumerate([(200, "c"), (200, "c"), (201, "d")]):
        model = {"name": letter * (300 + number), "parts": {"weights": str(number) * 64}}
        store.save(make_result(model=model, corpus={"name": letter * heard, "fingerprint": key * 64}))
    assert len(store.load_all()) == 3
    publish(store)
    build(store, tmp_path / "site")
    assert len(list((tmp_path / "site" / "models").iterdir())) == 3
    assert len(list((tmp_path / "site" / "tables").iterdir())) == 2
    drawn = draw_all(store, tmp_path / "drawn", "svg")
    assert len(drawn) == len(set(drawn)) == 1 + 2 + 3  # overview, tables, one of each result
