"""Bars are for terminals: one inside another stands below it and goes; nothing to do is no bar."""

import io
import re

import pytest
from rich.console import Console

from innerear.util import progress
from innerear.util.processes import parallel_map
from innerear.util.progress import bar


@pytest.fixture
def terminal(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(progress, "console", console)
    return console


def printed(console):
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", console.file.getvalue())


def test_a_bar_counts_what_is_done(terminal):
    with bar("clips", 3) as advance:
        advance()
        advance(2)
    assert re.search(r"clips .*3/3", printed(terminal))


def test_nothing_to_do_is_no_bar(terminal):
    with bar("clips", 0) as advance:
        advance(0)
    assert printed(terminal) == ""


def test_nothing_is_printed_where_nobody_looks(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=False)
    monkeypatch.setattr(progress, "console", console)
    with bar("clips", 2) as advance:
        advance()
    assert console.file.getvalue() == ""


def test_an_inner_bar_stands_below_the_outer_one_and_goes_when_it_is_done_or_fails(terminal):
    with bar("results", 2) as advance:
        (display,) = progress._running
        with bar("clips", 5):
            assert [task.description for task in display.tasks] == ["results", "clips"]
        with pytest.raises(ValueError, match="bad clip"), bar("probes", 5):
            raise ValueError("bad clip")
        assert [task.description for task in display.tasks] == ["results"]
        advance(2)
    assert progress._running == []
    assert re.search(r"results .*2/2", printed(terminal).splitlines()[-1])


def test_processes_that_share_the_work_show_no_bars(terminal):
    def work(_):
        with bar("inside", 2) as advance:
            advance()
        return printed(terminal)

    assert list(parallel_map(work, [0, 1], 2)) == ["", ""]
