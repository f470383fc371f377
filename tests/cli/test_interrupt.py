"""Ctrl-C at any moment ends with one line or, while the command line is imported, without a word."""

import signal
import subprocess
import sys

import pytest

LINE = "innerear: interrupted; no file is half-written, and a second run continues from what was saved\n"

IMPORTING = """
import builtins, os, signal, sys
imported, at = builtins.__import__, sys.argv[1]
def interrupted(name, *more):
    if name == at:
        os.kill(os.getpid(), signal.SIGINT)
    return imported(name, *more)
builtins.__import__ = interrupted
from innerear.__main__ import main
sys.argv = ["innerear", "tasks", "list"]
main()
"""

RUNNING = """
import os, signal, time, weakref
import innerear.cli

def interrupt(*_):
    os.kill(os.getpid(), signal.SIGINT)
    sum(range(1000))

class Held:
    pass

class Freed:
    __del__ = interrupt

def plainly():
    interrupt()

def in_a_finaliser():
    Freed()
    time.sleep(20)

def in_a_callback():
    held = Held()
    seen = weakref.ref(held, interrupt)
    del held
    time.sleep(20)

def as_another_error():
    try:
        interrupt()
    except BaseException as error:
        raise ImportError("a library failed to import") from error

innerear.cli.app = {name}
innerear.cli.main()
"""


def ran(*command):
    return subprocess.run([sys.executable, "-c", *command], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["innerear.cli", "typer", "rich.console"])
def test_an_interruption_of_the_first_imports_is_silent(name):
    done = ran(IMPORTING, name)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("name", ["plainly", "in_a_finaliser", "in_a_callback", "as_another_error"])
def test_a_later_interruption_is_one_line(name):
    done = ran(RUNNING.replace("{name}", name))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", LINE)


def test_an_error_that_nobody_interrupted_stays_what_it_is():
    done = ran("import innerear.cli\ndef app(): raise ImportError('no such library')\n"
               "innerear.cli.app = app\ninnerear.cli.main()")  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.endswith("ImportError: no such library\n")
