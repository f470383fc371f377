"""Runs that are killed at random moments and run again: their results are those of an undisturbed run."""

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from commands import call, command
from harness import HELD, Outcome, Trial
from sound import TASK, Sound

COUNT = 30
LAST = 6.0
"""Seconds within which a kill comes; a run takes about as long."""
ARGUMENTS = ("run", "--models", "./moonshine,./wav2vec2", "--tasks", f"./{TASK}")


def kills(sound: Sound) -> Iterator[Trial]:
    """A run that nothing disturbs, and many that are killed by each signal."""
    yield Trial("kills", "none", partial(_killed, sound, signal.SIGKILL, ()), 300)
    drawn = random.Random("kills")
    for number in range(COUNT):
        by = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[number % 3]
        moments = sorted(drawn.uniform(0, LAST) for _ in range(drawn.choice((1, 1, 3))))
        name = f"{by.name} after {', '.join(f'{moment:.2f}' for moment in moments)} s"
        yield Trial("kills", name, partial(_killed, sound, by, moments), 300)


def _killed(sound: Sound, by: signal.Signals, moments: Sequence[float], folder: Path) -> Outcome:
    for name in ("corpus", TASK, "models/moonshine", "models/wav2vec2", "runs"):
        sound.copy(name, folder)
    for moment in moments:
        process = os.fork()
        if not process:
            os._exit(call(folder, ARGUMENTS))
        time.sleep(moment)
        os.kill(process, by)
        _, status = os.waitpid(process, 0)
        code = os.waitstatus_to_exitcode(status)
        if code not in (0, -by if by == signal.SIGKILL else 1):
            return Outcome("unclear", f"exit code {code} after {by.name}")
    done = command(folder, ARGUMENTS, HELD)
    if done.what == HELD and len(done.numbers) != 2:
        return Outcome("wrong number", f"{len(done.numbers)} results instead of 2")
    checked = command(folder, ("verify", "runs"), HELD)
    return done if checked.what == HELD else checked
