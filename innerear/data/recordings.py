"""Recordings on disk and the parts of them that are clips: facts by the header, bounds, hashes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np
import soundfile

from innerear.data.audio import SHORTEST, decode, decode_pieces, open_audio, reason_of, sha256_bytes
from innerear.data.containers import contradiction
from innerear.util.errors import InputError
from innerear.util.io import sha256_file
from innerear.util.reading import regular

ROUNDING = 0.011
"""Seconds. Bounds are written with two decimals; so near an end of the file, they mean that end."""

CONTRADICTION, CONTRADICTION_SHARE = 0.1, 0.05
"""Seconds, and share of the file, by which a stated duration may miss the file's."""


_UNSTATED = 1 << 62
"""Samples that libsndfile reports of a FLAC that was streamed."""


def local_path(name: str) -> Path:
    """A path as people write it: with `~`, or as a `file://` address."""
    if name.startswith("file://"):
        name = unquote(name.removeprefix("file://").removeprefix("localhost"))
    try:
        return Path(name).expanduser()
    except RuntimeError:  # "~name" of nobody here
        return Path(name)


def is_there(path: Path) -> bool:
    """Whether a path exists; a name that no file can have (too long) does not."""
    try:
        return path.exists()
    except OSError:
        return False


class Recording(NamedTuple):
    """Facts on an encoded file; `frames` are samples of one channel, at `rate` (Hz)."""

    frames: int
    rate: int
    channels: int
    sha256: str

    @property
    def seconds(self) -> float:
        """Duration by the header."""
        return float(self.frames / self.rate)


def inspect(source: bytes | Path, where: str) -> Recording:
    """Facts on an encoded file by its header, without decoding.

    Raises
    ------
    InputError
        If the file is absent or empty, its header unreadable, the clip shorter than `SHORTEST`, or the file
        contradicts its own header (a broken download; a text-mode transfer loses bytes, too).
    """
    if isinstance(source, bytes):
        return _inspect(source, len(source), where)
    try:
        status = regular(source, where=where)
        return _inspect_file(source, status.st_size, status.st_mtime_ns, where)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{where}: cannot read the audio ({reason}); restore it") from error


@lru_cache(maxsize=1024)
def _inspect_file(path: Path, size: int, modified: int, where: str) -> Recording:
    """Segments share their recording; `modified` keeps an edited file from being served stale."""
    return _inspect(path, size, where)


def _inspect(source: bytes | Path, size: int, where: str) -> Recording:
    if not size:
        raise InputError(f"{where}: the audio file is empty; remove the clip or restore the file")
    try:
        with open_audio(source) as file:
            frames, rate, channels = file.frames, file.samplerate, file.channels
            form = file.format
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise InputError(
            f"{where}: not an audio file that can be read ({reason_of(error)}); replace it"
        ) from error
    if rate <= 0:
        raise InputError(f"{where}: sampling rate {rate} Hz; state the true rate of the clip")
    if frames >= _UNSTATED:
        raise InputError(f"{where}: the header states no length, as of a stream; convert the file again")
    seconds = frames / rate
    if isinstance(source, bytes):
        fault, digest = contradiction(source, form, seconds), sha256_bytes(source)
    else:
        with source.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            fault, digest = contradiction(data, form, seconds), sha256_file(source)
    if fault:
        raise InputError(f"{where}: {fault}")
    if seconds < SHORTEST:
        raise InputError(f"{where}: the clip lasts {seconds:.3f} s, less than {SHORTEST} s; remove it")
    return Recording(frames, rate, channels, digest)


@dataclass(frozen=True)
class Excerpt:
    """A recording on disk or a part of it: samples `first` up to `last`, one channel or all."""

    path: Path
    where: str
    recording: Recording
    first: int
    last: int
    channel: int | None = None

    @property
    def is_part(self) -> bool:
        """Whether the clip begins after the recording or ends before it."""
        return (self.first, self.last) != (0, self.recording.frames)

    @property
    def start(self) -> float:
        """Seconds from the start of the recording."""
        return self.first / self.recording.rate

    @property
    def seconds(self) -> float:
        """Duration of the clip."""
        return (self.last - self.first) / self.recording.rate

    @property
    def sha256(self) -> str:
        """Hash of the file; of a part, with its bounds in samples and its channel."""
        if not self.is_part and self.channel is None:
            return self.recording.sha256
        part = f"{self.recording.sha256} {self.first} {self.last} {self.channel or ''}"
        return sha256(part.encode()).hexdigest()

    def audio(self) -> np.ndarray:
        """The clip as `innerear.data.audio.decode` gives it: cut at the file's own rate, then resampled."""
        try:
            last = self.last if self.is_part else None
            return decode(self.path, self.where, self.first, last, self.channel)
        except OSError as error:
            raise self._unreadable(error) from error

    def pieces(self) -> Iterator[np.ndarray]:
        """The same in consecutive pieces."""
        try:
            yield from decode_pieces(self.path, self.where, self.first, self.last, self.channel)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> InputError:
        return InputError(f"{self.where}: cannot read the audio ({error.strerror or error}); restore it")


def excerpt(
    path: Path,
    where: str,
    *,
    start: float | None = None,
    end: float | None = None,
    duration: float | None = None,
    channel: int | None = None,
) -> Excerpt:
    """The clip that a recording and its bounds (seconds) describe; a duration alone has to be the file's.

    Raises
    ------
    InputError
        As `inspect`; and if the bounds lie outside the recording or contradict each other or the file, or the
        recording has several channels but not this one.
    """
    recording = inspect(path, where)
    if any(value is not None and not math.isfinite(value) for value in (start, end, duration)):
        raise InputError(f"{where}: start, end and duration have to be finite numbers of seconds")
    if start is None and end is None:
        if duration is not None and _contradicts(duration, recording.seconds):
            raise InputError(
                f"{where}: the duration is {duration:g} s, but the file lasts {recording.seconds:.3f} s;"
                " correct it, or add the offset (0 for the beginning) if the clip is a part of the file"
            )
        first, last = 0, recording.frames
    else:
        first, last = _bounds(recording, where, start or 0.0, end, duration)
    if recording.channels == 1:
        channel = None
    elif channel is not None and not 1 <= channel <= recording.channels:
        raise InputError(
            f"{where}: there is no channel {channel}; the file has {recording.channels}, counted from 1"
        )
    return Excerpt(path, where, recording, first, last, channel)


def _contradicts(stated: float, found: float) -> bool:
    return abs(stated - found) > max(CONTRADICTION, CONTRADICTION_SHARE * found)


def _bounds(
    recording: Recording, where: str, start: float, end: float | None, duration: float | None
) -> tuple[int, int]:
    whole = recording.seconds
    if end is not None and duration is not None and _contradicts(duration, end - start):
        raise InputError(
            f"{where}: {start:g} to {end:g} s do not last {duration:g} s; correct one of the three"
        )
    if end is None:
        end = whole if duration is None else start + duration
    if not 0 <= start < end:
        raise InputError(f"{where}: a segment from {start:g} to {end:g} s has no possible time; correct it")
    if start >= whole or end > whole + CONTRADICTION:
        raise InputError(
            f"{where}: the segment from {start:g} to {end:g} s ends after the file ({whole:.3f} s): cut-off"
            " audio, or bounds of another file"
        )
    first = 0 if start <= ROUNDING and abs(end - whole) <= ROUNDING else round(start * recording.rate)
    last = recording.frames if end > whole - ROUNDING else round(end * recording.rate)
    if last - first < SHORTEST * recording.rate:
        raise InputError(f"{where}: the segment lasts {end - start:.3f} s, less than {SHORTEST} s; remove it")
    return first, last
