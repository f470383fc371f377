"""Render `innerear-speech`: from sentences and voices to one Parquet file with phone times.

The steps: fetch and verify the synthesiser, measure by how much its times lag, render every sentence, write.
Rendering is not bit-identical across processors, which is why the corpus is rendered once and shipped; a
second rendering is a corpus of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from innerear.render.kokoro import RATE, Kokoro, Spoken
from innerear.render.phone_times import onset_differences
from innerear.render.shared import write_corpus
from innerear.render.speech_card import card
from innerear.render.synthesis import about, fetch, resampled, voice_row
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import write_json
from innerear.util.paths import embedded_corpora
from innerear.util.progress import bar

NAME = "innerear-speech"

GAIN = 0.5
"""Gain of every clip: some voices peak above full scale."""

_EVERY = 8
"""The calibration uses every eighth of a voice's own sentences."""


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
    """Render the corpus into the folder `output`; `work` is a folder for downloads (about 120 MB)."""
    model, vocabulary, voices = fetch(work)
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
    return write_corpus(
        output,
        rows,
        lambda corpus, _: card(corpus, calibration),
        None,
        name=NAME,
        summary="28 synthesised voices, American and British, 16 own and 4 shared sentences each",
        **about("28 English voices"),
    )


def _calibrate(speaker: Kokoro, script: Sequence[Reading]) -> dict[str, Any]:
    """By how much predicted times lag behind the sound, measured in two independent ways."""
    sample = [reading for reading in script if reading.sentence_set == "own" and reading.index % _EVERY == 0]
    late, hiss, skipped = [], [], 0
    with bar("calibrating", len(sample)) as advance:
        for reading in sample:
            spoken = speaker.speak(reading.voice, reading.text)
            differences = onset_differences(resampled(spoken), spoken.words, spoken.phones)
            if differences is None:
                skipped += 1
            else:
                late.append(differences)
            hiss += list(_sibilants(spoken))
            advance()
    if not late:
        raise InnerearError("calibration failed: the aligner failed on every clip")
    onsets = np.concatenate(late)
    return {
        "late_s": round(float(np.median(onsets)), 3),
        "method": "median over phones of predicted minus force-aligned onset (pocketsphinx, same phones)",
        "clips": len(sample),
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
    return voice_row(
        reading.id,
        GAIN * resampled(spoken),
        reading.voice,
        text=reading.text,
        words=spoken.words,
        phones=spoken.phones,
        sentence_set=reading.sentence_set,
    )
