"""A sample of all trials holds or is told; and each way to fall is seen by the harness."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import harness
import pytest
from commands import command
from fuzz import bytes_damaged, counts_all, fields_damaged
from harness import FALLS, HELD, TOLD, Outcome, Trial, attempt, fallen, table
from sound import rows

SAMPLE = 40


def tried(act, seconds=20.0, **more):
    [one] = attempt([Trial("kind", "name", act, seconds)], 1)
    return one


def test_a_sample_of_all_trials_holds_or_is_told():
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent), "--sample", str(SAMPLE), "--processes", "1"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout.split(" tried, ")[0].split()[-1]) >= SAMPLE // 2


def _hang(_folder):
    while True:
        time.sleep(0.1)


def _grow(_folder):
    held = []
    for _ in range(100):
        held.append(bytearray(os.urandom(1)) * 2**26)
    return Outcome(HELD)


def _die(_folder):
    os.kill(os.getpid(), signal.SIGKILL)


def _raise(_folder):
    raise ValueError("a planted fault")


@pytest.mark.parametrize(("act", "what"), [(_grow, "memory"), (_die, "traceback"), (_raise, "traceback")])
def test_each_fall_is_seen(act, what, monkeypatch):
    monkeypatch.setattr(harness, "MEMORY", 2**28)
    one = tried(act)
    assert one.outcome.what == what
    assert len(fallen([one])) == 1
    assert one.memory < 2**31


def test_a_trial_that_never_ends_is_ended_with_what_it_started(tmp_path):
    def start_and_hang(_folder):
        (tmp_path / "pid").write_text(str(subprocess.Popen(["sleep", "100"]).pid))
        _hang(_folder)

    began = time.monotonic()
    assert tried(start_and_hang, seconds=2.0).outcome.what == "hang"
    assert time.monotonic() - began < 20
    status = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    assert not status.exists() or status.read_text().split()[2] == "Z"


def test_two_contents_under_one_key_are_a_wrong_number():
    contents = (Outcome(HELD, "", (("key", content),)) for content in ("a", "a", "b"))
    trials = [Trial("kind", "name", lambda _, outcome=outcome: outcome) for outcome in contents]
    assert [one.outcome.what for one in attempt(trials, 1)] == [HELD, HELD, "wrong number"]


@pytest.fixture
def corpus(tmp_path):
    import json

    import soundfile
    from conftest import noise

    for at, row in enumerate(rows()):
        soundfile.write(tmp_path / str(row["audio"]), noise(0.5, at), 16_000)
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return tmp_path


def judged(corpus, *arguments, **how):
    return tried(lambda _: command(corpus, arguments, **how)).outcome


def test_what_is_sound_holds_and_what_is_not_is_told(corpus):
    assert judged(corpus, "corpora", "check", "m.jsonl", expect=HELD, check=counts_all(4)).what == HELD
    assert judged(corpus, "corpora", "check", "none.jsonl", expect=TOLD).what == TOLD


def test_a_clip_that_is_not_counted_and_an_input_that_should_be_refused_are_wrong_numbers(corpus):
    assert judged(corpus, "corpora", "check", "m.jsonl", check=counts_all(5)).what == "wrong number"
    assert judged(corpus, "corpora", "check", "m.jsonl", expect=TOLD).what == "wrong number"


@pytest.mark.parametrize(
    ("says", "code"), [("a\nb\n", 2), ("innerear: \x1b[2Jgone\n", 2), ("", 1), ("innerear: x\n", 7)]
)
def test_errors_that_are_not_one_clean_line_with_its_code_are_unclear(tmp_path, monkeypatch, says, code):
    def main():
        sys.stderr.write(says)
        sys.exit(code)

    monkeypatch.setattr("commands.main", main)
    assert judged(tmp_path, "verify", "x").what == "unclear"


def test_the_table_counts_every_outcome():
    trials = [Trial("kind", what, lambda _, what=what: Outcome(what)) for what in (HELD, TOLD, *FALLS)]
    last = table(list(attempt(trials, 2))).splitlines()[-1]
    assert last.startswith(f"| **all** | {2 + len(FALLS)} |" + " 1 |" * (2 + len(FALLS)))


def test_the_same_seed_damages_in_the_same_way_and_always_changes_something():
    data, document = b"0123456789" * 30, {"a": [1, {"b": 2}], "c": "d"}
    assert list(bytes_damaged(data, 30, "s")) == list(bytes_damaged(data, 30, "s"))
    assert sum(made != data for _, made in bytes_damaged(data, 50, "s")) == 50
    assert [repr(made) for _, made in fields_damaged(document, 20, "s")] == [
        repr(made) for _, made in fields_damaged(document, 20, "s")
    ]
    assert document == {"a": [1, {"b": 2}], "c": "d"}
