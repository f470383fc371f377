"""Clips of embedded corpora as the site has them: sound, spectrogram, words and phones.

A clip is there only if the installed corpus is the one that was measured: selected and mixed with noise as
the task says, it has the fingerprint that the result states.
"""

import io
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from pydantic import ValidationError

from innerear.data.registry import corpus_names, join, load_corpus
from innerear.data.schema import SAMPLING_RATE, Corpus, Item, Segment
from innerear.results.schema import Result
from innerear.tasks.task import PROSE, Task
from innerear.util.errors import InputError
from innerear.util.io import sha256_json, write_bytes

FOLDER = "sounds"
"""Folder of sounds and spectrograms in the site."""
RECIPE = 2
"""Version of how they are made, which their names depend on."""
WINDOW, HOP = 256, 160
"""Samples of a window of the spectrogram, and from one to the next: wide bands, as phoneticians read them."""
RANGE = 70.0
"""Decibels from the loudest point of a spectrogram to white."""


@cache
def _corpus(name: str) -> Corpus:
    """A corpus that comes with innerear, or several that are joined by `+`, each of which is read once."""
    parts = name.split("+")
    return join([_corpus(part) for part in parts]) if len(parts) > 1 else load_corpus(name)


def clips_of(result: Result, ids: Collection[str]) -> tuple[dict[str, Item], str]:
    """Clips that a result has items of, by id; or none, and why.

    Raises
    ------
    InnerearError
        If an embedded corpus is damaged.
    """
    info = result.corpus
    if not set(info.name.split("+")) <= {entry.name for entry in corpus_names() if entry.kind == "embedded"}:
        speech = "recorded human speech" if info.human else "a corpus"
        return {}, f"No sound of {info.name}: it is {speech} under a licence of its own ({info.licence})."
    try:
        task = Task.model_validate(result.task.spec | {name: getattr(result.task, name) for name in PROSE})
        corpus = task.select(_corpus(info.name))
    except (ValidationError, InputError) as error:
        return (
            {},
            f"No sound: the clips of this task cannot be selected again ({str(error).splitlines()[0]}).",
        )
    if (installed := corpus.fingerprint()) != info.fingerprint:
        return {}, (
            f"No sound: these results are of another {info.name} than the one that comes with this innerear. "
            f"Their clips have the hash {info.fingerprint[:12]}, and those here {installed[:12]}."
        )
    found = {item.id: item for item in corpus if item.id in ids}
    return found, "" if found else "No sound: the items of this task are not clips."


def clip_data(item: Item) -> dict[str, Any]:
    """What the page has of a clip: its text, labels with their times, and the name of its files."""

    def rows(segments: tuple[Segment, ...]) -> list[list[Any]]:
        return [[each.label, round(each.start, 3), round(each.end, 3)] for each in segments]

    about = {name: getattr(item, name) for name in ("gender", "accent", "condition")}
    return {
        "text": item.text, "seconds": round(item.duration, 3), "words": rows(item.words),
        "phones": rows(item.phones), "files": f"{FOLDER}/{_name(item)}",
        "about": {name: value for name, value in about.items() if value},
    }  # fmt: skip


def write_clip(site: Path, item: Item) -> None:
    """Write the sound (MP3, which every browser plays) and the spectrogram (JPEG) of a clip into a site.

    Their name holds the hash of the audio, so what is there already is not made again.
    """
    sound, picture = (site / FOLDER / f"{_name(item)}.{suffix}" for suffix in ("mp3", "jpg"))
    if sound.exists() and picture.exists():
        return
    audio = item.audio()
    made = io.BytesIO()
    soundfile.write(
        made, audio, SAMPLING_RATE, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE",
        compression_level=0.7,
    )  # fmt: skip
    write_bytes(picture, spectrogram(audio))
    write_bytes(sound, made.getvalue())


def spectrogram(audio: np.ndarray) -> bytes:
    """A grey picture of the power from 0 Hz (bottom) to 8 kHz (top) over time, dark where it is loud.

    Digital silence is white.
    """
    from PIL import Image  # these take half a second
    from scipy.signal import spectrogram as stft

    padded = np.pad(audio, WINDOW // 2)  # the first window is centred on the start
    _, _, power = stft(padded, SAMPLING_RATE, "hann", WINDOW, WINDOW - HOP)
    level = 10 * np.log10(np.maximum(power, np.finfo(np.float32).tiny))
    grey = 255 * np.clip((level.max() - level) / RANGE, 0, 1) if power.any() else np.full(level.shape, 255)
    made = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)[::-1]).save(made, "JPEG", quality=50)
    return made.getvalue()


def _name(item: Item) -> str:
    return sha256_json([RECIPE, item.audio_sha256])[:16]
