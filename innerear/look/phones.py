"""Phones that linear probes name in the frames of one clip, layer by layer."""

from itertools import groupby
from typing import Any

import numpy as np
import torch

from innerear.activations.capture import capture
from innerear.activations.forward import ForwardPass, Stopwatch
from innerear.analysis.probes import fit_probes
from innerear.data.phones import ARPABET
from innerear.data.schema import SAMPLING_RATE
from innerear.models.base import SpeechModel
from innerear.protocols.phone_probing import PhoneProbingProtocol, labelled
from innerear.util.errors import InputError
from innerear.util.paths import cache_folder

Rows = list[dict[str, Any]]


def phone_rows(model: SpeechModel, audio: np.ndarray, protocol: PhoneProbingProtocol) -> Rows:
    """The phone that a probe names at each encoder layer, over the whole clip.

    Probes learn as in the first fold of the task, from frames in the middle of phones. They know no silence:
    where nobody speaks they name a phone, too.

    Parameters
    ----------
    audio
        float32 at `SAMPLING_RATE`.
    protocol
        Whose corpus, folds and probes are used. States of the corpus are cached as those of a run are.

    Returns
    -------
    list of dict
        `layer`, `site`, `phone`, `start` and `end` (seconds) of neighbouring frames that have the same
        phone, `probability` (mean of theirs), and `held_out`: the layer's accuracy on speakers of the fold
        from whom nothing was learnt.

    Raises
    ------
    InputError
        If the model cannot process the clip in one piece, or no clip of the corpus.
    """
    if reason := model.unsupported_reason(len(audio)):
        raise InputError(reason)
    (captured,) = capture(model, [protocol.demands(model)["test"]], cache=cache_folder() / "features")
    data = labelled(protocol.corpus, protocol.frames["test"], captured)
    fold, classes = protocol.folds()[0], len(ARPABET)
    made = fit_probes(
        data.values, data.label, data.rows(fold.train), data.rows(fold.dev),
        classes=classes, grid=protocol.settings.probe.grid, device=str(model.device),
    ).probes  # fmt: skip
    held = data.rows(fold.test)
    accuracy = (made.predict(data.values, held) == data.label[held]).mean(axis=1)
    clip = ForwardPass(model, [audio], Stopwatch(model.device)).clip(0)
    states = clip.states.float().cpu().numpy()
    logits = torch.from_numpy(made.logits(states, np.arange(states.shape[1])))
    probability, named = logits.double().softmax(-1).max(-1)
    middle = model.clock.times(len(audio))
    edges = frame_edges(middle, len(audio) / SAMPLING_RATE)
    rows: Rows = []
    for layer, site in enumerate(model.encoder_sites):
        for phone, own in groupby(range(len(middle)), key=named[layer].tolist().__getitem__):
            frames = list(own)
            start, end = float(edges[frames[0]]), float(edges[frames[-1] + 1])
            if start == end:  # before the clip
                continue
            rows.append({
                "layer": layer, "site": site, "phone": ARPABET[phone], "start": start, "end": end,
                "probability": float(probability[layer, frames].mean()), "held_out": float(accuracy[layer]),
            })  # fmt: skip
    return rows


def frame_edges(middle: np.ndarray, length: float) -> np.ndarray:
    """Where frames begin and end: halfway between their middles, within the clip; seconds, [frame + 1].

    A causal front end has frames whose middle is before the clip.
    """
    return np.concatenate([[0.0], ((middle[1:] + middle[:-1]) / 2).clip(0, length), [length]])
