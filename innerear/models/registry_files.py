"""Registry files as text: commits are written into them, and the rest of a file stays as it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from innerear.models import hub
from innerear.models.folders import foreign_format
from innerear.models.registry import SUFFIXES, HubSource, ModelSpec, model_names, registry_file
from innerear.util.errors import InputError
from innerear.util.io import write_bytes
from innerear.util.reading import read_text
from innerear.util.yaml import MOST, load_yaml, parse_yaml


def spec_files(names: Sequence[str] = ()) -> list[Path]:
    """The registry files of some models, by their names or paths; by default all that state no commit.

    Raises
    ------
    InputError
        If there is no such file.
    """
    if names:
        return [registry_file(name) for name in names]
    files = [registry_file(name) for name in model_names()]
    return [path for path in files if not all(each.pinned for each in load_yaml(path, ModelSpec).sources)]


def pin(path: Path) -> list[tuple[str, str]]:
    """Write commits into a registry file where it states none; return repositories and commits.

    Where it names a branch or a pull request it is the newest commit there, else the newest of all. The file
    is replaced at once; its comments and its order stay.

    Raises
    ------
    Unreachable
        If the hub cannot be reached; the file stays as it is.
    InputError
        If that commit holds no weights that are read, such as pickled ones alone.
    """
    spec, text = load_yaml(path, ModelSpec), read_text(path, most=MOST)
    nodes = _value(yaml.compose(text, yaml.SafeLoader), "sources").value
    pinned, parts, end = [], [], 0
    for source, node in zip(spec.sources, nodes, strict=True):
        if not isinstance(source, HubSource) or source.pinned:
            continue
        info = hub.repository_info(source.repo, source.revision)
        commit = info.sha
        assert commit is not None
        if foreign := foreign_format([file.rfilename for file in info.siblings or ()], info.config):
            raise InputError(
                f"hub {source.repo}: {foreign}; or name a pull request that adds them: refs/pr/1"
            )
        pinned.append((source.repo, commit))
        value = _value(node, "revision")
        empty = value.start_mark.index == value.end_mark.index
        parts += [text[end : value.start_mark.index], " " * empty, commit]
        end = value.end_mark.index
    if pinned:
        changed = "".join([*parts, text[end:]])
        parse_yaml(changed, ModelSpec, str(path))
        write_bytes(path, changed.encode())
    return pinned


def write_spec(path: Path, text: str) -> None:
    """Write a new registry file.

    Raises
    ------
    InputError
        If there is a file already, its name is none of a registry file, or the text is no registry file.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: a registry file ends in {' or '.join(SUFFIXES)}; choose another name")
    if path.exists():
        raise InputError(f"{path}: already exists; remove it, or choose another file")
    parse_yaml(text, ModelSpec, str(path))
    write_bytes(path, text.encode())


def _value(mapping: Any, key: str) -> Any:
    """The node of a key, which is known to be there."""
    return next(value for name, value in mapping.value if name.value == key)
