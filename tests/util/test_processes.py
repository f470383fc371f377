"""Work is shared out: answers in order, the same bits from any number of processes, errors as they are."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noise, tiny_model

from innerear.util.errors import InnerearError, InputError
from innerear.util.processes import parallel_map, process_count

pytestmark = pytest.mark.skipif("not hasattr(os, 'fork') or os.uname().sysname != 'Linux'", reason="forks")


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_there_are_as_many_processes_as_threads_and_no_more_than_units(threads):
    assert process_count(100) in (1, 2, 3)  # memory may allow fewer
    assert process_count(2) <= 2
    assert process_count(0) == 1


@pytest.mark.parametrize("count", [1, 3])
def test_answers_come_in_order_and_from_one_thread_each(threads, count):
    found = list(parallel_map(lambda unit: (unit, torch.get_num_threads(), os.getpid()), range(20), count))
    assert [unit for unit, _, _ in found] == list(range(20))
    assert {threads for _, threads, _ in found} == {1}
    assert (os.getpid() in {process for *_, process in found}) == (count == 1)
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("family", ["whisper", "moonshine"])
def test_bits_do_not_depend_on_the_number_of_processes(threads, family):
    model = tiny_model(family)
    clips = [noise(0.5 + 0.1 * at, at) for at in range(6)]

    def states(audio):
        with torch.inference_mode():
            return model.encode([audio]).numpy()

    one, three = (list(parallel_map(states, clips, count)) for count in (1, 3))
    for alone, aside in zip(one, three, strict=True):
        np.testing.assert_array_equal(alone, aside)


@pytest.mark.parametrize("count", [1, 2])
def test_errors_come_back_as_they_are(threads, count):
    def refuse(unit):
        if unit == 3:
            raise InputError("no such clip")
        return unit

    made = []
    with pytest.raises(InputError, match="no such clip"):
        made.extend(parallel_map(refuse, range(6), count))
    assert torch.get_num_threads() == 3


def test_tensors_that_come_back_hold_no_files_open(threads):
    def open_files():
        return len([*Path("/proc/self/fd").iterdir()])

    before = open_files()
    kept = list(parallel_map(lambda unit: {"a": torch.ones(3), "b": torch.full((2,), unit)}, range(60), 2))
    assert open_files() < before + 20
    assert [int(each["b"][0]) for each in kept] == list(range(60))


def test_a_process_that_is_killed_is_told(threads):
    def die(unit):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(InnerearError, match=r"was killed.*OMP_NUM_THREADS"):
        list(parallel_map(die, range(4), 2))


def test_a_signal_to_the_whole_group_ends_it_without_a_traceback_of_the_pool():
    """A batch system tells every process of a job to stop, and not the first alone."""
    code = (
        "import os, signal, sys, time\n"
        "from innerear.util.processes import parallel_map\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('interrupted'))\n"
        "for made in parallel_map(lambda unit: time.sleep(0.05) or unit, range(400), 2):\n"
        "    print(made, flush=True)\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stdout
    assert run.stdout.readline() == "0\n"
    os.killpg(run.pid, signal.SIGTERM)
    _, said = run.communicate(timeout=60)
    assert (run.returncode, said) == (1, "interrupted\n")
