"""The rules of the audit: what passes and what fails, from numbers alone."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import JsonValue
from scipy.stats import kendalltau

from innerear.results.audit import Check
from innerear.results.schema import CurvePoint

Direction = Literal["higher", "lower", "none"]
Bounds = tuple[float | None, float | None]

STEADY = 0.6
"""Kendall's τ between damage and the loss from which an answer is monotone."""
SURE = 0.05
"""p below which two values are told apart."""
LEAST = 4
"""Degrees of damage, the untouched model among them, from which an answer is judged."""
ALIKE = 0.5
"""Median τ between layer curves on synthesised and human speech from which they agree."""


class Gap(NamedTuple):
    """Value of the first minus that of the second, and how sure it is that they differ.

    `p` is that of a paired test, None where nothing pairs the two; `apart` then says whether their intervals
    are disjoint.
    """

    difference: float
    p: float | None
    apart: bool
    detectable: float | None = None

    def sure(self, level: float = SURE) -> bool:
        """Whether the two are told apart."""
        return self.apart if self.p is None else self.p < level


def damage(
    levels: Sequence[float],
    values: Sequence[float],
    direction: Direction,
    steps: Sequence[Gap],
    whole: Gap,
    reason: str = "",
) -> Check:
    """Whether a metric answers monotonically to damage.

    It passes if it gets worse with damage (τ of at least `STEADY`; a metric of no direction may go either
    way, but one way), if the most damaged model is told apart from the untouched one, and if no step gets
    better by what is told apart (p by Bonferroni over the steps).

    Parameters
    ----------
    levels, values
        Degrees of damage, 0 first, and the metric at each.
    steps
        Value at each degree after the first minus that at the degree before.
    whole
        Value at the last degree minus that at the first.
    reason
        Why further degrees have no value, if they have none.
    """
    facts: dict[str, JsonValue] = {"levels": list(levels), "values": list(values), "reason": reason}
    cut = f"; n/a beyond noise {levels[-1]:g} ({reason})" if reason else ""
    if len(levels) < LEAST:
        says = f"n/a beyond noise {levels[-1]:g}: {reason}" if levels else f"n/a: {reason}"
        return Check(name="damage", outcome="not run", says=says, values=facts)
    if np.ptp(values) == 0:
        says = f"the same value, {values[0]:.3g}, at every degree of damage{cut}"
        return Check(name="damage", outcome="fail", says=says, values=facts)
    loss = -np.asarray(values) if direction == "higher" else np.asarray(values)
    trend = float(kendalltau(levels, loss).statistic)
    sign = 1.0 if direction != "none" or trend >= 0 else -1.0
    tau = abs(trend) if direction == "none" else trend
    worse = sign if direction != "higher" else -1.0  # the sign of a change for the worse
    facts |= {"tau": tau, "p": whole.p, "apart": whole.sure()}
    wrong = []
    if tau < STEADY:
        wrong.append(f"not monotone (τ = {tau:.2f})")
    if not (whole.sure() and whole.difference * worse > 0):
        wrong.append("the most damaged model is not told apart from the untouched one as worse")
    back = [
        at + 1 for at, gap in enumerate(steps) if gap.difference * worse < 0 and gap.sure(SURE / len(steps))
    ]
    if back:
        wrong.append("better again at noise " + ", ".join(f"{levels[at]:g}" for at in back))
    series = " → ".join(f"{value:.3g}" for value in values)
    if wrong:
        return Check(name="damage", outcome="fail", says=f"{'; '.join(wrong)}: {series}{cut}", values=facts)
    return Check(name="damage", outcome="pass", says=f"τ = {tau:.2f}: {series}{cut}", values=facts)


def shuffled(value: float | None, gap: Gap | None, direction: Direction, reason: str = "") -> Check:
    """Whether a metric is worse, and told apart, where the blocks of the encoder are in another order."""
    if value is None or gap is None:
        return Check(name="shuffled", outcome="not run", says=f"n/a: {reason}")
    right = gap.difference * {"higher": -1, "lower": 1, "none": np.sign(gap.difference)}[direction] > 0
    facts = {"value": value, "difference": gap.difference, "p": gap.p}
    tested = "intervals disjoint or not" if gap.p is None else f"p = {gap.p:.3f}"
    if right and gap.sure():
        says = f"{value:.3g}, {gap.difference:+.3g} ({tested})"
        return Check(name="shuffled", outcome="pass", says=says, values=facts)
    says = f"not worse with the encoder's blocks shuffled: {value:.3g}, {gap.difference:+.3g} ({tested})"
    return Check(name="shuffled", outcome="fail", says=says, values=facts)


def spread(values: Sequence[float], error: float, seeds: Sequence[int]) -> Check:
    """Whether other seeds of the split move a metric less than other items would (its standard error)."""
    deviation = float(np.std(values, ddof=1))
    facts = {"seeds": list(seeds), "values": list(values), "sd": deviation, "error": error}
    if np.ptp(values) == 0:
        says = f"the same with {len(values)} seeds"
        return Check(name="seeds", outcome="pass", says=says, values=facts)
    says = f"SD {deviation:.3g} over {len(values)} seeds, standard error over items {error:.3g}"
    if deviation <= error:
        return Check(name="seeds", outcome="pass", says=says, values=facts)
    says = f"seeds move it more than items do, so its interval is too narrow: {says}"
    return Check(name="seeds", outcome="fail", says=says, values=facts)


def same(name: str, what: str, one: float, other: float, tolerance: float) -> Check:
    """Whether a metric is the same under other circumstances, within the task's tolerance."""
    moved = other - one
    facts: dict[str, float | str] = {"before": one, "after": other, "tolerance": tolerance}
    good = abs(moved) <= tolerance
    says = f"{moved:+.2g} {what}" if moved else f"the same {what}"
    if not good:
        says = f"{says}, beyond the tolerance of {tolerance:g}"
    return Check(name=name, outcome="pass" if good else "fail", says=says, values={**facts})


def apart(one: Bounds, other: Bounds) -> bool | None:
    """Whether two intervals are disjoint; None where one has no bounds."""
    (low, high), (its_low, its_high) = one, other
    if low is None or high is None or its_low is None or its_high is None:
        return None
    return low > its_high or its_low > high


def planted(
    before: Sequence[CurvePoint], after: Sequence[CurvePoint], layer: int, direction: Direction
) -> Check:
    """Whether a layer curve first falls where something was taken away.

    Parameters
    ----------
    before, after
        Curves of the untouched and of the planted model.
    layer
        The one at which it was taken: what is before must not move at all, and there the intervals must be
        apart.
    """
    worse = -1 if direction == "higher" else 1
    moved = [one.layer for one, two in zip(before, after, strict=True) if one.value != two.value]
    there = next((one, two) for one, two in zip(before, after, strict=True) if one.layer == layer)
    (a, b) = (each.value for each in there)
    bounds = [(each.low, each.high) for each in there]
    facts: dict[str, JsonValue] = {"layer": layer, "before": a, "after": b, "moved": [*moved]}
    says = f"phones taken away at encoder layer {layer}: {a:.3g} → {b:.3g} there"
    wrong = []
    if early := [each for each in moved if each < layer]:
        wrong.append(f"layer {early[0]} moved, which is before")
    disjoint = apart(*bounds)
    if disjoint is None:
        return Check(name="planted", outcome="not run", says=f"{says}; no intervals", values=facts)
    if not (disjoint and (b - a) * worse > 0):
        wrong.append("not told apart as worse")
    if wrong:
        return Check(name="planted", outcome="fail", says=f"{says}; {'; '.join(wrong)}", values=facts)
    return Check(name="planted", outcome="pass", says=f"{says}, unmoved before", values=facts)


def human(taus: Sequence[float], orders: Sequence[tuple[str, str]], pairs: int) -> Check:
    """Whether synthesised and human speech agree.

    Parameters
    ----------
    taus
        Kendall's τ between the layer curves, by model.
    orders
        Pairs of models (ahead on synthesised speech, behind on human speech) of which both are sure.
    pairs
        Results that were held against each other.
    """
    if not pairs:
        return Check(name="human", outcome="not run", says="no published result on both kinds of speech")
    middle = float(np.median(taus)) if taus else None
    facts = {"taus": list(taus), "pairs": pairs, "contradictions": [list(pair) for pair in orders]}
    wrong = [f"{one} is surely ahead of {other} on one and behind on the other" for one, other in orders]
    if middle is not None and middle < ALIKE:
        wrong.insert(0, f"layers come in another order (median τ {middle:.2f})")
    if wrong:
        return Check(name="human", outcome="fail", says="; ".join(wrong), values=facts)
    layers = "no curves to compare" if middle is None else f"median τ of layers {middle:.2f}"
    says = f"{layers}; no two models surely change places ({pairs} pairs of results)"
    return Check(name="human", outcome="pass", says=says, values=facts)
