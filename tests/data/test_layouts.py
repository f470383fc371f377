"""Corpora as people have them: each layout is recognised by its files, and its clips are read as they are."""

import gzip
import json
import os

import numpy as np
import pytest
import soundfile
from praatio import textgrid

from innerear.data.manifest import align_manifest
from innerear.data.registry import load_corpus
from innerear.util.errors import InputError

RATE = 16_000


@pytest.fixture
def clips(tmp_path):
    """A function that writes clips of noise (1 s) under a folder."""

    def write(*names, channels=1):
        rng = np.random.default_rng(0)
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            form = "NIST" if name.endswith(".WAV") else None
            soundfile.write(path, rng.normal(0, 0.1, (RATE, channels)), RATE, format=form)
        return tmp_path

    return write


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_grid(path, end=1.0, **tiers):
    grid = textgrid.Textgrid(0, end)
    for name, labels in tiers.items():
        grid.addTier(textgrid.IntervalTier(name, labels, 0, end))
    path.parent.mkdir(parents=True, exist_ok=True)
    grid.save(str(path), format="long_textgrid", includeBlankSpaces=True)


def shown(corpus):
    return [(item.id, item.speaker, item.gender, item.text, round(item.duration, 3)) for item in corpus]


def times(segments):
    return [(segment.label, round(segment.start, 3), round(segment.end, 3)) for segment in segments]


# --- Kaldi


def kaldi(clips, **files):
    folder = clips("audio/r1.wav", "audio/r2.wav") / "data/train"
    defaults = {
        "wav.scp": ["r1 audio/r1.wav", f"r2 {folder.parents[1] / 'audio/r2.wav'}"],
        "text": ["r1 she had", "r2 your suit"],
    }
    for name, lines in (defaults | files).items():
        write(folder / name, *lines)
    return folder


def test_a_kaldi_folder_is_read_with_its_speakers(clips):
    folder = kaldi(clips, utt2spk=["r1 ann", "r2 bob"], spk2gender=["ann f", "bob m"])
    expected = [("r1", "ann", "female", "she had", 1.0), ("r2", "bob", "male", "your suit", 1.0)]
    assert shown(load_corpus(str(folder))) == shown(load_corpus(str(folder / "wav.scp"))) == expected
    assert load_corpus(str(folder)).name == "train"


def test_segments_of_a_kaldi_folder_are_cut_and_labelled(clips):
    folder = kaldi(
        clips,
        segments=["u1 r1 0.10 0.50", "u2 r1 0.5 -1"],
        text=["u1 she", "u2 had"],
        ctm=["r1 1 0.2 0.2 she", "r1 1 0.6 0.3 had"],
        **{"phones.ctm": ["u1 1 0.1 0.2 SH_B", "u2 1 0.1 0.3 AE1_S"]},
    )
    first, second = load_corpus(str(folder))
    assert shown([first, second]) == [("u1", "", "", "she", 0.4), ("u2", "", "", "had", 0.5)]
    assert (times(first.words), times(first.phones)) == ([("she", 0.1, 0.3)], [("sh", 0.1, 0.3)])
    assert (times(second.words), times(second.phones)) == ([("had", 0.1, 0.4)], [("ae", 0.1, 0.4)])
    assert second.audio().shape == (RATE // 2,)


def test_a_command_in_wav_scp_is_never_run(clips, tmp_path):
    folder = kaldi(clips, **{"wav.scp": ["r1 audio/r1.wav", f"r2 touch {tmp_path}/ran |"]})
    corpus = load_corpus(str(folder))
    assert [item.id for item in corpus] == ["r1"]
    assert "a command (touch" in corpus.refused[0][1]
    assert not (tmp_path / "ran").exists()
    with pytest.raises(InputError, match="a command"):
        load_corpus(str(folder), strict=True)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"segments": ["u1 r1 0.1"]}, "segments, u1: expected 'utterance recording start end'"),
        ({"segments": ["u1 r1 nan 0.2"]}, "segments, u1: nan to 0.2 are no times"),
        ({"segments": ["u1 r9 0.1 0.2"]}, r"segments, u1: 'r9' is not in wav\.scp"),
        ({"wav.scp": ["r1"]}, r"wav\.scp:1: expected a name and a value"),
        ({"text": ["r1 she", "r1 had"]}, "text:2: 'r1' is there twice"),
        ({"text": ["other she"]}, "no usable clip; 3 were refused, the first: text: other has words, but no"),
        (
            {"wav.scp": ["r1 a.ark:15", "r2 b.ark:9"]},
            r"inside of an archive \(a\.ark:15\); write it to a file",
        ),
        ({"phones.ctm": ["r1 1 0.1 0.2 45"]}, "its labels are numbers"),
        ({"a.ctm": ["r1 1 0.1 0.2 SH"], "b.ctm": ["r1 1 0.1 0.2 SH"]}, "keep one"),
    ],
)
def test_a_malformed_kaldi_folder_is_one_line(clips, files, reason):
    with pytest.raises(InputError, match=reason):
        load_corpus(str(kaldi(clips, **files)))


def test_words_without_audio_are_refused_and_counted(clips):
    corpus = load_corpus(str(kaldi(clips, text=["r1 she had", "r2 your", "r3 lost"])))
    assert len(corpus) == 2
    assert [name for name, _ in corpus.refused] == ["r3"]


@pytest.mark.parametrize(
    "files",
    [
        {"segments": ["u1 ra 0.0 0.5 0", "u2 ra 0.0 0.5 1"], "wav.scp": ["ra audio/st.wav"]},
        {"segments": ["u1 ra 0.0 0.5 A", "u2 ra 0.0 0.5 B"], "wav.scp": ["ra audio/st.wav"]},
        {
            "segments": ["u1 ra 0.0 0.5", "u2 rb 0.0 0.5"], "wav.scp": ["ra audio/st.wav", "rb audio/st.wav"],
            "reco2file_and_channel": ["ra st A", "rb st B"],
            "words.ctm": ["st A 0.1 0.2 she", "st B 0.2 0.2 he"],
        },
    ],
    ids=["numbered", "lettered", "reco2file_and_channel"],
)  # fmt: skip
def test_an_utterance_is_of_its_channel(clips, files):
    folder = clips("audio/st.wav", channels=2)
    first, second = load_corpus(str(kaldi(clips, text=["u1 she", "u2 he"], **files)))
    channels = soundfile.read(folder / "audio/st.wav", dtype="float32")[0][: RATE // 2].T
    np.testing.assert_allclose([first.audio(), second.audio()], channels)
    if "words.ctm" in files:
        assert times([*first.words, *second.words]) == [("she", 0.1, 0.3), ("he", 0.2, 0.4)]


# --- Lhotse


def recording(name, path, channels=(0,), kind="file"):
    source = {"type": kind, "channels": list(channels), "source": str(path)}
    return {"id": name, "sources": [source], "sampling_rate": RATE, "num_samples": RATE, "duration": 1.0}


def supervision(name, start, duration, text="she had", **fields):
    base = {
        "id": name,
        "recording_id": "r1",
        "start": start,
        "duration": duration,
        "channel": 0,
        "text": text,
    }
    return base | {"speaker": "ann", "language": "en"} | fields


ALIGNMENT = {"word": [["she", 0.3, 0.1, 0.9]], "phone": [["SH", 0.3, 0.05], ["IY1", 0.35, 0.05]]}


def write_json(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl"])
@pytest.mark.parametrize("given", ["", "x_recordings_dev.{}", "x_supervisions_dev.{}"])
def test_lhotse_supervisions_are_clips_of_their_recordings(clips, suffix, given):
    folder = clips("wavs/a.wav")
    write_json(folder / f"m/x_recordings_dev.{suffix}", recording("r1", "wavs/a.wav"))
    parts = [supervision("s1", 0.2, 0.5, alignment=ALIGNMENT), supervision("s2", 0.7, 0.4)]
    write_json(folder / f"m/x_supervisions_dev.{suffix}", *parts)
    first, second = load_corpus(str(folder / "m" / given.format(suffix)))
    assert shown([first, second]) == [("s1", "ann", "", "she had", 0.5), ("s2", "ann", "", "she had", 0.3)]
    assert times(first.words) == [("she", 0.1, 0.2)]
    assert times(first.phones) == [("sh", 0.1, 0.15), ("iy", 0.15, 0.2)]


def test_lhotse_cuts_are_clips_and_their_supervisions_count_from_the_cut(clips):
    folder = clips("a.wav")
    cut = {
        "id": "c1", "start": 0.2, "duration": 0.8, "channel": 0, "type": "MonoCut",
        "recording": recording("r1", "a.wav"),
        "supervisions": [supervision("s1", 0.1, 0.5, alignment=ALIGNMENT)],
    }  # fmt: skip
    write_json(folder / "cuts.jsonl.gz", cut)
    (item,) = load_corpus(str(folder / "cuts.jsonl.gz"))
    (whole,) = load_corpus(str(folder))
    assert item.fingerprint() == whole.fingerprint()
    assert item.audio_sha256 != ""
    assert times(item.words) == [("she", 0.2, 0.3)]
    np.testing.assert_allclose(
        item.audio(), soundfile.read(folder / "a.wav", dtype="float32")[0][4800:12_800]
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"recording": recording("r1", "a.wav", kind="command")}, "of type 'command'"),
        ({"recording": recording("r1", "a.wav") | {"transforms": [{"name": "Speed"}]}}, "changed on loading"),
        ({"recording": None, "tracks": []}, "mixes several"),
        ({"channel": [0, 1], "supervisions": [supervision("s2", 0, 1, channel=[0, 1])]}, "channels [0, 1]"),
        ({"channel": 1}, "no source of its recording has channel 1"),
        ({"supervisions": []}, "the transcript is empty"),
        ({"recording": {"id": "r1"}}, "not a supervision of a Lhotse manifest (KeyError('sources'))"),
        ({"supervisions": [supervision("s2", 0.0, 1.5)]}, "ends after the file (1.000 s)"),
    ],
)
def test_a_cut_that_is_no_plain_recording_is_refused_alone(clips, change, reason):
    folder = clips("a.wav")
    good = {
        "id": "c1", "start": 0.0, "duration": 1.0, "channel": 0, "recording": recording("r1", "a.wav"),
        "supervisions": [supervision("s1", 0.0, 1.0)],
    }  # fmt: skip
    bad = good | {"id": "c2", "supervisions": [supervision("s2", 0.0, 1.0)]} | change
    write_json(folder / "cuts.jsonl", good, bad)
    corpus = load_corpus(str(folder / "cuts.jsonl"))
    assert [item.id for item in corpus] == ["s1"]
    assert reason.replace("\\", "") in corpus.refused[0][1]


@pytest.mark.parametrize("row", [{"start": None}, {"supervisions": ["x"]}, {"supervisions": 3}, {"id": None}])
def test_a_file_that_only_looks_like_lhotses_is_one_line(clips, row):
    good = {"id": "c1", "start": 0.0, "recording": recording("r1", "a.wav"), "supervisions": []}
    write_json(clips("a.wav") / "train.jsonl", good | row)
    with pytest.raises(InputError) as caught:
        load_corpus(str(clips() / "train.jsonl"))
    assert "\n" not in str(caught.value)


def test_a_channel_of_lhotse_counts_from_0(clips):
    folder = clips("a.wav", channels=2)
    write_json(folder / "recordings.jsonl", recording("r1", "a.wav", channels=(0, 1)))
    write_json(folder / "supervisions.jsonl", supervision("s1", 0.0, 1.0, channel=1))
    (item,) = load_corpus(str(folder))
    np.testing.assert_allclose(item.audio(), soundfile.read(folder / "a.wav", dtype="float32")[0][:, 1])


def test_supervisions_of_a_cut_of_several_channels_have_their_own(clips):
    folder = clips("a.wav", channels=2)
    cut = {
        "id": "c1", "start": 0.0, "duration": 1.0, "channel": [0, 1], "type": "MultiCut",
        "recording": recording("r1", "a.wav", channels=(0, 1)),
        "supervisions": [supervision("s1", 0, 1, channel=0), supervision("s2", 0, 1, channel=1)],
    }  # fmt: skip
    write_json(folder / "cuts.jsonl", {"id": "c0", "supervisions": [], "features": {}}, cut)
    corpus = load_corpus(str(folder / "cuts.jsonl"))
    channels = soundfile.read(folder / "a.wav", dtype="float32")[0].T
    np.testing.assert_allclose([item.audio() for item in corpus], channels)
    assert "its recording is not there" in corpus.refused[0][1]


def test_a_recording_that_lhotse_resamples_is_read_as_it_is(clips):
    folder = clips("a.wav")
    change = {"name": "Resample", "kwargs": {"source_sampling_rate": RATE, "target_sampling_rate": 8000}}
    write_json(folder / "recordings.jsonl", recording("r1", "a.wav") | {"transforms": [change]})
    write_json(folder / "supervisions.jsonl", supervision("s1", 0.0, 1.0))
    assert len(load_corpus(str(folder))) == 1


def test_lhotse_supervisions_without_recordings_are_one_line(clips):
    folder = clips("a.wav")
    write_json(folder / "supervisions.jsonl.gz", supervision("s1", 0.0, 1.0))
    with pytest.raises(InputError, match="belong together, and one of the two is missing"):
        load_corpus(str(folder))


# --- folders


@pytest.mark.parametrize("suffix", [".WAV", ".WAV.wav", ".wav"])
def test_ldcs_timit_is_read(clips, suffix):
    folder = clips(f"TIMIT/TRAIN/DR1/FCJF0/SA1{suffix}")
    stem = folder / "TIMIT/TRAIN/DR1/FCJF0/SA1"
    write(stem.with_suffix(".TXT"), "0 16000 She had.")
    write(stem.with_suffix(".WRD"), "1600 4800 she", "4800 8000 had")
    write(
        stem.with_suffix(".PHN"), "0 1600 h#", "1600 3200 sh", "3200 4800 iy", "4800 5600 dcl", "5600 8000 d"
    )
    for path in ("TIMIT", "TIMIT/TRAIN"):
        (item,) = load_corpus(str(folder / path))
        assert shown([item]) == [("dr1-fcjf0/sa1", "fcjf0", "female", "She had.", 1.0)]
        assert times(item.phones) == [("sil", 0, 0.1), ("sh", 0.1, 0.2), ("iy", 0.2, 0.3), ("d", 0.3, 0.5)]
        assert (item.accent, dict(item.extra)["sentence_type"]) == ("New England", "sa")
        assert item.language == "en"
    clips("TIMIT/TRAIN/DR1/FCJF0/SA2.WAV")
    stem.with_suffix(".WRD").rename(stem.with_name("SA2.WRD"))
    write(stem.with_name("SI1.PHN"), "0 1600 h#")
    with pytest.raises(
        InputError, match=r"3 were refused, the first: .*SA1\.PHN: \.wrd beside it is missing"
    ):
        load_corpus(str(folder / "TIMIT"))


def test_librispeech_is_read_with_genders(clips):
    folder = clips(*(f"LibriSpeech/dev/61/70968/61-70968-000{number}.flac" for number in (0, 2)))
    write(folder / "LibriSpeech/SPEAKERS.TXT", ";ID |SEX|", "61 | M | dev | 8.0 | Someone")
    write(folder / "LibriSpeech/dev/61/70968/61-70968.trans.txt", "61-70968-0000 HE BEGAN", "61-70968-0001 A")
    corpus = load_corpus(str(folder / "LibriSpeech/dev"))
    assert shown(corpus) == [("61-70968-0000", "61", "male", "HE BEGAN", 1.0)]
    assert "no audio of 61-70968-0001" in corpus.refused[0][1]
    assert "61-70968-0002.flac: no line of a .trans.txt names it" in corpus.refused[1][1]


def test_an_output_of_mfa_is_read_with_a_folder_a_speaker(clips):
    folder = clips("out/ann/a.wav", "out/bob/b.wav")
    words = [(0.1, 0.3, "she"), (0.3, 0.4, "<unk>"), (0.4, 0.6, "had")]
    write_grid(folder / "out/ann/a.TextGrid", words=words, phones=[(0.1, 0.2, "ʃ"), (0.2, 0.3, "iː")])
    write_grid(folder / "out/bob/b.TextGrid", words=words, phones=[(0.1, 0.2, "tʰ"), (0.3, 0.4, "spn")])
    write(folder / "out/bob/b.lab", "She, uh, had.")
    write(folder / "out/alignment_analysis.csv", "file,begin", "a,0")
    first, second = corpus = load_corpus(str(folder / "out"))
    assert shown(corpus) == [("ann/a", "ann", "", "she had", 1.0), ("bob/b", "bob", "", "She, uh, had.", 1.0)]
    assert [phone.label for phone in first.phones if phone.label != "sil"] == ["sh", "iy"]
    assert [word.label for word in second.words] == ["she", "had"]
    assert any("did not know some words" in note.message for note in corpus.notes)
    write(folder / "out/bob/lost.lab", "Gone.")
    assert "bob/lost.lab: no audio" in load_corpus(str(folder / "out")).refused[0][1]
    (folder / "out/ann/a.wav").unlink()
    with pytest.raises(
        InputError, match=r"1 TextGrid has no audio of the same name beside it \(a\.TextGrid\)"
    ):
        load_corpus(str(folder / "out"))


@pytest.mark.parametrize(("place", "speaker"), [("ann/a", "ann"), ("a", "")])
def test_textgrids_may_lie_apart_from_the_audio_in_folders_of_the_same_names(clips, place, speaker):
    folder = clips(f"corpus/{place}.wav")
    write(folder / f"corpus/{place}.lab", "She had.")
    write_grid(folder / f"aligned/{place}.TextGrid", words=[(0.1, 0.3, "she")], phones=[(0.1, 0.2, "ʃ")])
    (item,) = corpus = load_corpus(str(folder))
    assert shown(corpus) == [(f"corpus/{place}", speaker, "", "She had.", 1.0)]
    assert times(item.words) == [("she", 0.1, 0.3)]
    with pytest.raises(InputError, match="give the folder that holds both"):
        load_corpus(str(folder / "aligned"))


def test_a_folder_with_metadata_is_read_by_it(clips):
    folder = clips("set/train/a.wav")
    write(folder / "set/metadata.csv", "file_name,transcription", "train/a.wav,She had.")
    assert shown(load_corpus(str(folder / "set"))) == [("train/a", "", "", "She had.", 1.0)]
    (folder / "set/metadata.csv").rename(folder / "set/train/metadata.csv")
    with pytest.raises(InputError, match=r"tables of their own \(train/metadata.csv\)"):
        load_corpus(str(folder / "set"))


def test_common_voice_is_read_by_one_of_its_tables(clips):
    folder = clips("en/clips/common_voice_en_1.wav")
    write(folder / "en/test.tsv", "client_id\tpath\tsentence\tgender\taccents\tlocale\tsegment")
    with (folder / "en/test.tsv").open("a") as file:
        file.write('x1\tcommon_voice_en_1.wav\tShe said "no.\tfemale_feminine\t\ten\t\n')
    expected = [("common_voice_en_1", "x1", "female", 'She said "no.', 1.0)]
    assert (
        shown(load_corpus(str(folder / "en/test.tsv"))) == shown(load_corpus(str(folder / "en"))) == expected
    )
    write(folder / "en/dev.tsv", "path\tsentence")
    with pytest.raises(InputError, match=r"several tables \(dev\.tsv, test\.tsv\); give the path of one"):
        load_corpus(str(folder / "en"))


def test_a_table_may_be_gzipped(clips):
    folder = clips("a.wav")
    (folder / "my.csv.gz").write_bytes(gzip.compress(b"audio,text,channels\na.wav,x,1\n"))
    (item,) = corpus = load_corpus(str(folder / "my.csv.gz"))
    assert (corpus.name, item.extra) == ("my", (("channels", "1"),))


def test_a_list_of_objects_is_a_table_too(clips):
    folder = clips("a.wav")
    (folder / "train.json").write_text(json.dumps([{"audio_filepath": "a.wav", "text": "x"}], indent=1))
    assert shown(load_corpus(str(folder / "train.json"))) == [("a", "", "", "x", 1.0)]


@pytest.mark.parametrize("name", [".", "notes.docx"])
def test_what_is_not_understood_is_one_line_that_lists_what_is(tmp_path, name):
    (tmp_path / "notes.docx").write_text("x")
    with pytest.raises(InputError, match=r"not understood; give a table .* Kaldi .* Lhotse .* TIMIT"):
        load_corpus(str(tmp_path / name))


def test_a_plus_a_tilde_and_an_address_of_a_file_are_parts_of_paths(clips, monkeypatch):
    folder = clips("a+b/a.wav", "a+b/b.wav")
    monkeypatch.setenv("HOME", str(folder))
    for name in "ab":
        write(folder / f"a+b/{name}.csv", "audio,text", f"~/a+b/{name}.wav,x")
    one, other = folder / "a+b/a.csv", folder / "a+b/b.csv"
    assert shown(load_corpus(str(one))) == shown(load_corpus("~/a+b/a.csv")) == [("a", "", "", "x", 1.0)]
    assert [item.id for item in load_corpus(one.as_uri())] == ["a"]
    assert [item.id for item in load_corpus(f"{one}+{other}")] == ["a", "b"]


def test_any_layout_can_be_aligned(clips):
    folder = kaldi(clips, segments=["u1 r1 0.1 0.5"], text=["u1 she"], ctm=["u1 1 0 0.1 x"])
    corpus = align_manifest(folder, folder / "out.jsonl", lambda audio, text: ((), ()))
    assert shown(corpus) == [("u1", "", "", "she", 0.4)]
    assert corpus.items[0].audio_sha256 == load_corpus(str(folder)).items[0].audio_sha256


def test_a_linked_folder_is_read_and_not_twice(clips, tmp_path):
    clips("elsewhere/bob/b.wav")
    write(tmp_path / "elsewhere/bob/b.lab", "go on")
    folder = clips("corpus/ann/a.wav") / "corpus"
    write(folder / "ann/a.lab", "go")
    (folder / "bob").symlink_to(tmp_path / "elsewhere/bob")
    assert {item.speaker for item in load_corpus(str(folder))} == {"ann", "bob"}
    (folder / "ann/all").symlink_to(folder)
    with pytest.raises(InputError, match="the same folder as"):
        load_corpus(str(folder))


def test_a_folder_that_cannot_be_read_is_told(clips, monkeypatch):
    folder = clips("corpus/ann/a.wav", "corpus/bob/b.wav") / "corpus"
    for name in ("ann/a", "bob/b"):
        write(folder / f"{name}.lab", "go")
    listed = os.scandir

    def refuse(path):
        if str(path).endswith("bob"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="bob: Permission denied; make it readable"):
        load_corpus(str(folder))


def test_names_that_differ_only_in_case_are_not_mixed(clips):
    folder = clips("corpus/ann/S1.wav", "corpus/ann/s1.wav") / "corpus"
    write(folder / "ann/S1.lab", "go")
    write(folder / "ann/s1.lab", "stay")
    with pytest.raises(InputError, match="differ only in case"):
        load_corpus(str(folder))


def test_aiff_is_audio(clips):
    folder = clips("corpus/ann/a.aiff") / "corpus"
    write(folder / "ann/a.lab", "go")
    assert shown(load_corpus(str(folder))) == [("ann/a", "ann", "", "go", 1.0)]
