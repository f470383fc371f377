"""Steering: directions added at an encoder site, at several strengths, and what the decoder then writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from innerear.analysis.codes import Codes
from innerear.analysis.sae import SAE
from innerear.data.schema import Item
from innerear.data.text import edits, normalise
from innerear.interventions.ablation import stop_at_loop
from innerear.interventions.run import encode_from_site, generate
from innerear.interventions.spec import Intervention, World
from innerear.models.base import SpeechModel
from innerear.util.progress import bar


@dataclass(frozen=True)
class Steered:
    """What became of clips in each world, the untouched one first.

    Attributes
    ----------
    written
        Words that are written, [world, clip].
    errors, words
        Word errors [world, clip], and words said [clip].
    """

    written: np.ndarray
    errors: np.ndarray
    words: np.ndarray


def directions(
    sae: SAE,
    codes: Codes,
    states: np.ndarray,
    towards: np.ndarray,
    away: np.ndarray,
    features: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Directions [dim] from some frames towards others, all with the norm of the difference of means.

    Parameters
    ----------
    codes, states
        Of all frames; `towards` and `away` are indices.
    features
        Those whose mean activation differs most are weighted by that difference.

    Returns
    -------
    dict
        `features`, `means` (the difference of means) and `random`.
    """
    mean = states[towards].mean(axis=0) - states[away].mean(axis=0)
    gap = _activation(codes.of(towards)) - _activation(codes.of(away))
    top = np.argsort(-np.abs(gap), kind="stable")[:features]
    made = {
        "features": gap[top] @ sae.w_dec.numpy()[top],
        "means": mean,
        "random": np.random.default_rng(seed).standard_normal(len(mean)),
    }
    return {name: each * np.linalg.norm(mean) / np.linalg.norm(each) for name, each in made.items()}


def steer(
    model: SpeechModel,
    site: str,
    items: Sequence[Item],
    along: Mapping[str, np.ndarray],
    strengths: Sequence[float],
    most: int,
) -> Steered:
    """Have a model write each clip untouched, and with every direction at every strength.

    Parameters
    ----------
    along
        Directions [dim] by name.
    most
        Tokens at the most; a loop ends before.
    """
    worlds: list[World] = [()]
    worlds += [
        (Intervention(site=site, kind="add", source=name, alpha=strength),)
        for name in along
        for strength in strengths
    ]
    tensors = {name: torch.from_numpy(each).float() for name, each in along.items()}
    written, errors, words = [], [], []
    with bar(f"{model.identity.name}: steering", len(items)) as advance:
        for item in items:
            encoded = encode_from_site(model, [item.audio()], [0] * len(worlds), worlds, tensors)
            made = generate(model, encoded, [()] * len(worlds), most=most, stop=stop_at_loop)
            written.append([len(normalise(row.text).split()) for row in made])
            counts = [edits(item.text, row.text) if normalise(item.text) else None for row in made]
            errors.append([count.errors if count else 0 for count in counts])
            words.append(counts[0].reference if counts[0] else 0)
            advance()
    return Steered(np.array(written).T, np.array(errors, dtype=float).T, np.array(words, dtype=float))


def _activation(codes: Codes) -> np.ndarray:
    """Mean activation of each feature, [feature]."""
    return codes.mass(np.zeros(len(codes.value), dtype=np.int64), 1)[:, 0] / len(codes.value)
