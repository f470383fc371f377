"""What a repetition says of a result: whether it was reproduced, what moved, and what differed around it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from innerear.results.schema import Result

MEASURED = ("curves", "tables", "tuned", "split")
"""What a repetition on the same kind of machine gives again beside the scores."""


@dataclass(frozen=True)
class Reproduction:
    """Two results of one task on one model.

    Attributes
    ----------
    tolerance
        By how much the headline may differ: 0 on the same kind of machine with the same packages, else what
        the task says.
    moved
        Scores that differ, with both values (None where one has it not), the headline first.
    beside
        What else of `MEASURED` differs.
    surroundings
        What differs of machine, versions and settings, as (name, then, now).
    """

    then: Result
    now: Result
    tolerance: float
    moved: tuple[tuple[str, float | None, float | None], ...]
    beside: tuple[str, ...]
    surroundings: tuple[tuple[str, str, str], ...]

    @classmethod
    def of(cls, then: Result, now: Result, tolerance: float) -> Self:
        """Compare two results; `tolerance` counts only where machine, packages or settings differ."""
        around = tuple(_surroundings(then, now))
        elsewhere = {name for name, *_ in around} - {"innerear", "commit"}
        beside = tuple(name for name in MEASURED if getattr(then, name) != getattr(now, name))
        return cls(then, now, tolerance if elsewhere else 0.0, tuple(_moved(then, now)), beside, around)

    @property
    def off(self) -> bool:
        """Whether the headline is off, or there is one where there was none."""
        one, other = self.then.score, self.now.score
        if one is None or other is None:
            return (one is None) != (other is None)
        return abs(one.value - other.value) > self.tolerance


def _moved(then: Result, now: Result) -> Iterator[tuple[str, float | None, float | None]]:
    names = dict.fromkeys([then.headline, *then.scores, *now.scores])
    for name in names:
        one, other = (result.scores.get(name) for result in (then, now))
        values = one.value if one else None, other.value if other else None
        if values[0] != values[1]:
            yield name, *values


def _surroundings(then: Result, now: Result) -> Iterator[tuple[str, str, str]]:
    def facts(result: Result) -> dict[str, Any]:
        where, ran = result.environment, result.run
        return {
            "innerear": where.innerear, "commit": where.git_commit, "Python": where.python, **where.packages,
            "processor": where.cpu, "GPU": where.gpu, "device": ran.device, "threads": ran.threads,
            "batch size": ran.batch_size, "precision": where.precision,
        }  # fmt: skip

    one, other = facts(then), facts(now)
    for name in dict.fromkeys([*one, *other]):
        if one.get(name) != other.get(name):
            yield name, str(one.get(name)), str(other.get(name))
