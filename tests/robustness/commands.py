"""Run a command line inside of this process and judge what it prints: one line for what is wrong, no more."""

import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import HELD, TOLD, Outcome

from innerear.cli import main
from innerear.results.store import Store

LONGEST = 1500
"""Characters of a line that somebody reads."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_DECODER = re.compile(r"libmpg123/|^Warning: Xing|^$")
"""What the MP3 decoder inside of libsndfile prints, which nothing can turn off."""
_TALKATIVE = {
    "run",
    "reproduce",
    "audit",
    "migrate",
    "pull",
    "site",
    "figures",
    "align",
    "models",
    "compare",
    "leaderboard",
}
"""Commands that say on standard error what they do before they say what is wrong."""


def command(
    folder: Path,
    arguments: Sequence[str],
    expect: str = "",
    check: Callable[[str], str] = lambda _: "",
) -> Outcome:
    """Run `innerear` with these arguments in a folder and judge it.

    Parameters
    ----------
    expect
        `HELD` where the input is sound and must be accepted, `TOLD` where it must be refused; empty: either.
    check
        What is wrong with the standard output of a command that ended with 0 or 1; empty if nothing is.
    """
    code = call(folder, arguments)
    out, err = (folder.joinpath(name).read_text(errors="surrogateescape") for name in ("out", "err"))
    if "Traceback (most recent call last)" in out + err:
        return Outcome("traceback", err.strip().splitlines()[-1])
    if code not in (0, 1, 2):
        return Outcome("unclear", f"exit code {code}: {err}")
    if found := _CONTROL.search(out + err):
        return Outcome("unclear", f"the control character {found[0]!r} is printed")
    lines = [line for line in err.strip().splitlines() if not _DECODER.search(line)]
    if code == 2 and (problem := _not_one_line(lines, arguments[0] in _TALKATIVE)):
        return Outcome("unclear", f"{problem}: {err}")
    if code == 1 and not (out + err).strip():
        return Outcome("unclear", "exit code 1 without a word")
    if code < 2 and (problem := check(out)):
        return Outcome("wrong number", problem)
    if code == 0 and expect == TOLD:
        return Outcome("wrong number", f"accepted: {out}")
    if code and expect == HELD:
        return Outcome("unclear", f"refused though it is sound: {out} {err}")
    if code:
        return Outcome(TOLD, lines[-1] if lines else out.strip().splitlines()[0])
    results = Store(folder / "runs").load_all()
    return Outcome(HELD, "", tuple((result.key, result.content_sha256) for result in results))


def call(folder: Path, arguments: Sequence[str]) -> int:
    """Exit code of a command, whose output is added to the files `out` and `err`."""
    os.chdir(folder)
    os.environ["INNEREAR_CACHE"] = str(folder / "cache")
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
    sys.argv = ["innerear", *arguments]
    warnings.simplefilter("ignore")
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _not_one_line(lines: Sequence[str], talkative: bool) -> str:
    if lines and lines[0].startswith("Usage: "):
        return "" if lines[-1].startswith("Error: ") else "usage without an error"
    if not lines or not lines[-1].startswith("innerear: "):
        return "the last line is no error"
    if len(lines) > 1 and not talkative:
        return f"{len(lines)} lines"
    return "" if len(lines[-1]) <= LONGEST else f"a line of {len(lines[-1])} characters"
