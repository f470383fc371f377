"""The organisms' training speech: Kokoro's voices of other languages, mixed in pairs, read English.

All 28 English voices are in test corpora, so none of them is heard here. A voice is the weighted mean of two
others of one gender, with a weight and a speed drawn for each clip: thousands of speakers rather than 15.
Clips are rendered in shards, each written at once: what a killed process had finished is not rendered again.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from innerear.data.audio import decode
from innerear.data.schema import Segment
from innerear.organisms.recipe import Recipe
from innerear.organisms.text import apart, probes, shuffled, wordnet, written
from innerear.render.kokoro import Kokoro
from innerear.render.shared import generator, row
from innerear.render.synthesis import fetch, resampled, speaker
from innerear.util.errors import InnerearError, InputError
from innerear.util.executors import Processes
from innerear.util.io import sha256_json, write_bytes
from innerear.util.progress import bar

VOICES: dict[str, tuple[str, ...]] = {
    "female": (
        *("ef_dora", "hf_alpha", "jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "pf_dora"),
        "zf_xiaobei",
    ),
    "male": (*("em_santa", "hm_omega", "im_nicola", "jm_kumo", "pm_santa", "zm_yunjian", "zm_yunxi"),),
}
"""Voices that are mixed for training, by gender."""
UNSEEN = {"female": ("if_sara", "hf_beta"), "male": ("em_alex", "hm_psi", "pm_alex")}
"""Voices that are kept for trying the models, unmixed."""

SPEEDS = (0.8, 1.15)
"""Multiples of the usual speed, between which that of a training clip is drawn."""
GAIN = 0.5
"""Gain of every clip: some voices peak above full scale."""
SHARD = 50
"""Clips in a shard."""
VERSION = 1
"""Increased when the same script would be rendered otherwise."""


@dataclass(frozen=True)
class Script:
    """A clip to render: `split` is `examples` or `written` (both for training), `unseen` or `probes`.

    `voices` are two, mixed with `weight` for the first, or one.
    """

    id: str
    split: str
    text: str
    voices: tuple[str, ...]
    weight: float
    british: bool
    speed: float


@dataclass(frozen=True)
class Heard:
    """A rendered clip: encoded samples at `SAMPLING_RATE`, its text, and its phones with times in seconds."""

    id: str
    split: str
    text: str
    encoded: bytes
    samples: int
    phones: tuple[Segment, ...]

    def audio(self) -> np.ndarray:
        """Samples, float32."""
        return decode(self.encoded, self.id)


def script(recipe: Recipe, work: Path) -> list[Script]:
    """All clips of a recipe; `work` is a folder for downloads. Errors as `wordnet`."""
    sentences = shuffled(apart(wordnet(work)), recipe.seed)
    kept, read = sentences[: recipe.unseen], sentences[-recipe.examples :][::-1]
    if recipe.unseen + recipe.examples > len(sentences):
        raise InputError(f"the recipe wants more sentences than the {len(sentences)} that there are")
    texts = {
        "examples": read,
        "written": written(recipe.written, recipe.seed),
        "unseen": kept,
        "probes": [text for _, _, text in probes(recipe.seed, recipe.probes)],
    }
    return [
        _cast(f"{split}-{number:05d}", split, text, recipe.seed)
        for split, group in texts.items()
        for number, text in enumerate(group)
    ]


def _cast(name: str, split: str, text: str, seed: int) -> Script:
    draw = generator(seed, name)
    gender = ("female", "male")[int(draw.integers(2))]
    british = bool(draw.integers(4) == 0)
    if split in ("unseen", "probes"):
        return Script(name, split, text, (str(draw.choice(UNSEEN[gender])),), 1.0, british, 1.0)
    voices = tuple(map(str, draw.choice(VOICES[gender], 2, replace=False)))
    weight, speed = (round(float(draw.uniform(*between)), 3) for between in ((0.0, 1.0), SPEEDS))
    return Script(name, split, text, voices, weight, british, speed)


def render(clips: Sequence[Script], folder: Path, work: Path, processes: int) -> list[Heard]:
    """Render what is not yet in `folder`, in several processes, and return all clips.

    Left out are those of which words and pronunciations do not match one to one.

    Parameters
    ----------
    work
        Folder for downloads (about 130 MB).

    Raises
    ------
    Unreachable
        If a package of the synthesiser cannot be got.
    InnerearError
        If one does not match its pinned hash, or a process was killed.
    """
    shards = list(_shards(clips, folder))
    missing = [shard for shard in shards if not shard[0].is_file()]
    if missing:
        files = fetch(work)
        voice = cache(partial(speaker, files, threads=1))  # made in each process: it does not survive a fork

        def do(shard: tuple[Path, Sequence[Script]]) -> int:
            _write(shard[0], [made for clip in shard[1] if (made := _rendered(clip, voice()))])
            return len(shard[1])

        with bar("rendering", sum(len(part) for _, part in missing)) as advance:
            for count in Processes(processes).map(do, missing):
                advance(count)
    return [clip for path, part in shards for clip in _read(path, {each.id for each in part})]


def _shards(clips: Sequence[Script], folder: Path) -> Iterable[tuple[Path, Sequence[Script]]]:
    """Shards of a split each, named by the hash of what is in them: one of another script is never read."""
    splits = dict.fromkeys(clip.split for clip in clips)
    for split in splits:
        group = [clip for clip in clips if clip.split == split]
        for part in (group[at : at + SHARD] for at in range(0, len(group), SHARD)):
            key = sha256_json([VERSION, [asdict(clip) for clip in part]])
            yield folder / f"{part[0].id}-{key[:16]}.parquet", part


def _rendered(clip: Script, speaker: Kokoro) -> dict[str, Any] | None:
    styles = [speaker.style(voice) for voice in clip.voices]
    weights = (clip.weight, 1 - clip.weight)
    style = np.sum([weight * each for weight, each in zip(weights, styles, strict=False)], axis=0)
    text = f"{clip.text[0].upper()}{clip.text[1:]}."
    try:
        spoken = speaker.say(text, style.astype(np.float32), british=clip.british, speed=clip.speed)
    except InputError:
        return None
    samples = GAIN * resampled(spoken)
    return row(
        clip.id, samples, text=clip.text, speaker="+".join(clip.voices), condition=clip.split,
        phones=spoken.phones,
    )  # fmt: skip


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        raise InnerearError(f"{path}: not one clip could be rendered")
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), buffer)
    write_bytes(path, buffer.getvalue())


def _read(path: Path, wanted: set[str]) -> list[Heard]:
    rows = pq.read_table(path).to_pylist()
    if not {each["id"] for each in rows} <= wanted:
        raise InnerearError(f"{path}: holds other clips than its name says; remove it, and render again")
    return [
        Heard(
            id=each["id"],
            split=each["condition"],
            text=each["text"],
            encoded=each["audio"],
            samples=each["samples"],
            phones=tuple(Segment(**phone) for phone in each["phones"]),
        )
        for each in rows
    ]
