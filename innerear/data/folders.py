"""Folders of audio and label files side by side: LDC's TIMIT, LibriSpeech, and outputs of forced aligners."""

import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NoReturn

from innerear.data.human import TIMIT_REGIONS, parse_timit_labels
from innerear.data.labels import read_textgrid
from innerear.data.language import ENGLISH
from innerear.data.phones import is_noise
from innerear.data.tables import Row, Rows
from innerear.util.errors import InputError
from innerear.util.reading import read_text
from innerear.util.words import counted

AUDIO = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".sph", ".aif", ".aiff")
"""Suffixes of audio, in lower case."""


def files_by_suffix(folder: Path) -> dict[str, list[Path]]:
    """All files under a folder and what it links to, by their suffix in lower case, sorted; no hidden ones.

    Raises
    ------
    InputError
        If a folder in it cannot be read, or a link leads to a folder that is read already.
    """

    def unreadable(error: OSError) -> NoReturn:
        raise InputError(f"{error.filename}: {error.strerror}; make it readable, or move it away") from error

    paths: list[Path] = []
    read: dict[Path, Path] = {}
    for place, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        here = Path(place)
        if (other := read.setdefault(here.resolve(), here)) is not here:
            raise InputError(f"{here}: the same folder as {other}; remove the link")
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [here / name for name in names if not name.startswith(".")]
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(path for path in paths if path.is_file()):
        found[path.suffix.lower()].append(path)
    return found


def _audio_by_stem(found: dict[str, list[Path]]) -> dict[Path, Path]:
    """Path without any suffix in lower case -> audio file, so that SA1.WAV.wav is the audio of SA1.PHN."""
    return {stem: path for suffix in reversed(AUDIO) for stem, path in _by_stem(found[suffix]).items()}


def _by_stem(paths: list[Path]) -> dict[Path, Path]:
    """Files of one suffix by `_stem`; raises `InputError` where two names differ only in case."""
    names: dict[Path, Path] = {}
    found: dict[Path, Path] = {}
    for path in paths:
        if (other := names.setdefault(path.with_name(path.name.lower()), path)) is not path:
            raise InputError(f"{path} and {other.name}: names that differ only in case; rename one of them")
        found.setdefault(_stem(path), path)
    return found


def _stem(path: Path) -> Path:
    name = path.name.lower()
    while name.endswith((*AUDIO, ".phn", ".textgrid", ".lab", ".txt", ".wrd")):
        name = name.rpartition(".")[0]
    return path.with_name(name)


def _inside(path: Path, folder: Path) -> Path:
    """A path from the first folder inside of a folder on."""
    return Path(*path.relative_to(folder).parts[1:])


def read_timit(folder: Path, found: dict[str, list[Path]]) -> Rows:
    """Read TIMIT as LDC distributes it: `TRAIN/DR1/FCJF0/SA1.WAV`, `.PHN`, `.WRD` and `.TXT`, in any case."""
    audio = _audio_by_stem(found)
    labels = {suffix: _by_stem(found[suffix]) for suffix in (".phn", ".wrd", ".txt")}
    rows: list[Row] = []
    refused = []
    unlabelled = {stem: path for stem, path in audio.items() if stem not in labels[".phn"]}
    for stem, path in (labels[".phn"] | unlabelled).items():
        speaker, sentence = path.parent.name.lower(), stem.name
        region = path.parent.parent.name.lower()
        if together := re.fullmatch(r"(dr\d)-(\w+)", speaker):  # NLTK's sample: dr1-fvmh0/sa1
            region, speaker = together.groups()
        name, where = f"{region}-{speaker}/{sentence}", path.relative_to(folder).as_posix()
        try:
            if missing := [s for s, had in {".wav": audio, **labels}.items() if stem not in had]:
                raise InputError(f"{where}: {' and '.join(missing)} beside it is missing; restore the corpus")
            texts, words, segments = (
                _timit_labels(labels[suffix][stem], folder) for suffix in (".txt", ".wrd", ".phn")
            )
            if len(texts) != 1:
                raise InputError(
                    f"{where}: expected the sentence on one line of .txt, got {len(texts)} lines"
                )
        except InputError as error:
            refused.append((name, str(error)))
            continue
        row: dict[str, Any] = {
            "id": name,
            "audio": audio[stem].relative_to(folder).as_posix(),
            "text": " ".join(texts[0][2].split()),
            "language": ENGLISH,
            "speaker": speaker,
            "gender": {"f": "female", "m": "male"}.get(speaker[0], ""),
            "accent": TIMIT_REGIONS.get(region.removeprefix("dr"), ""),
            "phone_set": "timit",
            "words": [{"text": label, "start": start, "end": end} for start, end, label in words],
            "phones": [{"label": label, "start": start, "end": end} for start, end, label in segments],
            "sentence_id": sentence,
            "sentence_type": sentence[:2],
        }
        rows.append((where, row))
    files = tuple(path for suffix in labels.values() for path in suffix.values())
    return Rows("TIMIT folder", folder.resolve().name, folder, rows, files, tuple(refused))


def _timit_labels(path: Path, folder: Path) -> list[tuple[float, float, str]]:
    where = path.relative_to(folder).as_posix()  # names such as SA1.TXT repeat
    return parse_timit_labels(read_text(path, where), where)


def read_librispeech(folder: Path, found: dict[str, list[Path]]) -> Rows:
    """Read LibriSpeech: `61/70968/61-70968.trans.txt` beside its audio; genders by `SPEAKERS.TXT`."""
    audio = _audio_by_stem(found)
    transcripts = [path for path in found[".txt"] if path.name.endswith(".trans.txt")]
    near = (folder, *folder.absolute().parents[:2])
    about = next((path for place in near if (path := place / "SPEAKERS.TXT").is_file()), None)
    genders = dict(re.findall(r"^(\d+)\s*\|\s*([FM])\s*\|", read_text(about), flags=re.M)) if about else {}
    rows: list[Row] = []
    refused = []
    for path in transcripts:
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            name, _, text = line.strip().partition(" ")
            where = f"{path.relative_to(folder).as_posix()}:{number}"
            if not name:
                continue
            if (clip := audio.get(path.with_name(name.lower()))) is None:
                refused.append((name, f"{where}: no audio of {name} beside it; restore it"))
                continue
            speaker = name.split("-")[0]
            row = {
                "id": name,
                "audio": clip.relative_to(folder).as_posix(),
                "text": text,
                "speaker": speaker,
                "gender": genders.get(speaker, ""),
            }
            rows.append((where, row))
    unread = {*audio.values()} - {folder / row["audio"] for _, row in rows}
    for clip in sorted(unread):
        name = clip.relative_to(folder).as_posix()
        refused.append((clip.stem, f"{name}: no line of a .trans.txt names it; add its words or remove it"))
    files = (*transcripts, *([about] if about else []))
    return Rows("LibriSpeech folder", folder.resolve().name, folder, rows, files, tuple(refused))


def read_aligned(folder: Path, found: dict[str, list[Path]]) -> Rows:
    """Read audio with a TextGrid or a transcript (`.lab`, `.txt`) beside it; a folder is a speaker (MFA).

    The transcript is that of the `.lab` or `.txt` file; without one, the words of the TextGrid. TextGrids may
    lie in a folder of their own beside that of the audio, in folders of the same names (`corpus/ann/a.wav`,
    `aligned/ann/a.TextGrid`).
    """
    audio = _audio_by_stem(found)
    grids = _by_stem(found[".textgrid"])
    inside = {_inside(stem, folder): stem for stem in audio.keys() - grids.keys()}
    moved = {
        inside[place]: path
        for stem, path in grids.items()
        if stem not in audio and (place := _inside(stem, folder)) in inside
    }
    grids = {stem: path for stem, path in grids.items() if path not in moved.values()} | moved
    texts = _by_stem(found[".txt"]) | _by_stem(found[".lab"])
    rows: list[Row] = []
    refused = [
        (path.stem, f"{path.relative_to(folder).as_posix()}: no audio of its name is beside it; add it")
        for path in found[".lab"]
        if _stem(path) not in audio
    ]
    for stem, clip in sorted(audio.items()):
        name = clip.relative_to(folder).as_posix()
        grid, text = grids.get(stem), texts.get(stem)
        top = folder / clip.relative_to(folder).parts[0] if stem in moved else folder
        speaker = clip.parent.name if clip.parent != top else ""
        row = {"audio": name, "speaker": speaker}
        try:
            if grid is None and text is None:
                raise InputError(f"{name}: neither a TextGrid nor a transcript (.lab, .txt) is beside it")
            if grid is not None:
                row["textgrid"] = grid.relative_to(folder).as_posix()
            if text is not None:
                row["text"] = " ".join(read_text(text, text.name).split())
            elif grid is not None:
                words = read_textgrid(grid, row["textgrid"], speaker).words
                row["text"] = " ".join(label for _, _, label in words if not is_noise(label, word=True))
        except InputError as error:
            refused.append((name.removesuffix(clip.suffix), str(error)))
            continue
        rows.append((name, row))
    alone = [path for stem, path in grids.items() if stem not in audio]
    if alone:
        names = ", ".join(path.name for path in alone[:3])
        raise InputError(
            f"{folder}: {counted(len(alone), 'TextGrid', 'has')} no audio of the same name beside it"
            f" ({names}); add it, or give the folder that holds both their folder and that of the audio"
        )
    files = tuple(sorted({*grids.values(), *(texts[stem] for stem in texts if stem in audio)}))
    return Rows("folder of aligned audio", folder.resolve().name, folder, rows, files, tuple(refused))
