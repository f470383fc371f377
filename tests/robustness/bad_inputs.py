"""What several kinds of bad inputs share."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202e\r\n"
"""What a terminal would obey."""


HUGE = 10**30


Write = Callable[[Path], object]


def write_text(name: str, text: str, encoding: str = "utf-8") -> Write:
    return lambda folder: (folder / name).write_bytes(text.encode(encoding, "surrogatepass"))


ROW = {"audio": "a.wav", "text": "say it", "speaker": "s", "language": "en"}


def line(changes: Mapping[str, Any]) -> str:
    return json.dumps(ROW | changes) + "\n"
