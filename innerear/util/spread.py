"""A map over many units of work that loads what processes need only where there are many."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Unit = TypeVar("Unit")
Made = TypeVar("Made")


def spread(do: Callable[[Unit], Made], units: Sequence[Unit], *, worth: bool) -> Iterator[Made]:
    """Apply `do` to every unit, in order: in processes where it is `worth` their start of some seconds.

    Errors as `innerear.util.executors.Executor.map`.
    """
    if not worth or len(units) < 2:
        yield from map(do, units)
        return
    from innerear.util.executors import PROCESSES  # torch takes seconds

    yield from PROCESSES.map(do, units)
