"""Kaldi data folders: `wav.scp`, `text`, perhaps `segments`, `utt2spk`, `spk2gender`, `utt2lang` and CTM."""

import math
import re
from pathlib import Path
from typing import Any

from innerear.data.labels import split_ctm
from innerear.data.phone_sets import PHONE_SETS, table
from innerear.data.recordings import is_there, local_path
from innerear.data.tables import Rows
from innerear.util.errors import InputError
from innerear.util.reading import read_text

_CTM = ("ctm", "*.ctm", "*_ctm", "ctm_*")

_SIDES = "reco2file_and_channel"
"""Recording -> the file that CTM files name, and its channel."""


def read_kaldi(folder: Path) -> Rows:
    """Read the utterances of a Kaldi data folder; commands in `wav.scp` are never run.

    Raises
    ------
    InputError
        If `text` is missing, or a line of a file does not have its form.
    """
    recordings = _pairs(folder / "wav.scp")
    texts = _pairs(folder / "text", may_be_empty=True)
    others = {name: _pairs(folder / name, needed=False) for name in ("utt2spk", "spk2gender", "utt2lang")}
    parts = _segments(folder / "segments", recordings)
    sides = {
        recording: fields.split()
        for recording, fields in _pairs(folder / _SIDES, needed=False).items()
        if len(fields.split()) == 2
    }
    ctms = {path: _columns(path) for path in sorted({path for form in _CTM for path in folder.glob(form)})}
    rows, refused = [], []
    for utterance in texts.keys() - parts.keys():
        refused.append((utterance, f"text: {utterance} has words, but no audio; add it or remove the line"))
    refused.sort()
    for utterance, (recording, bounds) in parts.items():
        where, audio = f"wav.scp, {recording}", recordings[recording].strip()
        if audio.endswith("|") or audio.startswith("|"):
            refused.append(
                (
                    utterance,
                    f"{where}: a command ({audio[:60]}), which is not run; write its output to a file",
                )
            )
            continue
        if re.search(r"\.ark:\d+(\[.*\])?$", audio):
            refused.append((utterance, f"{where}: inside of an archive ({audio[-60:]}); write it to a file"))
            continue
        if utterance not in texts:
            refused.append(
                (utterance, f"text: no line of {utterance}; add its words or remove it from wav.scp")
            )
            continue
        speaker = others["utt2spk"].get(utterance, "")
        file, channel = sides.get(recording, (recording, ""))
        row: dict[str, Any] = {
            "id": utterance,
            "audio": str(found_near(folder, audio)),
            "text": texts[utterance],
            "channel": channel,
            "speaker": speaker,
            "gender": others["spk2gender"].get(speaker, ""),
            "language": others["utt2lang"].get(utterance, ""),
            **bounds,
        }
        for path, (column, clips) in ctms.items():
            named = file if file in clips else recording
            if utterance in clips or named in clips:
                row["recording"] = named
                if column in row:
                    raise InputError(
                        f"{folder}: {path.name} and {row[column]} both hold its {column}; keep one"
                    )
                row[column] = path.name
        rows.append((f"{'segments' if bounds else 'wav.scp'}, {utterance}", row))
    names = ("wav.scp", "text", "segments", _SIDES, *others)
    files = [path for name in names if (path := folder / name).is_file()] + list(ctms)
    return Rows("Kaldi folder", folder.resolve().name, folder, rows, tuple(files), tuple(refused))


def found_near(folder: Path, name: str) -> Path:
    """Where a path points that is relative to the folder a recipe was run in: here, or some folder above."""
    path = local_path(name)
    above = [folder.absolute(), *folder.absolute().parents][:5]
    return next((place / path for place in above if is_there(place / path)), path)


def _pairs(path: Path, needed: bool = True, may_be_empty: bool = False) -> dict[str, str]:
    """Lines of a first field and the rest."""
    if not needed and not path.is_file():
        return {}
    pairs: dict[str, str] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        key, _, rest = line.strip().replace("\t", " ", 1).partition(" ")
        if key and not rest.strip() and not may_be_empty:
            raise InputError(f"{path.name}:{number}: expected a name and a value, got {line.strip()!r}")
        if key in pairs:
            raise InputError(f"{path.name}:{number}: {key!r} is there twice; keep one line")
        if key:
            pairs[key] = rest.strip()
    return pairs


def _segments(path: Path, recordings: dict[str, str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Utterance -> its recording, bounds and channel; without `segments`, each recording is an utterance."""
    if not path.is_file():
        return {name: (name, {}) for name in recordings}
    parts = {}
    for utterance, rest in _pairs(path).items():
        try:
            recording, start, end, *side = rest.split()
            bounds: dict[str, Any] = {"start": float(start)} | (
                {"end": float(end)} if float(end) >= 0 else {}
            )  # -1: to its end
        except ValueError as error:
            raise InputError(
                f"segments, {utterance}: expected 'utterance recording start end', got {rest!r}"
            ) from error
        if not all(map(math.isfinite, bounds.values())):
            raise InputError(f"segments, {utterance}: {start} to {end} are no times; correct them")
        if recording not in recordings:
            raise InputError(f"segments, {utterance}: {recording!r} is not in wav.scp; correct its name")
        if side:  # extract-segments counts channels from 0
            bounds["channel"] = str(int(side[0]) + 1) if side[0].isdecimal() else side[0]
        parts[utterance] = (recording, bounds)
    return parts


def _columns(path: Path) -> tuple[str, frozenset[str]]:
    """Whether a CTM file holds phones (`ctm`) or words (`word_ctm`), and of which clips."""
    clips = split_ctm(read_text(path))
    fields = [line.split() for lines in clips.values() for _, line in lines]
    labels = frozenset(parts[4] for parts in fields if len(parts) > 4)
    if all(label.isdecimal() for label in labels):
        raise InputError(f"{path.name}: its labels are numbers; write the symbols (int2sym.pl)")
    phones = any(len(table(labels, name)) == len(labels) for name in PHONE_SETS)
    return ("ctm" if phones else "word_ctm"), frozenset(clips)
