"""Reports in a folder of results, each a JSON file of one schema."""

from pathlib import Path
from typing import TypeVar

from innerear.results.schema import Record
from innerear.util.errors import InnerearError
from innerear.util.reading import parse_json, read_bytes

R = TypeVar("R", bound=Record)


def read_report(path: Path, schema: type[R], what: str, command: str) -> R:
    """A report.

    Parameters
    ----------
    what, command
        What the file should be, and the command of innerear that makes it, for the error.

    Raises
    ------
    InnerearError
        If it is something else.
    """
    try:
        return schema.model_validate(parse_json(read_bytes(path)))
    except ValueError as error:  # pydantic's, too
        raise InnerearError(
            f"{path}: not {what} of this version of innerear; run `innerear {command}` again"
        ) from error
