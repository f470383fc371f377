"""`innerear-speech` as it is shipped: complete, balanced, verified, with phone times that hold."""

import json
import shutil
from collections import Counter, defaultdict

import numpy as np
import pytest

from innerear.data.embedded import load, names, read
from innerear.data.phones import ARPABET
from innerear.data.schema import SAMPLING_RATE
from innerear.data.splits import sentence
from innerear.render.phone_times import onset_differences
from innerear.util.errors import InnerearError
from innerear.util.paths import embedded_corpora

_FOLDER = embedded_corpora() / "innerear-speech"


@pytest.fixture(scope="module")
def corpus():
    return load("innerear-speech")


def _sentences(corpus, kind):
    return [item for item in corpus if ("sentence_set", kind) in item.extra]


def test_it_is_known_by_name(corpus):
    assert corpus.name == "innerear-speech"
    assert "innerear-speech" in names()


def test_it_stays_small():
    assert sum(path.stat().st_size for path in _FOLDER.iterdir()) < 30e6
    assert sum(path.stat().st_size for path in embedded_corpora().rglob("*") if path.is_file()) < 75e6


def test_28_voices_read_16_own_and_4_shared_sentences(corpus):
    assert len(corpus.speakers) == 28
    assert not corpus.human
    groups = Counter((item.accent, item.gender) for item in corpus)
    assert groups == {
        ("american", "female"): 220,
        ("american", "male"): 180,
        ("british", "female"): 80,
        ("british", "male"): 80,
    }
    assert set(Counter(item.speaker for item in _sentences(corpus, "own")).values()) == {16}
    assert set(Counter(item.speaker for item in _sentences(corpus, "shared")).values()) == {4}


def test_own_sentences_are_read_by_one_voice_and_shared_ones_by_all(corpus):
    readers = defaultdict(set)
    for item in corpus:
        readers[sentence(item.text)].add(item.speaker)
    assert all(len(readers[sentence(item.text)]) == 1 for item in _sentences(corpus, "own"))
    assert all(len(readers[sentence(item.text)]) == 28 for item in _sentences(corpus, "shared"))
    assert len(readers) == 28 * 16 + 4


def test_every_phone_is_said_100_times_in_many_words_and_by_every_voice(corpus):
    tokens = Counter(phone.label for item in corpus for phone in item.phones)
    assert set(tokens) == set(ARPABET)
    assert min(tokens.values()) >= 100
    voices, words = defaultdict(set), defaultdict(set)
    for item in _sentences(corpus, "own"):
        for phone in item.phones:
            voices[phone.label].add(item.speaker)
            words[phone.label] |= {
                word.label for word in item.words if word.start <= phone.middle <= word.end
            }
    assert {label: len(voices[label]) for label in ARPABET} == dict.fromkeys(ARPABET, 28)
    assert min(len(words[label]) for label in ARPABET) >= 20


def test_times_are_in_order_inside_the_clip_and_words_are_made_of_phones(corpus):
    for item in corpus:
        edges = [edge for phone in item.phones for edge in (phone.start, phone.end)]
        assert edges == sorted(edges), item.id
        assert all(phone.end - phone.start > 0.005 for phone in item.phones), item.id
        assert edges[0] >= 0, item.id
        assert edges[-1] <= item.duration, item.id
        assert [word.label for word in item.words] == sentence(item.text).split(), item.id
        starts, ends = ({getattr(phone, edge) for phone in item.phones} for edge in ("start", "end"))
        assert {word.start for word in item.words} <= starts, item.id
        assert {word.end for word in item.words} <= ends, item.id
        inside = [sum(word.start <= phone.middle <= word.end for word in item.words) for phone in item.phones]
        assert set(inside) == {1}, item.id


def test_nearly_all_last_phones_end_with_their_sound_and_not_with_a_breath(corpus):
    last = [item.phones[-1].end - item.phones[-1].start for item in corpus]
    assert max(last) <= 0.2505  # times are rounded to a millisecond


def test_clips_are_whole_and_neither_silent_nor_clipped(corpus):
    for item in corpus.items[::9]:
        audio = item.audio()
        assert len(audio) == round(item.duration * SAMPLING_RATE), item.id
        assert 0.05 < np.abs(audio).max() < 0.99, item.id
        speech = audio[int(item.phones[0].start * SAMPLING_RATE) : int(item.phones[-1].end * SAMPLING_RATE)]
        loudness = np.sqrt(np.square(speech).mean())
        assert loudness > 0.01, item.id
        assert np.sqrt(np.square(audio[-160:]).mean()) < 0.05 * loudness, f"{item.id} is cut off"
        assert item.phones[0].start < 0.6, item.id
        assert item.duration - item.phones[-1].end < 1.2, item.id


def test_phone_onsets_agree_with_a_forced_alignment(corpus):
    sample = corpus.items[::47]
    assert {item.accent for item in sample} == {"american", "british"}
    differences = [onset_differences(item.audio(), item.words, item.phones) for item in sample]
    assert all(found is not None for found in differences)
    onsets = np.concatenate(differences)
    assert np.median(np.abs(onsets)) <= 0.020
    assert abs(np.median(onsets)) <= 0.005


def test_the_card_and_the_calibration_are_those_of_the_data(corpus):
    pinned = json.loads((_FOLDER / "corpus.json").read_text())
    calibration = json.loads((_FOLDER / "calibration.json").read_text())
    card = (_FOLDER / "README.md").read_text()
    assert pinned["items"] == len(corpus)
    assert 0.04 <= calibration["late_s"] <= 0.06
    assert abs(calibration["late_s"] - calibration["sibilant_check"]["late_s"]) <= 0.015
    assert f"{1000 * calibration['late_s']:.0f} ms" in card
    assert all(f"| {voice} |" in card for voice in corpus.speakers)
    tokens = Counter(phone.label for item in corpus for phone in item.phones)
    assert all(f"| {label} | {tokens[label]} |" in card for label in ARPABET)


def test_a_tampered_truncated_or_missing_file_is_refused_by_name(tmp_path):
    folder = tmp_path / "innerear-speech"
    shutil.copytree(_FOLDER, folder)
    data = folder / "data.parquet"
    whole = data.read_bytes()
    for damaged in (whole[:-1], whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:]):
        data.write_bytes(damaged)
        with pytest.raises(InnerearError, match=r"data\.parquet: its hash is not the pinned one"):
            read(folder)
    data.unlink()
    with pytest.raises(InnerearError, match=r"data\.parquet: No such file"):
        read(folder)
