"""Comparisons of models, and of a result with its repetition, in words."""

from collections.abc import Iterator

from innerear.report.leaderboard import NONE, interval, number, p_value
from innerear.results.compare import Comparison
from innerear.results.reproduction import Reproduction
from innerear.util.errors import InnerearError

COLUMNS = ("task", "a − b", "difference", "p", "p, Holm", "detectable", "n", "clusters", "ahead")
LEGEND = (
    "Fractions are in per cent. Difference: headline of a minus that of b over what both have, with its "
    "paired interval (jackknife over clusters). p: a permutation test exchanges the models in whole clusters "
    "(speakers, or sources of sound); Holm over all lines. Detectable: the smallest true difference that the "
    "test finds four times in five. Ahead: who is better where that is sure; – elsewhere, and where more is "
    "not better."
)
"""How to read the columns."""


def cells(each: Comparison) -> tuple[str, ...]:
    """One line."""
    unit = each.a.scores[each.a.headline].unit
    learnt = f", learnt on {each.a.train_corpus.name}" if each.a.train_corpus else ""
    low, high = (number(bound, unit, signed=True) for bound in (each.low, each.high))
    return (
        f"{each.a.task.id} ({each.a.corpus.name}{learnt}): {each.a.headline}",
        f"{each.a.model.name} − {each.b.model.name}",
        f"{number(each.difference, unit, signed=True)} [{low}, {high}]",
        *(p_value(p).removeprefix("p ").removeprefix("= ") for p in (each.p, each.adjusted)),
        number(each.detectable, unit) if each.detectable else NONE,
        f"{each.n:,}",
        f"{each.clusters:,}",
        each.better or NONE,
    )


def reproduced(found: Reproduction | InnerearError) -> Iterator[str]:
    """A repetition in lines: what came out, what moved, what differs around it, and the verdict."""
    if isinstance(found, InnerearError):
        yield from (f"  {found}", "  NOT reproduced")
        return
    then, now = found.then, found.now
    score, again = then.score, now.score
    said = f"  {then.model.name} on {then.task.id} ({then.corpus.name}), {then.headline}: "
    if score is None or again is None:
        yield said + f"{then.status} then ({then.reason}), {now.status} now ({now.reason})"
    else:
        unit = " %" if score.unit == "fraction" else f" {score.unit}"
        yield f"{said}{interval(score)} then, {interval(again)} now,{unit}"
        allowed = number(found.tolerance, score.unit)
        rule = (
            f"tolerance {allowed}"
            if found.tolerance
            else "the same machine and packages: no difference allowed"
        )
        yield f"  difference {number(again.value - score.value, score.unit, signed=True)} ({rule})"
    if found.moved:
        yield f"  scores that moved: {len(found.moved)} of {len(then.scores)}"
        for name, *values in found.moved:
            one, other = (NONE if value is None else f"{value:.6g}" for value in values)
            yield f"    {name}: {one} then, {other} now"
    else:
        yield f"  all {len(then.scores)} scores are the same to the last bit"
    if found.beside:
        yield f"  differs beside the scores: {', '.join(found.beside)}"
    for name, before, after in found.surroundings:
        yield f"    {name}: {before} then, {after} now"
    yield "  NOT reproduced" if found.off else "  reproduced"
