"""Corpora on disk as people have them: which layout a path is, and its rows."""

from pathlib import Path

from innerear.data.folders import AUDIO, files_by_suffix, read_aligned, read_librispeech, read_timit
from innerear.data.kaldi import read_kaldi
from innerear.data.lhotse import is_lhotse, read_lhotse
from innerear.data.tables import Rows, delimited_rows, json_rows
from innerear.util.errors import InputError
from innerear.util.reading import read_text

_DELIMITED = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
TABLES = (".jsonl", ".json", ".jsonl.gz", ".json.gz", *_DELIMITED)
"""Suffixes of tables."""

_UNDERSTOOD = (
    "a table (.jsonl, .json, .csv, .tsv), a Kaldi folder (wav.scp, text), Lhotse manifests, a folder with"
    " metadata.csv or metadata.jsonl, TIMIT (.PHN), LibriSpeech (.trans.txt), or audio with TextGrids or"
    " transcripts (.lab, .txt) beside it"
)


def read_layout(path: Path) -> Rows:
    """Read the rows of a corpus on disk.

    Raises
    ------
    InputError
        If the layout is not known, or a file of it is malformed.
    """
    return _read_folder(path) if path.is_dir() else _read_file(path)


def _read_file(path: Path) -> Rows:
    if path.name == "wav.scp":
        return read_kaldi(path.parent)
    if not path.name.lower().endswith(TABLES):
        raise InputError(f"{path}: not understood; give {_UNDERSTOOD}")
    text = read_text(path)
    reader = delimited_rows if path.name.lower().endswith(_DELIMITED) else json_rows
    rows = list(reader(text, path.name))
    if rows and is_lhotse(rows[0][1]):
        return read_lhotse(path)
    name = path.name.removesuffix(".gz").rpartition(".")[0]
    return Rows("manifest", name, path.parent, rows, (path,))


def _read_folder(folder: Path) -> Rows:
    names = {path.name for path in folder.iterdir() if path.is_file()}
    if "wav.scp" in names:
        return read_kaldi(folder)
    if metadata := sorted(names & {"metadata.csv", "metadata.jsonl"}):
        return _read_file(folder / metadata[0])._replace(name=folder.resolve().name)
    if any(name.endswith((".jsonl.gz", ".jsonl")) and _is_lhotse_name(name) for name in names):
        return read_lhotse(folder)
    # MFA leaves a report beside its TextGrids.
    tables = sorted(name for name in names - {"alignment_analysis.csv"} if name.lower().endswith(TABLES))
    if len(tables) == 1:
        return _read_file(folder / tables[0])
    if tables:
        raise InputError(f"{folder}: it holds several tables ({', '.join(tables)}); give the path of one")
    found = files_by_suffix(folder)
    if inside := [path for path in (*found[".csv"], *found[".jsonl"]) if path.stem == "metadata"]:
        listed = ", ".join(path.relative_to(folder).as_posix() for path in inside)
        raise InputError(f"{folder}: its parts have tables of their own ({listed}); give the path of one")
    if found[".phn"]:
        return read_timit(folder, found)
    if any(path.name.endswith(".trans.txt") for path in found[".txt"]):
        return read_librispeech(folder, found)
    if found[".textgrid"] or (any(found[suffix] for suffix in AUDIO) and (found[".lab"] or found[".txt"])):
        return read_aligned(folder, found)
    raise InputError(f"{folder}: its layout is not understood; give {_UNDERSTOOD}")


def _is_lhotse_name(name: str) -> bool:
    return any(kind in name for kind in ("cuts", "recordings", "supervisions"))
