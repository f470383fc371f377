"""The leaderboard and the site of many models, derived from the published results: time, and peak memory."""

import subprocess
import sys
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter

import psutil
from many_results import derive
from measured import Session

from innerear.results.store import Store
from innerear.util.paths import data_folder

TABLES = 20
MODELS = 20, 50, 100, 200
PUBLISHED = Store(data_folder("tasks").parent / "results")


def run(*arguments: str) -> dict[str, float]:
    """Run a command; seconds by the clock and of processors, and GiB of all its processes at the peak."""
    before, started, peak = getrusage(RUSAGE_CHILDREN), perf_counter(), 0
    command = [sys.executable, "-m", "innerear", *arguments]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    while True:
        try:
            assert process.wait(1) == 0
            break
        except psutil.TimeoutExpired:
            peak = max(peak, sum(map(resident, [process, *process.children(recursive=True)])))
    after = getrusage(RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"s": perf_counter() - started, "CPU s": used, "GiB": peak / 2**30}


def resident(process: psutil.Process) -> int:
    """Bytes in memory, 0 of a process that has just ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def test_many_models(benchmark, tmp_path):
    """2,000 results are 100 models in 20 tables; other numbers of models give the curve."""
    session = Session(f"{TABLES} tables")
    taken: dict[str, dict[float, float]] = {"leaderboard": {}, "site": {}}

    def run_all():
        for models in MODELS:
            folder = tmp_path / str(models)
            assert derive(PUBLISHED, folder, models, TABLES) == TABLES * models
            for name, more in (("leaderboard", []), ("site", ["--output", str(folder / "site")])):
                made = run(name, "--results", str(folder), *more)
                taken[name][models] = made["s"]
                if models == 100:
                    session.figure(f"{name} of 2,000 results", [made["s"]], "s")
                    session.figure(f"{name} of 2,000 results, memory", [made["GiB"]], "GiB")

    benchmark.pedantic(run_all, rounds=1)
    for name, seconds in taken.items():
        session.curve(name, "models", seconds)
    session.record("leaderboard")
