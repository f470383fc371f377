"""Progress bars with rate and remaining time; silent if standard error is not a terminal.

A bar that is begun while another one runs stands below it, and goes when it is done.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

console = Console(stderr=True)
"""Where bars are, and all that is printed while they run: it stands above them."""

_running: list[Progress] = []
"""The display of the outermost bar, while there is one."""


class Advance(Protocol):
    """Reports that `n` more units are done."""

    def __call__(self, n: int = 1) -> None:
        """Move the bar on by `n`."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "", style="progress.data.speed")


@contextmanager
def bar(label: str, total: int) -> Iterator[Advance]:
    """Show a progress bar for `total` units of work, if there are any; the caller advances it.

    A process that was started to share the work shows none.
    """
    if not total or parent_process() or not console.is_terminal:
        yield lambda n=1: None
        return
    with _display() as live:
        task = live.add_task(label, total=total)

        def advance(n: int = 1) -> None:
            live.advance(task, n)

        try:
            yield advance
        finally:
            if len(live.tasks) > 1:
                live.remove_task(task)


@contextmanager
def _display() -> Iterator[Progress]:
    """The display that is on, or a new one."""
    if _running:
        yield _running[-1]
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate())
    with Progress(*columns, TimeRemainingColumn(), console=console) as live:
        _running.append(live)
        try:
            yield live
        finally:
            _running.remove(live)
