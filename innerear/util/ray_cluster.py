"""Units of work on a Ray cluster. Only this module knows Ray (`pip install 'innerear[ray]'`).

Retries are our own: Ray takes a repeated generator for the same one, from the item at which it broke off, but
a pass that finds results of its first attempt in the store yields other items.
"""

import os
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar

import torch
from threadpoolctl import threadpool_limits

from innerear.util.errors import InnerearError, InputError
from innerear.util.executors import PROCESSES, Executor

Unit = TypeVar("Unit")
Made = TypeVar("Made")
ATTEMPTS = 3
"""How often a unit is begun before it is given up."""
PATIENCE = 300.0
"""Seconds to wait for a node that has what a unit needs, once none is left: a cluster may replace it."""
POLL = 5.0
"""Seconds between two looks at the nodes while nothing comes."""


@dataclass
class RayCluster(Executor):
    """A Ray cluster: every unit is a task of Ray with its CPUs and GPUs, on any node that has them free.

    Attributes
    ----------
    address
        `auto` or `HOST:PORT` of a cluster that runs; None for the one that `RAY_ADDRESS` names, one that
        runs on this machine, or a new one.
    cpus
        CPUs, and so threads, of a large unit; None for as many as torch would use here.
    gpus
        GPUs of a unit; of a fraction, several units share one.
    notify
        Called with a line when a unit is begun again.
    """

    address: str | None = None
    cpus: int | None = None
    gpus: float = 0.0
    notify: Callable[[str], None] = field(default=lambda _: None)

    elsewhere = True

    def __reduce__(self) -> str | tuple[Any, ...]:
        """On a node, work is shared out among the processes of that node."""
        return type(PROCESSES), ()

    @property
    def threads(self) -> int:
        """Threads of a large unit."""
        return self.cpus or torch.get_num_threads()

    def __enter__(self) -> Self:
        """Connect.

        Raises
        ------
        InputError
            If Ray is not installed, there is no such cluster, or no node has what a unit needs.
        """
        if find_spec("ray") is None:
            raise InputError("--executor ray needs the package ray: pip install 'innerear[ray]'")
        _require_listener(self.address or os.environ.get("RAY_ADDRESS", ""))
        import ray

        own = {name: value for name, value in os.environ.items() if name.startswith("INNEREAR_")}
        variables = {**own, "OMP_NUM_THREADS": str(self.threads)}
        on_stop = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(self.address, logging_level="WARNING", runtime_env={"env_vars": variables})
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"no Ray cluster at {self.address or 'this machine'}: {reason}") from error
        with suppress(ValueError):  # not in the main thread, where Ray changes nothing either
            signal.signal(signal.SIGTERM, on_stop)  # Ray puts its own in its place
        if not self._fits(self.threads, self.gpus):
            ray.shutdown()
            raise InputError(
                f"no node of the Ray cluster has {self._wanted(self.threads, self.gpus)}, which a pass "
                "needs; choose other --cpus and --gpus"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Disconnect: Ray ends the tasks of a driver that is gone."""
        import ray

        ray.shutdown()

    def map(self, do: Callable[[Unit], Made], units: Sequence[Unit], device: str = "cpu") -> Iterator[Made]:
        """As `Executor.map`; `do` and what it refers to go to each node once."""
        made: dict[int, Made] = {}
        told = 0
        for at, one in self._run(_Once(do), units, 1, 0.0 if device == "cpu" else self.gpus):
            if isinstance(one, InnerearError):
                raise one
            made[at] = one
            while told in made:
                yield made.pop(told)
                told += 1

    def passes(
        self, do: Callable[[Unit], Iterator[Made]], units: Sequence[Unit]
    ) -> Iterator[tuple[int, Made | InnerearError]]:
        """As `Executor.passes`, in the order in which it comes."""
        yield from self._run(do, units, self.threads, self.gpus)

    def _run(
        self, do: Callable[[Unit], Iterator[Made]], units: Sequence[Unit], cpus: int, gpus: float
    ) -> Iterator[tuple[int, Made | InnerearError]]:
        import ray
        from ray.exceptions import RayError, RayTaskError

        options = {"num_cpus": cpus, "num_gpus": gpus, "num_returns": "streaming", "max_retries": 0}
        task = ray.remote(_on_node).options(**options, scheduling_strategy="SPREAD")
        work, folder = ray.put(do), str(Path.cwd())
        begun: Counter[int] = Counter()
        running: dict[Any, int] = {}

        def begin(at: int) -> None:
            begun[at] += 1
            running[task.remote(work, units[at], folder, cpus)] = at

        for at in range(len(units)):
            begin(at)
        seen = monotonic()
        while running:
            ready, _ = ray.wait(list(running), timeout=POLL)
            if ready or self._fits(cpus, gpus):
                seen = monotonic()
            elif monotonic() - seen > PATIENCE:
                raise InnerearError(
                    f"no node with {self._wanted(cpus, gpus)} is left in the Ray cluster; what was measured "
                    "is stored, and the same command continues"
                )
            for stream in ready:
                at = running.pop(stream)
                try:
                    made = ray.get(next(stream))
                except StopIteration:
                    continue
                except RayTaskError as error:
                    if isinstance(error.cause, InnerearError):
                        raise error.cause from None
                    raise
                except RayError as error:
                    if begun[at] < ATTEMPTS:
                        self.notify(
                            f"a node or process was lost; what it did is begun again ({_line(error)})"
                        )
                        begin(at)
                    else:
                        yield at, InnerearError(f"lost {ATTEMPTS} times ({_line(error)})")
                    continue
                running[stream] = at
                yield at, made

    def _fits(self, cpus: int, gpus: float) -> bool:
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes)

    @staticmethod
    def _wanted(cpus: int, gpus: float) -> str:
        return f"{cpus} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")


def gpus_of_a_pass(device: str, gpus: float | None) -> float:
    """GPUs of a large unit on `device`; by default one on a GPU.

    Raises
    ------
    InputError
        If they do not fit the device.
    """
    if device not in ("cpu", "cuda", "auto"):
        raise InputError(f"Ray chooses the device of a pass: give --device cpu, cuda or auto, not {device}")
    if gpus is None:
        gpus = 0.0 if device == "cpu" else 1.0
    if (device == "cpu") != (gpus == 0):
        raise InputError(f"--device {device} does not go with --gpus {gpus:g}")
    if gpus > 1 and (device != "auto" or gpus % 1):
        raise InputError(f"--gpus {gpus:g}: several whole GPUs are for one model with --device auto")
    return gpus


def _require_listener(address: str) -> None:
    """Make sure that somebody listens at `HOST:PORT`: Ray would wait for minutes, deaf to interruptions."""
    if address.startswith("ray://"):
        raise InputError("ray:// leads from outside into a cluster; run innerear on a node of it instead")
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise InputError(
                f"no Ray cluster at {address} ({error}); give --address auto on one of its nodes"
            ) from error


@dataclass(frozen=True)
class _Once:
    """A function as the generator of its one result, computed with one thread."""

    do: Callable[[Any], Any]

    def __call__(self, unit: Any) -> Iterator[Any]:
        with threadpool_limits(1):
            yield self.do(unit)


def _on_node(do: Callable[[Any], Iterator[Any]], unit: Any, folder: str, threads: int) -> Iterator[Any]:
    """What runs on a node: in the folder where the command was given, if it is there, too."""
    with suppress(OSError):
        os.chdir(folder)
    torch.set_num_threads(threads)
    yield from do(unit)


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
