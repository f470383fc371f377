"""A manifest as tests write it, and the clips that it names."""

import json

PHONES = [{"label": "SH", "start": 0.0, "end": 0.2}, {"label": "IY1", "start": 0.2, "end": 0.5}]
WORDS = [{"text": "she", "start": 0.0, "end": 0.5}]
LINE = {"audio": "clips/a.wav", "text": "She.", "speaker": "ann", "gender": "F"}


def write(folder, *lines, name="my.jsonl"):
    path = folder / name
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path
