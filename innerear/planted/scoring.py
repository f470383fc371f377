"""How well a method finds a planted cause."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from innerear.planted.methods import Method
from innerear.planted.planting import PlantedModel
from innerear.util.errors import InnerearError

TWIN_TRIALS = 3
"""Number of trials for which a method also scores the untouched model."""


@dataclass(frozen=True)
class MethodScores:
    """The scores of one method on one planted model; the field names are those of the cache.

    Attributes
    ----------
    auroc
        AUROC of causes against all other components.
    precision
        Share of causes among the first k components, where k is the number of causes.
    reciprocal
        Reciprocal of the rank of the first cause.
    cpr, cmd
        Area under f and under |1 - f| over the logarithm of k (MIB, arXiv 2504.13151). f(k) is the share of
        the behaviour that disappears when the first k components are repaired, on held-out trials.
    alarms
        False alarms: components of the untouched model with at least half of the highest score of the
        planted model.
    decoys
        Number of decoys with at least half of the highest score; None if no decoy was planted.
    seconds
        Time to score the planted model.
    top
        The component with the highest score.
    curve
        Points (k, f(k)).
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


def score_method(planted: PlantedModel, method: Method) -> MethodScores | None:
    """Run a method on a planted model and on the untouched one; None where it does not apply.

    Raises
    ------
    InnerearError
        If the method does not give one finite number for each component.
    """
    problem = planted.problem(planted.ranking_trials)
    with planted.edited():
        started = perf_counter()
        scores = method(problem)
        seconds = perf_counter() - started
    if scores is None:
        return None
    untouched = method(planted.problem(planted.ranking_trials[:TWIN_TRIALS]))
    assert untouched is not None
    for values in (scores, untouched):
        if values.shape != (len(planted.sites),) or not bool(torch.isfinite(values).all()):
            raise InnerearError(f"{planted.name}: a method must return one finite score for each component")
    return _method_scores(planted, scores, untouched, seconds)


def _method_scores(planted: PlantedModel, scores: Tensor, untouched: Tensor, seconds: float) -> MethodScores:
    is_cause = np.isin(planted.sites, planted.causes)
    order = np.argsort(-scores.numpy(), kind="stable")
    half = float(scores.max()) / 2
    suspects = {site for site, score in zip(planted.sites, scores.tolist(), strict=True) if score >= half > 0}
    counts, shares = _faithfulness(planted, [planted.sites[at] for at in order])
    width = np.log(counts[-1])
    return MethodScores(
        auroc=float(roc_auc_score(is_cause, scores.numpy())),
        precision=float(is_cause[order[: is_cause.sum()]].mean()),
        reciprocal=1.0 / (1 + int(np.flatnonzero(is_cause[order])[0])),
        cpr=float(np.trapezoid(shares, np.log(counts)) / width),
        cmd=float(np.trapezoid(np.abs(1 - np.array(shares)), np.log(counts)) / width),
        alarms=int((untouched >= half).sum()) if half > 0 else 0,
        decoys=len(suspects & set(planted.decoys)) if planted.decoys else None,
        seconds=seconds,
        top=planted.sites[order[0]],
        curve=[[float(count), share] for count, share in zip(counts, shares, strict=True)],
    )


def _faithfulness(planted: PlantedModel, order: Sequence[str]) -> tuple[list[int], list[float]]:
    """Numbers k of top components, and the share of the behaviour that disappears when they are repaired."""
    edited = {*planted.causes, *planted.decoys}
    counts = [2**power for power in range(len(order).bit_length()) if 2**power < len(order)] + [len(order)]
    outcomes: dict[frozenset[str], float] = {}
    shares = []
    for count in counts:
        repaired = frozenset(edited.intersection(order[:count]))
        if repaired not in outcomes:
            outcomes[repaired] = planted.outcome(sorted(repaired))
        before, after = planted.outcomes["planted"], planted.outcomes["untouched"]
        shares.append((before - outcomes[repaired]) / (before - after))
    return counts, shares


def planting_record(planted: PlantedModel) -> dict[str, Any]:
    """What was planted and its verification: a row of the table `planted` of a result."""
    return {
        "planted": planted.name,
        "weights": planted.base.model.identity.parts["weights"],
        "causes": ", ".join(planted.causes),
        "decoys": ", ".join(planted.decoys),
        "components": len(planted.sites),
        "strength": planted.strength,
        "shown": planted.success_rate,
        "quiet_changed": planted.side_effect_rate,
        "places_tried": planted.attempts,
        **{f"outcome_{name}": value for name, value in planted.outcomes.items()},
    }
