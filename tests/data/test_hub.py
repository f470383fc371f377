"""Hub corpora, on small Parquet files with the columns of the real ones; no network."""

import io
import re
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile
from huggingface_hub.errors import LocalEntryNotFoundError

from innerear.data import hub
from innerear.data.hub import SPECS, load_hub, load_parquet
from innerear.util.errors import InnerearError, InputError, NotHere

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


COMMON_VOICE_ROW = {
    "client_id": "8a1f", "path": "en_test_0/common_voice_en_123.mp3", "audio": flac(), "sentence": "Go on.",
    "up_votes": 2, "down_votes": 0, "age": "thirties", "gender": "female_feminine",
    "accent": "India and South Asia (India, Pakistan, Sri Lanka)", "locale": "en", "segment": "",
    "variant": "",
}  # fmt: skip
EDACC_ROW = {
    "speaker": "EDACC-C06-A", "text": "<overlap> so that is <laugh> it", "accent": "Scottish English",
    "raw_accent": "Glasgow", "gender": "male", "l1": "English", "audio": flac(),
}  # fmt: skip
ESC50_ROW = {
    "filename": "1-100032-A-0.wav", "fold": 1, "target": 0, "category": "dog", "esc10": True,
    "src_file": 100032, "take": "A", "audio": flac(),
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


def test_common_voice_says_gender_and_accent_as_its_readers_do(tmp_path):
    several = {"accent": "United States English,a bit of Texas", "gender": "do_not_wish_to_say"}
    rows = [COMMON_VOICE_ROW, COMMON_VOICE_ROW | several | {"path": "b.mp3", "client_id": "77"}]
    one, other = load_parquet(write_parquet(tmp_path / "test.parquet", rows))
    assert (one.id, one.speaker, one.gender, one.text) == (
        "common_voice_en_123", "8a1f", "female", "Go on."
    )  # fmt: skip
    assert (one.language, one.accent) == ("en", "India and South Asia (India, Pakistan, Sri Lanka)")
    assert dict(one.extra) == {"age": "thirties"}
    assert (other.gender, other.accent) == ("", "")
    assert dict(other.extra)["accents"] == "United States English,a bit of Texas"


def test_edacc_is_turns_without_tags_and_without_those_that_are_not_to_be_scored(tmp_path):
    marked = ("IGNORE_TIME_SEGMENT_IN_SCORING", "we say <foreign> at home", "<laugh>")
    rows = [EDACC_ROW, *(EDACC_ROW | {"text": text} for text in marked)]
    corpus = load_parquet(write_parquet(tmp_path / "test.parquet", rows))
    (item,) = corpus
    assert (item.id, item.speaker, item.gender) == ("EDACC-C06-A-00000", "EDACC-C06-A", "male")
    assert (item.text, item.accent) == ("so that is it", "Scottish English")
    assert dict(item.extra) == {"first_language": "English"}
    assert [name for name, _ in corpus.refused] == ["row-1", "row-2", "row-3"]
    assert "has <FOREIGN>" in corpus.refused[1][1]
    assert "transcript is empty" in corpus.refused[2][1]


def test_esc_50_is_kinds_of_sounds_and_a_recording_is_one_source(tmp_path):
    rows = [ESC50_ROW, ESC50_ROW | {"filename": "1-100032-B-0.wav", "take": "B"}]
    one, other = load_parquet(write_parquet(tmp_path / "train.parquet", rows))
    assert not one.is_speech
    assert (one.id, one.speaker, one.label("kind")) == ("1-100032-A-0", "recording-100032", "dog")
    assert other.speaker == one.speaker


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

    def download(repository, repo_type, revision, allow_patterns, local_files_only):
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


def test_a_split_in_the_folder_of_a_language_is_read_and_no_other(snapshots, tmp_path):
    folder = tmp_path / "snapshots" / COMMIT
    write_parquet(folder / "en/test/0000.parquet", [COMMON_VOICE_ROW])
    write_parquet(folder / "sen/test/0000.parquet", [COMMON_VOICE_ROW | {"path": "other.mp3"}])
    assert [item.id for item in load_hub("common-voice-en-test")] == ["common_voice_en_123"]
    assert snapshots == [("fixie-ai/common_voice_17_0", SPECS["common-voice-en-test"].revision)]


def test_every_named_corpus_is_pinned():
    assert all(re.fullmatch("[0-9a-f]{40}", spec.revision) for spec in SPECS.values())


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


def test_what_must_not_be_fetched_is_not_here(snapshots, monkeypatch):
    assert len(load_hub("librispeech-dev-clean", fetch=False)) == 2
    with pytest.raises(NotHere, match="librispeech-dev-other is not here"):
        load_hub("librispeech-dev-other", fetch=False)

    def asked(*_, local_files_only, **options):
        assert local_files_only
        raise LocalEntryNotFoundError("no snapshot")

    monkeypatch.setattr(hub, "snapshot_download", asked)
    with pytest.raises(NotHere):
        load_hub("librispeech-dev-clean", fetch=False)


def test_an_unreachable_hub_is_one_line(monkeypatch):
    def fail(*arguments, **options):
        raise FileNotFoundError("Got: ConnectError\nPlease check")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(
        InnerearError, match=r"^cannot get gilkeyio/.* \(Got: ConnectError Please check\); check"
    ):
        load_hub("librispeech-dev-clean")


def test_a_part_of_a_split_is_not_the_split(snapshots, tmp_path):
    """Without a network, the hub's library gives whatever an interrupted download left."""
    (tmp_path / "snapshots" / COMMIT / "data/dev_clean-00000-of-00002.parquet").unlink()
    with pytest.raises(InnerearError, match="1 of 2 files of split 'dev_clean' are not here"):
        load_hub("librispeech-dev-clean")
    with pytest.raises(NotHere):
        load_hub("librispeech-dev-clean", fetch=False)


def test_a_split_of_several_folders_is_named_with_its_folder(snapshots, tmp_path):
    folder = tmp_path / "snapshots" / COMMIT
    for place, number in (("data", 3), ("en", 4)):
        write_parquet(folder / place / "test-00000-of-00001.parquet", [librispeech_row(number)])
    with pytest.raises(
        InputError, match=r"split 'test' is in data/, en/; name one .* hub:ann/speech/en/test"
    ):
        load_hub("hub:ann/speech/test")
    corpus = load_hub("hub:ann/speech/en/test")
    assert [item.id for item in corpus] == ["84-121123-0004"]
    assert corpus.name == "ann--speech-en-test"


def test_a_split_is_not_one_whose_name_it_begins(snapshots, tmp_path):
    write_parquet(
        tmp_path / "snapshots" / COMMIT / "data/dev-other-00000-of-00001.parquet", [librispeech_row(5)]
    )
    with pytest.raises(InputError, match="holds no Parquet file of split 'dev'"):
        load_hub("hub:ann/speech/dev")


def test_two_clips_of_one_id_are_an_error(tmp_path):
    write_parquet(tmp_path / "two.parquet", [librispeech_row(1), librispeech_row(1, transcript="STAY")])
    with pytest.raises(InputError, match="row 0 has this id, too"):
        load_parquet(tmp_path / "two.parquet")


@pytest.mark.parametrize(
    "words",
    [
        [{"start": None, "end": 0.4, "word": "go"}],
        [{"start": 0.1, "end": 0.4, "word": None}],
    ],
)
def test_a_row_whose_labels_are_damaged_is_refused_alone(tmp_path, words):
    write_parquet(tmp_path / "one.parquet", [librispeech_row(1), librispeech_row(2, words=words)])
    corpus = load_parquet(tmp_path / "one.parquet")
    assert len(corpus) == 1
    ((name, reason),) = corpus.refused
    assert name == "84-121123-0002"
    assert "does not have the type of its layout" in reason


def test_a_part_of_a_split_in_a_folder_of_its_own_is_told_too(snapshots, tmp_path):
    folder = tmp_path / "snapshots" / COMMIT
    write_parquet(folder / "test/00001-of-00003.parquet", [librispeech_row(1)])
    with pytest.raises(InnerearError, match="2 of 3 files of split 'test' are not here"):
        load_hub("hub:ann/speech/test")
