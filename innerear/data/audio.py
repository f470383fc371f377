"""Decode audio with soundfile, resample with soxr, and refuse audio that no model can use."""

import io
from hashlib import sha256

import numpy as np
import soundfile
import soxr

from innerear.data.schema import SAMPLING_RATE
from innerear.util.errors import InputError

SHORTEST = 0.1
"""Seconds. A shorter clip has less than one frame of some models' receptive fields."""


def decode(data: bytes, where: str) -> np.ndarray:
    """Decode WAV, FLAC, MP3 or Ogg bytes to float32 mono at `SAMPLING_RATE`.

    Parameters
    ----------
    data
        The encoded file.
    where
        Name of the clip, for the message.

    Raises
    ------
    InputError
        If the bytes are empty, corrupt, hold NaN or infinity, or last less than `SHORTEST` seconds.
    """
    if not data:
        raise InputError(f"{where}: the audio file is empty; remove the clip or restore the file")
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).rstrip(".").removeprefix("Error opening ").split(">: ")[-1]
        raise InputError(f"{where}: cannot decode the audio ({reason}); replace the file") from error
    return prepare(samples.mean(axis=1), rate, where)


def prepare(samples: np.ndarray, rate: int, where: str) -> np.ndarray:
    """Check mono float samples and bring them to `SAMPLING_RATE` as float32; errors as `decode`."""
    if rate <= 0:
        raise InputError(f"{where}: sampling rate {rate} Hz; state the true rate of the clip")
    if len(samples) < SHORTEST * rate:
        length = len(samples) / rate
        raise InputError(f"{where}: the clip lasts {length:.3f} s, less than {SHORTEST} s; remove it")
    if not np.isfinite(samples).all():
        raise InputError(f"{where}: the audio holds NaN or infinite samples; replace the file")
    if rate != SAMPLING_RATE:
        samples = soxr.resample(samples, rate, SAMPLING_RATE)
    return np.ascontiguousarray(samples, dtype=np.float32)


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of encoded audio."""
    return sha256(data).hexdigest()
