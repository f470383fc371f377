"""Corpora by name, by path, and by a name that is nearly right."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from innerear.data.registry import corpus_names, load_corpus
from innerear.util.errors import InputError


def test_every_corpus_has_a_name_of_its_own_and_a_line():
    entries = corpus_names()
    assert len({entry.name for entry in entries}) == len(entries)
    assert {"timit-sample", "ravdess", "librispeech-dev-clean"} <= {entry.name for entry in entries}
    assert all(entry.summary and "\n" not in entry.summary for entry in entries)


def test_a_manifest_is_loaded_by_its_path(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 16_000)
    line = {"audio": "a.wav", "text": "x", "speaker": "ann"}
    (tmp_path / "my.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(line | {"id": "b", "text": ""}))
    corpus = load_corpus(str(tmp_path / "my.jsonl"))
    assert (corpus.name, len(corpus), len(corpus.refused)) == ("my", 1, 1)
    with pytest.raises(InputError, match=r"my\.jsonl:2: a\.wav: the transcript is empty"):
        load_corpus(str(tmp_path / "my.jsonl"), strict=True)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("timit", "did you mean 'timit-sample'"),
        ("ravdes", "did you mean 'ravdess'"),
        ("librispeech-clean", "did you mean 'librispeech-"),
        ("zzz", "`innerear corpora list` names them"),
        ("clips.wav", r"give the path of a \.jsonl, \.csv or \.parquet file"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(name, hint):
    with pytest.raises(InputError, match=f"^unknown corpus '{name}'; .*{hint}"):
        load_corpus(name)


def test_the_data_folder_reaches_the_human_corpora(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        load_corpus("timit-sample", data_dir=tmp_path / "absent")


@pytest.mark.parametrize(("module", "heavy"), [("registry", "datasets"), ("minimal_pairs", "librosa")])
def test_slow_libraries_are_imported_only_where_they_are_used(module, heavy):
    code = f"import sys, innerear.data.{module}; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
