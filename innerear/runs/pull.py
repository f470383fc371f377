"""Copy results from an MLflow server into a folder, after checking each of them."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from innerear.results.reproduction import is_repetition
from innerear.results.store import Store, read_result
from innerear.runs import download
from innerear.runs.tracking_server import shown
from innerear.util.errors import InnerearError, InputError
from innerear.util.progress import bar
from innerear.util.words import counted

SECONDS = 120
"""Longest time for the list of runs, and for each run; a result has less than a megabyte."""
SIZE = 256 * 2**20
"""Most bytes of a file."""
DEATHS = 3
"""After so many runs in a row that broke a limit, the others are not tried."""


@dataclass(frozen=True)
class Pulled:
    """Paths of results that were added, how many were already there, and why others were refused."""

    added: tuple[Path, ...]
    known: int
    refused: tuple[str, ...]


def pull(uri: str, into: Store, experiment: str | None = None) -> Pulled:
    """Copy the results of finished runs, byte for byte, if `verify` finds no problem.

    Time, memory, pages and sizes of files are limited (`innerear/runs/download.py`), so that a server that is
    slow or hostile costs no more than a line for each of its runs.

    Parameters
    ----------
    uri
        An MLflow server, or a database URI as in SQLAlchemy.
    experiment
        Name of one experiment; None for all.

    Raises
    ------
    InputError
        If the server cannot be reached, has no such experiment, or holds no results; or if the folder cannot
        be written.
    """
    added, known, refused = [], 0, []
    if (file := uri.removeprefix("sqlite:///")) != uri and not Path(file).is_file():
        # MLflow would create it
        raise InputError(f"MLflow tracking at {shown(uri)}: there is no such database")
    with TemporaryDirectory() as temporary, ExitStack() as stack:
        request = download.Request(uri, experiment, temporary, (), SECONDS, SIZE)
        run, advance = "", None
        for answer in _answers(request):
            run = answer.get("start", run)
            if "total" in answer:
                advance = advance or stack.enter_context(bar("pulling results", answer["total"]))
            elif "rest" in answer:
                refused.append(answer["rest"])
            elif "refused" in answer:
                refused.append(f"run {run}: {answer['refused']}")
            elif "folder" in answer:
                try:
                    path = _take(Path(answer["folder"]), into)
                except InputError:
                    raise
                except InnerearError as error:
                    refused.append(f"run {run}: {error}")
                else:
                    added += [path] if path else []
                    known += path is None
            if advance and not answer.keys() & {"total", "start", "rest"}:
                advance()
    return Pulled(tuple(added), known, tuple(refused))


def _answers(request: download.Request) -> Iterator[dict[str, Any]]:
    """Answers of a process that downloads, and of others that go on where it broke a limit."""
    deaths = 0
    while True:
        ended, started, left = False, [], 0
        command = [sys.executable, "-P", "-m", download.__name__]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(request.to_json() + "\n")
                process.stdin.close()
                for answer in map(json.loads, process.stdout):
                    if "failed" in answer:
                        raise InputError(answer["failed"])
                    left = answer.get("total", left)
                    started += [answer["start"]] if "start" in answer else []
                    deaths = 0 if answer.keys() & {"folder", "refused"} else deaths
                    ended = "end" in answer
                    if not ended:
                        yield answer
            finally:
                process.kill()
        if ended:
            return
        reason = f"the process that downloads it ended with code {process.returncode}"
        if process.returncode == -signal.SIGALRM:
            reason = f"it took longer than {request.seconds} s"
        if not started:
            raise InputError(f"MLflow tracking at {shown(request.uri)} cannot be read ({reason})")
        deaths += 1
        left -= len(started)
        yield {"refused": reason}
        if deaths == DEATHS and left:
            yield {"rest": f"{counted(left, 'other run', 'was')} not tried: {DEATHS} in a row broke a limit"}
        if deaths == DEATHS or not left:
            return
        request = replace(request, skip=(*request.skip, *started))


def _take(folder: Path, into: Store) -> Path | None:
    """Copy one result that was downloaded and verified; None if it is already there."""
    (path,) = folder.glob("*.json")
    result = read_result(path)
    target = into.path_of(result)
    try:
        if not target.exists():
            into.take(path, result)
            return target
        if not is_repetition(read_result(target), result):
            raise InnerearError(
                f"{target} has other scores for the same task, weights and corpus; it was kept"
            )
        return None
    finally:
        shutil.rmtree(folder)
