"""Manifests as tables: separators, and the columns and cells that other tools write."""

import csv
import json
import unicodedata

import pytest
from manifests import LINE, PHONES, WORDS, write

from innerear.data.manifest import load_manifest
from innerear.util.errors import InputError


def test_csv_says_the_same_as_jsonl(corpora):
    line = LINE | {"phones": PHONES, "words": WORDS, "target": "sea"}
    with (corpora / "my.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, [*line, "condition"])
        writer.writeheader()
        writer.writerow({k: v if isinstance(v, str) else json.dumps(v) for k, v in line.items()})
    from_csv = load_manifest(corpora / "my.csv")
    assert from_csv.fingerprint() == load_manifest(write(corpora, line)).fingerprint()


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
def test_a_malformed_csv_is_an_error_with_its_line(corpora, text, reason):
    (corpora / "my.csv").write_text(text)
    with pytest.raises(InputError, match=reason):
        load_manifest(corpora / "my.csv")


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_more_columns_than_anybody_has_are_refused_at_once(tmp_path, suffix):
    names = ["audio", "text", *(f"column{at}" for at in range(100_000))]
    text = json.dumps(dict.fromkeys(names, "x")) if suffix == "jsonl" else ",".join(names) + "\n"
    (tmp_path / f"m.{suffix}").write_text(text)
    with pytest.raises(InputError, match="100,002 columns"):
        load_manifest(tmp_path / f"m.{suffix}")


def test_names_of_columns_in_other_tools_mean_the_same(corpora):
    nemo = {"audio_filepath": "clips/a.wav", "text": "She.", "duration": 0.5, "pred_text": "he", "offset": 0}
    voice = {
        "path": "b.wav",
        "sentence": "Sea.",
        "client_id": "x1",
        "gender": "male_masculine",
        "locale": "en",
    }
    face = {"file_name": "clips/c.wav", "transcription": "See.", "Speaker ID": 7.0}
    first, second, third = load_manifest(write(corpora, nemo, voice, face))
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
def test_a_speaker_is_one_however_pandas_writes_it(corpora, written, speaker):
    (item,) = load_manifest(write(corpora, LINE | {"speaker": written, "accent": None, "take": float("nan")}))
    assert (item.speaker, item.accent, item.extra) == (speaker, "", ())


def test_no_value_is_no_label_but_none_may_be_one(corpora):
    (item,) = load_manifest(write(corpora, LINE | {"emotion": "nan", "take": "<NA>", "noise": "none"}))
    assert dict(item.extra) == {"noise": "none"}


def test_the_language_of_a_clip_is_what_is_spoken_and_translations_are_no_transcripts(corpora):
    german = LINE | {"source_lang": "de", "target_lang": "de-DE"}
    corpus = load_manifest(write(corpora, german, german | {"id": "b", "target_lang": "en"}))
    assert [item.language for item in corpus] == ["de"]
    assert "the text is a translation (target_lang en)" in corpus.refused[0][1]


@pytest.mark.parametrize("name", ["clips/e\u0301.wav", "clips/\xe9.wav"])
def test_letters_with_accents_are_found_however_they_are_composed(corpora, name):
    (corpora / "clips/a.wav").rename(corpora / unicodedata.normalize("NFD", name))
    assert len(load_manifest(write(corpora, {"audio": name, "text": "She."}))) == 1


def test_a_null_transcript_or_path_refuses_that_clip_alone(corpora):
    lines = [LINE, LINE | {"id": "b", "text": None}, {"audio": None, "text": "x", "id": "c"}]
    corpus = load_manifest(write(corpora, *lines))
    assert [name for name, _ in corpus.refused] == ["b", "c"]
    assert [reason.split(": ", 1)[1] for _, reason in corpus.refused] == [
        "clips/a.wav: the transcript is empty; write what is said or remove the clip",
        "the column 'audio' is empty; name the file or remove the line",
    ]


def test_none_is_a_transcript_and_two_columns_are_not_one(corpora):
    (item,) = load_manifest(write(corpora, LINE | {"text": "None"}))
    assert item.text == "None"
    both = {"audio": "clips/a.wav", "sentence": "x", "transcript": "y"}
    with pytest.raises(
        InputError, match=r"^my\.jsonl:1: columns 'transcript' and 'sentence' could both be 'text'"
    ):
        load_manifest(write(corpora, both))


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
def test_cells_are_separated_by_commas_semicolons_or_tabs(corpora, text, suffix):
    (corpora / f"my.{suffix}").write_text(text)
    (item,) = load_manifest(corpora / f"my.{suffix}")
    assert (item.text, item.speaker) == ("She, then.", "ann")


def test_what_parts_the_columns_is_told_by_the_name_of_the_audio(corpora):
    (corpora / "my.tsv").write_text("audio\ttext\tnote (a, b; c, d)\nclips/a.wav\tShe.\tx\n")
    (item,) = load_manifest(corpora / "my.tsv")
    assert (item.text, dict(item.extra)) == ("She.", {"note (a, b; c, d)": "x"})


def test_a_quotation_mark_in_a_tab_separated_sentence_is_a_letter(corpora):
    (corpora / "my.tsv").write_text('path\tsentence\na.wav\t"Sea" is "see"\nb.wav\tShe said "no\n')
    assert [item.text for item in load_manifest(corpora / "my.tsv")] == [
        '"Sea" is "see"',
        'She said "no',
    ]
