"""Try many things in forked processes of bounded time and memory, and count what held, was told, or fell.

A trial acts in a folder of its own. It *holds* where what was given is accepted and right, it is *told* where
one line says what is wrong and the exit code fits, and it has *fallen* in any other case (`FALLS`).
"""

import json
import os
import resource
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil

SECONDS = 60.0
"""What takes longer hangs; most trials take a tenth of a second."""
MEMORY = 2 * 2**30
"""Bytes that a trial may need beyond what the process had at its start."""

HELD, TOLD = "held", "told"
FALLS = ("traceback", "hang", "memory", "wrong number", "unclear")
"""Ways to fall. *Unclear* is an error of several lines, with control characters, or with a wrong exit code;
a *wrong number* is an input that had to be refused and was not, or two contents under one key."""


class Outcome(NamedTuple):
    """How a trial went, in a word and a line; `numbers` are the content hashes of results by their keys."""

    what: str
    says: str = ""
    numbers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Trial:
    """Something to try: `act` gets an empty folder and runs in a process of its own."""

    kind: str
    name: str
    act: Callable[[Path], Outcome]
    seconds: float = SECONDS


@dataclass(frozen=True)
class Tried:
    """A trial with its outcome, its duration in seconds and its memory in bytes."""

    trial: Trial
    outcome: Outcome
    seconds: float
    memory: int


def attempt(trials: Iterable[Trial], processes: int) -> Iterator[Tried]:
    """Run trials in forks of this process, which should have imported and made all that they share."""
    waiting, running = iter(trials), dict[int, tuple[Trial, float, TemporaryDirectory[str]]]()
    numbers: dict[str, str] = {}
    while True:
        while len(running) < processes and (trial := next(waiting, None)) is not None:
            folder = TemporaryDirectory(prefix="innerear-trial-", ignore_cleanup_errors=True)
            running[_start(trial, Path(folder.name))] = trial, time.monotonic(), folder
        if not running:
            return
        time.sleep(0.005)
        for process, (trial, started, folder) in list(running.items()):
            ended, status, usage = os.wait4(process, os.WNOHANG)
            took = time.monotonic() - started
            if not ended and took <= trial.seconds:
                continue
            with _gone():
                os.killpg(process, signal.SIGKILL)  # and what it started
            if not ended:
                _, status, usage = os.wait4(process, 0)
            memory = max(0, usage.ru_maxrss * 1024 - _began(Path(folder.name)))
            outcome = _outcome(Path(folder.name), took > trial.seconds, status, memory)
            for key, content in outcome.numbers:
                if numbers.setdefault(key, content) != content:
                    outcome = Outcome("wrong number", f"another content under the key {key[:12]}")
            del running[process]
            folder.cleanup()
            yield Tried(trial, outcome, took, memory)


class _gone:
    """Pass over a process that has ended."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, ProcessLookupError)


def _start(trial: Trial, folder: Path) -> int:
    process = os.fork()
    if process:
        return process
    os.setpgid(0, 0)
    now = psutil.Process().memory_info()
    (folder / "began").write_text(str(now.rss))
    room = now.vms + 2 * MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    try:
        work = folder / "work"
        work.mkdir()
        outcome = trial.act(work)
    except MemoryError as error:
        outcome = Outcome("memory", repr(error))
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        outcome = Outcome(
            "traceback", f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        )
    (folder / "outcome").write_text(json.dumps(outcome))
    os._exit(0)


def _began(folder: Path) -> int:
    """Bytes of memory that a process had at its start."""
    began = folder / "began"
    return int(began.read_text()) if began.is_file() else 0


def _outcome(folder: Path, late: bool, status: int, memory: int) -> Outcome:
    if late:
        return Outcome("hang", "it did not end in time")
    if memory > MEMORY:
        return Outcome("memory", f"{memory / 2**20:,.0f} MiB")
    if not (folder / "outcome").is_file():
        return Outcome("traceback", f"the process ended with status {status}")
    what, says, numbers = json.loads((folder / "outcome").read_text())
    return Outcome(what, " ".join(says.split())[:300], tuple(map(tuple, numbers)))


def table(tried: Sequence[Tried]) -> str:
    """A Markdown table with a row for each kind and one for all."""
    kinds = list(dict.fromkeys(one.trial.kind for one in tried))
    rows = [_row(kind, [one for one in tried if one.trial.kind == kind]) for kind in kinds]
    heads = ("kind", "tried", HELD, TOLD, *FALLS, "slowest (s)", "most memory (MiB)")
    lines = [heads, ("---",) * len(heads), *rows, _row("**all**", tried)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(name: str, tried: Sequence[Tried]) -> tuple[str, ...]:
    counts = Counter(one.outcome.what for one in tried)
    slowest = max((one.seconds for one in tried), default=0.0)
    memory = max((one.memory for one in tried), default=0) / 2**20
    return (
        name, f"{len(tried):,}", *(f"{counts[what]:,}" for what in (HELD, TOLD, *FALLS)), f"{slowest:.1f}",
        f"{memory:,.0f}",
    )  # fmt: skip


def fallen(tried: Sequence[Tried]) -> list[str]:
    """A line for each trial that fell."""
    return [
        f"{one.trial.kind}: {one.trial.name}: {one.outcome.what}: {one.outcome.says}"
        for one in tried
        if one.outcome.what in FALLS
    ]
