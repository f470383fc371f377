"""Files that hold less than their headers promise, or more, are found before anything is decoded."""

import io
import struct

import numpy as np
import pytest
import soundfile

from innerear.data.recordings import inspect
from innerear.util.errors import InputError

RATE = 16_000


def encoded(seconds=2.0, **options):
    """Loud noise, then soft."""
    samples = np.random.default_rng(0).normal(0, 0.2, int(seconds * RATE))
    samples[RATE // 4 :] *= 1e-3
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, **options)
    return buffer.getvalue()


def sphere(samples=RATE):
    head = (
        f"NIST_1A\n   1024\nsample_count -i {samples}\nsample_rate -i {RATE}\nchannel_count -i 1\n"
        "sample_n_bytes -i 2\nsample_byte_format -s2 01\nend_head\n"
    )
    return head.encode().ljust(1024) + bytes(2 * samples)


VARIABLE = {"format": "MP3", "bitrate_mode": "VARIABLE", "compression_level": 0.5}


@pytest.mark.parametrize(
    "data",
    [
        encoded(format="WAV"), encoded(format="AIFF"), encoded(format="RF64"), encoded(format="W64"),
        sphere(), encoded(format="OGG"), encoded(format="OGG", subtype="OPUS"), encoded(format="MP3"),
        encoded(**VARIABLE),
    ],
    ids=["wav", "aiff", "rf64", "w64", "sphere", "vorbis", "opus", "mp3", "vbr"],
)  # fmt: skip
def test_a_part_of_a_file_is_refused_and_a_whole_one_is_not(data, tmp_path):
    inspect(data, "a")
    (tmp_path / "a").write_bytes(data)
    assert inspect(tmp_path / "a", "a") == inspect(data, "a")
    with pytest.raises(InputError, match=r"^a: .*cut off.*(copy|convert) it"):
        inspect(data[: len(data) * 7 // 10], "a")


def without_table(data):
    """An MP3 of MPEG 2 without the frame that holds its table, as some streams are saved."""
    return data[
        72 * (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)[(data[2] >> 4) - 1] * 1000 // RATE :
    ]


def test_a_variable_bit_rate_without_a_table_is_refused_since_its_length_is_a_guess():
    data = without_table(encoded(20.0, **VARIABLE))
    assert abs(soundfile.info(io.BytesIO(data)).duration - 20) > 5
    with pytest.raises(
        InputError, match=r"the header promises .*, but its frames last 20\.\d+ s: .*convert it"
    ):
        inspect(data, "a")


def test_a_constant_bit_rate_needs_no_table_and_tags_are_no_audio():
    data = encoded(20.0, format="MP3", bitrate_mode="CONSTANT", compression_level=0.5)
    tag = b"ID3\4\0\0" + bytes((0, 0, 2, 0)) + b"\xff\xf3\x88\xc4" * 64
    for whole in (data, without_table(data), tag + data, data + b"TAG".ljust(128, b"\0")):
        assert inspect(whole, "a").seconds == pytest.approx(20, abs=0.2)


def test_joined_mp3s_are_refused_since_only_the_first_would_be_heard():
    with pytest.raises(InputError, match=r"joined of several"):
        inspect(encoded(format="MP3") * 2, "a")


def test_samples_that_the_header_of_a_wav_does_not_count_are_said():
    data = bytearray(encoded(format="WAV"))
    struct.pack_into("<I", data, data.find(b"data") + 4, RATE)
    with pytest.raises(InputError, match=r"^a: \d+ bytes follow the samples .*convert it again"):
        inspect(bytes(data), "a")


@pytest.mark.parametrize(
    "tail", [b"LIST" + struct.pack("<I", 4) + b"INFO", b"\0" * 512, b"\0id3 " + bytes(40)]
)
def test_chunks_and_padding_after_the_samples_of_a_wav_are_no_samples(tail):
    assert inspect(encoded(format="WAV") + tail, "a").seconds == 2.0
