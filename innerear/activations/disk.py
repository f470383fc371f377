"""The disk that a pass takes for features, known before it starts, and refused where there is not enough."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from innerear.activations.capture import Demand, Request, requests_of
from innerear.activations.forward import Listener, width
from innerear.data.playback import Playback
from innerear.data.schema import SAMPLING_RATE
from innerear.models.base import SpeechModel
from innerear.util.errors import InnerearError, InputError

SMALL = 2**12
"""Bytes of a cached file beside its states: a text, and what the file system rounds up."""

LEAST = 2**20
"""Bytes that are worth telling."""

MARGIN = 2**28
"""Bytes that must stay free: results and the database of the runs are written, too."""


def needed(model: Listener, demands: Sequence[Demand], cache: Path, batch_size: int, fresh: bool) -> int:
    """Bytes that the readings of a pass take at most.

    Each is cached, and once more on disk, layer by layer, while a task is measured. States of the decoder are
    counted with the width of the encoder and `readings.TOKENS_A_SECOND`.
    """
    known, missing = 0, []
    for request in requests_of(model, demands, cache, batch_size):
        if demands[request.demand].unsupported_reason(model, request.item):
            continue
        if not fresh and request.path and request.path.exists():
            known += request.path.stat().st_size
        else:
            missing.append(request)
    if not missing:
        return known
    row = 4 * width(model, [_audio(model, min(missing, key=lambda request: request.item.duration))])
    return known + 2 * sum(SMALL + row * _rows(model, request) for request in missing)


def claim(model: Listener, demands: Sequence[Demand], cache: Path, batch_size: int, fresh: bool) -> str:
    """A line that says what a pass takes; '' if that is less than a MiB, or the model cannot hear.

    Raises
    ------
    InputError
        If there is not enough.
    """
    if not demands:
        return ""
    try:
        size = needed(model, demands, cache, batch_size, fresh)
    except (InnerearError, RuntimeError):
        return ""  # a clip or a model that fails does so in the pass, clip by clip and task by task
    free = shutil.disk_usage(next(path for path in (cache, *cache.parents) if path.exists())).free
    if size + MARGIN > free:
        raise InputError(
            f"{model.identity.name}: features take up to {_gib(size)} in {cache}, where {_gib(free)} are "
            "free; make room, set INNEREAR_CACHE to a folder on another disk, or take fewer clips (--limit)"
        )
    if size < LEAST:
        return ""
    return f"{model.identity.name}: features take up to {_gib(size)} in {cache} ({_gib(free)} free)"


def _audio(model: Listener, request: Request) -> np.ndarray:
    item = request.item
    if not request.in_windows:
        return item.audio()
    return Playback(item.pieces()).peek(int(model.window * SAMPLING_RATE))


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def _rows(model: Listener, request: Request) -> int:
    """States that a request reads, over all sites."""
    samples, window = (int(each * SAMPLING_RATE) for each in (request.item.duration, model.window))
    clock = model.clock.in_windows(window) if request.in_windows else model.clock
    decoder = isinstance(model, SpeechModel) and request.reading.needs != "encoder"
    sites = model.decoder_sites if isinstance(model, SpeechModel) and decoder else model.encoder_sites
    return request.reading.rows(clock, samples, request.item, len(sites))
