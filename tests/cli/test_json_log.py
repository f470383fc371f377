"""The log for programs: an event a line, as docs/use.md has them; people are told what they were without."""

import json
import os
import re
from datetime import datetime
from pathlib import Path

import pytest
from conftest import save_tiny
from test_cli import call

from innerear.results.store import Store

DOCUMENT = Path(__file__).parents[2] / "docs" / "use.md"


def documented():
    """The fields of each event as the table of the document has them."""
    section = DOCUMENT.read_text().partition("### A log for programs")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([\w, ]+) \| (.*) \|$", section, flags=re.M)[1:]
    return {event: set(re.findall(r"`(\w+)`", said)) for names, said in rows for event in names.split(", ")}


def events(lines):
    """The events of a log, which must be as documented and in the order of time."""
    made = [json.loads(line) for line in lines.splitlines()]
    fields, optional = documented(), {"value", "low", "high", "n", "unit", "direction"}
    for each in made:
        lacking = fields[each["event"]] - each.keys()
        assert lacking == (optional if each.get("status") == "n/a" else set())
        assert each.keys() - fields[each["event"]] == {"time", "event"}
    times = [datetime.fromisoformat(each["time"]) for each in made]
    assert times == sorted(times)
    assert (made[0]["event"], made[-1]["event"]) == ("started", "finished")
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A sound model, and one that cannot be loaded."""
    place = tmp_path_factory.mktemp("models")
    save_tiny("moonshine", place / "tiny")
    (save_tiny("moonshine", place / "bad") / "adapter_config.json").write_text("{}")
    return place


def test_a_run_is_logged_from_start_to_end(folder, tmp_path):
    command = ["run", "--models", f"{folder / 'bad'},{folder / 'tiny'}", "--limit", "5",
               "--tasks", "alignment-heads,transcription"]  # fmt: skip
    cache = {"INNEREAR_CACHE": str(tmp_path / "cache")}
    first = call(*command, "--log-json", "log/events.jsonl", cwd=tmp_path, **cache)
    assert first.returncode == 1, first.stderr
    log = tmp_path / "log" / "events.jsonl"
    made = events(before := log.read_text())
    assert made[0]["command"][:2] == ["innerear", "run"]
    assert [each["model"] for each in made if each["event"] == "model"] == ["tiny"]
    (failed,) = [each for each in made if each["event"] == "failed"]
    assert "PEFT" in failed["reason"]
    assert failed["model"].endswith("bad")
    begun = [(each["task"], each["model"]) for each in made if each["event"] == "task"]
    found = {each["task"]: each for each in made if each["event"] == "result"}
    assert (
        begun
        == [(task, "tiny") for task in found]
        == [("alignment-heads", "tiny"), ("transcription", "tiny")]
    )
    assert "no word correctly" in found["alignment-heads"]["reason"]
    stored = {result.task.id: result for result in Store(tmp_path / "runs").load_all()}
    for task, result in stored.items():
        assert found[task]["content_sha256"] == result.content_sha256
        assert (
            json.loads((tmp_path / found[task]["path"]).read_text())["content_sha256"]
            == result.content_sha256
        )
    score = stored["transcription"].score
    assert [found["transcription"][name] for name in ("value", "low", "n")] == [
        score.value,
        score.low,
        score.n,
    ]
    assert (made[-1]["exit_code"], made[-1]["error"]) == (1, None)

    again = call(*command, "--log-json", "log/events.jsonl", cwd=tmp_path, **cache)
    added = events(log.read_text().removeprefix(before))
    assert [each["new"] for each in added if each["event"] == "result"] == [False, False]
    plain = call(*command, cwd=tmp_path, **cache)
    assert (again.returncode, again.stdout, again.stderr) == (1, plain.stdout, plain.stderr)

    alone = call(*command, "--log-json", "-", cwd=tmp_path, **cache)
    assert (alone.returncode, alone.stdout) == (1, plain.stdout)
    assert [each["event"] for each in events(alone.stderr)] == [each["event"] for each in added]


@pytest.mark.parametrize("where", ["-", "events.jsonl"])
def test_an_error_is_the_last_event(tmp_path, where):
    done = call("run", "--models", "whisper-bse", "--log-json", where, cwd=tmp_path)
    assert done.returncode == 2
    _, finished = events(done.stderr if where == "-" else (tmp_path / where).read_text())
    assert "did you mean 'whisper-base'" in finished["error"]
    assert finished["exit_code"] == 2


def test_a_log_that_cannot_be_written_is_wrong_usage(tmp_path):
    done = call("run", "--log-json", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert f"--log-json {tmp_path}: Is a directory; name a file" in " ".join(done.stderr.split())
    full = call("run", "--models", "whisper-bse", "--log-json", "/dev/full", cwd=tmp_path)
    assert full.returncode == 2
    assert "--log-json /dev/full: No space left on device; make room" in full.stderr
    assert "Traceback" not in full.stderr


def test_arguments_that_are_not_utf8_are_logged(tmp_path):
    done = call("reproduce", os.fsdecode(b"caf\xe9.json"), "--log-json", "log.jsonl", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    started, *_ = events((tmp_path / "log.jsonl").read_text())
    assert started["command"][2] == "caf\udce9.json"
