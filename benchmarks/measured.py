"""Figures of benchmarks, kept as JSON beside them: what was measured, on which machine, under which load.

A benchmark calls `record`; `table.py` makes docs/benchmarks.md of all that is recorded.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
from pydantic import BaseModel, ConfigDict

from innerear.results.environment import machine
from innerear.stats.intervals import median_interval
from innerear.util.io import write_bytes

FOLDER = Path(__file__).parent / "measured"
LEVEL = 0.95


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Where(_Strict):
    """What was measured, and where.

    Attributes
    ----------
    benchmark
        Name of the quantity, as `table.py` lists it.
    of
        Model, or what else it was measured on.
    load
        Load average of the machine, the larger of before and after; None where it was not noted.
    how
        Empty for what a benchmark of this folder measured; else how it was.
    """

    benchmark: str
    of: str
    machine: str
    created: str
    load: float | None
    how: str = ""


class Figure(_Where):
    """A median over `n` repetitions with its interval (None where they are too few)."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int
    unit: str


class Curve(_Where):
    """Seconds `y` at each size `x`."""

    x: str
    points: tuple[tuple[float, float], ...]

    @property
    def exponent(self) -> float:
        """The power of x that the seconds grow with, by least squares of the logarithms."""
        x, y = np.log(np.array(self.points).T)
        return float(np.polyfit(x, y, 1)[0])


class Measured(_Strict):
    """All figures and curves of a file."""

    figures: tuple[Figure, ...] = ()
    curves: tuple[Curve, ...] = ()


def measured(folder: Path = FOLDER) -> Measured:
    """All that is recorded in a folder."""
    files = [Measured.model_validate_json(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return Measured(
        figures=tuple(figure for each in files for figure in each.figures),
        curves=tuple(curve for each in files for curve in each.curves),
    )


class Session:
    """Figures of one benchmark on one model, as they are made; `record` writes them.

    Parameters
    ----------
    of
        The model, or what else it is measured on.
    device
        Where it is measured.
    """

    def __init__(self, of: str, device: str = "cpu") -> None:
        self._load, self._of, self._machine = psutil.getloadavg()[0], of, machine(device)
        self._figures: list[Figure] = []
        self._curves: list[Curve] = []

    def figure(self, benchmark: str, values: Sequence[float], unit: str) -> None:
        """Add the median of repetitions."""
        low, high = median_interval(np.array(values), level=LEVEL) or (None, None)
        where = self._where(benchmark)
        self._figures.append(
            Figure(**where, value=float(np.median(values)), low=low, high=high, n=len(values), unit=unit)
        )

    def curve(self, benchmark: str, x: str, points: Mapping[float, float]) -> None:
        """Add seconds by size."""
        self._curves.append(Curve(**self._where(benchmark), x=x, points=tuple(points.items())))

    def _where(self, benchmark: str) -> dict[str, object]:
        load = round(max(self._load, psutil.getloadavg()[0]), 1)
        now = datetime.now(UTC).date().isoformat()
        return {
            "benchmark": benchmark,
            "of": self._of,
            "machine": self._machine,
            "created": now,
            "load": load,
        }

    def record(self, name: str, folder: Path = FOLDER) -> None:
        """Write all to NAME.json, in place of what it has of the same things on the same machine."""
        path = folder / f"{name}.json"
        old = Measured.model_validate_json(path.read_text()) if path.exists() else Measured()
        made = Measured(figures=_merged(old.figures, self._figures), curves=_merged(old.curves, self._curves))
        write_bytes(path, made.model_dump_json(indent=1).encode() + b"\n")


def _merged(old: Sequence[_Where], new: Sequence[_Where]) -> tuple[_Where, ...]:
    by_name = {(each.benchmark, each.of, each.machine): each for each in (*old, *new)}
    return tuple(by_name[name] for name in sorted(by_name))
