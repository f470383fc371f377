"""What could not be measured in a run: one bad model, or one task on it, does not end the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from innerear.results.collection import Results
from innerear.results.schema import Result
from innerear.util.errors import InnerearError
from innerear.util.steps import Step

Made = TypeVar("Made")

FAILURES = (InnerearError, RuntimeError, MemoryError)
"""What a model or a device may cause: torch raises `RuntimeError`. Other errors are mistakes in code."""


class Part(NamedTuple):
    """A part of a run: how messages name it, and the model and the hash of the task that it is about.

    An empty `model` stands for all of them, and so does an empty `task`; both are empty where it is about no
    model that was asked for: a floor or a random twin.
    """

    name: str
    model: str = ""
    task: str = ""


class Failure(NamedTuple):
    """A part of a run that could not be measured, and why, in one line."""

    part: Part
    why: str


class Incomplete(InnerearError):
    """A part of a run failed; the results of the rest are in the store.

    Attributes
    ----------
    results
        Of the rest.
    failures
        What could not be measured.
    """

    def __init__(self, message: str, results: Sequence[Result], failures: Sequence[Failure] = ()) -> None:
        self.results = Results(results)
        self.failures = list(failures)
        super().__init__(message)


class Untracked(Incomplete):
    """Results are in the store that could not be logged."""


class Unmeasured(Incomplete):
    """A model, or a task on a model, could not be measured."""

    def __init__(self, results: Sequence[Result], failures: Sequence[Failure]) -> None:
        part, why = failures[0]
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        super().__init__(f"{part.name}: {why}{more}; the other results are stored", results, failures)


@dataclass
class Failures:
    """Failures so far; with `strict`, the first one of a measurement is raised."""

    notify: Callable[[str], None]
    strict: bool
    entries: list[tuple[Part, BaseException]] = field(default_factory=list)
    untracked: list[str] = field(default_factory=list)
    """Why results could not be logged."""
    _untold: str = ""
    """The line of the last failure, told when the run goes on: alone, it is the error of the whole run."""

    def attempt(self, part: Part, make: Callable[[], Made]) -> Made | None:
        """What `make` returns, or None if it fails; the failure is noted, and told when the run goes on."""
        self.tell()
        try:
            return make()
        except FAILURES as error:
            if self.strict:
                raise
            self.note(part, error)
            return None

    def note(self, part: Part, error: BaseException) -> None:
        """Note a failure."""
        self.tell()
        self.entries.append((part, error))
        self._untold = f"{part.name}: failed, {_line(error)}"
        self.notify(Step("", "failed", part=part.name, model=part.model or None, reason=_line(error)))

    def track(self, log: Callable[[], object]) -> None:
        """Log something; results are in the store, and a server that fails costs none of them."""
        try:
            log()
        except InnerearError as error:
            self.untracked.append(str(error))

    def tell(self) -> None:
        """Tell the last failure, as the run goes on."""
        if self._untold:
            self.notify(Step(self._untold))
            self._untold = ""

    def check(self, results: Sequence[Result]) -> None:
        """Raise if something failed.

        Raises
        ------
        Untracked
            If results could not be logged, whether or not everything was measured.
        Unmeasured
            If there are results of a model nevertheless.
        InnerearError
            The first failure, if there is none.
        """
        if not self.entries:
            if self.untracked:
                raise Untracked(self.untracked[0], results)
            return
        if len(self.entries) > 1:
            self.tell()
        if any(result.model.kind not in ("floor", "twin") for result in results):
            unmeasured = [Failure(part, _line(error)) for part, error in self.entries]
            if self.untracked:
                raise Untracked(self.untracked[0], results, unmeasured)
            raise Unmeasured(results, unmeasured)
        part, error = self.entries[0]
        if isinstance(error, InnerearError):
            raise error
        raise InnerearError(f"{part.name}: {_line(error)}") from error


def _line(error: BaseException) -> str:
    message = " ".join(str(error).split())
    return message if isinstance(error, InnerearError) else f"{type(error).__name__}: {message[:300]}"
