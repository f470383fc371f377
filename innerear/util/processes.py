"""A parallel map over processes of one thread each: faster than threads for small matrices."""

import ctypes
import gc
import os
import pickle
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

import psutil
import torch
from threadpoolctl import threadpool_limits

from innerear.util.errors import InnerearError

Unit = TypeVar("Unit")
Made = TypeVar("Made")
ROOM = 2 * 2**30
"""Bytes of free memory required for each process."""
_PARENT_DIES = 1
"""Linux's PR_SET_PDEATHSIG."""

_work: list[Callable[[int], Any]] = []
"""The functions to run, one per map in progress: forked processes inherit them without pickling."""


def process_count(units: int) -> int:
    """Number of processes: one for each thread that torch may use, limited by units of work and by memory."""
    if sys.platform != "linux":  # elsewhere a fork of a process that has computed is not safe
        return 1
    room = int(psutil.virtual_memory().available) // ROOM
    return max(1, min(torch.get_num_threads(), units, room))


def parallel_map(do: Callable[[Unit], Made], units: Sequence[Unit], count: int) -> Iterator[Made]:
    """Apply `do` to every unit in `count` processes; results come in order.

    Everything is computed with one thread, also in this process if `count` is 1, so that the bits of a result
    do not depend on the number of processes.

    Raises
    ------
    InnerearError
        If a process was killed; else whatever `do` raises.
    """
    if count == 1:
        with one_thread():
            for unit in units:
                yield do(unit)
        return
    _work.append(lambda at: do(units[at]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forks of a process with threads
            pool = ProcessPoolExecutor(count, get_context("fork"), _begin, (os.getpid(),))
            try:
                ahead = deque(pool.submit(_do, at) for at in range(len(units)))
                while ahead:
                    yield pickle.loads(ahead.popleft().result())
            finally:  # the pool cancels: a future cancelled here would trip it if its processes died, too
                pool.shutdown(cancel_futures=True)
    except BrokenProcessPool as error:
        raise InnerearError(
            f"one of {count} processes was killed, probably for lack of memory; set a lower OMP_NUM_THREADS "
            "and run the same command again: it continues where it stopped"
        ) from error
    finally:
        _work.pop()


def _begin(parent: int) -> None:
    """Initialise a process: it dies with its parent, which alone handles interruptions."""
    ctypes.CDLL(None).prctl(_PARENT_DIES, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    threadpool_limits(1)
    gc.freeze()  # what was forked along is neither searched for garbage nor copied by the search


def _do(at: int) -> bytes:
    # the pool's own pickler would leave a file open for each tensor; only our own forks are unpickled
    return pickle.dumps(_work[-1](at))


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread while the context is open."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)
