"""Writes are whole or not there, and what a killed process leaves is cleaned by the next write."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from innerear.util.errors import InputError
from innerear.util.io import atomic, write_bytes

KILLED = """
import os, pathlib, signal, sys
from innerear.util.io import atomic
with atomic(pathlib.Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_write_removes_what_a_killed_process_left(tmp_path):
    path = tmp_path / "result [1].json"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".result [1].json.")
    write_bytes(path, b"whole")
    assert [entry.name for entry in tmp_path.iterdir()] == ["result [1].json"]


def test_the_temporary_file_of_a_process_that_lives_stays(tmp_path):
    path = tmp_path / "a"
    with atomic(path) as temporary:
        temporary.write_bytes(b"first")
        write_bytes(path, b"second")
        assert temporary.exists()
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_many_writers_of_one_file_leave_one_whole_file(tmp_path):
    path = tmp_path / "a"

    def write(at):
        write_bytes(path, bytes([at]) * 10_000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(100)))
    assert len(set(path.read_bytes())) == 1
    assert path.stat().st_size == 10_000
    assert list(tmp_path.iterdir()) == [path]


def open_files():
    descriptors = Path("/proc/self/fd")
    return len([*descriptors.iterdir()]) if descriptors.is_dir() else 0


def test_a_failed_write_leaves_the_old_file_and_no_handle(tmp_path):
    path = tmp_path / "a"
    write_bytes(path, b"old")
    before = open_files()
    for _ in range(20):
        with pytest.raises(InputError, match=r"^cannot write .*a: disk on fire; choose"), atomic(path):
            raise OSError(5, "disk on fire")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    assert open_files() == before
