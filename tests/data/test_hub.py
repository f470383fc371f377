"""Hub corpora, on small Parquet files with the columns of the real ones; no network."""

import io
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile

from innerear.data import hub
from innerear.data.hub import load_hub, load_parquet
from innerear.util.errors import InnerearError, InputError

COMMIT = "0" * 39 + "1"


def flac(seconds=0.5):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, int(seconds * 16_000))
    soundfile.write(buffer, noise, 16_000, format="FLAC")
    return {"bytes": buffer.getvalue(), "path": "a.flac"}


def librispeech_row(number=0, **changes):
    return {
        "sex": "F", "subset": "dev-clean", "id": f"84-121123-{number:04}",
        "audio": flac(), "transcript": "GO",
        "words": [{"end": 0.4, "start": 0.1, "word": "go"}],
        "phonemes": [
            {"end": 0.2, "phoneme": "G", "start": 0.1},
            {"end": 0.4, "phoneme": "OW1", "start": 0.2},
            {"end": 0.5, "phoneme": "", "start": 0.4},
        ],
    } | changes  # fmt: skip


TIMIT_ROW = {
    "file": "/x", "audio": flac(), "text": "Would such an act", "dialect_region": "DR4",
    "sentence_type": "SI", "speaker_id": "MMDM0", "id": "SI681",
    "phonetic_detail": {
        "start": [0, 1960, 4000], "stop": [1960, 4000, 5960], "utterance": ["h#", "dcl", "d"]
    },
    "word_detail": {"start": [1960], "stop": [5960], "utterance": ["would"]},
}  # fmt: skip


def write_parquet(path: Path, rows, as_audio=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = datasets.Dataset.from_list(rows)
    if as_audio and "audio" in dataset.column_names:
        dataset = dataset.cast_column("audio", datasets.Audio(decode=False))
    dataset.to_parquet(str(path))
    return path


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("INNEREAR_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("as_audio", [True, False])
def test_librispeech_with_alignments(tmp_path, as_audio):
    (item,) = load_parquet(write_parquet(tmp_path / "dev.parquet", [librispeech_row()], as_audio))
    assert (item.id, item.speaker, item.gender, item.text) == ("84-121123-0000", "84", "female", "GO")
    assert [(p.label, p.start, p.end) for p in item.phones] == [
        ("g", 0.1, 0.2), ("ow", 0.2, 0.4), ("sil", 0.4, 0.5)
    ]  # fmt: skip
    assert [word.label for word in item.words] == ["go"]
    assert item.audio().shape == (8000,)


@pytest.mark.parametrize("as_records", [True, False])
def test_a_timit_style_set_has_positions_in_samples(tmp_path, as_records):
    row = dict(TIMIT_ROW)
    if as_records:  # numbers as text, as the set's card shows them
        for column in ("phonetic_detail", "word_detail"):
            columns = row[column]
            row[column] = [
                {"start": str(start), "stop": str(stop), "utterance": label}
                for start, stop, label in zip(*columns.values(), strict=True)
            ]
    (item,) = load_parquet(write_parquet(tmp_path / "timit.parquet", [row]))
    assert (item.id, item.speaker, item.gender, item.accent) == (
        "dr4-mmdm0/si681", "mmdm0", "male", "South Midland"
    )  # fmt: skip
    assert [(p.label, p.start, p.end) for p in item.phones] == [("sil", 0, 0.1225), ("d", 0.1225, 0.3725)]
    assert dict(item.extra) == {"sentence_id": "si681", "sentence_type": "si"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": None}, "a name is missing"),
        ({"id": 5}, "a int in the place of text"),
        ({"transcript": ["GO"]}, "a list in the place of text"),
        ({"sex": True}, "a bool in the place of text"),
        ({"audio": {"bytes": None, "path": "/dev/zero"}}, "a pipe, socket or device"),
        ({"audio": None}, "its audio is no record"),
        ({"audio": "a.flac"}, "its audio is no record"),
    ],
)
def test_a_value_of_another_type_and_audio_that_is_no_file_are_one_line(tmp_path, change, reason):
    path = write_parquet(tmp_path / "dev.parquet", [librispeech_row(**change)], as_audio=False)
    with pytest.raises(InputError, match=reason) as error:
        load_parquet(path)
    assert "\n" not in str(error.value)


def test_a_bad_row_is_refused_and_counted(tmp_path):
    late = [{"end": 9.0, "phoneme": "G", "start": 0.1}]
    rows = [
        librispeech_row(0),
        librispeech_row(1, phonemes=late),
        librispeech_row(2, audio={"bytes": b"", "path": None}),
        librispeech_row(3, transcript=None),
    ]
    path = write_parquet(tmp_path / "dev.parquet", rows)
    corpus = load_parquet(path)
    assert [item.id for item in corpus] == ["84-121123-0000"]
    assert [reason.split(": ", 1)[1][:30] for _, reason in corpus.refused] == [
        "phone 'G' from 0.100 to 9.000 ",
        "the audio file is empty; remov",
        "the transcript is empty; write",
    ]
    with pytest.raises(InputError, match=r"^dev, row 1 \(84-121123-0001\): phone 'G'"):
        load_parquet(path, strict=True)


def test_unknown_columns_and_damaged_files_are_errors(tmp_path):
    with pytest.raises(
        InputError, match="columns text, wav are of no known layout; need id, audio, transcript"
    ):
        load_parquet(write_parquet(tmp_path / "odd.parquet", [{"wav": "x", "text": "y"}]))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(InputError, match=r"bad\.parquet: cannot be read as Parquet"):
        load_parquet(tmp_path / "bad.parquet")
    with pytest.raises(InputError, match=r"none\.parquet: cannot be read as Parquet"):
        load_parquet(tmp_path / "none.parquet")


@pytest.fixture
def snapshots(tmp_path, monkeypatch):
    """Stands in for the hub: a snapshot folder named by its commit, and the calls that it got."""
    folder = tmp_path / "snapshots" / COMMIT
    calls = []

    def download(repository, repo_type, revision, allow_patterns):
        calls.append((repository, revision))
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", download)
    write_parquet(folder / "data/dev_clean-00000-of-00002.parquet", [librispeech_row(0)])
    write_parquet(folder / "data/dev_clean-00001-of-00002.parquet", [librispeech_row(1)])
    write_parquet(folder / "data/other_dev_clean-0.parquet", [librispeech_row(2)])
    return calls


def test_a_named_corpus_asks_for_its_pinned_revision_and_reads_one_split(snapshots):
    corpus = load_hub("librispeech-dev-clean")
    assert [item.id for item in corpus] == ["84-121123-0000", "84-121123-0001"]
    ((repository, revision),) = snapshots
    assert repository == "gilkeyio/librispeech-alignments"
    assert len(revision) == 40
    assert (corpus.name, corpus.version, corpus.licence) == (
        "librispeech-dev-clean",
        COMMIT[:12],
        "CC BY 4.0",
    )
    assert f"at {COMMIT}, split dev_clean" in corpus.source


def test_a_set_without_a_revision_keeps_the_one_first_used(snapshots):
    corpus = load_hub("hub:ann/speech/dev_clean")
    load_hub("hub:ann/speech/dev_clean")
    load_hub(f"hub:ann/speech@{'a' * 40}/dev_clean")
    assert snapshots == [("ann/speech", "main"), ("ann/speech", COMMIT), ("ann/speech", "a" * 40)]
    assert corpus.name == "ann--speech-dev_clean"


def test_an_absent_split_and_a_malformed_name_are_errors(snapshots):
    with pytest.raises(InputError, match="holds no Parquet file of split 'dev'"):
        load_hub("hub:ann/speech/dev")
    with pytest.raises(InputError, match="not of the form hub:OWNER/NAME"):
        load_hub("hub:speech")


def test_an_unreachable_hub_is_one_line(monkeypatch):
    def fail(*arguments, **options):
        raise FileNotFoundError("Got: ConnectError\nPlease check")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(
        InnerearError, match=r"^cannot get gilkeyio/.* \(Got: ConnectError Please check\); check"
    ):
        load_hub("librispeech-dev-clean")
