"""Pipes, folders, devices and loops in the place of files."""

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bad_inputs import ROW, write_text
from commands import command
from fuzz import RESULT, run
from harness import TOLD, Outcome, Trial
from sound import TASK, TEXTGRID, Sound


def _special(kind: str, path: Path) -> None:
    """Put something in the place of a file that is none."""
    if path.is_dir():
        path.rename(f"{path}-was")
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("x")
    else:
        path.symlink_to(
            {"loop": path, "dangling link": "none", "device": "/dev/zero", "terminal": "/dev/tty"}[kind]
        )


SPECIAL = ("pipe", "folder", "loop", "dangling link", "device", "terminal")


def _special_corpus(sound: Sound, kind: str, name: str, given: str, folder: Path) -> Outcome:
    for clip in ("0.wav", "1.wav"):
        sound.copy(f"corpus/{clip}", folder)
    write_text("g", TEXTGRID)(folder)
    write_text("c", "0 1 0 0.1 say\n")(folder)
    labels = {"textgrid": "g"} if name == "g" else {"word_ctm": "c"} if name == "c" else {}
    rows = [ROW | {"audio": "0.wav"} | labels, ROW | {"audio": "1.wav", "speaker": "t"}]
    write_text("m.jsonl", "".join(json.dumps(row) + "\n" for row in rows))(folder)
    for file, text in {
        "wav.scp": "a 0.wav\n",
        "text": "a say it\n",
        "utt2spk": "a s\n",
        "segments": "a a 0 0.4\n",
    }.items():
        (folder / "kaldi").mkdir(exist_ok=True)
        write_text(f"kaldi/{file}", text.replace("0.wav", "../0.wav"))(folder)
    _special(kind, folder / name)
    return command(folder, ["corpora", "check", given], TOLD)


def _special_files(sound: Sound) -> Iterator[Trial]:
    for kind in SPECIAL:
        for name, given in {
            "m.jsonl": "m.jsonl",
            "0.wav": "m.jsonl",
            "g": "m.jsonl",
            "c": "m.jsonl",
            "kaldi/text": "kaldi",
            "kaldi/wav.scp": "kaldi/wav.scp",
            "m.csv": "m.csv",
            "m.tsv": "m.tsv",
            "m.jsonl.gz": "m.jsonl.gz",
            "m.parquet": "m.parquet",
            "m.json": "m.json",
        }.items():
            act = partial(_special_corpus, sound, kind, name, given)
            yield Trial("special files", f"{name} is a {kind}", act)
        for name in (
            "config.json",
            "tokenizer.json",
            "model.safetensors",
            "generation_config.json",
            "tokenizer_config.json",
        ):
            damage = partial(lambda kind, name, folder: _special(kind, folder / "whisper" / name), kind, name)
            expect = "" if name == "generation_config.json" else TOLD
            yield Trial(
                "special files", f"{name} is a {kind}", partial(run, sound, "whisper", damage, expect=expect)
            )
        damage = partial(lambda kind, folder: _special(kind, folder / TASK), kind)
        yield Trial(
            "special files", f"the task is a {kind}", partial(run, sound, "wav2vec2", damage, expect=TOLD)
        )
        for name in ("result", "items"):
            for arguments in (
                ("verify", "results"),
                ("leaderboard", "--results", "results"),
                ("show", "RESULT"),
                ("cite", "RESULT"),
            ):
                if name == "items" and arguments[0] in ("cite", "leaderboard") and kind == "folder":
                    continue
                act = partial(_special_result, sound, kind, name, arguments)
                yield Trial("special files", f"{arguments[0]}: the {name} is a {kind}", act)


def _special_result(sound: Sound, kind: str, name: str, arguments: tuple[str, ...], folder: Path) -> Outcome:
    sound.copy("results", folder)
    path = next((folder / RESULT).glob("moonshine-*.json"))
    _special(kind, path if name == "result" else path.with_suffix(".items.parquet"))
    given = [str(path.relative_to(folder)) if word == "RESULT" else word for word in arguments]
    return command(folder, given, TOLD)


def bad_files(sound: Sound) -> Iterator[Trial]:
    """All trials of this module."""
    yield from _special_files(sound)
