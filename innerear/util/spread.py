"""A map over many units of work that loads what processes need only where there are many."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from innerear.util.progress import bar

Unit = TypeVar("Unit")
Made = TypeVar("Made")
MANY = 100
"""Number of jobs of a tenth of a second from which on several processes do them."""


def spread(do: Callable[[Unit], Made], units: Sequence[Unit], *, worth: bool) -> Iterator[Made]:
    """Apply `do` to every unit, in order: in processes where it is `worth` their start of some seconds.

    Errors as `innerear.util.executors.Executor.map`.
    """
    if not worth or len(units) < 2:
        yield from map(do, units)
        return
    from innerear.util.executors import PROCESSES  # torch takes seconds

    yield from PROCESSES.map(do, units)


def do_all(description: str, jobs: Sequence[Callable[[], None]]) -> None:
    """Do all jobs behind a progress bar, side by side where they are `MANY`; errors as `spread`."""

    def do(job: Callable[[], None]) -> None:
        job()

    with bar(description, len(jobs)) as advance:
        for _ in spread(do, jobs, worth=len(jobs) >= MANY):
            advance()
