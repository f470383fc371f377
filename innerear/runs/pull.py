"""Results from an MLflow server into a folder: what a colleague measured, checked before it counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from innerear.results.store import Store, read_result
from innerear.results.verify import verify
from innerear.runs.tracking import CONTENT_TAG, connect
from innerear.util.errors import InnerearError, InputError
from innerear.util.progress import bar

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Pulled:
    """Where results were put, how many were there already, and what was refused and why."""

    added: tuple[Path, ...]
    known: int
    refused: tuple[str, ...]


def pull(uri: str, into: Store, experiment: str | None = None) -> Pulled:
    """Copy the results of finished runs, byte for byte, as far as `verify` finds nothing.

    Parameters
    ----------
    uri
        An MLflow server, or a database as SQLAlchemy writes it.
    experiment
        Name of one experiment; None for all.

    Raises
    ------
    InputError
        If the server cannot be reached, has no such experiment, or holds no results.
    """
    added, known, refused = [], 0, []
    if (file := uri.removeprefix("sqlite:///")) != uri and not Path(file).is_file():
        raise InputError(f"MLflow tracking at {uri}: there is no such database")  # MLflow would make one
    try:
        client = connect(uri)
        runs = _runs(client, _experiments(client, experiment))
    except InnerearError:
        raise
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"MLflow tracking at {uri} cannot be read ({reason})") from error
    if not runs:
        raise InputError(f"MLflow tracking at {uri} holds no finished results of innerear")
    with TemporaryDirectory() as folder, bar("pulling results", len(runs)) as advance:
        for number, run in enumerate(runs):
            try:
                made = _one(client, run, Path(folder) / str(number), into)
            except InputError:
                raise
            except Exception as error:
                refused.append(f"run {run}: {next(iter(str(error).splitlines()), type(error).__name__)}")
            else:
                added += [made] if made else []
                known += made is None
            advance()
    return Pulled(tuple(added), known, tuple(refused))


def _experiments(client: "MlflowClient", name: str | None) -> list[str]:
    found = {each.name: str(each.experiment_id) for each in client.search_experiments()}
    if name is None:
        return list(found.values())
    if name not in found:
        raise InputError(f"no experiment {name!r} on the server; there are {', '.join(sorted(found))}")
    return [found[name]]


def _runs(client: "MlflowClient", experiments: Sequence[str]) -> list[str]:
    """Finished runs of a result each, page by page, the newest first; of one content only one."""
    found: dict[str, str] = {}
    page = None
    while True:
        runs = client.search_runs(
            list(experiments), f"attributes.status = 'FINISHED' and tags.`{CONTENT_TAG}` LIKE '%'",
            page_token=page,
        )  # fmt: skip
        for run in runs:
            found.setdefault(run.data.tags[CONTENT_TAG], str(run.info.run_id))
        page = runs.token
        if not page:
            return list(found.values())


def _one(client: "MlflowClient", run: str, folder: Path, into: Store) -> Path | None:
    """Fetch, check and place one result; None if it is there already."""
    names = [each.path for each in client.list_artifacts(run) if each.path.endswith((".json", ".parquet"))]
    folder.mkdir()
    for name in names:
        client.download_artifacts(run, name, str(folder))
    results = [folder / name for name in names if name.endswith(".json")]
    if len(results) != 1:
        raise InnerearError(f"it has {len(results)} result files instead of one")
    if problems := verify(results[0]):
        raise InnerearError("; ".join(problems))
    result = read_result(results[0])
    place = into.path_of(result)
    if place.exists():
        if read_result(place).content_sha256 != result.content_sha256:
            raise InnerearError(f"{place} has other scores for the same task, weights and corpus; kept that")
        return None
    into.take(results[0], result)
    return place
