"""Load of the machine during a measurement: processor, memory, disk, network, GPU."""

from collections.abc import Mapping
from threading import Event, Lock, Thread
from time import time
from types import TracebackType
from typing import Any, Self

SAMPLED = 10.0
"""Seconds between two samples."""


class Meter:
    """Samples the machine in the background; a context manager.

    The metrics and their names are those of MLflow's monitors. GPUs are read if `nvidia-ml-py` is installed.
    """

    def __init__(self, seconds: float = SAMPLED) -> None:
        self._seconds = seconds
        self._samples: list[tuple[float, Mapping[str, float]]] = []
        self._monitors: list[Any] = []
        self._stop, self._lock = Event(), Lock()
        self._thread = Thread(target=self._run, daemon=True, name="innerear-meter")

    def __enter__(self) -> Self:
        """Start sampling."""
        self._monitors = _monitors()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop sampling."""
        self._stop.set()
        self._thread.join()

    def between(self, start: float, end: float) -> list[tuple[float, Mapping[str, float]]]:
        """Samples (time, values) between two times in seconds since the epoch; takes one more sample now."""
        self._take()
        return [(when, values) for when, values in self._samples if start <= when <= end]

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self._take()

    def _take(self) -> None:
        with self._lock:
            values: dict[str, float] = {}
            for monitor in self._monitors:
                monitor.collect_metrics()
                values |= monitor.aggregate_metrics()
                monitor.clear_metrics()
            self._samples.append((time(), values))


def _monitors() -> list[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    made = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    try:
        return [*made, GPUMonitor()]
    except (ImportError, RuntimeError):  # no nvidia-ml-py, or no GPU
        return made
