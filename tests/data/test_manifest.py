"""Manifests: what a user writes, what comes of it, and the line that says what is wrong."""

import csv
import json

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from innerear.data.manifest import align_manifest, load_manifest
from innerear.data.schema import Segment
from innerear.util.errors import InputError

PHONES = [{"label": "SH", "start": 0.0, "end": 0.2}, {"label": "IY1", "start": 0.2, "end": 0.5}]
WORDS = [{"text": "she", "start": 0.0, "end": 0.5}]
LINE = {"audio": "clips/a.wav", "text": "She.", "speaker": "ann", "gender": "F"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "clips").mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, 22_050)
    for name in "abc":
        soundfile.write(tmp_path / f"clips/{name}.wav", noise, 44_100)
    return tmp_path


def write(folder, *lines, name="my.jsonl"):
    path = folder / name
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_a_line_becomes_an_item(folder):
    corpus = load_manifest(
        write(folder, LINE | {"phones": PHONES, "words": WORDS, "target": "sea", "take": 2})
    )
    (item,) = corpus
    assert (item.id, item.text, item.speaker, item.gender, item.language) == (
        "clips/a", "She.", "ann", "female", "en"
    )  # fmt: skip
    assert item.phones == (Segment("sh", 0.0, 0.2), Segment("iy", 0.2, 0.5))
    assert item.words == (Segment("she", 0.0, 0.5),)
    assert item.extra == (("take", "2"), ("target", "sea"))
    assert item.audio().shape == (8000,)
    assert (corpus.name, corpus.human, corpus.refused) == ("my", True, ())


def test_csv_says_the_same_as_jsonl(folder):
    line = LINE | {"phones": PHONES, "words": WORDS, "target": "sea"}
    with (folder / "my.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, [*line, "condition"])
        writer.writeheader()
        writer.writerow({k: v if isinstance(v, str) else json.dumps(v) for k, v in line.items()})
    from_csv = load_manifest(folder / "my.csv")
    assert from_csv.fingerprint() == load_manifest(write(folder, line)).fingerprint()


@pytest.mark.parametrize("name", ["my.jsonl", "my.csv"])
def test_a_clip_without_speech_says_so_and_keeps_its_kind(folder, name):
    mute = {"audio": "clips/b.wav", "text": "", "speaker": "fan", "speech": False, "kind": "hum"}
    if name == "my.csv":
        (folder / name).write_text("audio,text,speaker,speech,kind\nclips/b.wav,,fan,false,hum\n")
    else:
        write(folder, mute)
    (item,) = load_manifest(folder / name)
    assert (item.text, item.speaker, item.extra) == ("", "fan", (("kind", "hum"),))


def test_the_place_of_a_manifest_does_not_change_the_corpus(folder, tmp_path):
    bad = LINE | {"id": "b", "textgrid": "absent.TextGrid"}
    here = load_manifest(write(folder, LINE, bad))
    moved = folder.rename(folder.with_name("moved"))
    there = load_manifest(moved / "my.jsonl")
    assert (here.fingerprint(), here.source, here.refused) == (
        there.fingerprint(),
        there.source,
        there.refused,
    )


def test_phones_come_from_a_ctm_by_id_or_by_file_name(folder):
    (folder / "p.ctm").write_text("a 1 0.0 0.2 SH\nid-b 1 0.1 0.2 IY1\n")
    (folder / "w.ctm").write_text("a 1 0.0 0.2 she\nid-b 1 0.1 0.2 <eps>\n")
    labelled = LINE | {"ctm": "p.ctm", "word_ctm": "w.ctm"}
    first, second = load_manifest(write(folder, labelled, labelled | {"id": "id-b"}))
    assert (first.phones[0].label, first.words[0].label) == ("sh", "she")
    assert (second.phones[0].label, second.words) == ("iy", ())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"audio": "clips/none.wav"}, r"none\.wav: cannot read the audio \(No such file"),
        ({"text": " "}, "the transcript is empty"),
        ({"text": "", "speech": True}, "the transcript is empty"),
        ({"text": "Um.", "speech": False}, '"speech" is false, but there is a transcript'),
        ({"phones": [{"label": "ZZ", "start": 0, "end": 0.1}]}, "unknown phone label 'ZZ'"),
        ({"phones": [{"label": "SH", "start": 0.2, "end": 0.7}]}, r"ends after the clip \(0.500 s\)"),
        ({"phones": PHONES[::-1]}, "begins before the last one ends"),
        ({"phones": [{"label": "SH", "start": 0.2, "end": 0.1}]}, "no possible time"),
        ({"phones": [{"label": "SH", "start": -0.1, "end": 0.1}]}, "no possible time"),
        ({"words": [{"text": "a", "start": 0.2, "end": float("nan")}]}, "no possible time"),
        ({"textgrid": "no.TextGrid"}, "no such TextGrid"),
        ({"ctm": "no.ctm"}, "cannot read the CTM file"),
        ({"ctm": "my.jsonl"}, "no line of clip 'bad'"),
        ({"ctm": "x.ctm", "phones": PHONES}, "more than one of"),
    ],
)
def test_a_bad_clip_among_good_ones_is_refused_with_its_line(folder, change, reason):
    path = write(folder, LINE, "", LINE | {"id": "bad"} | change)
    corpus = load_manifest(path)
    ((refused, why),) = corpus.refused
    assert ([item.id for item in corpus], refused) == (["clips/a"], "bad")
    with pytest.raises(InputError, match=rf"^my\.jsonl:3: .*{reason}") as caught:
        load_manifest(path, strict=True)
    assert str(caught.value) == why
    assert "\n" not in why


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{'audio': 1}", "not JSON"),
        ("[1, 2]", "a list, not a JSON object"),
        ({"audio": "clips/b.wav", "text": "x"}, "the column 'speaker' is missing"),
        ({"text": "x", "speaker": "b"}, "the column 'audio' is missing"),
        (LINE | {"id": "b", "gendre": "f", "gender": "f"}, None),
        ({"audio": "clips/b.wav", "text": "x", "speaker": "b", "gendre": "f"}, "did you mean 'gender'"),
        (LINE | {"id": "b", "phones": [{"label": "SH", "start": "soon", "end": 1}]}, "phones.0.start: "),
        (LINE | {"id": "b", "phones": [{"label": "SH"}]}, "phones.0.start: "),
        (LINE | {"id": "b", "phones": "SH IY"}, "phones: "),
        (LINE | {"id": "b", "text": ["x"]}, "text: "),
        (LINE | {"id": "b", "text": "", "speech": "perhaps"}, "speech: "),
        (LINE | {"id": "b", "text": "", "speach": False}, "did you mean 'speech'"),
        (LINE, r"id 'clips/a' is that of my\.jsonl:1, too"),
    ],
)
def test_a_malformed_manifest_is_an_error_with_its_line(folder, line, reason):
    path = write(folder, LINE, line)
    if reason is None:
        assert dict(load_manifest(path).items[1].extra) == {"gendre": "f"}
        return
    with pytest.raises(InputError, match=rf"^my\.jsonl:2: .*{reason}") as caught:
        load_manifest(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("audio,text\na.wav,x\n", r"my\.csv:2: the column 'speaker' is missing"),
        ("audio,text,speaker\na.wav,x,b,c\n", r"my\.csv:2: not as many cells"),
        ("audio,text,speaker\na.wav\n", r"my\.csv:2: not as many cells"),
        ('audio,text,speaker\n"a.wav,x,b\n', "not CSV"),
        ("audio,text,speaker\n", "the manifest is empty"),
        ("", "the manifest is empty"),
    ],
)
def test_a_malformed_csv_is_an_error_with_its_line(folder, text, reason):
    (folder / "my.csv").write_text(text)
    with pytest.raises(InputError, match=reason):
        load_manifest(folder / "my.csv")


def test_a_manifest_that_is_absent_or_no_text_is_an_error(folder):
    with pytest.raises(InputError, match="No such file"):
        load_manifest(folder / "none.jsonl")
    (folder / "bytes.jsonl").write_bytes(b"\xff\xfe{")
    with pytest.raises(InputError, match="not UTF-8"):
        load_manifest(folder / "bytes.jsonl")


def refused(path):
    try:
        load_manifest(path)
    except InputError as error:
        return str(error)
    return ""


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
columns = st.sampled_from(["audio", "text", "speaker", "id", "phones", "words", "textgrid", "ctm", "other"])


@given(st.dictionaries(columns, json_values) | json_values)
def test_any_json_gives_a_corpus_or_one_line(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("any") / "x.jsonl"
    path.write_text(json.dumps(value))
    assert len(refused(path).splitlines()) == 1


def test_aligning_writes_a_manifest_that_loads_with_the_new_labels(folder):
    def align(audio, text):
        if text == "Mumble.":
            raise InputError("the words are not in the audio")
        return [Segment("she", 0.0, 0.5)], [Segment("sh", 0.0, 0.2), Segment("iy", 0.2, 0.5)]

    old = LINE | {"ctm": "absent.ctm", "take": 2}
    path = write(folder, old, LINE | {"id": "m", "text": "Mumble."})
    (folder / "out").mkdir()
    corpus = align_manifest(path, folder / "out/aligned.jsonl", align)
    (item,) = corpus
    assert [phone.label for phone in item.phones] == ["sh", "iy"]
    assert (item.id, item.gender, item.extra) == ("clips/a", "female", (("take", "2"),))
    assert item.audio().shape == (8000,)
    assert corpus.refused == (("m", "my.jsonl:2: the words are not in the audio"),)
    assert corpus.fingerprint() == load_manifest(folder / "out/aligned.jsonl").fingerprint()


def test_aligning_passes_over_clips_without_speech(folder):
    def align(audio, text):
        assert text
        return [Segment("she", 0.0, 0.5)], [Segment("sh", 0.0, 0.2), Segment("iy", 0.2, 0.5)]

    path = write(folder, LINE, {"audio": "clips/b.wav", "text": "", "speaker": "fan", "speech": False})
    spoken, mute = align_manifest(path, folder / "out.jsonl", align)
    assert (len(spoken.phones), mute.text, mute.words, mute.phones) == (2, "", (), ())


def test_aligning_nothing_writes_nothing(folder):
    path = write(folder, LINE | {"audio": "clips/none.wav"})
    with pytest.raises(InputError, match="no clip could be aligned"):
        align_manifest(path, folder / "out.jsonl", lambda audio, text: ((), ()))
    with pytest.raises(InputError, match="name the output"):
        align_manifest(path, folder / "out.csv", lambda audio, text: ((), ()))
    assert not list(folder.glob("out*"))
