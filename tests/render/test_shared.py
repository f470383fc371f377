"""Rows become a corpus that reads back, with its measurements and its card; a rendering repeats exactly."""

import json
from zlib import crc32

import numpy as np
import pytest

from innerear.data.embedded import read
from innerear.data.schema import SAMPLING_RATE, Segment
from innerear.render import words
from innerear.render.kokoro import RATE, Spoken
from innerear.render.shared import STEP, coarse, generator, joined, row, write_corpus
from innerear.util.errors import InnerearError
from innerear.util.paths import embedded_corpora

ABOUT = {"name": "x", "summary": "s", "source": "made", "licence": "l", "citation": "c"}


def clip(name, seconds=0.5, **fields):
    return row(name, coarse(0.1 * generator(0, name).standard_normal(int(seconds * SAMPLING_RATE))), **fields)


def test_what_is_written_reads_back(tmp_path):
    parts = [
        clip("a", text="the", speaker="s", words=[Segment("the", 0.1, 0.2)]),
        clip("b", text="cat", speaker="s", words=[Segment("cat", 0.1, 0.3)]),
    ]
    rows = [joined("a-b", parts, carrier="alone"), *(part | {"parts": "", "carrier": ""} for part in parts)]
    data = write_corpus(
        tmp_path, rows, lambda corpus, found: f"{len(corpus)} {found}", lambda _: {"n": 3}, **ABOUT
    )
    assert data == tmp_path / "data.parquet"
    (item,) = read(tmp_path)
    assert (item.text, item.speaker, item.label("carrier")) == ("the cat", "s", "alone")
    assert item.words == (Segment("the", 0.1, 0.2), Segment("cat", 0.6, 0.8))
    assert len(item.audio()) == SAMPLING_RATE == item.duration * SAMPLING_RATE
    assert json.loads((tmp_path / "measured.json").read_text()) == {"n": 3}
    assert (tmp_path / "README.md").read_text() == "1 {'n': 3}"


def test_without_measurements_no_file_of_them_is_written(tmp_path):
    write_corpus(tmp_path, [clip("a")], lambda *_: "card", **ABOUT)
    assert {path.name for path in tmp_path.iterdir()} == {"data.parquet", "corpus.json", "README.md"}


def test_samples_that_clip_are_refused():
    with pytest.raises(InnerearError, match="a: the rendered samples clip"):
        row("a", np.ones(1600))


def test_coarse_samples_survive_encoding(tmp_path):
    samples = coarse(0.1 * generator(0, "a").standard_normal(1600))
    assert (samples / STEP == np.round(samples / STEP)).all()
    write_corpus(tmp_path, [row("a", samples)], lambda *_: "", **ABOUT)
    assert np.array_equal(read(tmp_path).items[0].audio(), samples)


class _Synthesiser:
    """Says a word as a burst of noise in the place of one phone."""

    def speak(self, voice, text):
        draw = generator(0, voice + text)
        audio = 1e-4 * draw.standard_normal(RATE)
        audio[int(0.2 * RATE) : int(0.6 * RATE)] += 0.1 * draw.standard_normal(int(0.4 * RATE))
        word, phone = Segment(text.strip("."), 0.2, 0.6), Segment("ah", 0.2, 0.6)
        return Spoken(audio.astype(np.float32), (word,), (phone,))


def test_a_rendering_repeats_to_the_last_bit(tmp_path, monkeypatch):
    shipped = json.loads((embedded_corpora() / words.NAME / "measured.json").read_text())
    monkeypatch.setattr(words, "calibrated", lambda _: _Synthesiser())
    monkeypatch.setattr(words, "measure", lambda _: shipped)
    monkeypatch.setattr(words, "VOICES", ("af_heart",))
    first, second = (words.render(tmp_path / name, tmp_path) for name in "ab")
    assert crc32(first.read_bytes()) == crc32(second.read_bytes())
    corpus = read(tmp_path / "a")
    assert {(item.speaker, item.gender, item.accent) for item in corpus} == {
        ("af_heart", "female", "american")
    }
    assert sum(len(item.words) for item in corpus) == 320
    assert (tmp_path / "a" / "README.md").read_text().startswith("# innerear-words")
