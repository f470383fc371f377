"""Layers on disk are those that were given, take no memory once they are read, and leave nothing behind."""

import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from innerear.util.errors import InputError
from innerear.util.layers import OnDisk


def test_rows_are_appended_to_every_layer(tmp_path):
    whole = np.random.default_rng(0).standard_normal((3, 50, 7)).astype(np.float32)
    kept = OnDisk(tmp_path / "not there yet")
    for start in range(0, 50, 8):
        kept.append(whole[:, start : start + 8])
        assert np.array_equal(kept[1], whole[1, : start + 8])  # readable at any time
    assert (kept.shape, len(kept)) == (whole.shape, 3)
    assert all(np.array_equal(kept[layer][[4, 49, 4]], whole[layer, [4, 49, 4]]) for layer in range(3))
    assert kept.beside().shape == (0, 0, 0)


def test_a_killed_process_leaves_nothing(tmp_path):
    code = (
        "import sys, numpy as np, pathlib; from innerear.util.layers import OnDisk\n"
        "kept = OnDisk(pathlib.Path(sys.argv[1])); kept.append(np.ones((2, 300_000, 1), np.float32))\n"
        "assert kept[1].sum() == 300_000; print('written', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("innerear.util.layers.tempfile.TemporaryFile", full)
    with pytest.raises(InputError, match=r"cannot write features beyond 0.0 GiB: No space left.*make room"):
        OnDisk(tmp_path).append(np.zeros((1, 1, 1), np.float32))
