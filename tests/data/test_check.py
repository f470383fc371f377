"""What `corpora check` finds: each defect is planted in clean clips, and clean clips stay clean."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_item, noise

from innerear.data.audio import decode
from innerear.data.check import check, noise_bursts
from innerear.data.human import load_human
from innerear.data.schema import SAMPLING_RATE, Corpus, Item, Note, Segment
from innerear.data.splits import Fold
from innerear.util.errors import InputError

RNG = np.random.default_rng(0)


def speech(seconds=2.0, seed=0):
    """Something like speech: voiced and hissing stretches with pauses, over a soft floor."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    voiced = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 20)) * 0.15
    hiss = np.diff(rng.normal(0, 0.08, len(time) + 1))
    syllables = (np.sin(2 * np.pi * 3 * time) > 0.3) * 1.0
    hisses = (np.sin(2 * np.pi * 3 * time) < -0.8) * 1.0
    return (voiced * syllables + hiss * hisses + rng.normal(0, 1e-3, len(time))).astype(np.float32)


def item(name, samples=None, *, speaker="ann", **fields):
    samples = speech(seed=sum(map(ord, name))) if samples is None else samples.astype(np.float32)
    defaults = {"text": f"Sentence {name}.", "audio_sha256": name, "duration": len(samples) / SAMPLING_RATE}
    return Item(id=name, audio=lambda: samples, speaker=speaker, language="en", **defaults | fields)


def corpus(*items, **fields):
    return Corpus(name="c", version="1", items=items, source="", licence="", **fields)


def kinds(*items, folds=None):
    return [(finding.kind, finding.severity) for finding in check(corpus(*items), folds)]


def test_a_clean_corpus_gives_no_findings():
    phones = (Segment("sh", 0.0, 0.5), Segment("iy", 0.5, 1.0))
    assert kinds(item("a", phones=phones), item("b", phones=phones)) == []


@pytest.mark.parametrize(
    ("samples", "found"),
    [
        (np.zeros(32_000), ("silent", "error")),
        (speech() * 1e-4, ("silent", "error")),
        (speech() * 1e-3, ("silent", "warning")),
        (speech() * 0.5 + 0.3, ("offset", "warning")),
        (np.clip(speech() * 20, -1, 1), ("clipped", "warning")),
        (np.clip(speech(), -0.2, 0.2), ("clipped", "warning")),
        (speech()[: int(1.75 * SAMPLING_RATE)], ("cut off", "warning")),
        (np.r_[speech(1.0), RNG.uniform(-1, 1, 16_000)], ("turns to noise", "error")),
        (np.r_[speech(1.0), RNG.uniform(-1, 1, 4000), speech(1.0)], ("turns to noise", "error")),
    ],
)
def test_damaged_audio_is_found(samples, found):
    assert kinds(item("a", samples), item("b")) == [found]


@pytest.mark.parametrize(
    "samples",
    [
        RNG.normal(0, 0.3, 32_000),
        RNG.uniform(-0.9, 0.9, 32_000),
        RNG.normal(0, 0.2, 32_000) * np.linspace(0.01, 1, 32_000),
        np.r_[np.diff(RNG.normal(0, 0.2, 16_001)) * 0.3, np.zeros(16_000)],
        np.sin(np.arange(32_000) * 0.1) * 0.5,
    ],
    ids=["gaussian", "uniform", "faded in", "long fricative", "tone"],
)
def test_recordings_of_noise_and_fricatives_are_left_alone(samples):
    assert kinds(item("a", samples), item("b")) == []


def test_a_file_shorter_than_its_header_and_one_that_does_not_decode():
    def fail():
        raise InputError("b: cannot decode the audio (lost sync); replace the file")

    short = item("a", duration=9.0)
    broken = replace(item("b"), audio=fail)
    found = check(corpus(short, broken))
    assert [(finding.kind, finding.items) for finding in found] == [
        ("cut off", ("a",)),
        ("undecodable", ("b",)),
    ]
    assert found[1].message == "b: cannot decode the audio (lost sync); replace the file"


@pytest.mark.parametrize(
    ("phones", "kind"),
    [
        ([("sh", 0.5, 0.4)], "times"),
        ([("sh", -0.1, 0.4)], "times"),
        ([("sh", 0.5, 0.9), ("iy", 0.1, 0.5)], "times"),
        ([("sh", 0.0, 0.9), ("iy", 0.5, 1.0)], "times"),
        ([("sh", 1.5, 2.4)], "past the end"),
        ([("SH1", 0.0, 0.4)], "unknown labels"),
    ],
)
def test_impossible_labels_are_errors(phones, kind):
    good = (Segment("sh", 0.0, 0.5),)
    bad = tuple(Segment(*phone) for phone in phones)
    assert kinds(item("a", phones=bad), item("b", phones=good)) == [(kind, "error")]


def test_words_may_overlap_but_not_run_backwards():
    assert kinds(item("a", words=(Segment("had", 0.1, 0.6), Segment("your", 0.5, 0.9))), item("b")) == []
    assert kinds(item("a", words=(Segment("had", 0.5, 0.6), Segment("your", 0.1, 0.4))), item("b")) == [
        ("times", "error")
    ]


def test_transcripts_without_a_word_and_audio_over_full_scale_are_said():
    assert kinds(item("a", text="Hmm, uh. <unk> ..."), item("b")) == [("no words", "warning")]
    assert kinds(item("a", speech() * 8), item("b")) == [("scale", "warning")]


def test_marks_of_noise_that_no_normaliser_drops_are_said():
    found = check(corpus(item("a", text="spn hello {laugh} [noise]"), item("b")))
    assert [(finding.kind, finding.message) for finding in found] == [
        ("noise", "a: spn, {laugh} would be scored as words; remove them")
    ]


def test_notes_of_a_reader_are_passed_on():
    noted = corpus(item("a"), item("b"), notes=(Note("warning", "tiers not read: gestures"),))
    ((found),) = check(noted)
    assert (found.severity, found.message) == ("warning", "tiers not read: gestures")


def test_what_concerns_the_corpus_as_a_whole():
    assert kinds(item("a"), item("a", audio_sha256="other"), item("b")) == [("duplicate id", "error")]
    assert kinds(item("a"), item("b", audio_sha256="a")) == [("duplicate audio", "warning")]
    assert kinds(item("a"), item("b", speaker="bob"), item("c")) == [("single clip", "warning")]
    assert kinds(item("a", speaker=""), item("b")) == [("no speaker", "warning"), ("single clip", "warning")]
    assert kinds(item("a", text=" "), item("b")) == [("blank transcript", "warning")]
    assert kinds(item("a", phones=(Segment("sh", 0, 0.4),)), item("b")) == [("no phones", "warning")]


def test_sentences_of_several_speakers_are_worth_knowing():
    items = (item("a"), item("b", text="SENTENCE A", speaker="bob"), item("c"), item("d", speaker="bob"))
    (found,) = check(corpus(*items))
    assert (found.kind, found.severity, found.items) == ("shared sentences", "information", ("a", "b"))


def test_clips_without_speech_are_no_defect_and_not_judged_as_speech():
    """Silence, an abrupt end, a burst of noise and a common empty transcript are wrong in speech alone."""
    mute = [
        item("a", np.zeros(32_000), text=""),
        item("b", speech()[: int(1.75 * SAMPLING_RATE)], text="", speaker="bob"),
        item("c", np.r_[speech(1.0), RNG.uniform(-1, 1, 16_000)], text="", speaker="bob"),
    ]
    spoken = [item("d", phones=(Segment("sh", 0, 0.4),)), item("e", phones=(Segment("sh", 0, 0.4),))]
    found = check(corpus(*mute, *spoken))
    assert [(finding.kind, finding.severity, finding.items) for finding in found] == [
        ("silent", "information", ("a",)),
        ("no speech", "information", ("a", "b", "c")),
    ]


def test_words_where_nothing_is_said_are_a_contradiction():
    labelled = item("a", text="", words=(Segment("had", 0.1, 0.6),))
    silent = item("b", text="", phones=(Segment("sil", 0.0, 2.0),))
    found = [finding for finding in check(corpus(labelled, silent)) if finding.severity == "warning"]
    assert [(finding.kind, finding.items) for finding in found] == [("labels without speech", ("a",))]


def test_refused_clips_are_reported():
    (found,) = check(corpus(item("a"), item("b"), refused=(("z", "my.jsonl:3: the file is empty"),)))
    assert (found.items, found.kind, found.severity) == (("z",), "refused", "error")


def test_a_leaking_split_is_an_error_and_a_disjoint_one_is_not():
    items = [item(name, speaker=name) for name in "abc" for _ in "xy"]
    items = [replace(i, id=f"{i.id}{n}", audio_sha256=str(n), text=f"{n}") for n, i in enumerate(items)]
    assert kinds(*items, folds=[Fold(train=(0, 1), dev=(2, 3), test=(4, 5))]) == []
    items[5] = replace(items[5], text="Number 0", audio_sha256="0")
    items[0] = replace(items[0], text="number: 0!")
    leaky = [Fold(train=(0, 1), dev=(2, 3), test=(4, 5)), Fold(train=(0, 4), dev=(2,), test=(5,))]
    found = [finding for finding in check(corpus(*items), leaky) if finding.kind.endswith("on two sides")]
    assert [finding.message for finding in found] == [
        "fold 1: the same audio is on two sides 1 times (a0 in train, c5 in test)",
        "fold 1: the same sentence is on two sides 1 times (a0 in train, c5 in test)",
        "fold 2: the same audio is on two sides 1 times (a0 in train, c5 in test)",
        "fold 2: the same sentence is on two sides 1 times (a0 in train, c5 in test)",
        "fold 2: the same speaker is on two sides 1 times (c4 in train, c5 in test)",
    ]


def test_nothing_said_is_not_the_same_sentence_on_two_sides():
    items = [item(name, speaker=name[0], text="") for name in ("a0", "a1", "b0", "b1", "c0", "c1")]
    found = check(corpus(*items), [Fold(train=(0, 1), dev=(2, 3), test=(4, 5))])
    assert [finding.kind for finding in found] == ["no speech"]


def human_speech(name):
    folder = os.environ.get("INNEREAR_DATA")
    if not folder or not (Path(folder) / name).is_dir():
        pytest.skip("human speech not found: set INNEREAR_DATA to a folder with timit-sample/ and ravdess/")
    return Path(folder) / name


def test_a_text_mode_transfer_of_real_speech_is_found_and_the_original_is_not():
    """0D 0A becomes 0A, so every second half of a sample changes places with its neighbour."""
    found, heard = 0, 0
    for path in sorted(human_speech("timit-sample").glob("*/*.wav")):
        data = path.read_bytes()
        assert noise_bursts(decode(data, path.name)) is None
        mangled = data[:44] + data[44:].replace(b"\r\n", b"\n")
        if data.count(b"\r\n", 44) == 1:  # the shift lasts to the end
            heard += 1
            found += noise_bursts(decode(mangled, path.name)) is not None
    assert heard > 20
    assert found == heard


@pytest.mark.parametrize(
    ("name", "expected"),
    [("timit-sample", {"shared sentences"}), ("ravdess", {"shared sentences", "duplicate audio"})],
)
def test_human_corpora_are_clean(name, expected):
    human_speech(name)
    assert {finding.kind for finding in check(load_human(name))} == expected


def test_a_language_that_is_not_stated_is_worth_knowing():
    assert ("no language", "information") in kinds(replace(item("a"), language=""))


def test_one_recording_under_many_clips_is_heard_once_and_told_of_each():
    heard = []

    def audio():
        heard.append(True)
        return np.clip(noise(1.0) * 100, -1, 1)

    item = replace(make_item("a", noise(1.0), speaker="s"), audio=audio)
    items = tuple(replace(item, id=name) for name in "abc")
    found = check(Corpus("test", "1", items, "made", "none"))
    assert len(heard) == 1
    assert [finding.items for finding in found if finding.kind == "clipped"] == [("a",), ("b",), ("c",)]


def test_many_clips_are_checked_in_processes_with_the_same_findings_in_the_same_order(monkeypatch):
    loud = np.clip(noise(1.0) * 100, -1, 1)
    clips = corpus(*(item(f"clip{at}", loud if at % 3 else None) for at in range(9)))
    alone = check(clips)
    assert len(alone) > 5
    monkeypatch.setattr("innerear.data.check.MANY", 1)
    monkeypatch.setattr("innerear.data.check.BATCH", 2)
    monkeypatch.setattr("innerear.util.processes.process_count", lambda units: 2)
    assert check(clips) == alone
