"""How well a method names a planted cause."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from innerear.planted.methods import Method
from innerear.planted.planting import Planted
from innerear.util.errors import InnerearError

TWIN_TRIALS = 3
"""Trials in which the untouched model is judged."""


@dataclass(frozen=True)
class Found:
    """What became of one method on one planted model.

    Attributes
    ----------
    auroc
        Of causes against all other components, by score.
    precision
        Share of causes among as many first components as there are causes.
    reciprocal
        One by the rank of the first cause.
    cpr, cmd
        Area under f and under |1 - f|, over the logarithm of k (MIB, arXiv 2504.13151): f(k) is the share of
        the behaviour that goes when the first k components are repaired, on trials that did not rank them.
    alarms
        Components of the untouched model that score at least half of the highest score of the planted one.
    decoys
        Decoys that do so in the planted model; None where none was planted.
    seconds
        Of the planted model's scores.
    top
        The first component.
    """

    auroc: float
    precision: float
    reciprocal: float
    cpr: float
    cmd: float
    alarms: int
    decoys: int | None
    seconds: float
    top: str
    curve: list[list[float]]


def score_method(planted: Planted, method: Method) -> Found | None:
    """Ask a method about a planted model and about the untouched one; None where it does not apply.

    Raises
    ------
    InnerearError
        If its scores are not one finite number for each component.
    """
    asked = planted.problem(planted.rank)
    with planted.operated():
        started = perf_counter()
        scores = method(asked)
        seconds = perf_counter() - started
    if scores is None:
        return None
    twin = method(planted.problem(planted.rank[:TWIN_TRIALS]))
    assert twin is not None
    for each in (scores, twin):
        if each.shape != (len(planted.sites),) or not bool(torch.isfinite(each).all()):
            raise InnerearError(f"{planted.name}: a method gives one finite score for each component")
    return _found(planted, scores, twin, seconds)


def _found(planted: Planted, scores: Tensor, twin: Tensor, seconds: float) -> Found:
    truth = np.isin(planted.sites, planted.causes)
    order = np.argsort(-scores.numpy(), kind="stable")
    half = float(scores.max()) / 2
    guilty = {site for site, score in zip(planted.sites, scores.tolist(), strict=True) if score >= half > 0}
    counts, shares = _faithfulness(planted, [planted.sites[at] for at in order])
    width = np.log(counts[-1])
    return Found(
        auroc=float(roc_auc_score(truth, scores.numpy())),
        precision=float(truth[order[: truth.sum()]].mean()),
        reciprocal=1.0 / (1 + int(np.flatnonzero(truth[order])[0])),
        cpr=float(np.trapezoid(shares, np.log(counts)) / width),
        cmd=float(np.trapezoid(np.abs(1 - np.array(shares)), np.log(counts)) / width),
        alarms=int((twin >= half).sum()) if half > 0 else 0,
        decoys=len(guilty & set(planted.decoys)) if planted.decoys else None,
        seconds=seconds,
        top=planted.sites[order[0]],
        curve=[[float(count), share] for count, share in zip(counts, shares, strict=True)],
    )


def _faithfulness(planted: Planted, order: Sequence[str]) -> tuple[list[int], list[float]]:
    """Sizes of sets of first components, and the share of the behaviour that goes when they are repaired."""
    edited = {*planted.causes, *planted.decoys}
    counts = [2**power for power in range(len(order).bit_length()) if 2**power < len(order)] + [len(order)]
    known: dict[frozenset[str], float] = {}
    shares = []
    for count in counts:
        repaired = frozenset(edited.intersection(order[:count]))
        if repaired not in known:
            known[repaired] = planted.outcome(sorted(repaired))
        before, after = planted.outcomes["planted"], planted.outcomes["untouched"]
        shares.append((before - known[repaired]) / (before - after))
    return counts, shares


def row(planted: Planted) -> dict[str, Any]:
    """What was planted, and its proof, for a result."""
    return {
        "planted": planted.name,
        "weights": planted.material.model.identity.weights_sha256,
        "causes": ", ".join(planted.causes),
        "decoys": ", ".join(planted.decoys),
        "components": len(planted.sites),
        "strength": planted.strength,
        "shown": planted.shown,
        "quiet_changed": planted.spilt,
        "places_tried": planted.attempts,
        **{f"outcome_{name}": value for name, value in planted.outcomes.items()},
    }
