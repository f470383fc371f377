"""Folders of tasks, baselines, corpora and caches; no other module states these paths."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def data_folder(name: str) -> Path:
    """Folder of packaged data (`tasks`, `baselines`, `results`): in the wheel or at the top of a checkout."""
    inside = _PACKAGE / "_data" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def embedded_corpora() -> Path:
    """Folder of the corpora that the package carries."""
    return _PACKAGE / "data" / "corpora"


def cache_folder() -> Path:
    """Folder for weights, fetched corpora and features: `INNEREAR_CACHE`, else the user's cache folder."""
    if chosen := os.environ.get("INNEREAR_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "innerear"
