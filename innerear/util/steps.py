"""Steps of a run, for people and for programs: a line of text that also is an event with fields."""

from typing import Any


class Step(str):
    """A line about a step, and the same as an event.

    Attributes
    ----------
    event
        Name of the event; '' for a line that is for people alone, as programs are told otherwise.
    fields
        What the event is about, as JSON.
    """

    event: str
    fields: dict[str, Any]

    def __new__(cls, line: str, event: str = "", **fields: Any) -> "Step":
        """Make a step; an empty line is for programs alone."""
        made = super().__new__(cls, line)
        made.event, made.fields = event, fields
        return made
