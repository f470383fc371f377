"""Counts in words, for messages."""

from collections.abc import Sequence

_PLURALS = {"is": "are", "was": "were", "has": "have"}


def counted(count: int, what: str, verb: str = "") -> str:
    """A count with its noun, and `is` or `was` in the number that fits: `1 clip was`, `1,000 clips were`."""
    if count == 1:
        return f"1 {what} {verb}".rstrip()
    return f"{count:,} {what}s {_PLURALS.get(verb, verb)}".rstrip()


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join([*filter(None, [", ".join(names[:-1])]), *names[-1:]])
