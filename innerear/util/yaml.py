"""YAML: loaded into a pydantic model, with errors of one line and small files kept small; and written."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from innerear.util.errors import InputError
from innerear.util.reading import MIB, read_text

M = TypeVar("M", bound=BaseModel)
MOST = MIB
"""Bytes of a file, and characters of its values once its aliases are written out."""


def load_yaml(path: Path, model: type[M]) -> M:
    """Read and validate a YAML file.

    Raises
    ------
    InputError
        If the file cannot be read, is not YAML, or does not fit the model: one line with file, key and what
        was expected; for an unknown key, the nearest known one is suggested.
    """
    return parse_yaml(read_text(path, most=MOST), model, str(path))


def parse_yaml(text: str, model: type[M], where: str) -> M:
    """Validate the text of a YAML file called `where`; errors as `load_yaml`."""
    try:
        content = _parsed(text)
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())[:400]
        raise InputError(f"{where}: not YAML: {reason}") from error
    # the constructors of YAML's own types raise what they like
    except (TypeError, LookupError, AttributeError, OverflowError) as error:
        raise InputError(f"{where}: not YAML: a value is not of the type in its tag ({error})") from error
    except RecursionError as error:
        raise InputError(f"{where}: not YAML: it is nested too deeply") from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, model)}") from error


def _parsed(text: str) -> Any:
    loader = yaml.SafeLoader(text)
    try:
        if (node := loader.get_single_node()) is None:
            return None
        _written_out(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """Characters of a node once its aliases are written out; a key that is there twice is an error."""
    if (size := known.get(id(node))) is not None:
        return size
    known[id(node)] = MOST + 1  # a node that holds itself has no end
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise ValueError(f"the key {twice!r} is there twice{node.start_mark}")
        parts = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    own = len(node.value) if isinstance(node, yaml.ScalarNode) else 1
    size = known[id(node)] = own + sum(_written_out(part, known) for part in parts)
    if size > MOST:
        raise ValueError("its aliases make it endless or too large; write the values out")
    return size


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first error of a validation as one line: where, what, and the nearest known key."""
    errors = error.errors(include_url=False)
    # a misspelt key is both unknown and missing: report it as unknown
    first = next((found for found in errors if found["type"] == "extra_forbidden"), errors[0])
    *parents, key = first["loc"] or ("the file",)
    where = ".".join(map(str, (*parents, key)))
    if first["type"] == "extra_forbidden":
        missing = [str(found["loc"][-1]) for found in errors if found["type"] == "missing"]
        known = missing if parents else list(model.model_fields)
        near = difflib.get_close_matches(str(key), known, n=1)
        return f"unknown key {where!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    if first["type"] == "missing":
        return f"{where!r} is missing"
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"{where}: {message}, not {first['input']!r}"[:400]


def dump_yaml(value: Any) -> str:
    """YAML for people: keys in their order, lists of names on one line, text of several lines as it is."""
    return yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=10_000)


class _Plain(yaml.SafeDumper):
    pass


def _sequence(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    flow = all(isinstance(each, str) for each in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flow)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Plain.add_representer(list, _sequence)
_Plain.add_representer(str, _text)
