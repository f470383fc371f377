"""Numbers as tables and pages show them."""

from innerear.results.schema import Result, Score

NONE = "–"
"""Where there is no number."""


def interval(score: Score) -> str:
    """A score with its interval, as text."""
    return bounds(score.value, score.low, score.high, score.unit)


def prefix(result: Result, headline: str) -> str:
    """The name of a result's headline, before its number, where that of its table is another."""
    return f"{result.headline} " if result.headline != headline else ""


def bounds(value: float, low: float | None, high: float | None, unit: str) -> str:
    """A number with its interval, if it has one, as text."""
    brackets = "" if low is None or high is None else f" [{number(low, unit)}, {number(high, unit)}]"
    return number(value, unit) + brackets


def number(value: float, unit: str, *, signed: bool = False) -> str:
    """A number as tables show it: fractions in per cent with one decimal, others with three digits."""
    sign = "+" if signed else ""
    return f"{100 * value:{sign}.1f}" if unit == "fraction" else f"{value:{sign}.3g}"


def unit_of(score: Score) -> str:
    """The unit in which `interval` shows a score: per cent for a fraction."""
    return "%" if score.unit == "fraction" else score.unit


def p_value(p: float) -> str:
    """A p-value in the usual form."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
