"""Manifests: what a user writes, what comes of it, and the line that says what is wrong."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifests import LINE, PHONES, WORDS, write

from innerear.data.manifest import load_manifest
from innerear.data.schema import Segment
from innerear.util.errors import InputError


def test_a_line_becomes_an_item(corpora):
    corpus = load_manifest(
        write(corpora, LINE | {"phones": PHONES, "words": WORDS, "target": "sea", "take": 2})
    )
    (item,) = corpus
    assert (item.id, item.text, item.speaker, item.gender, item.language) == (
        "clips/a", "She.", "ann", "female", ""
    )  # fmt: skip
    assert item.phones == (Segment("sh", 0.0, 0.2), Segment("iy", 0.2, 0.5))
    assert item.words == (Segment("she", 0.0, 0.5),)
    assert item.extra == (("take", "2"), ("target", "sea"))
    assert item.audio().shape == (8000,)
    assert (corpus.name, corpus.human, corpus.refused) == ("my", True, ())


@pytest.mark.parametrize("name", ["my.jsonl", "my.csv"])
def test_a_clip_without_speech_says_so_and_keeps_its_kind(corpora, name):
    mute = {"audio": "clips/b.wav", "text": "", "speaker": "fan", "speech": False, "kind": "hum"}
    if name == "my.csv":
        (corpora / name).write_text("audio,text,speaker,speech,kind\nclips/b.wav,,fan,false,hum\n")
    else:
        write(corpora, mute)
    (item,) = load_manifest(corpora / name)
    assert (item.text, item.speaker, item.extra) == ("", "fan", (("kind", "hum"),))


def test_the_place_of_a_manifest_does_not_change_the_corpus(corpora, tmp_path):
    bad = LINE | {"id": "b", "textgrid": "absent.TextGrid"}
    here = load_manifest(write(corpora, LINE, bad))
    moved = corpora.rename(corpora.with_name("moved"))
    there = load_manifest(moved / "my.jsonl")
    assert (here.fingerprint(), here.source, here.refused) == (
        there.fingerprint(),
        there.source,
        there.refused,
    )


def test_phones_come_from_a_ctm_by_id_or_by_file_name(corpora):
    (corpora / "p.ctm").write_text("a 1 0.0 0.2 SH\nid-b 1 0.1 0.2 IY1\n")
    (corpora / "w.ctm").write_text("a 1 0.0 0.2 she\nid-b 1 0.1 0.2 <eps>\n")
    labelled = LINE | {"ctm": "p.ctm", "word_ctm": "w.ctm"}
    first, second = load_manifest(write(corpora, labelled, labelled | {"id": "id-b"}))
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
def test_a_bad_clip_among_good_ones_is_refused_with_its_line(corpora, change, reason):
    path = write(corpora, LINE, "", LINE | {"id": "bad"} | change)
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
        ({"audio": "clips/b.wav", "speaker": "b"}, "the column 'text' is missing"),
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
def test_a_malformed_manifest_is_an_error_with_its_line(corpora, line, reason):
    path = write(corpora, LINE, line)
    if reason is None:
        assert dict(load_manifest(path).items[1].extra) == {"gendre": "f"}
        return
    with pytest.raises(InputError, match=rf"^my\.jsonl:2: .*{reason}") as caught:
        load_manifest(path)
    assert "\n" not in str(caught.value)


def test_a_manifest_that_is_absent_or_no_text_is_an_error(corpora):
    with pytest.raises(InputError, match="No such file"):
        load_manifest(corpora / "none.jsonl")
    (corpora / "bytes.jsonl").write_bytes(b"\xff\xfe{")
    with pytest.raises(InputError, match="not UTF-8"):
        load_manifest(corpora / "bytes.jsonl")


def test_a_second_path_of_the_audio_is_no_label(corpora):
    (item,) = load_manifest(write(corpora, LINE | {"path": str(corpora / "clips/a.wav"), "take": "/r/"}))
    assert item.extra == (("take", "/r/"),)
    (corpora / "p.ctm").write_text("other 1 0 0.1 SH\n")
    with pytest.raises(InputError, match=r"my\.jsonl:1: p\.ctm: no line of clip"):
        load_manifest(write(corpora, LINE | {"ctm": str(corpora / "p.ctm")}))


def test_phones_of_other_languages_are_left_out_and_said(corpora):
    german = LINE | {"language": "de", "phones": [{"label": "ʏ", "start": 0, "end": 0.1}]}
    (item,) = corpus = load_manifest(write(corpora, german))
    assert item.phones == ()
    assert corpus.notes[0].message == "phones of language de are not read: the classes are English (clips: 1)"


@pytest.mark.parametrize("name", ["x" * 5000, "~nobody-here/a.wav", "\\", "clips\\none.wav"])
def test_any_name_of_a_file_that_is_not_there_is_one_refused_clip(corpora, name):
    corpus = load_manifest(write(corpora, LINE, LINE | {"id": "b", "audio": name}))
    assert re.search("cannot read the audio|a folder, where a file is expected", corpus.refused[0][1])


def test_an_address_is_not_fetched(corpora):
    corpus = load_manifest(write(corpora, LINE, LINE | {"id": "b", "audio": "https://example.org/a.wav"}))
    assert "an address, not a file" in corpus.refused[0][1]


def test_phone_labels_of_other_sets_are_read_as_the_whole_corpus_tells(corpora):
    def phones(text):
        return [
            {"label": label, "start": at / 10, "end": (at + 1) / 10} for at, label in enumerate(text.split())
        ]

    lines = [LINE | {"id": text, "phones": phones(text)} for text in ("D I s", "T S", "spn i:")]
    corpus = load_manifest(write(corpora, *lines))
    found = [[phone.label for phone in item.phones] for item in corpus]
    assert found == [["dh", "ih", "s"], ["th", "sh"], ["sil", "iy"]]
    assert [note.message for note in corpus.notes] == [
        "phone labels are read as sampa in 3 clips; the column phone_set states a set",
        "labels of noise or unwritten speech, which no task scores: 1 × spn",
    ]
    stated = load_manifest(
        write(corpora, lines[1] | {"phone_set": "arpabet"}, lines[0] | {"phone_set": "sampa"})
    )
    assert [phone.label for phone in stated.items[0].phones] == ["t", "s"]
    assert load_manifest(write(corpora, lines[1])).notes[0].severity == "warning"


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


def test_labels_nested_without_end_are_one_line(corpora):
    with pytest.raises(InputError, match="nested too deeply"):
        load_manifest(write(corpora, LINE | {"words": "[" * 99_999}))
