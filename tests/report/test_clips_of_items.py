"""Clips of the site: only those that were measured, and what is heard and seen of them."""

import io
import re

import numpy as np
import pytest
import soundfile
from listened import clips, result
from PIL import Image
from synthetic import make_result

from innerear.data.schema import SAMPLING_RATE
from innerear.report.clips import HOP, WINDOW, clip_data, clips_of, spectrogram, write_clip


def test_clips_are_those_that_the_task_selects_with_their_noise():
    task, corpus = clips("transcription")
    ids = [item.id for item in corpus][::2]
    assert any("@" in each for each in ids)
    found, why = clips_of(result(task, corpus, "one"), {*ids, "no clip"})
    assert list(found) == ids
    assert why == ""
    for item in corpus.items[::2]:
        assert found[item.id].audio_sha256 == item.audio_sha256


def test_no_clip_of_another_corpus_stands_for_the_one_that_was_measured():
    """Ids and version are the same: only the hash tells that the audio or a label differs."""
    task, corpus = clips("transcription")
    other = result(task, corpus, "one", {"fingerprint": "0" * 64})
    found, why = clips_of(other, {item.id for item in corpus})
    assert found == {}
    assert "another innerear-speech" in why
    assert "000000000000" in why


@pytest.mark.parametrize(
    ("corpus", "says"),
    [
        (
            {"name": "timit-sample", "human": True, "licence": "CC BY-NC-SA"},
            r"human speech .* \(CC BY-NC-SA\)",
        ),
        ({"name": "mine", "human": False, "licence": "mine"}, "No sound of mine"),
    ],
)
def test_corpora_that_do_not_come_with_innerear_have_no_sound(corpus, says):
    found, why = clips_of(make_result(corpus=corpus), {"a"})
    assert found == {}
    assert re.search(says, why), why


def test_a_task_that_cannot_be_read_has_no_sound():
    found, why = clips_of(make_result(corpus={"name": "innerear-speech"}), {"a"})
    assert found == {}
    assert "cannot be selected again" in why


def test_items_that_are_no_clips_have_no_sound():
    found, why = clips_of(result(*clips("transcription"), "one"), {"head 3"})
    assert (found, why) == ({}, "No sound: the items of this task are not clips.")


def test_a_clip_has_its_labels_with_their_times():
    _, corpus = clips("phoneme-probing")
    item = corpus.items[0]
    data = clip_data(item)
    assert data["text"] == item.text
    assert [label for label, _, _ in data["words"]] == [word.label for word in item.words]
    assert data["phones"][3] == pytest.approx(
        [item.phones[3].label, item.phones[3].start, item.phones[3].end]
    )
    assert data["about"]["accent"] == item.accent


def test_a_sound_is_heard_in_time_and_made_once(tmp_path):
    _, corpus = clips("transcription")
    item = corpus.items[1]
    write_clip(tmp_path, item)
    place = tmp_path / clip_data(item)["files"]
    sound, picture = place.with_suffix(".mp3"), place.with_suffix(".jpg")
    heard, rate = soundfile.read(sound)
    audio = item.audio()
    assert rate == SAMPLING_RATE
    assert len(heard) == len(audio), "labels would be off"
    assert np.corrcoef(heard, audio)[0, 1] > 0.9
    first = [(path, path.read_bytes(), path.stat().st_mtime_ns) for path in (sound, picture)]
    write_clip(tmp_path, item)
    assert [path.stat().st_mtime_ns for path in (sound, picture)] == [when for _, _, when in first]
    write_clip(tmp_path / "again", item)
    for path, data, _ in first:
        assert (tmp_path / "again" / path.relative_to(tmp_path)).read_bytes() == data


def test_a_spectrogram_has_time_from_left_to_right_and_frequency_from_below():
    seconds = np.arange(2 * SAMPLING_RATE) / SAMPLING_RATE
    tone = np.where(seconds < 1, np.sin(2 * np.pi * 1000 * seconds), np.sin(2 * np.pi * 6000 * seconds))
    grey = np.asarray(Image.open(io.BytesIO(spectrogram(tone.astype(np.float32)))))
    height, width = grey.shape
    assert (height, width) == (WINDOW // 2 + 1, len(tone) // HOP + 1)
    for at, hertz in ((width // 4, 1000), (3 * width // 4, 6000)):
        row = grey[:, at].argmin()
        assert (height - 1 - row) / (height - 1) * SAMPLING_RATE / 2 == pytest.approx(hertz, abs=100)


def test_silence_is_a_picture_too():
    grey = np.asarray(Image.open(io.BytesIO(spectrogram(np.zeros(SAMPLING_RATE, np.float32)))))
    assert grey.min() == 255, "dark is loud"
