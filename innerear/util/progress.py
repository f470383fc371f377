"""A progress bar with rate and remaining time; silent if standard error is not a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
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
    """Show a progress bar for `total` units of work; the caller advances it."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as live:
        task = live.add_task(label, total=total)

        def advance(n: int = 1) -> None:
            live.advance(task, n)

        yield advance
