"""The command line. Every command is a thin call of the library; errors become one line and an exit code.

Exit codes: 0 success, 1 a check failed or the run was interrupted, 2 wrong usage or input.
"""

import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from innerear.cli import (
    json_log,
    look_commands,
    model_commands,
    organism_commands,
    registry_commands,
    result_commands,
    run_commands,
)
from innerear.cli.console import out, print_error
from innerear.util.errors import InnerearError, InputError
from innerear.util.version import __version__

app = typer.Typer(
    name="innerear",
    help="Open up speech recognisers: what they know at each layer, and which part causes their errors.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Rich would read brackets in help texts as markup and drop them
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (run_commands.app, result_commands.app, look_commands.app):
    app.add_typer(group)
app.add_typer(model_commands.app, name="models")
app.command("organisms", hidden=True)(organism_commands.make_organisms)
for name in ("tasks", "corpora"):
    app.add_typer(getattr(registry_commands, name), name=name)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


class _Interrupted(BaseException):
    """Ctrl-C or SIGTERM: not an `Exception`, so that no library swallows it."""


def main() -> NoReturn:
    """Run the command line; the only place that turns errors into exit codes."""
    interrupted = False

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        nonlocal interrupted
        interrupted = True
        raise _Interrupted

    def lost(unraisable: "sys.UnraisableHookArgs") -> None:
        # Python drops what is raised in a callback, such as those of its imports and of its garbage collector
        if issubclass(unraisable.exc_type, _Interrupted):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
        else:
            sys.__unraisablehook__(unraisable)

    for number in _SIGNALS:
        signal.signal(number, stop)
    sys.unraisablehook = lost
    code, line = 0, ""
    try:
        app()
    except BaseException as error:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        if interrupted:  # also where a library made another error of it
            code = 1
            line = "interrupted; no file is half-written, and a second run continues from what was saved"
        elif isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif isinstance(error, OSError) and error.filename is not None:  # of a path that somebody gave
            code = InputError.exit_code
            line = f"{error.filename}: {error.strerror}; correct the path, or make it readable"
        elif isinstance(error, InnerearError):
            code, line = error.exit_code, str(error)
        else:
            json_log.finish(1, f"{type(error).__name__}: {error}")
            raise
        if line:
            print_error(line)
    try:
        json_log.finish(code, line)
    except InputError as error:
        print_error(str(error))
        code = code or error.exit_code
    sys.exit(code)


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
