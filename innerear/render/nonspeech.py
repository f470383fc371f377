"""Render `innerear-nonspeech`: clips in which nobody speaks, to test whether a decoder recognises that.

Eight kinds are synthesised (`innerear.render.sounds`), four are cut from CC0 recordings. Everything is drawn
by generators seeded with (seed, kind, source, clip), so that any clip can be rendered by itself.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from innerear.data.audio import decode
from innerear.data.schema import SAMPLING_RATE, Corpus
from innerear.render.shared import STEP, coarse, generator, markdown_rows, row, write_corpus
from innerear.render.sounds import SOUNDS
from innerear.util.downloads import fetch_deb, unpack_deb
from innerear.util.errors import InnerearError
from innerear.util.progress import bar

NAME = "innerear-nonspeech"
SEED = 20250
SOURCES, CLIPS = 10, 3
"""Sources of each synthesised kind, and clips of each source of any kind."""

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
DURATIONS = (2.08, 2.42, 2.72, 2.98, 3.26, 3.80, 4.88)
LEVELS = (-33.5, -31.0, -29.2, -27.9, -27.0, -24.6, -24.0)
"""Seconds, and RMS in dB re full scale, at `QUANTILES` of the clips of `innerear-speech`, to match them."""

PEAK = 0.9
FADE = 0.010
"""Seconds at either end."""

PACKAGE = (
    "sonic-pi-samples=3.2.2~repack-8",
    "25f2312d2fae005e6ad0f4726b8ed3084e776006a5a132083506e960224ac79d",
)
_SAMPLES, _COPYRIGHT = "usr/share/sonic-pi/samples", "usr/share/doc/sonic-pi-samples/copyright"

RECORDINGS: dict[str, tuple[str, ...]] = {
    "ambience": (
        "ambi_dark_woosh", "ambi_drone", "ambi_glass_rub", "ambi_haunted_hum", "ambi_lunar_land",
        "ambi_soft_buzz", "ambi_swoosh", "misc_cineboom", "vinyl_hiss",
    ),
    "loops": (
        "loop_breakbeat", "loop_compus", "loop_industrial", "loop_mika", "loop_safari", "loop_tabla",
    ),
    "instruments": (
        "ambi_piano", "bass_dnb_f", "bass_hard_c", "bass_thick_c", "bass_trance_c", "bass_woodsy_c",
        "elec_chime", "guit_e_fifths", "guit_e_slide", "guit_em9", "guit_harmonics",
    ),
    "percussion": (
        "bd_boom", "drum_cowbell", "drum_cymbal_hard", "drum_roll", "drum_snare_hard", "drum_tom_lo_hard",
        "perc_bell", "perc_snap", "perc_swash", "perc_till", "tabla_ghe5", "tabla_tun2",
    ),
}  # fmt: skip
"""The recorded kinds and their files; each file is a source."""

VOICES = (
    "ambi_choir", "ambi_glass_hum", "bass_voxy_c", "bass_voxy_hit_c", "loop_garzul", "misc_burp",
    "vinyl_backspin", "vinyl_rewind", "vinyl_scratch",
)  # fmt: skip
"""Left out: a choir, a mouth, synthesised vowels, and records and hums that may hold a voice."""

RECORDS = ("loop_amen", "loop_amen_full")
"""Left out: parts of a published record, which whoever uploaded them could not put under CC0."""

_CARD = Path(__file__).with_name("nonspeech_card.md")


class Recording(NamedTuple):
    """A file of the package: float32 mono at `SAMPLING_RATE`, and where its maker published it."""

    samples: np.ndarray
    origin: str


def render(output: Path, work: Path) -> Path:
    """Render the corpus into the folder `output`; `work` is a folder for downloads (about 45 MB).

    Raises
    ------
    Unreachable
        If apt cannot deliver the recordings.
    InnerearError
        If a package does not match its pinned hash, or a recording is not under CC0.
    """
    recordings = fetch(work)
    sources = [(kind, source, "") for kind in SOUNDS for source in range(SOURCES)]
    sources += [
        (kind, source, name) for kind, names in RECORDINGS.items() for source, name in enumerate(names)
    ]
    rows = []
    with bar("rendering", len(sources)) as advance:
        for kind, source, name in sources:
            recording = recordings[name] if name else None
            for clip in range(CLIPS):
                samples = (
                    synthesised(kind, source, clip)
                    if recording is None
                    else recorded(kind, source, clip, recording.samples)
                )
                rows.append(_row(kind, source, clip, samples, name, recording.origin if recording else ""))
            advance()
    return write_corpus(
        output,
        rows,
        lambda corpus, _: card(corpus),
        name=NAME,
        licence="Apache-2.0 (synthesised clips), CC0-1.0 (recordings)",
        source=f"synthesised by innerear; recordings of the Debian package {PACKAGE[0]}",
        summary=f"no speech: noise, hum, tones, clicks, music, machines, silence, {', '.join(RECORDINGS)}",
        citation="innerear (Apache-2.0); freesound.org (CC0-1.0), collected by Sonic Pi",
    )


def synthesised(kind: str, source: int, clip: int) -> np.ndarray:
    """One clip of a synthesised kind, at its level and faded: float samples at `SAMPLING_RATE`."""
    draw = generator(SEED, kind, source, clip)
    samples = SOUNDS[kind](source, generator(SEED, kind, source), draw, _length(draw))
    return _faded(samples) if kind == "quiet" else _finished(samples, draw)


def recorded(kind: str, source: int, clip: int, recording: np.ndarray) -> np.ndarray:
    """One clip of a recording: a part of it; a shorter one is played again, loops without a gap."""
    draw = generator(SEED, kind, source, clip)
    length = _length(draw)
    if kind == "loops":
        start = int(draw.integers(len(recording)))
        samples = np.take(recording, np.arange(start, start + length), mode="wrap")
    elif len(recording) > length:
        samples = _excerpt(recording, length, draw)
    else:
        samples = _repeated(recording, length, draw)
    return _finished(samples, draw)


def fetch(work: Path) -> dict[str, Recording]:
    """Fetch the pinned package and decode its recordings; errors as `render`."""
    deb = fetch_deb(*PACKAGE, work)
    folder = work / deb.stem
    unpack_deb(deb, folder)
    origins = cc0((folder / _COPYRIGHT).read_text(encoding="utf-8"))
    wanted = [name for names in RECORDINGS.values() for name in names]
    if other := [name for name in wanted if name not in origins]:
        raise InnerearError(f"{deb.name}: {', '.join(other)} not listed as CC0 in its copyright file")
    return {
        name: Recording(decode((folder / _SAMPLES / f"{name}.flac").read_bytes(), name), origins[name])
        for name in wanted
    }


def cc0(copyright_file: str) -> dict[str, str]:
    """Samples that a Debian copyright file puts under CC0 one by one, with the address of each."""
    stanza = re.compile(
        r"^Files: etc/samples/(\w+)\.flac\n(?:.+\n)*?Source: (\S+)\nLicense: CC0$", re.MULTILINE
    )
    return dict(stanza.findall(copyright_file))


def card(corpus: Corpus) -> str:
    """Write the corpus card in Markdown; every figure is counted from the data."""
    clips = pd.DataFrame(_facts(corpus))
    levels = clips[np.isfinite(clips.rms_db)].groupby("kind", sort=False).rms_db
    kinds = clips.groupby("kind", sort=False).agg(
        sources=("speaker", "nunique"), clips=("speaker", "size"), seconds=("seconds", "sum")
    )
    kinds["rms"] = [f"{low:.0f} to {high:.0f}" for low, high in zip(levels.min(), levels.max(), strict=True)]
    used = clips[clips.recording != ""].drop_duplicates("recording")
    return _CARD.read_text().format(
        name=corpus.name,
        version=corpus.version,
        clips=len(clips),
        minutes=clips.seconds.sum() / 60,
        synthetic_kinds=len(SOUNDS),
        recorded_kinds=used.kind.nunique(),
        synthetic=int((clips.recording == "").sum()),
        recorded=int((clips.recording != "").sum()),
        shortest=clips.seconds.min(),
        longest=clips.seconds.max(),
        softest=LEVELS[0],
        loudest=LEVELS[-1],
        lowered=int((clips.peak > PEAK - STEP).sum()),
        peak=PEAK,
        zeros=int(np.isinf(clips.rms_db).sum()),
        package=PACKAGE[0],
        sha256=PACKAGE[1],
        seed=SEED,
        voices=", ".join(f"`{name}`" for name in VOICES),
        records=", ".join(f"`{name}`" for name in RECORDS),
        kinds=markdown_rows(
            (kind, row.sources, row.clips, f"{row.seconds:.0f}", row.rms) for kind, row in kinds.iterrows()
        ),
        recordings=markdown_rows((f"`{one.recording}`", one.kind, one.origin) for one in used.itertuples()),
    )


def _facts(corpus: Corpus) -> Iterator[dict[str, Any]]:
    for item in corpus:
        samples = item.audio()
        with np.errstate(divide="ignore"):
            level = 20 * np.log10(_rms(samples))
        yield {
            "speaker": item.speaker,
            "seconds": item.duration,
            "rms_db": level,
            "peak": np.abs(samples).max(),
            **dict(item.extra),
        }


def _row(
    kind: str, source: int, clip: int, samples: np.ndarray, recording: str, origin: str
) -> dict[str, Any]:
    return row(
        f"{kind}-{source:02d}-{clip}",
        samples,
        speaker=f"{kind}-{source:02d}",
        condition=kind,
        kind=kind,
        recording=recording,
        origin=origin,
    )


def _length(draw: Generator) -> int:
    """A length in samples, distributed as those of speech."""
    return round(float(np.interp(draw.random(), QUANTILES, DURATIONS)) * SAMPLING_RATE)


def _finished(samples: np.ndarray, draw: Generator) -> np.ndarray:
    return coarse(_faded(_levelled(samples, draw)))


def _levelled(samples: np.ndarray, draw: Generator) -> np.ndarray:
    """Bring a clip to an RMS distributed as that of speech, or softer if its peak would pass `PEAK`."""
    target = 10 ** (np.interp(draw.random(), QUANTILES, LEVELS) / 20)
    return samples * min(float(target) / _rms(samples), PEAK / float(np.abs(samples).max()))


def _faded(samples: np.ndarray) -> np.ndarray:
    ramp = np.sin(np.linspace(0, np.pi / 2, int(FADE * SAMPLING_RATE))) ** 2
    samples = samples.copy()
    samples[: len(ramp)] *= ramp
    samples[-len(ramp) :] *= ramp[::-1]
    return samples


def _excerpt(recording: np.ndarray, length: int, draw: Generator) -> np.ndarray:
    """The first of 16 drawn parts that is not far below the level of the whole, or else the loudest."""
    parts = [recording[start : start + length] for start in draw.integers(0, len(recording) - length, 16)]
    return max(parts, key=lambda part: min(_rms(part), _rms(recording) / 2))


def _repeated(recording: np.ndarray, length: int, draw: Generator) -> np.ndarray:
    """The whole recording again and again, with pauses of up to 0.8 s, at levels that differ a little."""
    samples, start = np.zeros(length), int(draw.uniform(0, 0.3) * SAMPLING_RATE)
    while start < length:
        heard = recording[: length - start]
        samples[start : start + len(heard)] = heard * draw.uniform(0.5, 1)
        start += len(recording) + int(draw.uniform(0.05, 0.8) * SAMPLING_RATE)
    return samples


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean()))
