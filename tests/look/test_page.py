"""The page about a clip says what was written, holds its charts, or why there is none."""

import json
import re

import pytest
import soundfile
from conftest import noise, tiny_model

from innerear.look import charts
from innerear.look.page import explore
from innerear.tasks.task import load_task
from innerear.util.errors import InputError


@pytest.fixture
def clip(tmp_path, monkeypatch):
    monkeypatch.setenv("INNEREAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(charts, "load_task", lambda name: load_task(name).resolve(limit=84))
    path = tmp_path / "<b>clip.wav"
    soundfile.write(path, noise(0.5), 16_000)
    return path


def test_a_page_has_the_text_the_sound_and_five_charts(clip, tmp_path):
    model = tiny_model("moonshine")
    page = explore(model, clip, tmp_path / "page")
    text = page.read_text()
    assert model.transcribe([noise(0.5)])[0].text in text
    assert "&lt;b&gt;clip.wav" in text
    specs = re.findall(r'<script type="application/json">(.*?)</script>', text, flags=re.S)
    assert len([json.loads(spec) for spec in specs]) == 5
    assert (page.parent / "clip.wav").read_bytes() == clip.read_bytes()
    for name in re.findall(r'(?:src|href)="([^"#]+)"', text):
        assert (page.parent / name).is_file(), name


def test_a_page_says_what_a_model_cannot_show(clip, tmp_path):
    text = explore(tiny_model("wav2vec2"), clip, tmp_path / "page").read_text()
    assert "No lens: tiny-wav2vec2 has no decoder." in text
    assert len(re.findall(r'<script type="application/json">', text)) == 2, "its phones, and its heads"


def test_what_cannot_be_heard_is_refused_and_nothing_is_written(tmp_path):
    long = tmp_path / "long.wav"
    soundfile.write(long, noise(40.0), 16_000)
    with pytest.raises(InputError, match=r"long\.wav: .* longer than the model's window"):
        explore(tiny_model("whisper"), long, tmp_path / "page")
    with pytest.raises(InputError, match=r"nowhere\.wav: No such file"):
        explore(tiny_model("whisper"), tmp_path / "nowhere.wav", tmp_path / "page")
    assert not (tmp_path / "page").exists()
