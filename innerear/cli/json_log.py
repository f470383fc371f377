"""The log of a command for programs: JSON Lines, an object for each event (docs/use.md has their fields)."""

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, TextIO

import typer
from rich.text import Text

from innerear.util.errors import InputError
from innerear.util.progress import console
from innerear.util.sanitise import clean
from innerear.util.steps import Step
from innerear.util.version import __version__

STDERR = Path("-")
"""Stands for standard error, where nothing else is printed then."""


class _Log:
    """Where events go, once a command has asked for it."""

    file: TextIO | None = None
    name: str = ""
    begun: float = 0.0


_log = _Log()


class _Warnings(logging.Handler):
    """What the library warns of, for programs and, as without a log, for people."""

    def emit(self, record: logging.LogRecord) -> None:
        write("warning", text=record.getMessage())
        console.print(Text(clean(record.getMessage())), soft_wrap=True)


def _open(context: typer.Context, path: Path | None) -> Path | None:
    """Begin the log: the callback of the option."""
    if path is None or context.resilient_parsing:  # a shell that completes the line
        return path
    if path == STDERR:
        _log.file, console.quiet = sys.stderr, True
    else:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _log.file = path.open("a", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise InputError(
                f"--log-json {path}: {error.strerror}; name a file that can be written"
            ) from error
    _log.name, _log.begun = str(path), monotonic()
    logging.getLogger("innerear").addHandler(_Warnings())
    write("started", command=["innerear", *sys.argv[1:]], innerear=__version__)
    return path


LogJson = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", callback=_open, help="Add events to a file as JSON Lines; `-`: print them on stderr."
    ),
]


def write(event: str, **fields: Any) -> None:
    """Write an event, if there is a log.

    Raises
    ------
    InputError
        If the log cannot be written.
    """
    if _log.file is None:
        return
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": time, "event": event, **fields}, ensure_ascii=False, allow_nan=False)
    try:
        _log.file.write(f"{line}\n")
        _log.file.flush()
    except OSError as error:
        _log.file = None
        raise InputError(f"--log-json {_log.name}: {error.strerror}; make room") from error


def step(line: str) -> None:
    """Write a step of a run; a line without an event of its own is a note."""
    if not isinstance(line, Step):
        write("note", text=line)
    elif line.event:
        write(line.event, **line.fields)


def finish(code: int, error: str = "") -> None:
    """Write how the command ended."""
    write("finished", exit_code=code, error=error or None, seconds=round(monotonic() - _log.begun, 3))
