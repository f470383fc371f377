"""What is in a model's folder, told from names and headers alone; nothing here needs torch."""

import json
from pathlib import Path
from typing import Any

from innerear.util.errors import InputError


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON table of a folder; None if there is no such file.

    Raises
    ------
    InputError
        If the file is damaged or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); copy or save it again") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no table of settings; copy or save it again")
    return value
