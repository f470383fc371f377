"""A release has the notes of its version, files that the package index takes, and a citation."""

import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

from release import check, notes  # noqa: E402

from innerear import __version__  # noqa: E402
from innerear.util.errors import InnerearError  # noqa: E402

CITATION = (ROOT / "CITATION.cff").read_text()


def test_notes_are_the_section_of_the_version_alone():
    text = (
        "# Changelog\n\n## 0.10.0 (unreleased)\n\n- later\n\n"
        "## 0.1.0 (2026-12-01)\n\n### Tasks\n\n- one\n\n## 0.0.1\n\n- old\n"
    )
    assert notes(text, "0.1.0") == "### Tasks\n\n- one\n"
    assert notes(text, "0.0.1") == "- old\n"
    for absent in ("0.1", "0.2.0"):
        with pytest.raises(InnerearError, match=f"says nothing of {absent}: add a section"):
            notes(text, absent)
    with pytest.raises(InnerearError, match="says nothing"):
        notes("## 1.0.0\n\n## 0.1.0\n\n- one\n", "1.0.0")


def test_there_are_notes_of_this_version():
    assert "### Tasks" in notes((ROOT / "CHANGELOG.md").read_text(), __version__)


def test_what_is_cited_is_this_version():
    cited = yaml.safe_load(CITATION)
    assert cited["version"] == __version__
    assert cited["abstract"]
    assert not (ROOT / ".zenodo.json").exists(), "Zenodo would read it instead of CITATION.cff"


def test_files_that_are_missing_or_too_large_are_no_release(tmp_path, capsys):
    with pytest.raises(InnerearError, match="whl: not built"):
        check(tmp_path, CITATION)
    wheel, archive = (
        tmp_path / f"innerear-{__version__}-py3-none-any.whl",
        tmp_path / f"innerear-{__version__}.tar.gz",
    )
    for path in (wheel, archive):
        path.write_bytes(b"")
    check(tmp_path, CITATION)
    assert "0.0 MB" in capsys.readouterr().out
    with pytest.raises(InnerearError, match=r"CITATION\.cff is of version 0"):
        check(tmp_path, CITATION.replace(f"version: {__version__}", "version: 0"))
    with archive.open("r+b") as file:
        file.truncate(95_000_001)
    with pytest.raises(InnerearError, match=r"tar\.gz has 95\.0 MB, more than 95"):
        check(tmp_path, CITATION)
