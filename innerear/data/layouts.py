"""Corpora on disk as people have them: which layout a path is, and its rows."""

from pathlib import Path
from urllib.parse import unquote

from innerear.data.tables import Rows, delimited_rows, json_rows, read_text

_JSON = (".jsonl", ".json", ".jsonl.gz", ".json.gz")
_DELIMITED = (".csv", ".tsv")
TABLES = (*_JSON, *_DELIMITED)
"""Suffixes of tables."""


def local_path(name: str) -> Path:
    """A path as people write it: with `~`, or as a `file://` address."""
    if name.startswith("file://"):
        name = unquote(name.removeprefix("file://").removeprefix("localhost"))
    return Path(name).expanduser()


def read_layout(path: Path) -> Rows:
    """Read the rows of a corpus on disk.

    Raises
    ------
    InputError
        If the layout is not known, or a file of it is malformed.
    """
    return _read_table(path)


def _read_table(path: Path) -> Rows:
    text = read_text(path)
    reader = delimited_rows if path.name.lower().endswith(_DELIMITED) else json_rows
    return Rows("manifest", _name(path), path.parent, list(reader(text, path.name)), (path,))


def _name(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0]
