"""Rendering continues where it was killed, and takes no clip of another script for its own."""

from dataclasses import replace

import numpy as np
import pytest

from innerear.data.schema import Segment
from innerear.organisms import speech
from innerear.organisms.speech import SHARD, Script, render
from innerear.render.kokoro import RATE, Spoken
from innerear.util.errors import InnerearError, InputError


class Speaker:
    """Says each sentence as a tone; some it cannot say, and before one it is killed."""

    def __init__(self):
        self.said, self.fatal = [], None

    def style(self, voice):
        return np.full((9, 4), float(voice[-1]), np.float32)

    def say(self, text, style, *, british, speed):
        if text == self.fatal:
            raise KeyboardInterrupt
        if "unsayable" in text.lower():
            raise InputError("2 words but 1 pronunciations")
        self.said.append((text, float(style[0, 0])))
        tone = 0.5 * np.sin(np.arange(RATE // 10) / 9).astype(np.float32)
        return Spoken(tone, (), (Segment("aa", 0.0, 0.05),))


@pytest.fixture
def speaker(monkeypatch):
    made = Speaker()
    monkeypatch.setattr(speech, "fetch", lambda work: work)
    monkeypatch.setattr(speech, "speaker", lambda files, threads: made)
    return made


def clips(count, start=0):
    return [
        Script(f"written-{at:05d}", "written", f"say {at}", ("em_2", "em_4"), 0.75, False, 1.0)
        for at in range(start, start + count)
    ]


def test_a_voice_is_the_weighted_mean_of_two(speaker, tmp_path):
    (heard,) = render(clips(1), tmp_path, tmp_path, 1)
    assert speaker.said == [("Say 0.", 2.5)]
    assert (heard.text, heard.phones) == ("say 0", (Segment("aa", 0.0, 0.05),))
    assert len(heard.audio()) == heard.samples == 1600


def test_what_was_rendered_before_a_kill_is_not_rendered_again(speaker, tmp_path):
    script = clips(2 * SHARD + 1)
    speaker.fatal = f"Say {SHARD + 3}."
    with pytest.raises(KeyboardInterrupt):
        render(script, tmp_path, tmp_path, 1)
    speaker.fatal, before = None, len(speaker.said)
    whole = render(script, tmp_path, tmp_path, 1)
    assert [clip.id for clip in whole] == [clip.id for clip in script]
    assert len(speaker.said) - before == SHARD + 1
    assert render(script, tmp_path, tmp_path, 1) == whole
    assert len(speaker.said) - before == SHARD + 1


def test_processes_render_what_one_does(speaker, tmp_path):
    script = clips(SHARD + 2)
    assert render(script, tmp_path / "two", tmp_path, 2) == render(script, tmp_path / "one", tmp_path, 1)


def test_a_shard_of_another_script_is_not_read(speaker, tmp_path):
    render(clips(3), tmp_path, tmp_path, 1)
    render([replace(clip, speed=1.1) for clip in clips(3)], tmp_path, tmp_path, 1)
    assert len(speaker.said) == 6
    render(clips(3, start=7), tmp_path, tmp_path, 1)
    other = next(tmp_path.glob("written-00007-*")).read_bytes()
    for path in tmp_path.glob("written-00000-*"):
        path.write_bytes(other)
    with pytest.raises(InnerearError, match="holds other clips than its name says"):
        render(clips(3), tmp_path, tmp_path, 1)


def test_a_clip_that_cannot_be_said_is_left_out(speaker, tmp_path):
    script = [*clips(2), Script("written-00002", "written", "unsayable", ("em_2",), 1.0, False, 1.0)]
    assert [clip.id for clip in render(script, tmp_path, tmp_path, 1)] == ["written-00000", "written-00001"]
    with pytest.raises(InnerearError, match="not one clip could be rendered"):
        render(script[2:], tmp_path, tmp_path, 1)
