"""Mitigations: heads masked, decoder states steered or attenuated, each at some places and strengths."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from innerear.interventions.ablation import ablated, heads
from innerear.interventions.spec import Intervention, World
from innerear.models.base import SpeechModel
from innerear.models.site import Site

HEAD, INDEX, ATTENUATION = "one head", "one head index in all layers", "attenuation"
RANDOM = "random direction"
AUDIO = "audio minus silence"
STEERING = ("means", "probe", AUDIO)
"""Directions from speech to non-speech, found in two ways, and that from silence to what was heard; the
opposite of each is an arm of its own."""


@dataclass(frozen=True)
class MitigationPoint:
    """One intervention that is tried.

    Attributes
    ----------
    arm
        What is done: one of the constants of this module, or a direction.
    where
        Site, or index of a head.
    strength
        Length of the steering step in units of the mean norm of the states, or the share of the state that is
        taken away.
    """

    arm: str
    where: str
    strength: float


@dataclass(frozen=True)
class Mitigations:
    """Points in the order of their worlds, and the directions that the worlds name as sources."""

    points: tuple[MitigationPoint, ...]
    worlds: tuple[World, ...]
    tensors: dict[str, Tensor]


def mitigations(
    model: SpeechModel,
    states: np.ndarray,
    silent: np.ndarray,
    speech: np.ndarray,
    depths: Sequence[float],
    strengths: Sequence[float],
    draws: int,
    seed: int,
) -> Mitigations:
    """All mitigations of a model: every self-attention head, and every direction, depth and strength.

    Parameters
    ----------
    states
        Decoder states before the first token, [site, clip, dim], from which the directions are computed.
    silent
        The same where silence is heard instead of the clip.
    speech
        Whether somebody speaks, [clip].
    depths
        Relative depths in the decoder at which states are changed.
    draws
        Number of random directions.
    """
    single = [site for site in heads(model) if site.part == "self_attn"]
    tried: list[tuple[MitigationPoint, World]] = [
        (MitigationPoint(HEAD, site, 1.0), ablated([site])) for site in single
    ]
    for index in sorted({site.head for site in single if site.head is not None}):
        own = [site for site in single if site.head == index]
        tried.append((MitigationPoint(INDEX, str(index), 1.0), ablated(own)))
    tensors: dict[str, Tensor] = {}
    rng = np.random.default_rng(seed)
    for site in steering_sites(model, depths):
        at = model.decoder_sites.index(site)
        norm = float(np.linalg.norm(states[at], axis=1).mean())
        along = _directions(states[at], silent[at], speech) | {
            f"random {draw}": rng.standard_normal(states.shape[-1]) for draw in range(draws)
        }
        for name, direction in along.items():
            unit = norm * direction / np.linalg.norm(direction)
            tensors[f"{name} {site}"] = torch.from_numpy(unit).float()
            both = ((1, name), (-1, f"{name}, away")) if name in STEERING else ((1, RANDOM),)
            for sign, arm in both:
                for strength in strengths:
                    step = Intervention(site=site, kind="add", source=f"{name} {site}", alpha=sign * strength)
                    tried.append((MitigationPoint(arm, site, strength), (step,)))
        for strength in strengths:
            shrunk = Intervention(site=site, kind="zero", alpha=strength)
            tried.append((MitigationPoint(ATTENUATION, site, strength), (shrunk,)))
    points, worlds = zip(*tried, strict=True)
    return Mitigations(points, worlds, tensors)


def steering_sites(model: SpeechModel, depths: Sequence[float]) -> list[Site]:
    """Decoder sites nearest to relative depths."""
    last = model.decoder_layers
    return list(dict.fromkeys(Site("decoder", max(1, round(depth * last))) for depth in depths))


def _directions(states: np.ndarray, silent: np.ndarray, speech: np.ndarray) -> dict[str, np.ndarray]:
    """The directions of `STEERING`.

    From speech to non-speech: the difference of means, and the weights of a logistic probe. From silence to
    what was heard (arXiv 2603.06854): the mean difference over all clips.
    """
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    probe.fit(states, ~speech)
    weights = probe[-1].coef_[0] / probe[0].scale_
    means = states[~speech].mean(axis=0) - states[speech].mean(axis=0)
    return {"means": means, "probe": weights, AUDIO: (states - silent).mean(axis=0)}
