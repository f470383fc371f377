"""Where units of work are done: in processes of this machine, or by another executor with its interface."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Self, TypeVar

from innerear.util.errors import InnerearError
from innerear.util.processes import parallel_map, process_count

Unit = TypeVar("Unit")
Made = TypeVar("Made")


class Executor(ABC):
    """Does units of work; a context manager that is open while they are done.

    Attributes
    ----------
    elsewhere
        Whether passes are made in processes that share no memory with this one: what they do, the units and
        what comes back are pickled.
    """

    elsewhere: ClassVar[bool] = False

    @abstractmethod
    def map(self, do: Callable[[Unit], Made], units: Sequence[Unit], device: str = "cpu") -> Iterator[Made]:
        """Apply `do` to every small unit, side by side and with one thread each; results come in order.

        Raises
        ------
        InnerearError
            If a process was lost; else whatever `do` raises.
        """

    @abstractmethod
    def passes(
        self, do: Callable[[Unit], Iterator[Made]], units: Sequence[Unit]
    ) -> Iterator[tuple[int, Made | InnerearError]]:
        """Apply `do` to every large unit, each with all threads and devices of a process.

        Yields
        ------
        int
            Index of a unit.
        Made or InnerearError
            What `do` yields of it, as it comes; or why it was given up: its process was lost again and again.
        """

    def __enter__(self) -> Self:
        """Get ready."""
        return self

    def __exit__(  # noqa: B027
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop whatever is still done."""


@dataclass(frozen=True)
class Processes(Executor):
    """Forked processes of this machine for small units; large ones one after the other, in this process.

    Attributes
    ----------
    count
        Number of processes; None for one for each thread that torch may use, as far as memory allows.
    """

    count: int | None = None

    def map(self, do: Callable[[Unit], Made], units: Sequence[Unit], device: str = "cpu") -> Iterator[Made]:
        """As `Executor.map`; on a GPU in this process, as a forked one cannot use CUDA."""
        count = 1 if device != "cpu" else self.count or process_count(len(units))
        yield from parallel_map(do, units, count)

    def passes(
        self, do: Callable[[Unit], Iterator[Made]], units: Sequence[Unit]
    ) -> Iterator[tuple[int, Made | InnerearError]]:
        """As `Executor.passes`, in the order of the units."""
        for at, unit in enumerate(units):
            for made in do(unit):
                yield at, made


PROCESSES = Processes()
"""The executor wherever no other is asked for."""
