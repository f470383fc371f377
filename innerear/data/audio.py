"""Decode audio with soundfile, resample with soxr, and refuse audio that no model can use."""

import io
import struct
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import soundfile
import soxr

from innerear.data.schema import SAMPLING_RATE
from innerear.util.errors import InputError
from innerear.util.reading import regular

SHORTEST = 0.1
"""Seconds. A shorter clip has less than one frame of some models' receptive fields."""

LOUDEST = 10.0
"""Full scale is 1. Floating-point files may go a little over it; 20 dB over it is another scale."""

BLOCK = 1 << 20
"""Samples of all channels decoded at a time: a header may promise far more than its file holds."""

LONGEST, MOST = 2 * 3600, 1 << 27
"""Seconds, and samples of all channels. Small files of silence hold days; some rates blow a clip up."""

LONGEST_STREAM = 24 * 3600
"""Seconds of a clip that is decoded piece by piece, whatever its rate."""

_HEAD = 1 << 16
"""Bytes in which a WAV begins its samples, unless it carries pictures."""

_ENDLESS = 0xFFFFFFFF
"""What a streamed WAV states for a size that it did not know."""


def decode(
    source: bytes | Path, where: str, first: int = 0, last: int | None = None, channel: int | None = None
) -> np.ndarray:
    """Decode WAV, FLAC, MP3 or Ogg to float32 mono at `SAMPLING_RATE`.

    Parameters
    ----------
    source
        The encoded file or its path; of a path, only the wanted part is read.
    where
        Name of the clip, for the message.
    first, last
        The wanted part in samples of the file, at its own rate, before resampling; default: all.
    channel
        The wanted channel, counted from 1; default: the mean of all.

    Raises
    ------
    InputError
        If the file is empty, corrupt, holds NaN or infinity, is far beyond full scale, ends before `last` or
        is shorter than `SHORTEST`.
    """
    if source == b"":
        raise InputError(f"{where}: the audio file is empty; remove the clip or restore the file")
    try:
        with open_audio(source) as file:
            rate = file.samplerate
            last = file.frames if last is None else last
            file.seek(first)
            most = min(LONGEST * rate, MOST // file.channels)
            mono = _read(file, min(last - first, most + 1), channel)
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{where}: cannot decode the audio ({reason_of(error)}); replace the file"
        ) from error
    if len(mono) > most:
        raise InputError(
            f"{where}: the clip lasts more than {most / rate / 60:,.0f} minutes; cut it into utterances"
        )
    if len(mono) < last - first - SHORTEST * rate:
        raise InputError(
            f"{where}: the header promises {last / rate:.3f} s, but the audio ends at"
            f" {(first + len(mono)) / rate:.3f} s, so the file was cut off; copy it again"
        )
    return prepare(mono, rate, where)


def decode_pieces(
    source: Path, where: str, first: int = 0, last: int | None = None, channel: int | None = None
) -> Iterator[np.ndarray]:
    """As `decode`, in consecutive pieces that are never all in memory; parameters and errors as there.

    Where the file has another rate, the last bits may differ from those of the whole.
    """
    try:
        with open_audio(source) as file:
            rate = file.samplerate
            last = file.frames if last is None else last
            if last - first > LONGEST_STREAM * rate:
                hours = LONGEST_STREAM / 3600
                raise InputError(f"{where}: the clip lasts more than {hours:.0f} hours; cut it")
            file.seek(first)
            left, other = last - first, None
            if rate != SAMPLING_RATE:
                other = soxr.ResampleStream(rate, SAMPLING_RATE, 1, dtype="float32")
            for block in _blocks(file, left, channel):
                left -= len(block)
                _check_samples(block, where)
                yield block if other is None else other.resample_chunk(block)
            if other is not None:
                yield other.resample_chunk(np.zeros(0, np.float32), last=True)
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{where}: cannot decode the audio ({reason_of(error)}); replace the file"
        ) from error
    if left > SHORTEST * rate:
        raise InputError(
            f"{where}: the header promises {last / rate:.3f} s, but the audio ends at"
            f" {(last - left) / rate:.3f} s, so the file was cut off; copy it again"
        )


def _read(file: soundfile.SoundFile, count: int, channel: int | None) -> np.ndarray:
    """Samples of one channel, or the mean of all."""
    blocks = list(_blocks(file, count, channel))
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _blocks(file: soundfile.SoundFile, count: int, channel: int | None) -> Iterator[np.ndarray]:
    """The same in consecutive blocks."""
    size = max(1, BLOCK // file.channels)
    while len(block := file.read(min(count, size), dtype="float32", always_2d=True)):
        yield block.mean(axis=1) if channel is None else block[:, channel - 1].copy()
        count -= len(block)


def reason_of(error: Exception) -> str:
    """What libsndfile says, without the description of the file object."""
    return str(error).rstrip(".").removeprefix("Error opening ").split(">: ")[-1].split("': ")[-1]


def open_audio(source: bytes | Path) -> soundfile.SoundFile:
    """Open an encoded file, or a WAV that was streamed and states a data size of 0."""
    if isinstance(source, Path):
        regular(source)
    head = source[:_HEAD] if isinstance(source, bytes) else _head(source)
    if (at := _unstated_size(head, len(source) if isinstance(source, bytes) else source.stat().st_size)) > 0:
        data = bytearray(source if isinstance(source, bytes) else source.read_bytes())
        struct.pack_into("<I", data, 4, _ENDLESS)
        struct.pack_into("<I", data, at, _ENDLESS)
        source = bytes(data)
    return soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else str(source))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _unstated_size(head: bytes, size: int) -> int:
    """Where a streamed WAV states the size of its samples as 0; 0 for any other file."""
    if head[:4] != b"RIFF" or len(head) < 12 or abs(struct.unpack_from("<I", head, 4)[0] + 8 - size) <= 8:
        return 0
    at = 12
    while at + 8 <= len(head):
        (length,) = struct.unpack_from("<I", head, at + 4)
        if head[at : at + 4] == b"data":
            return at + 4 if length == 0 and size > at + 8 else 0
        at += 8 + length + length % 2
    return 0


def prepare(samples: np.ndarray, rate: int, where: str) -> np.ndarray:
    """Check mono float samples and bring them to `SAMPLING_RATE` as float32; errors as `decode`."""
    if rate <= 0:
        raise InputError(f"{where}: sampling rate {rate} Hz; state the true rate of the clip")
    if len(samples) < SHORTEST * rate:
        length = len(samples) / rate
        raise InputError(f"{where}: the clip lasts {length:.3f} s, less than {SHORTEST} s; remove it")
    _check_samples(samples, where)
    if rate != SAMPLING_RATE:
        samples = soxr.resample(samples, rate, SAMPLING_RATE)
    return np.ascontiguousarray(samples, dtype=np.float32)


def _check_samples(samples: np.ndarray, where: str) -> None:
    peak = float(np.abs(samples).max())
    if not np.isfinite(peak):
        raise InputError(f"{where}: the audio holds NaN or infinite samples; replace the file")
    if peak > LOUDEST:
        raise InputError(
            f"{where}: wrong scale: samples reach {peak:,.0f}, but full scale is 1; divide them (16-bit"
            " values by 32,768) and save the file again"
        )


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of encoded audio."""
    return sha256(data).hexdigest()
