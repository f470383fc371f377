"""TextGrids by praatio and CTM files, as Praat, the Montreal Forced Aligner and Kaldi write them."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from praatio import textgrid

from innerear.data.labels import parse_ctm, read_textgrid, split_ctm
from innerear.util.errors import InputError

ENTRIES = [(0.0, 0.1, "sil"), (0.1, 0.25, "SH"), (0.25, 0.4, "IY1")]


def write_grid(path: Path, tiers, form="short_textgrid"):
    grid = textgrid.Textgrid()
    for name, entries in tiers.items():
        grid.addTier(textgrid.IntervalTier(name, entries, 0, entries[-1][1]))
    grid.save(str(path), format=form, includeBlankSpaces=True)


@pytest.mark.parametrize("form", ["short_textgrid", "long_textgrid"])
@pytest.mark.parametrize("names", [("words", "phones"), ("Word", "PHN"), ("Ann - words", "Ann - phones")])
def test_tiers_are_found_by_their_names_in_both_forms(tmp_path, form, names):
    words = [(0.1, 0.4, "she")]
    write_grid(tmp_path / "a.TextGrid", dict(zip(names, (words, ENTRIES), strict=True)), form)
    found = read_textgrid(tmp_path / "a.TextGrid", "a")
    assert found.phones == ENTRIES
    assert found.words == [(0.0, 0.1, ""), (0.1, 0.4, "she")]


def test_the_speaker_chooses_between_tiers_and_a_column_overrules(tmp_path):
    path = tmp_path / "a.TextGrid"
    halves = [(0.0, 0.2, "SH"), (0.2, 0.4, "IY")]
    write_grid(path, {"Ann - phones": ENTRIES, "Bob - phones": halves, "MAU": [(0.0, 0.4, "S")]})
    assert len(read_textgrid(path, "a", "Ann")[1]) == 3
    assert len(read_textgrid(path, "a", "Bob")[1]) == 2
    assert len(read_textgrid(path, "a", "Bob", phone_tier="MAU")[1]) == 1
    with pytest.raises(InputError, match=r"^a: several tiers of phones .* none of speaker 'Cem'"):
        read_textgrid(path, "a", "Cem")
    with pytest.raises(InputError, match=r"^a: no tier 'mau' \(tiers: Ann - phones, Bob - phones, MAU\)"):
        read_textgrid(path, "a", "Ann", phone_tier="mau")


def test_a_grid_without_words_and_phones_names_its_tiers(tmp_path):
    write_grid(tmp_path / "a.TextGrid", {"61": [(0.0, 1.0, "HE BEGAN")]})
    with pytest.raises(InputError, match=r"no tier named 'words' or 'phones' \(tiers: 61\)"):
        read_textgrid(tmp_path / "a.TextGrid", "a")


@pytest.mark.parametrize(
    ("words", "phones"),
    [("words", "phonemes"), ("ORT-MAU", "MAU"), ("WORDS", "Phoneme"), ("Ann - words", "MAU")],
)
def test_tiers_of_other_tools_are_known(tmp_path, words, phones):
    path = tmp_path / "a.TextGrid"
    write_grid(path, {words: [(0.0, 0.4, "she")], "KAN-MAU": [(0.0, 0.4, "Si:")], phones: ENTRIES})
    found = read_textgrid(path, "a", "Ann")
    assert (len(found.words), found.phones, found.unread) == (1, ENTRIES, ())


def test_tiers_of_one_name_matter_only_where_they_are_meant(tmp_path):
    path = tmp_path / "a.TextGrid"
    write_grid(path, {"phones": ENTRIES, "notes": [(0.0, 0.4, "x")], "other": [(0.0, 0.4, "y")]})
    path.write_text(path.read_text().replace('"other"', '"notes"'))
    assert read_textgrid(path, "a").phones == ENTRIES
    assert read_textgrid(path, "a").unread == ("notes",)
    with pytest.raises(InputError, match="several tiers are named 'notes'"):
        read_textgrid(path, "a", phone_tier="notes")
    path.write_text(path.read_text().replace('"notes"', '"phones"'))
    with pytest.raises(InputError, match=r"^a: several tiers of phones"):
        read_textgrid(path, "a")


def test_points_are_no_phones(tmp_path):
    grid = textgrid.Textgrid()
    grid.addTier(textgrid.PointTier("phones", [(0.5, "SH")], 0, 1))
    grid.save(str(tmp_path / "a.TextGrid"), format="long_textgrid", includeBlankSpaces=True)
    with pytest.raises(InputError, match="holds points, not intervals"):
        read_textgrid(tmp_path / "a.TextGrid", "a")


@pytest.mark.parametrize("form", ["short_textgrid", "long_textgrid"])
def test_a_missing_grid_and_one_cut_off_anywhere_are_one_line_each(tmp_path, form):
    with pytest.raises(InputError, match="no such TextGrid"):
        read_textgrid(tmp_path / "absent.TextGrid", "a")
    path = tmp_path / "a.TextGrid"
    write_grid(path, {"phones": ENTRIES}, form)
    whole = path.read_bytes()
    for size in range(0, whole.rindex(b'"'), 5):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"^a: ") as caught:
            read_textgrid(path, "a")
        assert "\n" not in str(caught.value)


labels = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters='"'), min_size=1
)
times = st.lists(st.integers(1, 500), min_size=2, max_size=20, unique=True).map(sorted)


@given(times, st.data())
def test_a_textgrid_comes_back_as_written(tmp_path_factory, bounds, data):
    path = tmp_path_factory.mktemp("grid") / "a.TextGrid"
    spans = zip([0, *bounds[:-1]], bounds, strict=True)
    written = [(start / 100, end / 100, data.draw(labels)) for start, end in spans]
    write_grid(path, {"phones": written})
    assert read_textgrid(path, "a")[1] == written


def test_ctm_lines_are_sorted_by_clip_and_kaldis_suffixes_come_off():
    text = ";; made by hand\nb 1 0.00 0.10 AH0_B 0.9\na 1 0.5 0.25 SH\n\nb 1 0.10 0.20 T_E\n"
    clips = split_ctm(text)
    assert parse_ctm(clips["b"], "x.ctm") == [(0.0, 0.1, "AH0"), (0.1, pytest.approx(0.3), "T")]
    assert parse_ctm(clips["a"], "x.ctm") == [(0.5, 0.75, "SH")]


@pytest.mark.parametrize("line", ["a 1 0.5 SH", "a 1 zero 0.2 SH", "a"])
def test_a_malformed_ctm_line_is_named(line):
    with pytest.raises(InputError, match=f"^x.ctm:2: expected .*{re.escape(line)}"):
        parse_ctm(split_ctm(f"\n{line}\n")["a"], "x.ctm")


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**6), st.integers(1, 10**4), st.from_regex("[A-Z]{1,2}[0-2]?", fullmatch=True)
        )
    )
)
def test_a_ctm_file_comes_back_as_written(rows):
    text = "".join(f"a 1 {start / 100:.2f} {length / 100:.2f} {label}\n" for start, length, label in rows)
    parsed = parse_ctm(split_ctm(text).get("a", []), "x")
    assert [(round(s * 100), round((e - s) * 100), label) for s, e, label in parsed] == rows
