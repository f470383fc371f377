"""Comparisons of two models, and of a result with its reproduction, as text."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from innerear.report.markdown import grid
from innerear.report.numbers import NONE, interval, number, p_value, unit_of
from innerear.results.paired import Comparison
from innerear.results.reproduction import Reproduction
from innerear.util.errors import InnerearError
from innerear.util.io import json_lines

COLUMNS = ("task", "a − b", "difference", "p", "p, Holm", "detectable", "n", "clusters", "ahead")
LEGEND = (
    "Fractions are in per cent. Difference: headline of a minus that of b on the items that both have, with "
    "its paired interval (jackknife over clusters). p: permutation test that swaps the two models in whole "
    "clusters (speakers or sound sources); Holm's correction is over all rows. Detectable: the smallest "
    "true difference that the test finds with 80% power. Ahead: the better model where the difference is "
    "significant; – where it is not, and for a profile, which describes models and ranks none. ≈: near the "
    "threshold; on another machine p may be on its other side (docs/reproducibility.md)."
)
"""How to read the columns."""


def cells(comparison: Comparison) -> tuple[str, ...]:
    """One row under `COLUMNS`."""
    a, b = comparison.a, comparison.b
    unit = a.scores[a.headline].unit
    learnt = f", learnt on {a.train_corpus.name}" if a.train_corpus else ""
    names = [each.model.name for each in (a, b)]
    if names[0] == names[1]:
        names = [f"{each.model.name}@{each.model.sha256[:8]}" for each in (a, b)]
    low, high = (number(bound, unit, signed=True) for bound in (comparison.low, comparison.high))
    p, adjusted = (
        p_value(p).removeprefix("p ").removeprefix("= ") for p in (comparison.p, comparison.adjusted)
    )
    return (
        f"{a.task.id} ({a.corpus.name}{learnt}): {a.headline}",
        f"{names[0]} − {names[1]}",
        f"{number(comparison.difference, unit, signed=True)} [{low}, {high}]",
        p,
        adjusted + " ≈" * comparison.near,
        number(comparison.detectable, unit) if comparison.detectable else NONE,
        f"{comparison.n:,}",
        f"{comparison.clusters:,}",
        NONE if comparison.ahead is None else names[comparison.ahead is b],
    )


def to_markdown(compared: Sequence[Comparison]) -> str:
    """Comparisons as a table with its legend."""
    return f"{grid(COLUMNS, [cells(each) for each in compared])}\n\n{LEGEND}\n"


def to_json(compared: Sequence[Comparison]) -> str:
    """Comparisons in full precision as a JSON list, one on each line; fractions are not in per cent."""
    return json_lines(map(_record, compared))


def _record(made: Comparison) -> dict[str, Any]:
    a, b, ahead = made.a, made.b, made.ahead
    return {
        "task": a.task.id, "version": a.task.version, "corpus": a.corpus.name,
        "train_corpus": a.train_corpus.name if a.train_corpus else None, "headline": a.headline,
        "a": a.model.name, "a_sha256": a.model.sha256, "b": b.model.name, "b_sha256": b.model.sha256,
        "difference": made.difference, "low": made.low, "high": made.high, "p": made.p,
        "p_holm": made.adjusted, "near_threshold": made.near, "detectable": made.detectable or None,
        "n": made.n, "clusters": made.clusters, "ahead": ahead and ("a" if ahead is a else "b"),
    }  # fmt: skip


FORMATS: Mapping[str, Callable[[Sequence[Comparison]], str]] = {"markdown": to_markdown, "json": to_json}


def reproduction_lines(outcome: Reproduction | InnerearError) -> Iterator[str]:
    """A reproduction as lines: both headlines, scores that changed, other differences, and the verdict."""
    if isinstance(outcome, InnerearError):
        yield from (f"  {outcome}", "  NOT reproduced")
        return
    then, now = outcome.then, outcome.now
    score, again = then.score, now.score
    subject = f"  {then.model.name} on {then.task.id} ({then.corpus.name}), {then.headline}: "
    if score is None or again is None:
        yield subject + f"{then.status} then ({then.reason}), {now.status} now ({now.reason})"
    else:
        yield f"{subject}{interval(score)} then, {interval(again)} now, {unit_of(score)}"
        allowed = number(outcome.tolerance, score.unit)
        rule = (
            f"tolerance {allowed}"
            if outcome.tolerance
            else "same machine and packages: no difference allowed"
        )
        yield f"  difference {number(again.value - score.value, score.unit, signed=True)} ({rule})"
    if outcome.moved:
        yield f"  scores that changed: {len(outcome.moved)} of {len(then.scores)}"
        for name, *values in outcome.moved:
            one, other = (NONE if value is None else f"{value:.6g}" for value in values)
            yield f"    {name}: {one} then, {other} now"
    else:
        yield f"  all {len(then.scores)} scores are identical"
    if outcome.beside:
        yield f"  differs besides the scores: {', '.join(outcome.beside)}"
    for name, before, after in outcome.surroundings:
        yield f"    {name}: {before} then, {after} now"
    yield "  NOT reproduced" if outcome.off else "  reproduced"
