"""The two human corpora, on the smallest folders of their layouts, and on the real ones where they are."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from innerear.data import fetch
from innerear.data.human import load_human, parse_timit_labels
from innerear.util.errors import InnerearError, InputError

PHN = "0 800 h#\n800 1600 sh\n1600 2400 iy\n2400 3200 tcl\n3200 3600 t\n3600 4801 h#\n"
WRD = "800 2400 she\n2400 3600 t\n"


def wav(seconds=0.3, rate=16_000):
    noise = np.random.default_rng(0).normal(0, 0.1, int(seconds * rate)).astype(np.float32)
    buffer = io.BytesIO()
    soundfile.write(buffer, noise, rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def timit_files():
    files = {}
    for speaker in ("dr1-fvmh0", "dr7-madd0"):
        for sentence in ("sa1", "sx26"):
            stem = f"{speaker}/{sentence}"
            files |= {f"{stem}.wav": wav(), f"{stem}.phn": PHN.encode(), f"{stem}.wrd": WRD.encode()}
            files[f"{stem}.txt"] = b"0 4800 She  had tea.\n"
    return files


def write_folder(folder: Path, files):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    monkeypatch.delenv("INNEREAR_DATA", raising=False)
    write_folder(tmp_path / "timit-sample", timit_files())
    return tmp_path


def test_timit_carries_speakers_regions_and_folded_phones(data_dir):
    corpus = load_human("timit-sample", data_dir)
    item = corpus.items[0]
    assert [i.id for i in corpus] == ["dr1-fvmh0/sa1", "dr1-fvmh0/sx26", "dr7-madd0/sa1", "dr7-madd0/sx26"]
    assert (item.speaker, item.gender, item.accent, item.text) == (
        "fvmh0", "female", "New England", "She had tea."
    )  # fmt: skip
    assert [(p.label, p.start, p.end) for p in item.phones] == [
        ("sil", 0.0, 0.05), ("sh", 0.05, 0.1), ("iy", 0.1, 0.15), ("t", 0.15, 0.225), ("sil", 0.225, 0.3)
    ]  # fmt: skip
    assert [w.label for w in item.words] == ["she", "t"]
    assert dict(item.extra) == {"sentence_id": "sa1", "sentence_type": "sa"}
    assert item.audio().shape == (4800,)
    assert "BY-NC-SA" in corpus.licence
    assert corpus.human


def test_the_environment_names_the_folder_too_and_results_do_not_depend_on_its_path(data_dir, monkeypatch):
    monkeypatch.setenv("INNEREAR_DATA", str(data_dir))
    here = load_human("timit-sample")
    elsewhere = data_dir / "elsewhere"
    write_folder(elsewhere / "timit", timit_files())
    there = load_human("timit-sample", elsewhere)
    assert (here.fingerprint(), here.source) == (there.fingerprint(), there.source)


def test_what_a_copy_says_of_itself_in_bold_is_in_the_source(data_dir):
    (data_dir / "timit-sample/README.md").write_text("# TIMIT\n**This copy is a restoration.** See there.")
    assert load_human("timit-sample", data_dir).source.endswith(" This copy is a restoration.")


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("sa1.wav", b"", "is empty"),
        ("sa1.wav", b"not audio at all", "not an audio file"),
        ("sa1.wav", wav(0.01), "lasts 0.010 s"),
        ("sa1.wav", wav()[:5000], "bytes shorter than its header"),
        ("sa1.phn", b"0 800 h#\n800 sh\n", r"sa1.phn:2: expected"),
        ("sa1.phn", b"0 800 h#\n800 900 xyz\n", "unknown phone label 'xyz'"),
        ("sa1.phn", b"0 800 h#\n800 99999 sh\n", "ends after the clip"),
        ("sa1.phn", b"900 1900 sh\n0 800 h#\n", "begins before the last one ends"),
        ("sa1.wrd", None, "label file is missing"),
        ("sa1.txt", b"", "expected the sentence on one line"),
    ],
)
def test_a_bad_clip_is_refused_and_counted_and_strict_stops(data_dir, name, data, reason):
    path = data_dir / "timit-sample/dr1-fvmh0" / name
    path.unlink() if data is None else path.write_bytes(data)
    corpus = load_human("timit-sample", data_dir)
    ((refused, why),) = corpus.refused
    assert (len(corpus), refused) == (3, "dr1-fvmh0/sa1")
    with pytest.raises(InputError, match=reason) as caught:
        load_human("timit-sample", data_dir, strict=True)
    assert str(caught.value) == why
    assert "\n" not in why


def test_a_corpus_without_a_usable_clip_is_an_error(data_dir):
    for path in (data_dir / "timit-sample").glob("*/*.wav"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="no usable clip; 4 were refused, the first: dr1-fvmh0/sa1"):
        load_human("timit-sample", data_dir)


def test_an_empty_folder_and_a_missing_one_are_errors(tmp_path):
    (tmp_path / "ravdess").mkdir()
    with pytest.raises(InputError, match="it holds no clips"):
        load_human("ravdess", tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        load_human("ravdess", tmp_path / "absent")


def test_ravdess_reads_zenodos_layout_and_each_file_once(tmp_path):
    names = (
        "03-01-05-02-02-01-12.wav",
        "03-01-01-01-01-02-03.wav",
        "03-02-01-01-01-02-03.wav",
    )  # one is sung
    files = {f"Actor_{name[18:20]}/{name}": wav(rate=48_000) for name in names}
    files |= {f"audio_speech_actors_01-24/{name}": data for name, data in files.items()}
    write_folder(tmp_path / "ravdess", files)
    neutral, angry = load_human("ravdess", tmp_path)
    assert (angry.speaker, angry.gender, angry.condition) == ("actor_12", "female", "angry")
    assert (neutral.speaker, neutral.gender, neutral.condition) == ("actor_03", "male", "neutral")
    assert angry.text == "Dogs are sitting by the door."
    assert dict(angry.extra) == {
        "emotion": "angry", "intensity": "strong", "sentence_id": "02", "repetition": "1"
    }  # fmt: skip
    assert angry.audio().shape == (4800,)


def test_a_fetched_archive_is_read_in_place_and_pinned(tmp_path, monkeypatch):
    def write_archive(url, path):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in timit_files().items():
                archive.writestr(f"timit/{name}", data)

    monkeypatch.delenv("INNEREAR_DATA", raising=False)
    monkeypatch.setenv("INNEREAR_CACHE", str(tmp_path))
    monkeypatch.setattr(fetch, "_download", write_archive)
    corpus = load_human("timit-sample")
    assert len(corpus) == 4
    assert "nltk_data" in corpus.source
    assert corpus.items[3].audio().shape == (4800,)
    archive = tmp_path / "corpora/timit-sample/timit.zip"
    archive.write_bytes(archive.read_bytes() + b"!")
    with pytest.raises(InnerearError, match=r"timit\.zip: SHA-256 .* is not .* --data-dir or INNEREAR_DATA"):
        load_human("timit-sample")


@given(
    st.lists(
        st.tuples(st.integers(0, 10**7), st.integers(0, 10**7), st.from_regex(r"[a-z#-]+", fullmatch=True))
    )
)
def test_label_files_come_back_as_written(rows):
    text = "".join(f"{start} {end} {label}\n" for start, end, label in rows)
    assert parse_timit_labels(text, "x") == [
        (start / 16_000, end / 16_000, label) for start, end, label in rows
    ]


def refused(call, *arguments):
    try:
        call(*arguments)
    except InputError as error:
        return str(error)
    return None


@given(st.text())
def test_a_label_file_of_anything_parses_or_is_refused_in_one_line(text):
    reason = refused(parse_timit_labels, text, "x.phn")
    assert reason is None or (reason.startswith("x.phn:") and len(reason.splitlines()) == 1)


def human_speech(name):
    folder = os.environ.get("INNEREAR_DATA")
    if not folder or not (Path(folder) / name).is_dir():
        pytest.skip("human speech not found: set INNEREAR_DATA to a folder with timit-sample/ and ravdess/")
    return load_human(name, strict=True)


def test_the_timit_sample_is_whole():
    corpus = human_speech("timit-sample")
    assert (len(corpus), len(corpus.speakers)) == (160, 16)
    assert sum(item.gender == "female" for item in corpus) == 80
    assert len({item.accent for item in corpus}) == 8
    assert sum(phone.label != "sil" for item in corpus for phone in item.phones) == 5011


def test_ravdess_is_balanced():
    corpus = human_speech("ravdess")
    assert len(corpus.speakers) == 24
    assert sum(item.gender == "female" for item in corpus) * 2 == len(corpus)
    assert len({item.text for item in corpus}) == 2
