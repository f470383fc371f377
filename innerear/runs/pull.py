"""Copy results from an MLflow server into a folder, after checking each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from innerear.results.store import Store, read_result
from innerear.results.verify import verify
from innerear.runs.tracking import CONTENT_TAG
from innerear.runs.tracking_server import connect
from innerear.util.errors import InnerearError, InputError
from innerear.util.progress import bar

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Pulled:
    """Paths of results that were added, how many were already there, and why others were refused."""

    added: tuple[Path, ...]
    known: int
    refused: tuple[str, ...]


def pull(uri: str, into: Store, experiment: str | None = None) -> Pulled:
    """Copy the results of finished runs, byte for byte, if `verify` finds no problem.

    Parameters
    ----------
    uri
        An MLflow server, or a database URI as in SQLAlchemy.
    experiment
        Name of one experiment; None for all.

    Raises
    ------
    InputError
        If the server cannot be reached, has no such experiment, or holds no results.
    """
    added, known, refused = [], 0, []
    if (file := uri.removeprefix("sqlite:///")) != uri and not Path(file).is_file():
        raise InputError(f"MLflow tracking at {uri}: there is no such database")  # MLflow would create it
    try:
        client = connect(uri)
        runs = _runs(client, _experiments(client, experiment))
    except InnerearError:
        raise
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"MLflow tracking at {uri} cannot be read ({reason})") from error
    if not runs:
        raise InputError(f"MLflow tracking at {uri} holds no finished innerear results")
    with TemporaryDirectory() as folder, bar("pulling results", len(runs)) as advance:
        for number, run in enumerate(runs):
            try:
                path = _pull_one(client, run, Path(folder) / str(number), into)
            except InputError:
                raise
            except Exception as error:
                refused.append(f"run {run}: {next(iter(str(error).splitlines()), type(error).__name__)}")
            else:
                added += [path] if path else []
                known += path is None
            advance()
    return Pulled(tuple(added), known, tuple(refused))


def _experiments(client: "MlflowClient", name: str | None) -> list[str]:
    experiments = {each.name: str(each.experiment_id) for each in client.search_experiments()}
    if name is None:
        return list(experiments.values())
    if name not in experiments:
        raise InputError(f"no experiment {name!r} on the server; there are {', '.join(sorted(experiments))}")
    return [experiments[name]]


def _runs(client: "MlflowClient", experiments: Sequence[str]) -> list[str]:
    """Ids of finished runs, the newest first; of runs with the same result only the newest."""
    by_content: dict[str, str] = {}
    page = None
    while True:
        runs = client.search_runs(
            list(experiments), f"attributes.status = 'FINISHED' and tags.`{CONTENT_TAG}` LIKE '%'",
            page_token=page,
        )  # fmt: skip
        for run in runs:
            by_content.setdefault(run.data.tags[CONTENT_TAG], str(run.info.run_id))
        page = runs.token
        if not page:
            return list(by_content.values())


def _pull_one(client: "MlflowClient", run: str, folder: Path, into: Store) -> Path | None:
    """Download, check and copy one result; None if it is already there."""
    names = [each.path for each in client.list_artifacts(run) if each.path.endswith((".json", ".parquet"))]
    folder.mkdir()
    for name in names:
        client.download_artifacts(run, name, str(folder))
    results = [folder / name for name in names if name.endswith(".json")]
    if len(results) != 1:
        raise InnerearError(f"expected one result file, found {len(results)}")
    if problems := verify(results[0]):
        raise InnerearError("; ".join(problems))
    result = read_result(results[0])
    target = into.path_of(result)
    if target.exists():
        if read_result(target).content_sha256 != result.content_sha256:
            raise InnerearError(
                f"{target} has other scores for the same task, weights and corpus; it was kept"
            )
        return None
    into.take(results[0], result)
    return target
