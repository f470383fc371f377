"""What tasks ask of one model: the readings of all in one pass, each task measured on its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.data.schema import Corpus
from innerear.protocols.base import Measurement, NotApplicable, Protocol
from innerear.runs.failures import FAILURES, Failures, Part
from innerear.util.errors import InputError

Take = Callable[[Sequence[Demand]], Sequence[Captured]]


@dataclass(frozen=True)
class Asked:
    """The readings that a task needs of a model, or why it does not apply."""

    part: Part
    protocol: Protocol
    demands: Mapping[str, Demand]
    reason: str | None

    @classmethod
    def of(cls, part: Part, protocol: Protocol, listener: Listener) -> "Asked":
        """Ask a protocol what it needs."""
        reason = protocol.unsupported_reason(listener)
        return cls(part, protocol, {} if reason else protocol.demands(listener), reason)

    def measure(
        self, listener: Listener, captured: Mapping[str, Captured], device: str
    ) -> tuple[Measurement | None, str | None]:
        """What the task finds, or why it does not apply.

        Raises
        ------
        InputError
            If no clip of a demand could be processed, or too few clips for the task.
        """
        self.protocol.refused.clear()
        try:
            for each in captured.values():
                each.require_clips()
            return (
                (None, self.reason)
                if self.reason
                else (self.protocol.measure(listener, captured, device), None)
            )
        except NotApplicable as error:
            return None, str(error)
        except InputError as error:
            if (limit := self.protocol.task.limit) is None:
                raise
            raise InputError(f"{error}; --limit {limit} may leave too little") from error

    def refused(
        self, corpora: Mapping[str, Corpus], captured: Mapping[str, Captured]
    ) -> dict[str, list[tuple[str, str]]]:
        """Clips that could not be captured, before `measure` or in it, and why, by the role of their corpus.

        A clip that the task made from others is listed where the corpus of its name is.
        """
        refused: dict[str, list[tuple[str, str]]] = {role: [] for role in corpora}
        before = [(demand.corpus, captured[name].refused) for name, demand in self.demands.items()]
        for source, entries in (*before, *self.protocol.refused):
            own = [role for role, corpus in corpora.items() if corpus is source]
            named = [role for role, corpus in corpora.items() if corpus.name == source.name]
            for entry in entries:
                holds = [
                    role for role, corpus in corpora.items() if any(item.id == entry[0] for item in corpus)
                ]
                for role in own or holds or named:
                    refused[role].append(entry)
        return refused


def captured_for(asked: Sequence[Asked], take: Take, failures: Failures) -> list[dict[str, Captured] | None]:
    """The readings of each, from one pass for all; where that fails, from one each, or None."""

    def alone(each: Asked) -> dict[str, Captured]:
        return dict(zip(each.demands, take(list(each.demands.values())), strict=True))

    try:
        made = iter(take([demand for each in asked for demand in each.demands.values()]))
    except FAILURES:
        return [failures.attempt(each.part, partial(alone, each)) for each in asked]
    return [{name: next(made) for name in each.demands} for each in asked]
