"""The command line. Every command is a thin call of the library; errors become one line and an exit code.

Exit codes: 0 success, 1 a check failed or the run was interrupted, 2 wrong usage or input.
"""

import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from innerear.cli import registry_commands, result_commands, run_commands
from innerear.cli.console import out, print_error
from innerear.util.errors import InnerearError
from innerear.util.version import __version__

app = typer.Typer(
    name="innerear",
    help="Open up speech recognisers: what they know at each layer, and which part causes their errors.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # Rich would read brackets in help texts as markup and drop them
)
for group in (run_commands.app, result_commands.app):
    app.add_typer(group)
for name in ("models", "tasks", "corpora"):
    app.add_typer(getattr(registry_commands, name), name=name)


class _Interrupted(BaseException):
    """Ctrl-C or SIGTERM: not an `Exception`, so that no library swallows it."""


def main() -> NoReturn:
    """Run the command line; the only place that turns errors into exit codes."""

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise _Interrupted

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        app()
    except InnerearError as error:
        print_error(str(error))
        sys.exit(error.exit_code)
    except _Interrupted:
        print_error("interrupted; no file is half-written, and a second run continues from what was saved")
        sys.exit(1)
    sys.exit(0)


def _print_version(requested: bool) -> None:
    if requested:
        out.print(f"innerear {__version__}")
        raise typer.Exit


@app.callback()
def innerear(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Open up speech recognisers."""
