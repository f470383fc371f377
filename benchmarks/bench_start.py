"""How long the command line takes to answer in a fresh interpreter."""

import subprocess
import sys
from time import perf_counter

import pytest
from measured import Session

REPETITIONS = 9


@pytest.mark.parametrize("arguments", ["--help", "tasks list", "models list"])
def test_the_command_line_starts(benchmark, arguments):
    session, taken = Session(f"innerear {arguments}"), []

    def start():
        started = perf_counter()
        subprocess.run(
            [sys.executable, "-m", "innerear", *arguments.split()], check=True, capture_output=True
        )
        taken.append(perf_counter() - started)

    benchmark.pedantic(start, rounds=REPETITIONS, warmup_rounds=1)
    session.figure("start of the command line", taken[1:], "s")
    session.record("start")
