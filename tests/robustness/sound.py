"""Sound inputs of every kind, made once; trials copy and damage them."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import soundfile
import yaml
from conftest import noise, save_tiny

ROOT = Path(__file__).resolve().parents[2]
RATE = 16_000
CLIPS = 4
FAMILIES = ("moonshine", "whisper", "wav2vec2")
TASK = "task.yaml"

TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 0.5
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.3
            text = "say"
        intervals [2]:
            xmin = 0.3
            xmax = 0.5
            text = "it"
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 0.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.2
            text = "S"
        intervals [2]:
            xmin = 0.2
            xmax = 0.3
            text = "EY1"
        intervals [3]:
            xmin = 0.3
            xmax = 0.5
            text = "IH1"
"""
CTM = "clip 1 0.0 0.3 say\nclip 1 0.3 0.2 it\n"


@dataclass(frozen=True)
class Sound:
    """A folder with `corpus/`, `task.yaml`, `models/FAMILY/`, `results/`, and `runs/` without results."""

    folder: Path

    def copy(self, name: str, place: Path) -> Path:
        """Copy a file or folder into a trial's folder, under its own name."""
        target = place / Path(name).name
        if (self.folder / name).is_dir():
            shutil.copytree(self.folder / name, target)
        else:
            shutil.copy(self.folder / name, target)
        return target

    def read(self, name: str) -> bytes:
        """Bytes of a sound file."""
        return (self.folder / name).read_bytes()


def rows() -> list[dict[str, object]]:
    """Rows of the sound manifest."""
    return [
        {
            "audio": f"{at}.wav", "text": "say it", "speaker": f"s{at % 2}", "language": "en",
            "gender": "female" if at % 2 else "male",
        }
        for at in range(CLIPS)
    ]  # fmt: skip


def make(folder: Path) -> Sound:
    """Make all of it."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    for at in range(CLIPS):
        soundfile.write(corpus / f"{at}.wav", noise(0.5, at), RATE)
    for suffix in ("flac", "ogg", "mp3", "aiff"):
        soundfile.write(corpus / f"clip.{suffix}", noise(0.5, 9), RATE)
    (corpus / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    lines = [list(rows()[0]), *(row.values() for row in rows())]
    for suffix, mark in (("csv", ","), ("tsv", "\t")):
        (corpus / f"m.{suffix}").write_text("".join(mark.join(map(str, line)) + "\n" for line in lines))
    (corpus / "clip.TextGrid").write_text(TEXTGRID)
    (corpus / "clip.ctm").write_text(CTM)
    task = yaml.safe_load((ROOT / "tasks" / "transcription" / "task.yaml").read_text())
    task |= {"id": "plain", "corpus": "corpus/m.jsonl"}
    del task["noise"], task["clips_per_speaker"]
    (folder / TASK).write_text(yaml.safe_dump(task))
    for family in FAMILIES:
        save_tiny(family, folder / "models" / family)
    _database(folder / "runs" / "mlflow.db")
    for name in ("log-mel", "moonshine-tiny", "whisper-base"):
        for path in (ROOT / "results" / "phoneme-probing" / "innerear-speech").glob(f"{name}-*"):
            if not path.name.startswith(f"{name}-random"):
                target = folder / "results" / "phoneme-probing" / "innerear-speech" / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
    return Sound(folder)


def _database(path: Path) -> None:
    """An empty MLflow database, slower to make than a trial to run; in a fork, as connections stay open."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.parent.mkdir()
    if not (process := os.fork()):
        SqlAlchemyStore(f"sqlite:///{path}", path.parent.as_uri())
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 0
