"""Tracking: results as MLflow runs, a parent for each invocation, a nested run for each model and task.

A result is stored before it is logged, so nothing is lost if the server fails. Only this module,
`tracking_server`, `download` and `system_metrics` know MLflow; they use the client alone, which leaves no
global state and prints nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from innerear.data.schema import Corpus
from innerear.results.schema import Result
from innerear.runs.system_metrics import SAMPLED, Meter
from innerear.runs.tracking_server import (
    CONTENT_TAG,
    alone,
    client,
    connect,
    is_server,
    legal,
    reason_of,
    shown,
)
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import atomic

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric, Param, RunTag


_PER_BATCH = 1000  # MLflow's limit of metrics in one call
_PARAMS_PER_BATCH = 100  # and of parameters
_LONGEST = 6000  # MLflow's limit of characters in a parameter or tag
_DIGEST = 36  # MLflow's limit of characters in a dataset's digest


@dataclass
class Tracker:
    """Logs the results of one invocation of innerear; a context manager that closes the parent run.

    Attributes
    ----------
    uri
        An MLflow server (`http://…`) or a database URI as in SQLAlchemy; None for SQLite in `folder`.
    folder
        Folder of the default database, and of the artifacts unless a server keeps them.
    experiment
        Name of the MLflow experiment.
    title
        Name of the parent run, such as the command line.
    metered
        Whether the load of this machine is logged: not where others measure.
    """

    uri: str | None
    folder: Path
    experiment: str = "innerear"
    title: str = "innerear run"
    metered: bool = True
    _client: "MlflowClient | None" = field(default=None, init=False)
    _meter: Meter = field(default_factory=Meter, init=False)
    _experiment_id: str = field(default="", init=False)
    _parent: str | None = field(default=None, init=False)

    @property
    def address(self) -> str:
        """The tracking URI in use."""
        return self.uri or f"sqlite:///{self._database}"

    @property
    def _database(self) -> Path:
        return self.folder.resolve() / "mlflow.db"

    def check(self) -> None:
        """Connect, and create the default database and the experiment if they are missing.

        Raises
        ------
        InputError
            If the server does not answer within `SECONDS`, or the database cannot be used.
        """
        remedy = "correct --tracking-uri, or omit it to use SQLite"
        if self.uri is None:
            remedy = "make room, move the file away if it is damaged, or choose another --output"
        with self._failing(f"cannot be used; {remedy}", InputError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with alone(self.address):
                if self.uri is None:
                    self._make_database()
                client = connect(self.address)
                self._experiment_id = self._experiment(client)
            self._client = client

    def _experiment(self, client: "MlflowClient") -> str:
        """Id of the experiment, which is created if it is missing."""
        known = client.get_experiment_by_name(self.experiment)
        if known is None:
            folder = None if is_server(self.address) else (self.folder.resolve() / "mlartifacts").as_uri()
            try:
                return str(client.create_experiment(self.experiment, artifact_location=folder))
            except Exception:
                known = client.get_experiment_by_name(self.experiment)  # another run was faster
                if known is None:
                    raise
        if known.lifecycle_stage == "deleted":
            raise InputError(
                f"the MLflow experiment {self.experiment!r} at {shown(self.address)} was deleted; set "
                "MLFLOW_TRACKING_URI to that address and restore it by `mlflow experiments restore "
                f"--experiment-id {known.experiment_id}`, or give another --tracking-uri or --output"
            )
        return str(known.experiment_id)

    def log(
        self, result: Result, path: Path, corpora: Mapping[str, Corpus], plots: Sequence[Path] = ()
    ) -> bool:
        """Log a stored result, unless the experiment has it already.

        Parameters
        ----------
        path
            The result's JSON; its per-item file lies beside it.
        corpora
            The corpora by role: `test`, and `train` if probes were trained on another corpus.
        plots
            Figures of this result.

        Returns
        -------
        bool
            False if a result of the same content was logged before.

        Raises
        ------
        InnerearError
            If the tracking server fails. The result stays in the store, and the next run logs it.
        """
        if self._client is None:
            self.check()
        assert self._client is not None
        with (
            self._failing(f"failed; {path} is safe, and the next run logs it", InnerearError),
            alone(self.address),
        ):
            logged = f"tags.`{CONTENT_TAG}` = '{result.content_sha256}' and attributes.status = 'FINISHED'"
            if self._client.search_runs([self._experiment_id], logged, max_results=1):
                return False
            run = self._start(
                f"{result.model.name} · {result.task.id} · {result.corpus.name}", self._parent_run()
            )
            try:
                self._fill(self._client, run, result, path, corpora, plots)
            except BaseException:
                with suppress(Exception):  # report the first failure, not this one
                    self._client.set_terminated(run, "FAILED")
                raise
            self._client.set_terminated(run, "FINISHED")
        return True

    def _fill(
        self,
        client: "MlflowClient",
        run: str,
        result: Result,
        path: Path,
        corpora: Mapping[str, Corpus],
        plots: Sequence[Path],
    ) -> None:
        metrics = [*_metrics(result), *self._system(result)]
        params = _params(result)
        for start in range(0, len(params), _PARAMS_PER_BATCH):
            client.log_batch(run, params=params[start : start + _PARAMS_PER_BATCH])
        client.log_batch(run, tags=_tags(result))
        for start in range(0, len(metrics), _PER_BATCH):
            client.log_batch(run, metrics=metrics[start : start + _PER_BATCH])
        client.log_inputs(run, datasets=[_dataset(corpus, role) for role, corpus in corpora.items()])
        beside = path.parent / result.items.path if result.items else None
        for artifact in (path, beside, *plots):
            if artifact is not None:
                client.log_artifact(run, str(artifact))

    def _system(self, result: Result) -> Iterator["Metric"]:
        """Load of the machine during the measurement; nothing for a result that was already stored."""
        from mlflow.entities import Metric

        if not self.metered:
            return
        end = datetime.fromisoformat(result.run.created).timestamp()
        span = end - result.run.total_s, end + SAMPLED  # so that a shorter measurement has a sample, too
        for step, (when, values) in enumerate(self._meter.between(*span)):
            for name, value in values.items():
                yield Metric(f"system/{name}", value, int(1000 * when), step)

    def _parent_run(self) -> str:
        """The parent run, created with the first result: an invocation without new results leaves no run."""
        if self._parent is None:
            self._parent = self._start(shown(self.title), None)
        return self._parent

    def _start(self, name: str, parent: str | None) -> str:
        assert self._client is not None
        tags = {"mlflow.parentRunId": parent} if parent else {}
        return str(self._client.create_run(self._experiment_id, run_name=name, tags=tags).info.run_id)

    def _make_database(self) -> None:
        """Create MLflow's tables in a temporary file first, so that a kill leaves no broken database."""
        if not self._database.exists():
            with atomic(self._database) as temporary:
                client(f"sqlite:///{temporary}").search_experiments(max_results=1)

    @contextmanager
    def _failing(self, consequence: str, kind: type[InnerearError]) -> Iterator[None]:
        """Turn whatever MLflow raises (its own errors, those of requests and SQLAlchemy) into one line."""
        try:
            yield
        except InnerearError:
            raise
        except Exception as error:
            raise kind(
                f"MLflow tracking at {shown(self.address)} {consequence} ({reason_of(error, self.address)})"
            ) from error

    def __enter__(self) -> Self:
        """Connect, and start sampling the load of the machine."""
        self.check()
        self._meter.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the parent run as finished, failed, or killed by the user."""
        self._meter.__exit__(kind, error, traceback)
        if kind is None:
            self.close()
        else:
            with suppress(Exception):  # report what went wrong, not this
                self.close("FAILED" if issubclass(kind, Exception) else "KILLED")

    def close(self, status: str = "FINISHED") -> None:
        """Close the parent run, if there is one.

        Raises
        ------
        InnerearError
            If the tracking server fails.
        """
        if self._client is None or self._parent is None:
            return
        parent, self._parent = self._parent, None
        with (
            self._failing("failed when the run was closed; the results are safe", InnerearError),
            alone(self.address),
        ):
            self._client.set_terminated(parent, status)


def _params(result: Result) -> list["Param"]:
    from mlflow.entities import Param

    spec = pd.json_normalize(result.task.spec).iloc[0].to_dict() if result.task.spec else {}
    values: dict[str, Any] = {
        "model": result.model.name,
        "model.kind": result.model.kind,
        "model.family": result.model.family,
        "model.revision": result.model.revision,
        "model.source": result.model.source,
        "model.parameters": result.model.parameters,
        "corpus": result.corpus.name,
        "corpus.version": result.corpus.version,
        "train_corpus": result.train_corpus.name if result.train_corpus else None,
        "device": result.run.device,
        "threads": result.run.threads,
        "batch_size": result.run.batch_size,
        "precision": result.environment.precision,
        **{f"seed.{name}": seed for name, seed in result.seeds.items()},
        **{f"task.{name}": value for name, value in spec.items()},
    }
    return [Param(legal(name), str(value)[:_LONGEST]) for name, value in values.items() if value is not None]


def _tags(result: Result) -> list["RunTag"]:
    from mlflow.entities import RunTag

    values = {
        CONTENT_TAG: result.content_sha256,
        "innerear.record_sha256": result.record_sha256,
        "innerear.task": f"{result.task.id}@{result.task.version}",
        "innerear.task_sha256": result.task.sha256,
        "innerear.model_sha256": result.model.sha256,
        "innerear.corpus_fingerprint": result.corpus.fingerprint,
        "innerear.status": result.status,
        "innerear.reason": result.reason or "",
        "innerear.version": result.environment.innerear,
        "mlflow.source.name": "innerear",
        "mlflow.source.git.commit": result.environment.git_commit or "",
    }
    return [RunTag(name, value[:_LONGEST]) for name, value in values.items() if value]


def _metrics(result: Result) -> Iterator["Metric"]:
    """Scores and timings at step 0; curves with step = layer."""
    from mlflow.entities import Metric

    when = int(datetime.fromisoformat(result.run.created).timestamp() * 1000)

    def bounded(
        name: str, value: float, low: float | None, high: float | None, step: int
    ) -> Iterator[Metric]:
        for suffix, number in (("", value), (".low", low), (".high", high)):
            if number is not None:
                yield Metric(legal(name + suffix), number, when, step)

    for name, score in result.scores.items():
        yield from bounded(name, score.value, score.low, score.high, 0)
    for curve in result.curves:
        for point in curve.points:
            yield from bounded(
                f"{curve.name}.{curve.metric}", point.value, point.low, point.high, point.layer
            )
    for name, value in result.run:
        if isinstance(value, float) or name == "cached_items":
            yield Metric(f"run.{name}", float(value), when, 0)


def _dataset(corpus: Corpus, role: str) -> "DatasetInput":
    """A corpus as an MLflow dataset: the table of its items without their audio."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.http_dataset_source import HTTPDatasetSource
    from mlflow.data.pandas_dataset import from_pandas
    from mlflow.entities import Dataset, DatasetInput, InputTag

    columns = (
        "id",
        "audio_sha256",
        "duration",
        "text",
        "language",
        "speaker",
        "gender",
        "accent",
        "condition",
    )
    table = pd.DataFrame([{name: getattr(item, name) for name in columns} for item in corpus])
    source = (
        HTTPDatasetSource.from_dict({"url": corpus.source})
        if corpus.source.startswith(("http://", "https://"))
        else CodeDatasetSource({"source": corpus.source, "version": corpus.version})
    )
    dataset = from_pandas(table, source=source, name=corpus.name, digest=corpus.fingerprint()[:_DIGEST])
    return DatasetInput(Dataset(**dataset.to_dict()), tags=[InputTag("mlflow.data.context", role)])
