"""The rules of the audit: what passes and what fails, decided from numbers alone."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import JsonValue
from scipy.stats import kendalltau

from innerear.results.audit import Check
from innerear.results.schema import CurvePoint

Direction = Literal["higher", "lower", "none"]
Bounds = tuple[float | None, float | None]

MONOTONE = 0.6
"""Smallest Kendall's τ between damage and loss that counts as monotone."""
ALPHA = 0.05
"""p below which two values differ significantly."""
MIN_LEVELS = 4
"""Smallest number of damage levels, including the untouched model, that is judged."""
AGREEING = 0.5
"""Smallest median τ between layer curves on synthetic and human speech that counts as agreement."""


class Difference(NamedTuple):
    """Value of the first result minus that of the second, and whether it is significant.

    `p` is that of a paired test, None where the results share no items; `disjoint` then says whether their
    intervals are disjoint.
    """

    difference: float
    p: float | None
    disjoint: bool
    detectable: float | None = None

    def significant(self, level: float = ALPHA) -> bool:
        """Whether the two differ significantly."""
        return self.disjoint if self.p is None else self.p < level


def damage(
    levels: Sequence[float],
    values: Sequence[float],
    direction: Direction,
    steps: Sequence[Difference],
    whole: Difference,
    reason: str = "",
) -> Check:
    """Whether a metric gets monotonically worse with damage to the weights.

    It passes if it gets worse with damage (τ of at least `MONOTONE`; a metric without a direction may move
    either way, but only one way), if the most damaged model is significantly worse than the untouched one,
    and if no step is significantly better than the one before (Bonferroni over the steps).

    Parameters
    ----------
    levels, values
        Levels of damage, starting with 0, and the metric at each.
    steps
        Value at each level after the first minus that at the level before.
    whole
        Value at the last level minus that at the first.
    reason
        Why higher levels have no value, if some have none.
    """
    facts: dict[str, JsonValue] = {"levels": list(levels), "values": list(values), "reason": reason}
    missing = f"; n/a beyond noise {levels[-1]:g} ({reason})" if reason else ""
    if len(levels) < MIN_LEVELS:
        says = f"n/a beyond noise {levels[-1]:g}: {reason}" if levels else f"n/a: {reason}"
        return Check(name="damage", outcome="not run", says=says, values=facts)
    if np.ptp(values) == 0:
        says = f"the same value, {values[0]:.3g}, at every level of damage{missing}"
        return Check(name="damage", outcome="fail", says=says, values=facts)
    loss = -np.asarray(values) if direction == "higher" else np.asarray(values)
    trend = float(kendalltau(levels, loss).statistic)
    sign = 1.0 if direction != "none" or trend >= 0 else -1.0
    tau = abs(trend) if direction == "none" else trend
    worse = sign if direction != "higher" else -1.0  # the sign of a change for the worse
    facts |= {"tau": tau, "p": whole.p, "apart": whole.significant()}
    failures = []
    if tau < MONOTONE:
        failures.append(f"not monotone (τ = {tau:.2f})")
    if not (whole.significant() and whole.difference * worse > 0):
        failures.append("the most damaged model is not significantly worse than the untouched one")
    back = [
        at + 1
        for at, step in enumerate(steps)
        if step.difference * worse < 0 and step.significant(ALPHA / len(steps))
    ]
    if back:
        failures.append("better again at noise " + ", ".join(f"{levels[at]:g}" for at in back))
    series = " → ".join(f"{value:.3g}" for value in values)
    if failures:
        return Check(
            name="damage", outcome="fail", says=f"{'; '.join(failures)}: {series}{missing}", values=facts
        )
    return Check(name="damage", outcome="pass", says=f"τ = {tau:.2f}: {series}{missing}", values=facts)


def shuffled(
    value: float | None, difference: Difference | None, direction: Direction, reason: str = ""
) -> Check:
    """Whether a metric gets significantly worse when the encoder's blocks are in another order."""
    if value is None or difference is None:
        return Check(name="shuffled", outcome="not run", says=f"n/a: {reason}")
    worse = (
        difference.difference * {"higher": -1, "lower": 1, "none": np.sign(difference.difference)}[direction]
        > 0
    )
    facts = {"value": value, "difference": difference.difference, "p": difference.p}
    tested = "no paired test; by the intervals" if difference.p is None else f"p = {difference.p:.3f}"
    if worse and difference.significant():
        says = f"{value:.3g}, {difference.difference:+.3g} ({tested})"
        return Check(name="shuffled", outcome="pass", says=says, values=facts)
    says = (
        f"not worse with the encoder's blocks shuffled: {value:.3g}, {difference.difference:+.3g} ({tested})"
    )
    return Check(name="shuffled", outcome="fail", says=says, values=facts)


def spread(values: Sequence[float], error: float, seeds: Sequence[int]) -> Check:
    """Whether other seeds of the split change a metric less than other items would (its standard error)."""
    deviation = float(np.std(values, ddof=1))
    facts = {"seeds": list(seeds), "values": list(values), "sd": deviation, "error": error}
    if np.ptp(values) == 0:
        says = f"the same with {len(values)} seeds"
        return Check(name="seeds", outcome="pass", says=says, values=facts)
    says = f"SD {deviation:.3g} over {len(values)} seeds, standard error over items {error:.3g}"
    if deviation <= error:
        return Check(name="seeds", outcome="pass", says=says, values=facts)
    says = f"it varies more over seeds than over items, so its interval is too narrow: {says}"
    return Check(name="seeds", outcome="fail", says=says, values=facts)


def same(name: str, what: str, one: float, other: float, tolerance: float) -> Check:
    """Whether a metric is the same under other conditions, within the task's tolerance."""
    moved = other - one
    facts: dict[str, float | str] = {"before": one, "after": other, "tolerance": tolerance}
    within = abs(moved) <= tolerance
    says = f"{moved:+.2g} {what}" if moved else f"the same {what}"
    if not within:
        says = f"{says}, beyond the tolerance of {tolerance:g}"
    return Check(name=name, outcome="pass" if within else "fail", says=says, values={**facts})


def half(before: float, after: Mapping[str, float], error: float) -> Check:
    """Whether half precision moves a metric less than other items would (its standard error).

    Parameters
    ----------
    after
        The metric by type of numbers.
    """
    moved = {name: value - before for name, value in after.items()}
    worst = max(moved, key=lambda name: abs(moved[name]))
    facts: dict[str, JsonValue] = {
        "before": before,
        "after": after[worst],
        "values": {**after},
        "error": error,
    }
    says = ", ".join(
        f"{move:+.2g} in {name}" if move else f"the same in {name}" for name, move in moved.items()
    )
    says = f"{says}; standard error over items {error:.3g}"
    if abs(moved[worst]) <= error:
        return Check(name="half", outcome="pass", says=says, values=facts)
    return Check(
        name="half", outcome="fail", says=f"rounding moves it more than items do: {says}", values=facts
    )


def disjoint(one: Bounds, other: Bounds) -> bool | None:
    """Whether two intervals are disjoint; None if one has no bounds."""
    (low, high), (other_low, other_high) = one, other
    if low is None or high is None or other_low is None or other_high is None:
        return None
    return low > other_high or other_low > high


def planted(
    before: Sequence[CurvePoint],
    after: Sequence[CurvePoint],
    layer: int,
    direction: Direction,
    there: Difference | None,
) -> Check:
    """Whether a layer curve gets worse first at the layer where information was removed.

    Parameters
    ----------
    before, after
        Curves of the untouched model and of the one with the planted change.
    layer
        The layer at which it was removed: earlier layers must not change at all, and this one significantly
        for the worse.
    there
        The value after minus that before at this layer, paired over items; None if it could not be tested.
    """
    worse = -1 if direction == "higher" else 1
    moved = [one.layer for one, two in zip(before, after, strict=True) if one.value != two.value]
    a, b = next((one.value, two.value) for one, two in zip(before, after, strict=True) if one.layer == layer)
    facts: dict[str, JsonValue] = {
        "layer": layer, "before": a, "after": b, "moved": [*moved], "p": there.p if there else None,
    }  # fmt: skip
    says = f"phones removed at encoder layer {layer}: {a:.3g} → {b:.3g} there"
    failures = []
    if early := [each for each in moved if each < layer]:
        failures.append(f"layer {early[0]} changed, which is earlier")
    if there is None:
        return Check(name="planted", outcome="not run", says=f"{says}; too few speakers", values=facts)
    if not (there.significant() and (b - a) * worse > 0):
        failures.append("not significantly worse")
    if failures:
        return Check(name="planted", outcome="fail", says=f"{says}; {'; '.join(failures)}", values=facts)
    return Check(name="planted", outcome="pass", says=f"{says}, earlier layers unchanged", values=facts)


def human(taus: Sequence[float], orders: Sequence[tuple[str, str]], pairs: int) -> Check:
    """Whether results on synthetic and human speech agree.

    Parameters
    ----------
    taus
        Kendall's τ between the layer curves, by model.
    orders
        Pairs of models of which the first is significantly ahead on synthetic and behind on human speech.
    pairs
        Number of pairs of results compared.
    """
    if not pairs:
        return Check(name="human", outcome="not run", says="no published result on both kinds of speech")
    middle = float(np.median(taus)) if taus else None
    facts = {"taus": list(taus), "pairs": pairs, "contradictions": [list(pair) for pair in orders]}
    failures = [
        f"{one} is significantly ahead of {other} on one and behind on the other" for one, other in orders
    ]
    if middle is not None and middle < AGREEING:
        failures.insert(0, f"layers are in another order (median τ {middle:.2f})")
    if failures:
        return Check(name="human", outcome="fail", says="; ".join(failures), values=facts)
    layers = "no curves to compare" if middle is None else f"median τ of layers {middle:.2f}"
    says = f"{layers}; no two models change places significantly ({pairs} pairs of results)"
    return Check(name="human", outcome="pass", says=says, values=facts)
