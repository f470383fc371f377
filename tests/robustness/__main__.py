"""Try everything and write docs/robustness.md: `python tests/robustness [--sample N] [WORD ...]`.

With WORDs, only trials whose kind or name contains one of them are tried; with `--sample`, about N of them.
Then nothing is written. The exit code is 1 if anything fell.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

from harness import attempt, fallen, table
from kinds import kinds_table
from trials import SEED, every_trial, prepared, sample

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "docs" / "robustness.md"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*")
    parser.add_argument("--sample", type=int, help="about how many trials")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    given = parser.parse_args()
    began = time.monotonic()
    tried = []
    with TemporaryDirectory(prefix="innerear-sound-") as place:
        trials = every_trial(prepared(Path(place)), slow=not given.sample)
        if given.words:
            trials = [
                trial for trial in trials if any(word in f"{trial.kind} {trial.name}" for word in given.words)
            ]
        if given.sample:
            trials = sample(trials, given.sample)
        for one in attempt(trials, given.processes):
            tried.append(one)
            for line in fallen([one]):
                print(line, file=sys.stderr)
            if len(tried) % 50 == 0:
                print(f"{len(tried)} of {len(trials)}, {time.monotonic() - began:.0f} s", file=sys.stderr)
    falls = fallen(tried)
    print(table(tried))
    print(f"\n{len(tried)} tried, {len(falls)} fell, {time.monotonic() - began:.0f} s")
    if not given.words and not given.sample:
        REPORT.write_text(_report(table(tried), falls, time.monotonic() - began))
    return int(bool(falls))


HELD_BY = f"""\
## What once fell

Each of these is held by tests that are run each time:

{kinds_table()}
"""


def _report(table: str, falls: list[str], seconds: float) -> str:
    listed = "".join(f"- {line}\n" for line in sorted(falls)) or "Nothing fell.\n"
    return f"""\
# Robustness

What happens to inputs that are damaged, hostile or impossible, to forged results, to faults of the machine,
and to runs that are killed? `python tests/robustness` tries all of it and writes this page; the tests try a
sample of it each time. Every trial runs in a process of its own, within 60 seconds and 2 GiB.

A trial **held** where what was given is accepted and right, and was **told** where one line says what is
wrong and the exit code is 1 or 2. Anything else is a fall: a *traceback*; a *hang*; *memory* without a
bound; a *wrong number* (an input that had to be refused was accepted, a clip was passed over without a
word, or one key has two contents); or *unclear* (several lines for one error, control characters from the
input, a wrong exit code, or a sound input that was refused). Random choices are drawn with the seed {SEED}.
This time it took {seconds / 60:.0f} minutes.

{table}

## What fell

{listed}
{HELD_BY}"""


if __name__ == "__main__":
    sys.exit(main())
