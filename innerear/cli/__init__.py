"""The command line. Every command is a thin call of the library; errors become one line and an exit code.

Exit codes: 0 good, 1 a check failed or the run was interrupted, 2 wrong usage or input.
"""

import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from innerear.cli import registry_commands, result_commands, run_commands
from innerear.cli.console import complain, out
from innerear.util.errors import InnerearError
from innerear.util.version import __version__

app = typer.Typer(
    name="innerear",
    help="Open up speech recognisers: what they know at each layer, and which part causes their errors.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for group in (run_commands.app, result_commands.app):
    app.add_typer(group)
for name in ("models", "tasks", "corpora"):
    app.add_typer(getattr(registry_commands, name), name=name)


class _Interrupted(BaseException):
    """Ctrl-C or a termination: not an `Exception`, so that no library swallows it."""


def main() -> NoReturn:
    """Run the command line; the only place that turns errors into exit codes."""

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise _Interrupted

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        app()
    except InnerearError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except _Interrupted:
        complain("interrupted; nothing is half-written, and what was kept is not measured again")
        sys.exit(1)
    sys.exit(0)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"innerear {__version__}")
        raise typer.Exit


@app.callback()
def innerear(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Open up speech recognisers."""
