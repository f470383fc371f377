"""A page about one clip: what is written, at which layer, from which part of the audio, by which heads."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from innerear.data.audio import decode
from innerear.data.schema import SAMPLING_RATE
from innerear.look.charts import attention_map, lens, phones, saliency, sweep
from innerear.models.base import SpeechModel
from innerear.report.chart import Chart
from innerear.report.pages import environment, write_assets
from innerear.util.errors import InputError
from innerear.util.io import write_bytes
from innerear.util.progress import bar

CHARTS: Mapping[str, Callable[[SpeechModel, np.ndarray], Chart]] = {
    "lens": lens, "attention": attention_map, "saliency": saliency, "phones": phones, "heads": sweep,
}  # fmt: skip
"""What is drawn of a clip."""


def explore(model: SpeechModel, file: Path, output: Path) -> Path:
    """Write a page about a clip, and return its path; it opens from its folder.

    A chart that the model cannot have is replaced by the reason.

    Parameters
    ----------
    file
        WAV, FLAC, MP3 or Ogg, no longer than the model's window. It is copied beside the page.

    Raises
    ------
    InputError
        If the file cannot be read or is too long, the model writes no text, or the folder cannot be written.
    """
    try:
        audio = decode(file, file.name)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}; give the path of a sound file") from error
    if reason := model.lacks("text") or model.unsupported_reason(len(audio)):
        raise InputError(f"{file.name}: {reason}")
    charts: list[tuple[str, Chart]] = []
    without: list[tuple[str, str]] = []
    with bar("exploring", len(CHARTS)) as advance:
        for name, draw in CHARTS.items():
            try:
                charts.append((name, draw(model, audio)))
            except InputError as error:
                without.append((name, str(error)))
            advance()
    text = model.transcribe([audio])[0].text
    sound = f"clip{file.suffix.lower()}"
    page = environment().get_template("clip.html.j2").render(
        root="", clip=file.name, model=model.identity, text=text, seconds=len(audio) / SAMPLING_RATE,
        sound=sound, charts=charts, without=without,
    )  # fmt: skip
    write_assets(output)
    write_bytes(output / sound, file.read_bytes())
    write_bytes(output / "index.html", page.encode())
    return output / "index.html"
