"""Parts of recordings: cut to the sample, hashed by their bounds, refused where the bounds cannot be."""

import io
import struct

import numpy as np
import pytest
import soundfile

from innerear.data.audio import decode
from innerear.data.recordings import excerpt, inspect
from innerear.util.errors import InputError

RATE = 16_000


def samples(seconds=2.0, channels=1):
    return np.random.default_rng(0).normal(0, 0.1, (int(seconds * RATE), channels))


@pytest.fixture
def path(tmp_path):
    soundfile.write(tmp_path / "a.wav", samples(), RATE)
    return tmp_path / "a.wav"


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_segment_is_cut_to_the_sample(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, samples(), RATE)
    whole = decode(path, "a")
    part = excerpt(path, "a", start=0.5, end=1.25)
    assert (part.start, part.seconds) == (0.5, 0.75)
    np.testing.assert_allclose(part.audio(), whole[8000:20_000], atol=1e-6)


def test_a_segment_is_cut_at_the_rate_of_the_file_and_then_resampled(tmp_path):
    soundfile.write(tmp_path / "a.wav", samples(), 44_100)
    part = excerpt(tmp_path / "a.wav", "a", start=0.1, duration=0.2)
    assert (part.first, part.last) == (4410, 13_230)
    assert part.audio().shape == (3200,)


def test_hashes_of_segments_differ_and_that_of_a_whole_file_is_the_files(path):
    bounds = [(None, None), (0.0, 1.0), (1.0, 2.0), (0.5, 1.5)]
    hashes = [excerpt(path, "a", start=start, end=end).sha256 for start, end in bounds]
    assert len(set(hashes)) == 4
    assert hashes[0] == inspect(path.read_bytes(), "a").sha256
    assert excerpt(path, "a", start=0, end=2.005).sha256 == hashes[0]


def test_one_channel_of_several_is_heard_alone(tmp_path):
    both = samples(channels=2)
    soundfile.write(tmp_path / "a.wav", both, RATE, subtype="FLOAT")
    left, right, mean = (excerpt(tmp_path / "a.wav", "a", channel=channel) for channel in (1, 2, None))
    np.testing.assert_allclose(left.audio(), both[:, 0], atol=1e-6)
    np.testing.assert_allclose(mean.audio(), both.mean(axis=1), atol=1e-6)
    assert len({left.sha256, right.sha256, mean.sha256}) == 3
    with pytest.raises(InputError, match=r"there is no channel 3; the file has 2"):
        excerpt(tmp_path / "a.wav", "a", channel=3)


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        ({"start": 1.0, "end": 1.0}, "no possible time"),
        ({"start": 1.5, "end": 1.0}, "no possible time"),
        ({"start": -1.0, "end": 1.0}, "no possible time"),
        ({"start": 1.0, "duration": 0.0}, "no possible time"),
        ({"start": 2.0, "end": 2.5}, r"ends after the file \(2.000 s\)"),
        ({"start": 5.0}, "no possible time"),
        ({"start": 1.0, "duration": 1.5}, "ends after the file"),
        ({"start": 1.0, "end": 1.05}, "lasts 0.050 s, less than"),
        ({"start": 0.0, "end": 1.0, "duration": 2.0}, "do not last 2 s"),
        ({"duration": 1.5}, r"the duration is 1.5 s, but the file lasts 2.000 s"),
        ({"duration": float("inf")}, "finite"),
    ],
)
def test_bounds_that_cannot_be_are_one_line(path, bounds, reason):
    with pytest.raises(InputError, match=rf"^a: .*{reason}"):
        excerpt(path, "a", **bounds)


def test_a_duration_that_is_the_files_changes_nothing(path):
    assert excerpt(path, "a", duration=2.08).sha256 == excerpt(path, "a").sha256


def test_a_recording_is_hashed_once_for_all_its_segments(path, monkeypatch):
    hashed = []
    monkeypatch.setattr("innerear.data.recordings.sha256_file", lambda file: hashed.append(file) or "0")
    for start in (0.0, 0.5, 1.0):
        excerpt(path, "a", start=start, duration=0.4)
    assert len(hashed) == 1


@pytest.mark.parametrize("stated", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_streamed_wav_is_read_to_its_end_whatever_sizes_it_states(tmp_path, stated):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples(), RATE, format="WAV", subtype="PCM_16")
    data = bytearray(buffer.getvalue())
    struct.pack_into("<I", data, 4, stated)
    struct.pack_into("<I", data, data.find(b"data") + 4, stated)
    (tmp_path / "a.wav").write_bytes(data)
    assert inspect(bytes(data), "a").seconds == excerpt(tmp_path / "a.wav", "a").seconds == 2.0
    np.testing.assert_array_equal(decode(bytes(data), "a"), decode(buffer.getvalue(), "a"))
    assert excerpt(tmp_path / "a.wav", "a", start=1.0).audio().shape == (RATE,)


def test_a_wav_that_truly_holds_nothing_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", samples(0.0), RATE)
    with pytest.raises(InputError, match=r"lasts 0\.000 s"):
        excerpt(tmp_path / "a.wav", "a")


def test_an_mp3_whose_header_promises_hours_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.mp3", samples(), RATE)
    data = bytearray((tmp_path / "a.mp3").read_bytes())
    at = max(data.find(b"Xing"), data.find(b"Info"))
    struct.pack_into(">I", data, at + 8, 2**24)
    with pytest.raises(InputError, match=r"^a: the header promises [\d,.]+ s, but its frames last 2\."):
        inspect(bytes(data), "a")


def test_an_mp3_that_was_cut_off_is_refused_on_decoding(tmp_path):
    soundfile.write(tmp_path / "a.mp3", samples(), RATE)
    data = (tmp_path / "a.mp3").read_bytes()
    with pytest.raises(InputError, match=r"^a: the header promises 2\.000 s, but the audio ends at [01]\."):
        decode(data[: len(data) // 2], "a")


def test_a_streamed_flac_states_no_length(tmp_path):
    soundfile.write(tmp_path / "a.flac", samples(), RATE)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] &= 0xF0  # 36 bits of STREAMINFO
    data[22:26] = bytes(4)
    with pytest.raises(InputError, match=r"^a: the header states no length, as of a stream"):
        inspect(bytes(data), "a")


@pytest.mark.parametrize(("scale", "refused"), [(1.0, False), (4.0, False), (32_768.0, True)])
def test_samples_far_beyond_full_scale_are_the_wrong_scale(tmp_path, scale, refused):
    soundfile.write(tmp_path / "a.wav", samples() * scale, RATE, subtype="FLOAT")
    if not refused:
        assert decode(tmp_path / "a.wav", "a").shape == (2 * RATE,)
        return
    with pytest.raises(InputError, match=r"^a: wrong scale: samples reach [\d,]+, .*divide"):
        decode(tmp_path / "a.wav", "a")


@pytest.mark.parametrize("channels", [1, 2])
def test_a_clip_of_hours_is_refused_before_it_is_held_and_a_part_of_it_is_heard(
    tmp_path, monkeypatch, channels
):
    monkeypatch.setattr("innerear.data.audio.MOST", RATE * channels)
    soundfile.write(tmp_path / "a.flac", samples(2.0, channels), RATE)
    with pytest.raises(InputError, match="the clip lasts more than 0 minutes; cut it"):
        decode(tmp_path / "a.flac", "a")
    part = excerpt(tmp_path / "a.flac", "a", start=0.5, end=1.25)
    assert part.audio().shape == (12_000,)


def test_a_rate_that_blows_a_clip_up_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", samples(), 1)
    with pytest.raises(InputError, match="more than 120 minutes"):
        decode(tmp_path / "a.wav", "a")


def test_samples_in_blocks_are_the_samples_of_the_whole(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", samples(channels=3), RATE, subtype="FLOAT")
    whole = [decode(tmp_path / "a.wav", "a", channel=channel) for channel in (None, 2)]
    monkeypatch.setattr("innerear.data.audio.BLOCK", 1000)
    for expected, channel in zip(whole, (None, 2), strict=True):
        assert np.array_equal(decode(tmp_path / "a.wav", "a", channel=channel), expected)
    read = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
    assert np.array_equal(whole[0], read.mean(axis=1))


def test_samples_that_the_header_of_a_wav_states_and_that_are_not_there_are_told(path):
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 40, len(data) + 1000)
    path.write_bytes(data)
    with pytest.raises(InputError, match="fewer than its header says"):
        inspect(path, "a")
