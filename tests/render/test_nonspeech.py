"""`innerear-nonspeech` as it is shipped: many kinds, as long and loud as speech, and the recipe's own."""

import json
from collections import Counter, defaultdict

import numpy as np
import pytest

from innerear.data.check import check
from innerear.data.embedded import load, names
from innerear.data.schema import SAMPLING_RATE
from innerear.render import nonspeech
from innerear.render.nonspeech import (
    DURATIONS,
    LEVELS,
    NAME,
    QUANTILES,
    RECORDINGS,
    RECORDS,
    STEP,
    VOICES,
    card,
    cc0,
    recorded,
    synthesised,
)
from innerear.render.sounds import SOUNDS
from innerear.util.downloads import Unreachable
from innerear.util.errors import InnerearError
from innerear.util.paths import embedded_corpora

_FOLDER = embedded_corpora() / NAME


@pytest.fixture(scope="module")
def corpus():
    return load(NAME)


def level(samples):
    return 10 * np.log10(np.square(samples, dtype=float).mean() + 1e-30)


def test_it_is_known_by_name_and_small(corpus):
    assert NAME in names()
    assert (_FOLDER / "data.parquet").stat().st_size <= 10e6
    assert json.loads((_FOLDER / "corpus.json").read_text())["items"] == len(corpus) >= 300
    assert not corpus.human


def test_nobody_speaks_in_twelve_kinds_of_many_sources(corpus):
    assert {(item.text, item.words, item.phones) for item in corpus} == {("", (), ())}
    sources = defaultdict(set)
    for item in corpus:
        kind = dict(item.extra)["kind"]
        assert item.condition == kind
        assert item.speaker.rpartition("-")[0] == kind
        sources[kind].add(item.speaker)
    assert set(sources) == {*SOUNDS, *RECORDINGS}
    assert all(6 <= len(group) <= 12 for group in sources.values())
    assert set(Counter(item.speaker for item in corpus).values()) == {3}


def test_no_two_clips_are_alike(corpus):
    assert len({item.audio_sha256 for item in corpus}) == len(corpus)


def test_what_is_drawn_is_what_speech_has():
    """The tables of the recipe are quantiles of the clips of `innerear-speech`."""
    speech = load("innerear-speech")
    durations = np.quantile([item.duration for item in speech], QUANTILES)
    np.testing.assert_allclose(durations, DURATIONS, atol=0.006)
    some = [level(item.audio()) for item in speech.items[::5]]
    np.testing.assert_allclose(np.quantile(some, [0.05, 0.5, 0.95]), np.take(LEVELS, [1, 3, 5]), atol=0.5)


def test_clips_are_as_long_and_as_loud_as_speech_and_do_not_clip(corpus):
    durations, levels = [], []
    for item in corpus:
        samples = item.audio()
        durations.append(len(samples) / SAMPLING_RATE)
        assert np.abs(samples).max() < 0.91, item.id
        assert np.abs(samples[[0, -1]]).max() <= STEP, item.id
        if item.condition == "quiet":
            assert level(samples) < -50, item.id
        else:
            levels.append(level(samples))
    assert DURATIONS[0] <= min(durations)
    assert max(durations) <= DURATIONS[-1]
    assert LEVELS[0] - 0.5 < min(levels)
    assert max(levels) < LEVELS[-1] + 0.1
    np.testing.assert_allclose(np.median(durations), DURATIONS[3], atol=0.1)
    np.testing.assert_allclose(np.median(levels), LEVELS[3], atol=0.5)


def test_few_clips_are_digital_silence(corpus):
    zeros = [item.id for item in corpus if not item.audio().any()]
    assert zeros == [f"quiet-00-{clip}" for clip in range(3)]


@pytest.mark.parametrize("kind", SOUNDS)
def test_the_recipe_renders_what_is_shipped(corpus, kind):
    """Mathematical libraries differ in the last bit, which rounding may turn into a step."""
    clips = {item.id: item for item in corpus}
    for source in range(nonspeech.SOURCES):
        again = synthesised(kind, source, source % 3)
        shipped = clips[f"{kind}-{source:02d}-{source % 3}"].audio()
        np.testing.assert_allclose(again, shipped, atol=1.01 * STEP)


def test_a_recording_shorter_than_the_clip_is_repeated_and_a_longer_one_cut():
    rng = np.random.default_rng(0)
    for seconds in (0.05, 2.0, 30.0):
        recording = rng.normal(0, 0.1, int(seconds * SAMPLING_RATE)).astype(np.float32)
        for kind in RECORDINGS:
            clip = recorded(kind, 0, 0, recording)
            assert np.array_equal(clip, recorded(kind, 0, 0, recording))
            assert DURATIONS[0] <= len(clip) / SAMPLING_RATE <= DURATIONS[-1]
            assert LEVELS[0] - 0.5 < level(clip) < LEVELS[-1] + 0.1 or np.abs(clip).max() > 0.85
    assert np.abs(recorded("ambience", 0, 0, np.r_[np.zeros(500_000), recording])).max() > 0.01


def test_only_what_the_copyright_file_puts_under_cc0_by_name_is_taken(tmp_path, monkeypatch):
    text = (
        "Files: *\nCopyright: 2016 A\nLicense: MIT\n\n"
        "Files: etc/samples/drone.flac\nCopyright: 2013 B\nSource: http://x.org/1/\nLicense: CC0\n\n"
        "Files: etc/samples/bell.flac\nCopyright: 2013 C\nSource: http://x.org/2/\nLicense: CC-BY-4.0\n"
    )
    assert cc0(text) == {"drone": "http://x.org/1/"}
    (tmp_path / "a" / "usr/share/doc/sonic-pi-samples").mkdir(parents=True)
    (tmp_path / "a" / "usr/share/doc/sonic-pi-samples/copyright").write_text(text)
    monkeypatch.setattr(nonspeech, "fetch_deb", lambda *_: tmp_path / "a.deb")
    monkeypatch.setattr(nonspeech, "unpack_deb", lambda *_: None)
    with pytest.raises(InnerearError, match=r"ambi_dark_woosh, .* not listed as CC0"):
        nonspeech.fetch(tmp_path)


def test_without_apt_nothing_is_rendered(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unreachable, match="apt-get is not installed"):
        nonspeech.render(tmp_path / "out", tmp_path / "work")
    assert not (tmp_path / "out").exists()


def test_recordings_are_credited_and_hold_no_voices(corpus):
    used = {dict(item.extra)["recording"] for item in corpus} - {""}
    assert used == {name for group in RECORDINGS.values() for name in group}
    assert not used & {*VOICES, *RECORDS}
    for item in corpus:
        about = dict(item.extra)
        assert (
            bool(about["recording"]) == ("freesound.org" in about["origin"]) == (about["kind"] in RECORDINGS)
        )


def test_the_card_is_that_of_the_data(corpus):
    assert (_FOLDER / "README.md").read_text() == card(corpus)


def test_a_check_finds_nothing_wrong(corpus):
    found = check(corpus)
    assert {finding.severity for finding in found} == {"information"}
    assert {finding.kind for finding in found} == {"no speech", "silent"}
