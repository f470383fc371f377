"""Reports in a folder of results, each a JSON file of one schema."""

from pathlib import Path
from typing import TypeVar

from innerear.results.schema import Environment, Record
from innerear.util.errors import InnerearError, InputError
from innerear.util.paths import data_folder
from innerear.util.reading import parse_json, read_bytes

R = TypeVar("R", bound=Record)


class MeasuredModels(Record):
    """A report on models, to which later measurements are added.

    Attributes
    ----------
    environments
        Environments by the processor or GPU, which entries state as their machine. A model is compared with
        variants of itself that were measured on the same machine, so that entries may be of several.
    """

    environments: dict[str, Environment]

    def refuse_other_packages(self, here: Environment) -> None:
        """Refuse what is measured here with other packages than entries of the same machine.

        Raises
        ------
        InputError
            If the packages differ.
        """
        its = self.environments.get(here.machine)
        if its is not None and (reason := its.other_packages(here)):
            raise InputError(f"what is there was measured with {reason}; give another --output")


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


def earlier_report(path: Path | None, schema: type[R], what: str, command: str) -> R | None:
    """The report of an earlier call, to which a later one adds; None if there is none."""
    return read_report(path, schema, what, command) if path is not None and path.is_file() else None


def own_or_published(folder: Path, name: str) -> Path:
    """Path of a report in a folder of results or, if it has none, of the published one."""
    own = folder / name
    return own if own.is_file() else data_folder("results") / name
