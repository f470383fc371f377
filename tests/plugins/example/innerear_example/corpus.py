"""A corpus of one's own."""

import io

import numpy as np
import soundfile

from innerear.data.audio import decode, sha256_bytes
from innerear.data.schema import SAMPLING_RATE, Corpus, Item


def load() -> Corpus:
    """Twelve tones of a second."""
    items = []
    for at in range(12):
        tone = 0.1 * np.sin(2 * np.pi * (200 + 50 * at) * np.arange(SAMPLING_RATE) / SAMPLING_RATE)
        buffer = io.BytesIO()
        soundfile.write(buffer, tone, SAMPLING_RATE, format="FLAC")
        data, name = buffer.getvalue(), f"tone{at:02}"
        items.append(
            Item(
                id=name, audio=lambda data=data, name=name: decode(data, name),
                audio_sha256=sha256_bytes(data), duration=1.0, text="", speaker=name,
            )
        )  # fmt: skip
    return Corpus("example-tones", "1", tuple(items), "made here", "CC0-1.0")
