"""Features [layer, row, dim] that need not fit into memory: layer by layer on disk, mapped when asked for.

Each layer is a file of its own without a name (`tempfile.TemporaryFile`), which vanishes with the
process that made it, however it ends. The numbers are raw float32 in the byte order of the machine.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from innerear.util.errors import InputError

_BUFFER = 2**18
"""Bytes of each layer that wait to be written."""


class Layers(Protocol):
    """float32 [layer, row, dim], of which single layers are read: an array, or `OnDisk`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of layers and rows, and the dimension."""

    def __len__(self) -> int:
        """Number of layers."""

    def __getitem__(self, layer: int, /) -> np.ndarray:
        """One layer, [row, dim]."""


class OnDisk:
    """Layers on disk, which grow by rows.

    Parameters
    ----------
    folder
        Where the files are; it is made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[IO[bytes]] = []
        self._rows, self._dim = 0, 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of layers and rows, and the dimension."""
        return len(self._files), self._rows, self._dim

    def __len__(self) -> int:
        """Number of layers."""
        return len(self._files)

    def append(self, rows: np.ndarray) -> None:
        """Append rows [layer, row, dim] to every layer.

        Raises
        ------
        InputError
            If they cannot be written.
        """
        try:
            if not self._files:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._files = [
                    tempfile.TemporaryFile(buffering=_BUFFER, dir=self._folder)  # noqa: SIM115 open as long as this
                    for _ in rows
                ]
                self._dim = rows.shape[2]
            assert (len(rows), rows.shape[2]) == (len(self._files), self._dim)
            for file, own in zip(self._files, rows, strict=True):
                file.write(np.ascontiguousarray(own, dtype=np.float32).data)
        except OSError as error:
            raise self._unwritten(error) from error
        self._rows += rows.shape[1]

    def __getitem__(self, layer: int, /) -> np.ndarray:
        """One layer, [row, dim], mapped anew: what was read of it leaves the memory with the last view."""
        if not self._rows:
            return np.empty((0, self._dim), dtype=np.float32)
        file = self._files[layer]
        try:
            file.flush()
        except OSError as error:
            raise self._unwritten(error) from error
        return np.memmap(file, np.float32, mode="c", shape=(self._rows, self._dim))

    def beside(self) -> "OnDisk":
        """Others in the same folder, which are empty."""
        return OnDisk(self._folder)

    def flush(self) -> None:
        """Write what waits to be written, so that a forked process has nothing to write."""
        for file in self._files:
            try:
                file.flush()
            except OSError as error:
                raise self._unwritten(error) from error

    def _unwritten(self, error: OSError) -> InputError:
        gone = self._rows * self._dim * len(self._files) * 4 / 2**30
        return InputError(
            f"{self._folder}: cannot write features beyond {gone:.1f} GiB: {error.strerror or error}; make "
            "room, or set INNEREAR_CACHE to a folder on another disk"
        )


@dataclass(frozen=True)
class OneLayer:
    """A single layer of others, as `Layers`."""

    of: Layers
    layer: int

    @property
    def shape(self) -> tuple[int, ...]:
        """One layer, the rows, and the dimension."""
        return 1, *self.of.shape[1:]

    def __len__(self) -> int:
        """One."""
        return 1

    def __getitem__(self, layer: int, /) -> np.ndarray:
        """The layer, whose number is 0 here."""
        assert layer == 0
        return self.of[self.layer]


def room_beside(values: Layers) -> OnDisk | None:
    """Empty layers in the folder of some that are on disk; None if they are in memory."""
    whole = values.of if isinstance(values, OneLayer) else values
    return whole.beside() if isinstance(whole, OnDisk) else None
