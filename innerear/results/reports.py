"""Reports in a folder of results, each a JSON file of one schema."""

from pathlib import Path
from typing import TypeVar

from innerear.results.schema import Record
from innerear.util.errors import InnerearError
from innerear.util.paths import data_folder
from innerear.util.reading import parse_json, read_bytes

R = TypeVar("R", bound=Record)


def read_report(path: Path, schema: type[R], what: str, command: str) -> R:
    """A report.

    Parameters
    ----------
    what, command
        What the file should be, and the command that makes it, for the error.

    Raises
    ------
    InnerearError
        If it is something else.
    """
    try:
        return schema.model_validate(parse_json(read_bytes(path)))
    except ValueError as error:  # pydantic's, too
        raise InnerearError(
            f"{path}: not {what} of this version of innerear; run `{command}` again"
        ) from error


def own_or_published(folder: Path, name: str) -> Path:
    """Path of a report in a folder of results or, if it has none, of the published one."""
    own = folder / name
    return own if own.is_file() else data_folder("results") / name
