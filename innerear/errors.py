"""The two errors that innerear raises on purpose; the command line prints them as one line each."""


class InnerearError(Exception):
    """A check failed (exit code 1): a tampered file, a result that is off, a hook that never fired.

    The message says what was wrong, where, and what to do.
    """

    exit_code = 1


class InputError(InnerearError):
    """The usage or the input is wrong (exit code 2): an unknown name, a corrupt file, a YAML typo."""

    exit_code = 2
