"""Load YAML into a pydantic model; errors are one line."""

import difflib
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from innerear.util.errors import InputError

M = TypeVar("M", bound=BaseModel)


def load_yaml(path: Path, model: type[M]) -> M:
    """Read and validate a YAML file.

    Raises
    ------
    InputError
        If the file cannot be read, is not YAML, or does not fit the model: one line with file, key and what
        was expected; for an unknown key, the nearest known one is suggested.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not YAML: {reason}") from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error, model)}") from error


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
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{where}: {message}, not {first['input']!r}"[:400]
