"""Manifests: what a user writes, what comes of it, and the line that says what is wrong."""

import csv
import json
import re
import unicodedata

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from praatio import textgrid

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
        "clips/a", "She.", "ann", "female", ""
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
        ("audio,speaker\na.wav,x\n", r"my\.csv:2: the column 'text' is missing"),
        ("audio,text,speaker\na.wav,x,b,c\n", r"my\.csv:2: not as many cells"),
        ("audio,text,speaker\na.wav\n", r"my\.csv:2: not as many cells"),
        ('audio,text,speaker\n"a.wav,x,b\n', "not CSV"),
        ("audio,text,text\na.wav,x,y\n", r"my\.csv:1: the column 'text' is there twice"),
        ("audio,text,speaker\n", "the manifest is empty"),
        ("a1|She, then|she then\na2|Sea|sea, b\n", r"my\.csv:1: no column of audio among 'a1', 'She, then'"),
        ("clips/a.wav,She.\n", r"my\.csv:1: no column of audio .*; the first line names the columns"),
        ("audio;text;start\nclips/a.wav;She.;0,1\n", r"my\.csv:2: start: .* number, not '0,1'; correct"),
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


def test_names_of_columns_in_other_tools_mean_the_same(folder):
    nemo = {"audio_filepath": "clips/a.wav", "text": "She.", "duration": 0.5, "pred_text": "he", "offset": 0}
    voice = {
        "path": "b.wav",
        "sentence": "Sea.",
        "client_id": "x1",
        "gender": "male_masculine",
        "locale": "en",
    }
    face = {"file_name": "clips/c.wav", "transcription": "See.", "Speaker ID": 7.0}
    first, second, third = load_manifest(write(folder, nemo, voice, face))
    assert (first.text, first.speaker, first.cluster, first.extra) == (
        "She.", "", "clips/a_0_0.5", (("pred_text", "he"),)
    )  # fmt: skip
    assert (second.id, second.speaker, second.gender, second.language) == ("b", "x1", "male", "en")
    assert (third.text, third.speaker) == ("See.", "7")


@pytest.mark.parametrize(
    ("written", "speaker"),
    [
        (1001.0, "1001"),
        (1001, "1001"),
        ("1001.0", "1001"),
        (None, ""),
        (float("nan"), ""),
        ("nan", ""),
        ("", ""),
    ],
)
def test_a_speaker_is_one_however_pandas_writes_it(folder, written, speaker):
    (item,) = load_manifest(write(folder, LINE | {"speaker": written, "accent": None, "take": float("nan")}))
    assert (item.speaker, item.accent, item.extra) == (speaker, "", ())


def test_no_value_is_no_label_but_none_may_be_one(folder):
    (item,) = load_manifest(write(folder, LINE | {"emotion": "nan", "take": "<NA>", "noise": "none"}))
    assert dict(item.extra) == {"noise": "none"}


def test_the_language_of_a_clip_is_what_is_spoken_and_translations_are_no_transcripts(folder):
    german = LINE | {"source_lang": "de", "target_lang": "de-DE"}
    corpus = load_manifest(write(folder, german, german | {"id": "b", "target_lang": "en"}))
    assert [item.language for item in corpus] == ["de"]
    assert "the text is a translation (target_lang en)" in corpus.refused[0][1]


@pytest.mark.parametrize("name", ["clips/e\u0301.wav", "clips/\xe9.wav"])
def test_letters_with_accents_are_found_however_they_are_composed(folder, name):
    (folder / "clips/a.wav").rename(folder / unicodedata.normalize("NFD", name))
    assert len(load_manifest(write(folder, {"audio": name, "text": "She."}))) == 1


def test_a_null_transcript_or_path_refuses_that_clip_alone(folder):
    lines = [LINE, LINE | {"id": "b", "text": None}, {"audio": None, "text": "x", "id": "c"}]
    corpus = load_manifest(write(folder, *lines))
    assert [name for name, _ in corpus.refused] == ["b", "c"]
    assert [reason.split(": ", 1)[1] for _, reason in corpus.refused] == [
        "clips/a.wav: the transcript is empty; write what is said or remove the clip",
        "the column 'audio' is empty; name the file or remove the line",
    ]


def test_none_is_a_transcript_and_two_columns_are_not_one(folder):
    (item,) = load_manifest(write(folder, LINE | {"text": "None"}))
    assert item.text == "None"
    both = {"audio": "clips/a.wav", "sentence": "x", "transcript": "y"}
    with pytest.raises(
        InputError, match=r"^my\.jsonl:1: columns 'transcript' and 'sentence' could both be 'text'"
    ):
        load_manifest(write(folder, both))


@pytest.mark.parametrize(
    "text",
    [
        "audio;text;speaker\nclips/a.wav;She, then.;ann\n",
        "audio\ttext\tspeaker\nclips/a.wav\tShe, then.\tann\n",
        'audio,text,speaker\n,,\n\nclips/a.wav,"She, then.",ann\n',
        "\n\r\naudio\ttext\tspeaker\r\nclips/a.wav\tShe, then.\tann\r\n",
        "sep=;\r\naudio;text;speaker\r\nclips/a.wav;She, then.;ann\r\n",
        '\ufeffaudio\ttext\tspeaker\nclips/a.wav\t"She, then."\tann\n',
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_cells_are_separated_by_commas_semicolons_or_tabs(folder, text, suffix):
    (folder / f"my.{suffix}").write_text(text)
    (item,) = load_manifest(folder / f"my.{suffix}")
    assert (item.text, item.speaker) == ("She, then.", "ann")


def test_what_parts_the_columns_is_told_by_the_name_of_the_audio(folder):
    (folder / "my.tsv").write_text("audio\ttext\tnote (a, b; c, d)\nclips/a.wav\tShe.\tx\n")
    (item,) = load_manifest(folder / "my.tsv")
    assert (item.text, dict(item.extra)) == ("She.", {"note (a, b; c, d)": "x"})


def test_a_quotation_mark_in_a_tab_separated_sentence_is_a_letter(folder):
    (folder / "my.tsv").write_text('path\tsentence\na.wav\t"Sea" is "see"\nb.wav\tShe said "no\n')
    assert [item.text for item in load_manifest(folder / "my.tsv")] == ['"Sea" is "see"', 'She said "no']


@pytest.mark.parametrize(
    "column",
    [
        "start_ms", "end_samples", "onset", "Start (ms)", "begin[s]", "seg_start", "segment_end_time",
        "frame_offset", "audio_start", "t0", "tmin", "t_end", "endTime",
    ],
)  # fmt: skip
def test_bounds_that_are_not_understood_are_never_passed_over(folder, column):
    corpus = load_manifest(write(folder, LINE, LINE | {"id": "b", column: 1}))
    assert f"the column {column!r} is not understood" in corpus.refused[0][1]


def test_segments_of_one_recording_are_clips_of_their_own(folder):
    line = {"audio": "clips/a.wav", "text": "She."}
    first, second = load_manifest(
        write(folder, line | {"offset": 0.1, "duration": 0.2}, line | {"start": 0.3, "end": 0.45})
    )
    assert [item.id for item in (first, second)] == ["clips/a_0.1_0.3", "clips/a_0.3_0.45"]
    assert (first.duration, second.duration) == (0.2, 0.15)
    assert first.audio_sha256 != second.audio_sha256
    np.testing.assert_allclose(first.audio().shape, 3200)


def test_labels_of_a_segment_are_its_own_inline_and_cut_from_those_of_its_recording(folder):
    (folder / "p.ctm").write_text("a 1 0.0 0.2 SH\na 1 0.2 0.3 IY1\nown 1 0.0 0.1 S\n")
    segment = LINE | {"start": 0.15, "end": 0.45}
    inline, recording, own = load_manifest(
        write(
            folder,
            segment | {"id": "inline", "phones": [{"label": "SH", "start": 0, "end": 0.1}]},
            segment | {"id": "recording", "ctm": "p.ctm"},
            segment | {"id": "own", "ctm": "p.ctm"},
        )
    )
    assert inline.phones == (Segment("sh", 0, 0.1),)
    ((phone),) = recording.phones
    assert (phone.label, phone.start, phone.end) == ("iy", pytest.approx(0.05), pytest.approx(0.3))
    assert own.phones == (Segment("s", 0.0, 0.1),)


def test_two_channels_of_a_ctm_are_two_recordings(folder):
    (folder / "p.ctm").write_text("a A 0.0 0.2 SH\na B 0.1 0.2 IY1\n")
    line = LINE | {"ctm": "p.ctm"}
    corpus = load_manifest(write(folder, line | {"channel": "A"}, line | {"channel": 2}, line | {"id": "x"}))
    assert [(item.id, item.phones[0].label) for item in corpus] == [("clips/a_A", "sh"), ("clips/a_2", "iy")]
    ((name, reason),) = corpus.refused
    assert name == "x"
    assert "channels A, B of one clip are two recordings" in reason


def test_absolute_paths_never_become_ids(folder, tmp_path_factory):
    inside = (folder / "clips/a.wav").as_uri()
    other = tmp_path_factory.mktemp("else") / "deep"
    other.mkdir()
    outside = [other / "x.wav", other / "y+z.wav"]
    for path in outside:
        path.write_bytes((folder / "clips/b.wav").read_bytes())
    gone = other / "gone.wav"
    corpus = load_manifest(
        write(folder, *({"audio": str(path), "text": "x"} for path in (inside, *outside, gone)))
    )
    assert [item.id for item in corpus] == ["clips/a", "x", "y+z"]
    assert corpus.refused[0][0] == "gone"
    assert str(other) not in corpus.refused[0][1]


def write_grid(path, start, end):
    grid = textgrid.Textgrid(start, end)
    for name, label in (("words", "she"), ("phones", "IY1"), ("gestures", "nod")):
        entry = (start + 0.1, start + 0.3, label)
        grid.addTier(textgrid.IntervalTier(name, [entry], start, end))
    grid.save(str(path), format="long_textgrid", includeBlankSpaces=True)


@pytest.mark.parametrize(
    ("grid", "bounds", "times"),
    [
        ((0.0, 0.5), {}, (0.1, 0.3)),
        ((12.5, 13.0), {}, (0.1, 0.3)),
        ((0.05, 0.45), {}, (0.15, 0.35)),
        ((0.0, 0.5), {"start": 0.05, "end": 0.45}, (0.05, 0.25)),
        ((0.0, 0.3), {"start": 0.1, "end": 0.4}, (0.1, 0.3)),
        ((0.1, 0.4), {"start": 0.1, "end": 0.4}, (0.1, 0.3)),
    ],
)
def test_times_of_a_textgrid_are_those_of_the_clip_or_of_its_recording(folder, grid, bounds, times):
    write_grid(folder / "a.TextGrid", *grid)
    (item,) = load_manifest(write(folder, LINE | {"textgrid": "a.TextGrid"} | bounds))
    ((word),) = item.words
    assert (word.start, word.end) == (pytest.approx(times[0]), pytest.approx(times[1]))
    assert item.phones[-1].end <= item.duration


@pytest.mark.parametrize(("end", "said"), [(0.5, False), (0.45, False), (0.35, True)])
def test_a_textgrid_of_another_length_than_its_audio_is_said(folder, end, said):
    write_grid(folder / "a.TextGrid", 0.0, end)
    corpus = load_manifest(write(folder, LINE | {"textgrid": "a.TextGrid"}))
    assert any("not as long as its audio" in note.message for note in corpus.notes) == said


def test_a_textgrid_of_neither_the_clip_nor_the_recording_is_refused(folder):
    write_grid(folder / "a.TextGrid", 5.0, 6.0)
    bad = LINE | {"id": "b", "start": 0.1, "end": 0.4, "textgrid": "a.TextGrid"}
    corpus = load_manifest(write(folder, LINE, bad))
    assert "it covers 5.000 to 6.000 s, neither the clip (0.300 s) nor its recording" in corpus.refused[0][1]


def test_a_second_path_of_the_audio_is_no_label(folder):
    (item,) = load_manifest(write(folder, LINE | {"path": str(folder / "clips/a.wav"), "take": "/r/"}))
    assert item.extra == (("take", "/r/"),)
    (folder / "p.ctm").write_text("other 1 0 0.1 SH\n")
    with pytest.raises(InputError, match=r"my\.jsonl:1: p\.ctm: no line of clip"):
        load_manifest(write(folder, LINE | {"ctm": str(folder / "p.ctm")}))


def test_phones_of_other_languages_are_left_out_and_said(folder):
    german = LINE | {"language": "de", "phones": [{"label": "ʏ", "start": 0, "end": 0.1}]}
    (item,) = corpus = load_manifest(write(folder, german))
    assert item.phones == ()
    assert corpus.notes[0].message == "phones of language de are not read: the classes are English (clips: 1)"


@pytest.mark.parametrize("name", ["x" * 5000, "~nobody-here/a.wav", "\\", "clips\\none.wav"])
def test_any_name_of_a_file_that_is_not_there_is_one_refused_clip(folder, name):
    corpus = load_manifest(write(folder, LINE, LINE | {"id": "b", "audio": name}))
    assert re.search("cannot read the audio|a folder, where a file is expected", corpus.refused[0][1])


def test_an_address_is_not_fetched(folder):
    corpus = load_manifest(write(folder, LINE, LINE | {"id": "b", "audio": "https://example.org/a.wav"}))
    assert "an address, not a file" in corpus.refused[0][1]


def test_phone_labels_of_other_sets_are_read_as_the_whole_corpus_tells(folder):
    def phones(text):
        return [
            {"label": label, "start": at / 10, "end": (at + 1) / 10} for at, label in enumerate(text.split())
        ]

    lines = [LINE | {"id": text, "phones": phones(text)} for text in ("D I s", "T S", "spn i:")]
    corpus = load_manifest(write(folder, *lines))
    found = [[phone.label for phone in item.phones] for item in corpus]
    assert found == [["dh", "ih", "s"], ["th", "sh"], ["sil", "iy"]]
    assert [note.message for note in corpus.notes] == [
        "phone labels are read as sampa in 3 clips; the column phone_set states a set",
        "labels of noise or unwritten speech, which no task scores: 1 × spn",
    ]
    stated = load_manifest(
        write(folder, lines[1] | {"phone_set": "arpabet"}, lines[0] | {"phone_set": "sampa"})
    )
    assert [phone.label for phone in stated.items[0].phones] == ["t", "s"]
    assert load_manifest(write(folder, lines[1])).notes[0].severity == "warning"


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


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_more_columns_than_anybody_has_are_refused_at_once(tmp_path, suffix):
    names = ["audio", "text", *(f"column{at}" for at in range(100_000))]
    text = json.dumps(dict.fromkeys(names, "x")) if suffix == "jsonl" else ",".join(names) + "\n"
    (tmp_path / f"m.{suffix}").write_text(text)
    with pytest.raises(InputError, match="100,002 columns"):
        load_manifest(tmp_path / f"m.{suffix}")


def test_labels_nested_without_end_are_one_line(folder):
    with pytest.raises(InputError, match="nested too deeply"):
        load_manifest(write(folder, LINE | {"words": "[" * 99_999}))
