"""What the header of an audio file promises, compared with what the file holds: libsndfile passes over it.

A file that was cut off, or whose header was never completed, decodes to a part of its audio without a word.
"""

import math
import re
import struct
from mmap import mmap

SLACK_FRAMES = 5
"""Frames of an MP3 by which estimates of its length may differ: that of its table, and the coder's delay."""

_SIZES: dict[bytes, tuple[str, int, int]] = {
    b"RIFF": ("<I", 4, 8), b"FORM": (">I", 4, 8), b"RF64": ("<Q", 20, 8), b"riff": ("<Q", 16, 0),
}  # fmt: skip
"""First bytes of a format -> how and where it states its size, and the bytes that the size leaves out."""

_UNKNOWN = 0x7FFF0000
"""From here on, a size of 32 bits is what a stream states that does not know it."""

_HEAD = 1 << 16
_OGG_PAGE = 27 + 255 + 255 * 255


def contradiction(data: bytes | mmap, form: str, seconds: float) -> str:
    """How the bytes of an audio file contradict their header; empty if they do not.

    Parameters
    ----------
    data
        The whole file.
    form
        Its format, as libsndfile names it.
    seconds
        The duration that libsndfile reports.
    """
    if missing := _missing(data):
        return (
            f"the file is {missing} bytes shorter than its header says, so it was cut off or mangled on the"
            " way; copy it again in binary mode"
        )
    rest = _after_samples(data) if data[:4] == b"RIFF" else 0
    if rest < -8:
        return f"its samples are {-rest} bytes fewer than its header says, so it was cut off; copy it again"
    if rest >= 16:
        return (
            f"{rest} bytes follow the samples that its header states, as in a recording that was not"
            " finished; convert it again"
        )
    if form == "OGG" and _ends_inside_a_page(data):
        return "it ends in the middle of a page, so it was cut off on the way; copy it again"
    if form == "MP3" and (found := _mp3_length(data)):
        length, frame = found
        if abs(length - seconds) > SLACK_FRAMES * frame:
            return (
                f"the header promises {seconds:,.3f} s, but its frames last {length:,.3f} s: cut off, joined"
                " of several, or of variable bit rate without a table; convert it to WAV or FLAC"
            )
    return ""


def _missing(data: bytes | mmap) -> int:
    """Bytes that a file lacks; 0 where it states no size."""
    if data[:7] == b"NIST_1A":
        return _missing_of_sphere(data)
    if data[:4] not in _SIZES or len(data) < 28:
        return 0
    layout, at, outside = _SIZES[data[:4]]
    (stated,) = struct.unpack_from(layout, data, at)
    missing = int(stated) + outside - len(data)
    # Some writers count the 8 bytes of the header twice; streams write sizes near 2^31 or 2^32.
    is_unknown = stated >= (_UNKNOWN if layout.endswith("I") else 1 << 62)
    return missing if missing > 8 and not is_unknown else 0


def _missing_of_sphere(data: bytes | mmap) -> int:
    head = data[:1024]
    facts = {name: int(value) for name, value in re.findall(rb"(\w+) -i (\d+)", head)}
    names = (b"sample_count", b"channel_count", b"sample_n_bytes")
    if b"embedded" in head or not facts.keys() >= {*names}:  # compressed
        return 0
    return max(0, 1024 + math.prod(facts[name] for name in names) - len(data))


def _after_samples(data: bytes | mmap) -> int:
    """Bytes of a WAV after its samples that are no further chunk, less than 0 where samples are missing.

    0 where it states no size of its samples, as streams do.
    """
    at = 12
    while at + 8 <= min(len(data), _HEAD):
        name, (length,) = data[at : at + 4], struct.unpack_from("<I", data, at + 4)
        if name == b"data":
            end = at + 8 + length
            is_chunk = any(re.match(rb"[\x20-\x7e]{4}|\0{4}", data[end + odd : end + 8]) for odd in (0, 1))
            return 0 if not 0 < length < _UNKNOWN or is_chunk else len(data) - end
        at += 8 + length + length % 2
    return 0


def _ends_inside_a_page(data: bytes | mmap) -> bool:
    at = data.rfind(b"OggS", max(0, len(data) - _OGG_PAGE))
    if at < 0 or at + 27 > len(data):
        return True
    table = data[at + 27 : at + 27 + data[at + 26]]
    return at + 27 + data[at + 26] + sum(table) > len(data)


# Bit rates in kbit/s of layer III, by the index of a frame: of MPEG 1, and of MPEG 2 and 2.5.
_MPEG1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def _mp3_length(data: bytes | mmap) -> tuple[float, float] | None:
    """Seconds of an MP3 by counting its frames, and seconds of a frame; None if it holds no frame."""
    at = count = 0
    while data[at : at + 3] == b"ID3" and len(data) >= at + 10:
        sizes = zip(data[at + 6 : at + 10], (21, 14, 7, 0), strict=True)
        at += 10 + sum((byte & 0x7F) << shift for byte, shift in sizes)
    rate = samples = expected = 0
    while 0 <= at < len(data):
        frame = _frame(data, at)
        end = at + frame[0] if frame else 0
        # Elsewhere than after a frame, two in a row are frames, and one is chance.
        if frame and (at == expected or end >= len(data) or _frame(data, end)):
            _, rate, samples = frame
            count += end <= len(data)
            at = expected = end
        else:
            at = data.find(b"\xff", at + 1)
    return (count * samples / rate, samples / rate) if count else None


def _frame(data: bytes | mmap, at: int) -> tuple[int, int, int] | None:
    """Bytes, sampling rate and samples of the frame of layer III that begins here, if one does."""
    if at + 4 > len(data):
        return None
    (head,) = struct.unpack_from(">I", data, at)
    version, layer, bits, rate = (head >> 19) & 3, (head >> 17) & 3, (head >> 12) & 15, (head >> 10) & 3
    if head >> 21 != 0x7FF or version == 1 or layer != 1 or bits in (0, 15) or rate == 3:
        return None
    hertz = _RATES[version][rate]
    kilobits, samples = (_MPEG1[bits], 1152) if version == 3 else (_MPEG2[bits], 576)
    return samples // 8 * kilobits * 1000 // hertz + (head >> 9 & 1), hertz, samples
