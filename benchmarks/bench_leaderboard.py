"""The leaderboard and the site of many models, derived from the published results: time, and peak memory."""

import subprocess
import sys
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter

import psutil
import pytest
from many_results import derive

from innerear.results.store import Store
from innerear.util.paths import data_folder

TABLES = 20
PUBLISHED = Store(data_folder("tasks").parent / "results")


def run(*arguments: str) -> dict[str, float]:
    """Run a command; seconds by the clock and of processors, and GiB of all its processes at the peak."""
    before, started, peak = getrusage(RUSAGE_CHILDREN), perf_counter(), 0
    command = [sys.executable, "-m", "innerear", *arguments]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    while True:
        try:
            assert process.wait(0.1) == 0
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


@pytest.mark.parametrize("models", [20, 50, 100, 200])
def test_many_models(benchmark, tmp_path, models):
    folder = str(tmp_path / "results")
    count = derive(PUBLISHED, tmp_path / "results", models, TABLES)
    taken: dict[str, dict[str, float]] = {}

    def run_both():
        taken["leaderboard"] = run("leaderboard", "--results", folder)
        taken["site"] = run("site", "--results", folder, "--output", str(tmp_path / "site"))

    benchmark.pedantic(run_both, rounds=1)
    benchmark.extra_info.update(taken)
    for name, each in taken.items():
        print(f"\n{name}, {models} models, {count} results: ", *(f"{v:.1f} {k}" for k, v in each.items()))
