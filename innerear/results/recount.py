"""Recount what per-item outcomes determine: the headline, further scores and curves, and their intervals.

A file that states another number than its own rows give is not to be believed. Where other columns decide an
outcome (a prediction and the truth, a text and its reference), the outcome is recounted, too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from innerear.results.determined import FURTHER, Number, Recounted, jackknifed, mean_of, median_of
from innerear.results.headline import CLOSE, Auroc, Headline, Median, NestedMean, headline, headline_rows
from innerear.results.schema import Curve, Result
from innerear.tasks.declarations import declaration
from innerear.util.errors import InnerearError


def recount(result: Result, items: pd.DataFrame) -> Recounted:
    """Compute from the rows of a result with a score all that they determine.

    Raises
    ------
    InnerearError
        If the outcomes lack a column that a number needs.
    TypeError, ValueError
        If a column does not hold what it should.
    """
    made, rows = headline(result, items), headline_rows(result, items)
    own = {result.headline: _number(result, made, rows)}
    further = FURTHER.get(result.task.protocol)
    try:
        found = further(result, items) if further else Recounted()
    except KeyError as error:
        raise InnerearError(f"the per-item outcomes have no column {error}") from error
    return replace(found, scores=own | dict(found.scores) | own, n=_counted(result, rows))


def disagreements(result: Result, items: pd.DataFrame) -> Iterator[str]:
    """What a result with a score states otherwise than its rows give, one line each; errors as `recount`."""
    yield from _out_of_range(result, items)
    found, score = recount(result, items), result.score
    assert score is not None
    for column, given in found.decided.items():
        if column not in items:
            raise InnerearError(f"the per-item outcomes have no column {column!r}")
        wrong = ~(np.abs(given - items[column].to_numpy(float)) <= CLOSE)
        if wrong.any():
            unit, stated = items.loc[wrong, ["unit", column]].iloc[0]
            name = column.replace("_", " ")
            gives = float(given[wrong][0])
            stated = float(stated)
            yield f"the {name} of {unit} is {stated:g}, but the other columns of its row give {gives:g}"
    for name, number in found.scores.items():
        if own := result.scores.get(name):
            yield from _differs(name, (own.value, own.low, own.high), number)
    if found.n != score.n:
        yield f"{result.headline} is over n = {score.n}, but its per-item outcomes are {found.n}"
    for name, numbers in found.curves.items():
        if curve := result.curve(name):
            yield from _curve_differs(curve, numbers)


def _curve_differs(curve: Curve, numbers: Mapping[str, Number]) -> Iterator[str]:
    """The first point of a curve that is not what the rows give."""
    for point in curve.points:
        name = f"the curve {curve.name} at {point.site}"
        if point.site not in numbers:
            yield f"{name} is of a layer that its per-item outcomes do not have"
            return
        if lines := list(_differs(name, (point.value, point.low, point.high), numbers[point.site])):
            yield lines[0]
            return


def _out_of_range(result: Result, items: pd.DataFrame) -> Iterator[str]:
    """Outcomes that the protocol's metric cannot have."""
    declared = declaration(result.task.protocol)
    low, high = {"share": (0.0, 1.0), "rate": (0.0, np.inf), "difference": (-1.0, 1.0)}[declared.scale]
    if declared.formula == "ratio" and declared.scale == "difference":
        low, high = -np.inf, np.inf
    outcome = items["outcome"].to_numpy(float)
    outside = ~((outcome >= low - CLOSE) & (outcome <= high + CLOSE))
    if outside.any():
        name, value = items["unit"].to_numpy()[outside][0], outcome[outside][0]
        yield f"the outcome of {name} is {value:g}, outside {low:g} to {high:g}"
    if declared.formula == "ratio" and declared.scale == "rate" and not (items["weight"] >= 0).all():
        yield "a weight is negative"


def _counted(result: Result, rows: pd.DataFrame) -> int:
    """The n of a headline: its rows, the triples of ABX, or the words of a rate."""
    declared = declaration(result.task.protocol)
    if declared.formula == "nested-mean":
        return int(rows["triples"].sum())
    if declared.formula == "ratio" and declared.scale == "rate":
        return int(rows["weight"].sum())
    return len(rows)


def _differs(name: str, stated: Number, given: Number) -> Iterator[str]:
    if not np.isclose(stated[0], given[0], rtol=CLOSE, atol=CLOSE):  # nor where rows give no number at all
        yield f"{name} = {stated[0]:g}, but its per-item outcomes give {given[0]:g}"
    elif not all(_same(one, other) for one, other in zip(stated[1:], given[1:], strict=True)):
        yield f"{name} has the interval {_span(stated)}, but its per-item outcomes give {_span(given)}"


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.isclose(one, other, rtol=CLOSE, atol=CLOSE))


def _span(number: Number) -> str:
    _, low, high = number
    return "none" if low is None or high is None else f"[{low:g}, {high:g}]"


def _number(result: Result, made: Headline, rows: pd.DataFrame) -> Number:
    """A headline with its interval."""
    declared = declaration(result.task.protocol)
    if isinstance(made, Auroc | NestedMean):
        return jackknifed(made.value(), made.without(), result.level, declared.scale)
    if isinstance(made, Median):
        return median_of(made.outcome, result.level)
    weight = rows["weight"] if declared.formula == "ratio" else None
    return mean_of(rows["outcome"], rows["speaker"], result.level, declared.scale, weight)
