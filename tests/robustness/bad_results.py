"""Results that are no results or hold hostile names, and options that cannot be."""

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bad_corpora import wav
from bad_inputs import ESCAPES
from commands import command
from fuzz import RESULT
from harness import TOLD, Outcome, Trial
from sound import TASK, Sound


def _reread(
    sound: Sound,
    change: Callable[[dict[str, Any]], object],
    arguments: tuple[str, ...],
    expect: str,
    folder: Path,
) -> Outcome:
    """Read results of which one was changed and, unlike by chance, sealed again."""
    from innerear.results.schema import Result
    from innerear.results.store import result_bytes

    sound.copy("results", folder)
    path = next((folder / RESULT).glob("moonshine-*.json"))
    record = json.loads(path.read_bytes())
    change(record)
    result = Result.model_validate(record | {"content_sha256": "", "record_sha256": ""})
    path.write_bytes(result_bytes(result))
    given = [str(path.relative_to(folder)) if word == "RESULT" else word for word in arguments]
    return command(folder, given, expect)


READERS = (
    ("show", "RESULT"),
    ("cite", "RESULT"),
    ("verify", "RESULT"),
    ("leaderboard", "--results", "results"),
    ("leaderboard", "--results", "results", "--format", "csv"),
    ("leaderboard", "--results", "results", "--format", "latex"),
    ("leaderboard", "--results", "results", "--format", "model-card"),
    ("compare", "whisper-base", "moonshine-tiny", "--results", "results"),
    ("site", "--results", "results", "--output", "site"),
)


def _results(sound: Sound) -> Iterator[Trial]:
    texts = {
        "nothing": b"",
        "null": b"null",
        "a list": b"[]",
        "a number": b"5",
        "deep": b"[" * 99_999,
        "deep objects": b'{"a":' * 99_999,
        "UTF-16": '{"a": 1}'.encode("utf-16"),
        "NaN": b'{"schema_version": NaN}',
        "another schema": b'{"schema_version": 99, "task": {}}',
        "schema 3": b'{"schema_version": 3, "task": {}}',
        "a schema of escapes": json.dumps({"schema_version": ESCAPES, "task": 1}).encode(),
        "a key twice": b'{"schema_version": 4, "schema_version": 4, "task": {}}',
        "a number of 5,000 digits": b'{"schema_version": ' + b"9" * 5000 + b"}",
        "text": b"x",
        "a WAV": wav(),
    }
    for name, data in texts.items():
        for arguments in (
            *READERS[:4],
            ("reproduce", "RESULT"),
            ("submit", "RESULT", "--into", "into"),
            ("migrate", "results"),
        ):
            yield Trial("bad result", f"{arguments[0]}: {name}", partial(_replaced, sound, data, arguments))
    names = {
        "a model named by escapes": lambda record: record["model"].update(name=f"a{ESCAPES}b"),
        "a corpus named by escapes": lambda record: record["corpus"].update(
            name=f"a{ESCAPES}b", licence=ESCAPES, source=ESCAPES
        ),
        "a title of escapes": lambda record: record["task"].update(
            title=ESCAPES, question=ESCAPES, citation=ESCAPES
        ),
        "reasons of escapes": lambda record: record["corpus"].update(refused=[[ESCAPES, ESCAPES]]),
        "training data of escapes": lambda record: record["model"].update(
            training_data=[ESCAPES], licence=ESCAPES, source=ESCAPES
        ),
        "a model of markup": lambda record: record["model"].update(name="<script>[x](y)|`$\\input{x}"),
        "an environment of escapes": lambda record: record["environment"].update(
            cpu=ESCAPES, platform=ESCAPES
        ),
        "a name of 5,000 letters": lambda record: record["model"].update(name="x" * 5000),
    }
    for name, change in names.items():
        for arguments in READERS:
            yield Trial(
                "bad result", f"{' '.join(arguments)}: {name}", partial(_reread, sound, change, arguments, "")
            )


def _replaced(sound: Sound, data: bytes, arguments: tuple[str, ...], folder: Path) -> Outcome:
    sound.copy("results", folder)
    path = next((folder / RESULT).glob("moonshine-*.json"))
    path.write_bytes(data)
    given = [str(path.relative_to(folder)) if word == "RESULT" else word for word in arguments]
    return command(folder, given, TOLD)


def _given(sound: Sound, arguments: tuple[str, ...], expect: str, folder: Path) -> Outcome:
    for name in ("corpus", TASK, "results"):
        sound.copy(name, folder)
    os.mkfifo(folder / "pipe")
    (folder / "file").write_text("x")
    (folder / "empty").mkdir()
    return command(folder, arguments, expect)


def _options(sound: Sound) -> Iterator[Trial]:
    anything = (
        "",
        " ",
        "none",
        ESCAPES,
        "x" * 5000,
        "/dev/zero",
        "pipe",
        "file",
        "empty",
        ".",
        "..",
        "-1",
        "nan",
        "\udcff",
        "hub:",
        "hub:x",
        "a" * 300,
        "[red]x[/red]",
    )
    ask = {
        ("run", "--tasks", "transcription", "--models"): anything,
        ("run", "--models", "moonshine-tiny", "--tasks"): anything,
        ("run", "--suite"): anything,
        ("run", "--models", "log-mel", "--tasks", f"./{TASK}", "--corpus"): anything,
        ("run", "--device", "cuda:99", "--limit"): ("0", "-1", "x", "1.5", "", "9" * 400),
        ("run", "--clips-per-speaker"): ("0", "-1", "x"),
        ("run", "--batch-size"): ("0", "-1", "x", "1e9"),
        ("run", "--seed"): ("x", "1.5", "", "nan"),
        ("run", "--models", "moonshine-tiny", "--tasks", "abx", "--device"): (
            "",
            "gpu",
            "cuda:-1",
            "cuda:x",
            ESCAPES,
            "cpu:99",
            "meta",
            "mps:5",
        ),
        ("show",): anything,
        ("verify",): anything,
        ("cite",): anything,
        ("reproduce",): anything,
        ("leaderboard", "--results"): anything,
        ("site", "--results"): anything,
        ("figures", "--results"): anything,
        ("compare", "a", "b", "--results"): anything,
        ("migrate",): anything,
        ("models", "show"): anything,
        ("models", "fetch"): anything,
        ("tasks", "show"): anything,
        ("corpora", "show"): anything,
        ("corpora", "check"): anything,
        ("corpora", "check", "corpus/m.jsonl", "--task"): anything,
        ("corpora", "align", "--output", "o.jsonl"): anything,
        ("corpora", "align", "corpus/m.jsonl", "--output"): (
            "pipe",
            "x.csv",
            "",
            "/",
            "/dev/null",
            "file/x.jsonl",
        ),
        ("corpora", "render", "--output", "out"): anything,
        ("leaderboard", "--results", "results", "--format"): ("", "x", ESCAPES, "pdf"),
        ("submit", "results", "--into"): ("file", "/dev/null", "file/x"),
        ("run", "--models", "moonshine-tiny", "--tasks", f"./{TASK}", "--tracking-uri"): (
            "x",
            "http://127.0.0.1:9",
            "sqlite:////none/x.db",
            ESCAPES,
            "ftp://x",
            "file",
            "postgresql://127.0.0.1:9/x",
        ),
        ("pull", "--tracking-uri"): ("x", "http://127.0.0.1:9", ESCAPES),
        ("fly",): ("",),
        ("run", "--fly"): ("",),
    }
    for start, values in ask.items():
        for value in values:
            if value == "\udcff":
                value = os.fsdecode(b"\xff")
            act = partial(_given, sound, (*start, value), _of_option(start, value))
            yield Trial("bad option", f"{' '.join(start)} {value!r:.30}", act)


def _of_option(start: tuple[str, ...], value: str) -> str:
    """Whether an option has to be refused: a few of the values name what is there."""
    return "" if value in (".", "..", "", " ", "-1", "empty") or start[0] in ("submit", "run") else TOLD


def bad_results(sound: Sound) -> Iterator[Trial]:
    """All trials of this module."""
    yield from _results(sound)
    yield from _options(sound)
