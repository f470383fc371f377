"""Download results from an MLflow server in a process of limited time, memory and size of files.

A server may be slow, broken or hostile: it can send without an end, or a byte a minute. `python -m
innerear.runs.download` reads a `Request` from standard input (its address may hold a password, which a
command line would show), and writes a line of JSON for each answer. It ends itself where a limit is reached,
and whoever started it goes on with the next run.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil

from innerear.results.verify import verify
from innerear.runs.tracking_server import CONTENT_TAG, connect, is_server, reason_of, shown
from innerear.util.errors import InnerearError, InputError
from innerear.util.sanitise import clean

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MEMORY = 2 * 2**30
"""Bytes that answers and results may need."""
PAGES = 1000
"""Pages of a list."""

_BUCKETS = ("s3", "gs", "wasbs", "abfss", "r2")  # reached with the user's own keys for them
_LIMITS = {"MLFLOW_ALLOW_HTTP_REDIRECTS": "false", "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false"}


@dataclass(frozen=True)
class Request:
    """What to download.

    Attributes
    ----------
    uri, experiment
        As for `pull`.
    folder
        Each run's files go to a folder of the run's id in it.
    skip
        Ids of runs to leave out.
    seconds
        Longest time for the list of runs, and for each run.
    size
        Most bytes of a file.
    """

    uri: str
    experiment: str | None
    folder: str
    skip: tuple[str, ...]
    seconds: int
    size: int

    def to_json(self) -> str:
        """The request on one line."""
        return json.dumps(asdict(self))


def answers(request: Request) -> Iterator[dict[str, Any]]:
    """List the runs, then download and verify the results of each.

    Yields
    ------
    dict
        `total`, the number of runs; for each run `start`, its id, and then either `folder` or `refused`, the
        reason; at the end `end`.

    Raises
    ------
    InputError
        If the server cannot be read, has no such experiment, or holds no results.
    """
    signal.alarm(request.seconds)
    try:
        client = connect(request.uri)
        with suppress(ValueError, OSError):  # where the system has no such limit, the clock is left
            room = psutil.Process().memory_info().vms + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (room, room))
        resource.setrlimit(resource.RLIMIT_FSIZE, (request.size, request.size))
        runs = _runs(client, _experiments(client, request.experiment))
    except InnerearError:
        raise
    except Exception as error:
        told = f"MLflow tracking at {shown(request.uri)} cannot be read ({_line(error, request.uri)})"
        raise InputError(told) from error
    if not runs:
        raise InputError(f"MLflow tracking at {shown(request.uri)} holds no finished innerear results")
    left = {run: artifacts for run, artifacts in runs.items() if run not in request.skip}
    yield {"total": len(left)}
    for number, (run, artifacts) in enumerate(left.items()):
        signal.alarm(request.seconds)
        yield {"start": run}
        folder = Path(request.folder) / f"{len(request.skip) + number}"
        try:
            _download(artifacts, request.uri, folder)
        except Exception as error:
            yield {"refused": _line(error, request.uri)}
        else:
            yield {"folder": str(folder)}
    signal.alarm(0)
    yield {"end": True}


def _line(error: Exception, uri: str) -> str:
    if isinstance(error, InnerearError):
        return clean(str(error))
    if isinstance(error, MemoryError):
        return f"it needs more than {MEMORY // 2**20} MiB of memory"
    return reason_of(error, uri)


def _paged(search: Callable[..., Any]) -> Iterator[Any]:
    """Everything on all pages of a list."""
    token = None
    for _ in range(PAGES):
        page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return
    raise InputError(f"the server sends more than {PAGES} pages; name one experiment")


def _experiments(client: "MlflowClient", name: str | None) -> list[str]:
    experiments = {each.name: str(each.experiment_id) for each in _paged(client.search_experiments)}
    if name is None:
        return list(experiments.values())
    if name not in experiments:
        raise InputError(
            f"no experiment {name!r} on the server; there are {clean(', '.join(sorted(experiments)))}"
        )
    return [experiments[name]]


def _runs(client: "MlflowClient", experiments: list[str]) -> dict[str, str]:
    """Places of the artifacts of finished runs by id, the newest first; of equal results only the newest."""
    finished = f"attributes.status = 'FINISHED' and tags.`{CONTENT_TAG}` LIKE '%'"

    def search(page_token: str | None) -> Any:
        return client.search_runs(experiments, finished, page_token=page_token)

    by_content: dict[str, Run] = {}
    for run in _paged(search):
        by_content.setdefault(run.data.tags[CONTENT_TAG], run)
    return {str(run.info.run_id): str(run.info.artifact_uri) for run in by_content.values()}


def _download(artifacts: str, uri: str, folder: Path) -> None:
    """Download the result file of one run and its per-item file, and verify them."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    if is_server(uri) and not _is_own(artifacts, uri):
        raise InnerearError(f"its files are at {shown(artifacts)}, which a server may not send anybody to")
    kept = get_artifact_repository(artifacts, tracking_uri=uri)
    names = [each.path for each in kept.list_artifacts() if not each.is_dir]
    results = [name for name in names if name.endswith(".json")]
    if len(results) != 1:
        raise InnerearError(f"expected one result file, found {len(results)}")
    folder.mkdir()
    for name in (*results, *(name for name in names if name.endswith(".items.parquet"))):
        if name != Path(name).name or name.startswith("."):
            raise InnerearError(f"{name!r} is not the name of a file")
        if name == results[0] or name.removesuffix(".items.parquet") == results[0].removesuffix(".json"):
            kept._download_file(name, str(folder / name))
    if problems := verify(folder / results[0]):
        raise InnerearError("; ".join(problems))


def _is_own(artifacts: str, uri: str) -> bool:
    """Whether artifacts are kept by the server itself, or in a bucket; not on the user's own disk, say."""
    place = urlsplit(artifacts)
    if place.scheme in ("http", "https"):
        return place[:2] == urlsplit(uri)[:2]
    return place.scheme in _BUCKETS or (
        place.scheme == "mlflow-artifacts" and place.netloc in ("", urlsplit(uri).netloc)
    )


def main() -> None:
    """Answer the request on standard input."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)  # what a library prints is no answer
        request = Request(**json.loads(sys.stdin.readline()))
        os.environ.update(_LIMITS)
        from mlflow import MlflowClient  # noqa: F401 (takes seconds, which are not the server's)

        try:
            for answer in answers(request):
                print(json.dumps(answer), file=out, flush=True)
        except InputError as error:
            print(json.dumps({"failed": str(error)}), file=out, flush=True)


if __name__ == "__main__":
    main()
