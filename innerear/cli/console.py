"""What commands say and take: consoles, options that several have, folders that must hold results."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from innerear.results.store import Store

# a pipe has no width of its own: give every column of a table room
out, err = Console(width=None if sys.stdout.isatty() else 140), Console(stderr=True)

DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder with human corpora (timit-sample/, ravdess/).", envvar="INNEREAR_DATA"),
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first clip that cannot be used.")]


def complain(message: str) -> None:
    """Say what is wrong, in a line."""
    err.print(Text.assemble(("innerear: ", "bold red"), message), soft_wrap=True)


def say(message: str) -> None:
    """Tell what goes on."""
    err.print(Text(message, style="dim"), soft_wrap=True)


def names(given: list[str] | None) -> tuple[str, ...]:
    """Names, separated by commas or given one by one; each once."""
    split = (name.strip() for part in given or () for name in part.split(","))
    return tuple(dict.fromkeys(name for name in split if name))


def filled(store: "Store") -> "Store":
    """A folder of results, an `InputError` if there are none in it."""
    from innerear.util.errors import InputError

    if not store.paths():
        raise InputError(f"{store.folder}: no results here; `innerear run` makes some")
    return store


def found_in(named: list[Path]) -> list[Path]:
    """Result files as named, and all that lie in folders of results."""
    from innerear.results.verify import files
    from innerear.util.errors import InputError

    paths = files(named)
    if not paths:
        raise InputError(f"{', '.join(map(str, named))}: no results here; `innerear run` makes some")
    return paths
