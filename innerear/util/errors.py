"""The errors that innerear raises deliberately; the command line prints each as one line."""

import difflib


class InnerearError(Exception):
    """A check failed (exit code 1): a tampered file, a result that does not repeat, a hook that never fired.

    The message says what was wrong, where, and what to do.
    """

    exit_code = 1


class InputError(InnerearError):
    """The usage or the input is wrong (exit code 2): an unknown name, a corrupt file, a YAML typo."""

    exit_code = 2


class NotHere(InnerearError):
    """Something has to be downloaded first, and must not be now."""


def unknown_name(kind: str, name: str, known: list[str], hint: str = "") -> str:
    """A one-line message for an unknown name: the nearest known one, or what there is."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    there = hint or f"there are: {', '.join(known)}"
    return f"unknown {kind} {name!r}; " + (f"did you mean {near[0]!r}?" if near else there)
