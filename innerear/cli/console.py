"""Shared by all commands: consoles, messages, common options, and folders that must hold results."""

import gc
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from innerear.cli import json_log
from innerear.util.errors import InputError
from innerear.util.progress import console as err
from innerear.util.sanitise import clean, clean_lines

if TYPE_CHECKING:
    from innerear.results.store import Store

# a pipe has no width of its own: leave room for every column of a table
out = Console(width=None if sys.stdout.isatty() else 140)

LONGEST = 1200
"""Characters of an error: names of files may be longer."""


def _expanded(path: Path | None) -> Path | None:
    """A path as a shell would give it: `~` stays as it is in files that set an environment variable."""
    return path and path.expanduser()


DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of human speech corpora (timit-sample/, ravdess/).",
        envvar="INNEREAR_DATA",
        callback=_expanded,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON list, with all that is registered.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first clip that cannot be used.")]


def print_error(message: str) -> None:
    """Print an error or a warning on one line of standard error."""
    err.print(Text.assemble(("innerear: ", "bold red"), _shortened(clean(message))), soft_wrap=True)


def print_status(message: str) -> None:
    """Print progress on standard error, and log it for programs; some steps are for these alone."""
    json_log.step(message)
    if message:
        err.print(Text(clean(message), style="dim"), soft_wrap=True)


def print_json(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows as a JSON list on standard output, one on each line."""
    from innerear.util.io import json_lines

    typer.echo(json_lines(rows), nl=False)


def print_line(message: str) -> None:
    """Print a line that may hold names from files on standard output."""
    out.print(Text(clean_lines(message).replace("\n", " ")), soft_wrap=True)


def _shortened(message: str) -> str:
    """A message of any length as one that can be read: its beginning and its end."""
    return message if len(message) <= LONGEST else f"{message[: LONGEST // 2]} … {message[-LONGEST // 2 :]}"


def split_names(values: list[str] | None) -> tuple[str, ...]:
    """Names separated by commas or given as repeated options, without duplicates."""
    names = (name.strip() for value in values or () for name in value.split(","))
    found = tuple(dict.fromkeys(name for name in names if name))
    if values and not found:
        raise InputError("a list of names is empty; name something, or leave the option out")
    return found


def complete_models(incomplete: str) -> list[str]:
    """What a shell offers for a list of models, of which the last is incomplete."""
    from innerear.models.registry import model_names

    return _completed(incomplete, model_names())


def complete_tasks(incomplete: str) -> list[str]:
    """What a shell offers for a list of tasks, of which the last is incomplete."""
    from innerear.tasks.task import task_names

    return _completed(incomplete, task_names())


def _completed(incomplete: str, names: list[str]) -> list[str]:
    before, comma, begun = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in names if name.startswith(begun)]


@contextmanager
def verified_results(folder: Path) -> Iterator["Store"]:
    """The results of a folder that `innerear verify` has nothing to say of.

    The others are told and left out; the exit code then is 1.

    Raises
    ------
    InputError
        If the folder has no results.
    InnerearError
        If none is left.
    """
    from innerear.results.store import Store
    from innerear.results.verify import sound
    from innerear.util.errors import InnerearError

    if not Store(folder).paths():
        raise InputError(f"{folder}: no results here; make some with `innerear run`")
    gc.set_threshold(50_000)  # thousands of results are millions of objects, none of them garbage
    store, told = sound(folder)
    if not store.paths():
        raise InnerearError(f"none of the results can be shown; the first: {told[0]}")
    for line in told:
        print_error(f"left out: {line}")
    yield store
    if told:
        raise typer.Exit(1)


def result_files(given: list[Path]) -> list[Path]:
    """Result files as given, and all those in the folders given."""
    from innerear.results.verify import files

    paths = files(given)
    if not paths:
        raise InputError(f"{', '.join(map(str, given))}: no results here; make some with `innerear run`")
    return paths
