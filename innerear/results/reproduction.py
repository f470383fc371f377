"""Compare a result with its repetition: is it reproduced, which scores moved, which settings differed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from innerear.results.schema import Result
from innerear.tasks.declarations import declaration
from innerear.tasks.registered import registered_task

MEASURED = ("curves", "tables", "tuned", "split")
"""Parts that a repetition on the same kind of machine reproduces exactly, as it does the scores."""


@dataclass(frozen=True)
class Reproduction:
    """Two results of one task on one model.

    Attributes
    ----------
    tolerance
        How far the headline may differ: 0 on the same kind of machine with the same packages, else the
        task's tolerance; timings differ at every run, so theirs always applies.
    moved
        Scores that differ, with both values (None where a result lacks the score), the headline first.
    beside
        Which other parts, of `MEASURED`, differ.
    surroundings
        Differences of machine, versions and settings, as (name, then, now).
    """

    then: Result
    now: Result
    tolerance: float
    moved: tuple[tuple[str, float | None, float | None], ...]
    beside: tuple[str, ...]
    surroundings: tuple[tuple[str, str, str], ...]

    @classmethod
    def of(cls, then: Result, now: Result, tolerance: float) -> Self:
        """Compare two results; `tolerance` is for timings, or another machine, packages or settings."""
        around = tuple(_surroundings(then, now))
        elsewhere = {name for name, *_ in around} - {"innerear", "commit"}
        beside = tuple(name for name in MEASURED if getattr(then, name) != getattr(now, name))
        declared = declaration(then.task.protocol)
        allowed = declared.allowance(tolerance, then.score.value) if then.score else 0.0
        if not (elsewhere or declared.timed):
            allowed = 0.0
        return cls(then, now, allowed, tuple(_moved(then, now)), beside, around)

    @property
    def off(self) -> bool:
        """Whether the headlines differ by more than the tolerance, or only one result has a headline."""
        one, other = self.then.score, self.now.score
        if one is None or other is None:
            return (one is None) != (other is None)
        return abs(one.value - other.value) > self.tolerance


def is_repetition(then: Result, now: Result) -> bool:
    """Whether two results of one task and model are the same measurement.

    Their content is equal; or machines or packages differ, or they are timings, and their headlines differ by
    no more than the tolerance that is registered for the task.
    """
    if then.content_sha256 == now.content_sha256:
        return True
    task = registered_task(then.task.spec)
    made = Reproduction.of(then, now, task.tolerance if task else 0.0)
    return made.tolerance > 0 and not made.off


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
    for name in one:  # older results name fewer packages
        if one.get(name) != other.get(name):
            yield name, str(one.get(name)), str(other.get(name))
