"""Comparisons of models as rows of a table."""

from innerear.comparison import Comparison
from innerear.leaderboard.table import NONE, number, p_value

COLUMNS = ("task", "a − b", "difference", "p", "p, Holm", "detectable", "n", "clusters", "ahead")
LEGEND = (
    "Fractions are in per cent. Difference: headline of a minus that of b over what both have, with its "
    "paired interval (cluster bootstrap). p: a permutation test exchanges the models in whole clusters "
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
        p_value(each.p).removeprefix("p = ").removeprefix("p "),
        p_value(each.adjusted).removeprefix("p = ").removeprefix("p "),
        number(each.detectable, unit) if each.detectable else NONE,
        f"{each.n:,}",
        f"{each.clusters:,}",
        each.better or NONE,
    )
