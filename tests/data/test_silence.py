"""Silence is as long as the clip whose place it takes, in its language, and each length is there once."""

import numpy as np
from conftest import make_item, noise

from innerear.data.silence import silence, silences


def test_each_clip_has_silence_of_its_length_and_language():
    clips = [make_item(f"c{at}", noise(seconds)) for at, seconds in enumerate((0.5, 0.7, 0.5))]
    made, which = silences(clips)
    assert which == [0, 1, 0]
    assert [item.duration for item in made] == [0.5, 0.7]
    assert {item.language for item in made} == {clip.language for clip in clips}
    for item, clip in zip((made.items[at] for at in which), clips, strict=True):
        assert item.audio().shape == clip.audio().shape
        assert item.audio().dtype == np.float32
        assert not item.audio().any()


def test_another_length_or_language_is_another_clip():
    assert silence(100, "en").audio_sha256 != silence(101, "en").audio_sha256
    assert silence(100, "en").id != silence(100, "de").id
