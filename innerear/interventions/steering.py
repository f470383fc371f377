"""Steering: directions added at an encoder site, at several strengths, and what the decoder then writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from innerear.activations.captured import Captured
from innerear.activations.readings import unpacked
from innerear.analysis.codes import Codes
from innerear.analysis.sae import SAE
from innerear.data.language import ENGLISH
from innerear.data.schema import Corpus
from innerear.data.text import edits, normalise
from innerear.interventions.ablation import Sweep
from innerear.interventions.spec import Intervention, World
from innerear.models.site import Site


@dataclass(frozen=True)
class SteeringOutcomes:
    """Words and word errors of the captured clips in each world, the unsteered one first.

    Attributes
    ----------
    written
        Number of words written, [world, clip].
    errors, words
        Word errors [world, clip], and words in the reference [clip].
    clusters
        Speaker or sound source of each clip, [clip].
    """

    written: np.ndarray
    errors: np.ndarray
    words: np.ndarray
    clusters: np.ndarray


def steering_directions(
    sae: SAE,
    codes: Codes,
    states: np.ndarray,
    towards: np.ndarray,
    away: np.ndarray,
    features: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Directions [dim] from one set of frames to another, all with the norm of the difference of means.

    Parameters
    ----------
    codes, states
        Of all frames; `towards` and `away` are indices of frames.
    features
        How many features are used: those whose mean activations differ most, weighted by the difference.

    Returns
    -------
    dict
        `features`, `means` (the difference of means) and `random`.
    """
    difference = states[towards].mean(axis=0) - states[away].mean(axis=0)
    gap = _mean_activation(codes.of(towards)) - _mean_activation(codes.of(away))
    top = np.argsort(-np.abs(gap), kind="stable")[:features]
    directions = {
        "features": gap[top] @ sae.w_dec.numpy()[top],
        "means": difference,
        "random": np.random.default_rng(seed).standard_normal(len(difference)),
    }
    return {
        name: direction * np.linalg.norm(difference) / np.linalg.norm(direction)
        for name, direction in directions.items()
    }


def steering_sweep(
    site: Site, directions: Mapping[str, np.ndarray], strengths: Sequence[float], max_tokens: int
) -> Sweep:
    """The reading of clips without steering, and with every direction [dim] at every strength.

    Parameters
    ----------
    max_tokens
        Maximum number of tokens written; a loop ends the output earlier.
    """
    worlds: list[World] = [()]
    worlds += [
        (Intervention(site=site, kind="add", source=name, alpha=strength),)
        for name in directions
        for strength in strengths
    ]
    tensors = {name: torch.from_numpy(direction).float() for name, direction in directions.items()}
    return Sweep(tuple(worlds), max_tokens, tensors=tensors)


def steering_outcomes(corpus: Corpus, swept: Captured) -> SteeringOutcomes:
    """Count words and word errors in the outputs, in English, of a `steering_sweep` over a corpus.

    Refused clips are left out. A clip without reference words has no word errors.
    """
    written, errors, words = [], [], []
    for index in swept.indices:
        reference = corpus.items[index].text
        texts = [row["text"] for row in unpacked(swept.values[index]["json"])["rows"]]
        written.append([len(normalise(text, ENGLISH).split()) for text in texts])
        counts = [
            edits(reference, text, ENGLISH) if normalise(reference, ENGLISH) else None for text in texts
        ]
        errors.append([count.errors if count else 0 for count in counts])
        words.append(counts[0].reference if counts[0] else 0)
    return SteeringOutcomes(
        np.array(written).T,
        np.array(errors, dtype=float).T,
        np.array(words, dtype=float),
        np.array([corpus.items[index].cluster for index in swept.indices]),
    )


def _mean_activation(codes: Codes) -> np.ndarray:
    """Mean activation of each feature, [feature]."""
    return codes.mass(np.zeros(len(codes.value), dtype=np.int64), 1)[:, 0] / len(codes.value)
