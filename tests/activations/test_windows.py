"""A clip that is longer than a model's window: consecutive windows, with the times of the whole clip."""

import numpy as np
import pytest
import soundfile
import torch
from conftest import FAMILIES, make_item, noise, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from innerear.activations.capture import Demand, capture
from innerear.activations.readings import Frames, Pooled, Stretches
from innerear.data.clips import make_item as checked_item
from innerear.data.playback import Playback
from innerear.data.recordings import excerpt
from innerear.data.schema import SAMPLING_RATE, Corpus
from innerear.models.families import FAMILIES as ROWS
from innerear.models.floors import LogMel, LogMelSpec, LogMelStatistics
from innerear.models.frames import WHISPER, FrameClock
from innerear.protocols.base import SHORTEST_WINDOW

CLOCKS = [
    WHISPER,
    FrameClock.of_convolutions((127, 7, 3), (64, 3, 2)),
    FrameClock.of_convolutions((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)),
    FrameClock.of_fast_conformer(8),
]


def of(audio, **labels):
    return Corpus("long", "1", (make_item("clip", audio, **labels),), "made", "none")


def short_window(family, seconds=2.0):
    """A tiny model whose window is short, so that a clip of a few seconds is a long one."""
    model = tiny_model(family)
    model.window = seconds
    return model


def states_of_windows(model, audio):
    """States [site, frame, dim] and times of all windows, one after another."""
    size, parts, times = int(model.window * SAMPLING_RATE), [], []
    for start in range(0, len(audio), size):
        piece = audio[start : start + size]
        if model.unsupported_reason(len(piece)):
            continue
        kept = model.states([piece], model.encoder_sites)
        count = model.clock.count(len(piece))
        parts.append(torch.stack([kept[site][0, :count] for site in model.encoder_sites]))
        times.append(start / SAMPLING_RATE + model.clock.times(len(piece)))
    return torch.cat(parts, dim=1), np.concatenate(times)


@given(
    st.sampled_from(CLOCKS),
    st.integers(8000, 60_000),
    st.integers(1, 200_000),
    st.lists(st.floats(0, 13), min_size=1, max_size=20),
)
@settings(max_examples=60)
def test_frames_of_windows_have_the_times_of_the_whole_clip(clock, window, samples, seconds):
    long = clock.in_windows(window)
    parts = [
        start / SAMPLING_RATE + clock.times(min(window, samples - start))
        for start in range(0, samples, window)
    ]
    times = np.concatenate(parts)
    if samples >= clock.least and samples % window >= clock.least:
        assert long.count(samples) == len(times)
        np.testing.assert_allclose(long.times(samples), times, atol=1e-9)
    if long.count(samples):
        found, asked = long.times(samples), np.array(seconds)
        nearest = long.nearest(asked, samples)
        np.testing.assert_array_equal(nearest, np.abs(asked[:, None] - found).argmin(axis=1))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_reading_is_that_of_the_windows_one_after_another(family):
    model, corpus = short_window(family), of(noise(5.3))
    audio = corpus.items[0].audio()
    expected, centres = states_of_windows(model, audio)
    seconds = np.array([0.3, 1.99, 2.01, 3.5, 5.25])
    spans = np.array([[0.2, 0.5], [1.8, 2.3], [1.0, 4.9], [4.0, 4.001]])
    demands = [
        Demand(corpus, reading, long_form=True)
        for reading in (
            Frames({"clip": seconds}),
            Stretches({"clip": spans}, mean=True),
            Stretches({"clip": spans}, mean=False),
            Pooled(),
        )
    ]
    frames, means, whole, pooled = (found.values[0] for found in capture(model, demands))
    nearest = np.abs(seconds[:, None] - centres).argmin(axis=1)
    torch.testing.assert_close(frames["states"], expected[:, nearest].transpose(0, 1), rtol=0, atol=0)
    inside = [np.flatnonzero((start <= centres) & (centres < end)) for start, end in spans]
    inside[3] = [np.abs(centres - 4.0005).argmin()]
    assert whole["lengths"].tolist() == list(map(len, inside))
    torch.testing.assert_close(
        whole["states"], expected[:, np.concatenate(inside)].transpose(0, 1), rtol=0, atol=0
    )
    mean = torch.stack([expected[:, index].mean(dim=1) for index in inside])
    torch.testing.assert_close(means["states"], mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(pooled["states"], expected.mean(dim=1), rtol=1e-5, atol=1e-5)


def test_each_window_is_heard_once_for_all_readings_and_only_where_one_reads():
    model, encode, heard = short_window("moonshine"), None, []
    encode = model.encode
    model.encode = lambda audio: heard.append(len(audio[0])) or encode(audio)
    readings = [
        Frames({"clip": np.array([0.5, 4.5])}),
        Stretches({"clip": np.array([[4.2, 4.4]])}, mean=True),
    ]
    capture(model, [Demand(of(noise(6.0)), reading, long_form=True) for reading in readings])
    assert heard == [2 * SAMPLING_RATE] * 2  # the first and the third, not the second


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_clip_within_the_window_is_heard_as_without_long_form_and_cached_as_such(batch_size, tmp_path):
    model, corpus = tiny_model("whisper"), of(noise(3.0))
    plain = capture(model, [Demand(corpus, Pooled())], cache=tmp_path, batch_size=batch_size)[0]
    (again,) = capture(
        model, [Demand(corpus, Pooled(), long_form=True)], cache=tmp_path, batch_size=batch_size
    )
    assert again.log.cached == 1
    assert torch.equal(plain.values[0]["states"], again.values[0]["states"])


def test_windows_are_cached_under_a_key_of_their_own(tmp_path):
    model, corpus = short_window("moonshine"), of(noise(5.0))
    first = capture(model, [Demand(corpus, Pooled(), long_form=True)], cache=tmp_path)[0]
    model.window = 40.0
    whole = capture(model, [Demand(corpus, Pooled(), long_form=True)], cache=tmp_path)[0]
    assert whole.log.cached == 0
    assert not torch.equal(first.values[0]["states"], whole.values[0]["states"])


def test_without_long_form_it_is_refused_before_it_is_decoded():
    def never():
        raise AssertionError("decoded")

    corpus = of(noise(5.0))
    (item,) = corpus.items
    object.__setattr__(item, "audio", never)
    (found,) = capture(short_window("moonshine"), [Demand(corpus, Pooled())], partial=True)
    assert found.refused == (("clip", "clip: 5.0 s is longer than the model's window of 2 s"),)


@pytest.mark.parametrize("floor", [LogMel(LogMelSpec()), LogMelStatistics(80)])
def test_floors_hear_long_clips_in_windows_too(floor):
    floor.window = 2.0
    (found,) = capture(floor, [Demand(of(noise(5.0)), Pooled(), long_form=True)])
    parts = [
        floor.states([noise(5.0)[at : at + 32_000]], floor.encoder_sites)["log-mel"][0] for at in (0, 32_000)
    ]
    rest = floor.states([noise(5.0)[64_000:]], floor.encoder_sites)["log-mel"][0]
    heard = torch.cat(
        [*(part[: floor.clock.count(32_000)] for part in parts), rest[: floor.clock.count(16_000)]]
    )
    torch.testing.assert_close(found.values[0]["states"][0], heard.mean(dim=0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rate", [SAMPLING_RATE, 44_100])
def test_a_recording_is_streamed_and_its_pieces_are_the_whole(tmp_path, monkeypatch, rate):
    samples = noise(6.0)[: 3 * rate]
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    item = checked_item(excerpt(tmp_path / "a.wav", "a"), "a", id="a", text="words")
    monkeypatch.setattr("innerear.data.audio.BLOCK", 5000)
    pieces = list(item.pieces())
    assert max(map(len, pieces)) <= 5100
    whole, joined = item.audio(), np.concatenate(pieces)
    assert len(whole) == len(joined)
    np.testing.assert_allclose(joined, whole, atol=1e-6)
    if rate == SAMPLING_RATE:
        np.testing.assert_array_equal(joined, whole)


def test_playback_gives_what_comes_next_however_the_pieces_fall():
    audio = noise(1.0)
    for sizes in ([16_000], [7] * 2286, [1000, 15_000]):
        pieces = iter(np.split(audio, np.cumsum(sizes)[:-1]))
        playback, heard = Playback(pieces), []
        while len(part := playback.peek(3000)):
            heard.append(part)
            playback.skip(min(len(part), 1500))
        assert playback.start == len(audio)
        for at, part in enumerate(heard):
            np.testing.assert_array_equal(part, audio[1500 * at : 1500 * at + 3000])


def test_no_family_has_a_shorter_window_than_what_counts_as_a_short_clip():
    from transformers import AutoConfig

    for name, row in ROWS.items():
        try:
            config = AutoConfig.for_model(name)
        except ValueError:  # of another package
            continue
        assert row.window(config) >= SHORTEST_WINDOW, name
