"""Tracking: results as MLflow runs, a parent for each model of an invocation, a nested run for each task.

A result is stored before it is logged, so nothing is lost if the server fails. Only this module,
`tracking_records`, `tracking_server`, `download` and `system_metrics` know MLflow; they use the client alone,
which leaves no global state and prints nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from innerear.data.schema import Corpus
from innerear.results.schema import Result
from innerear.results.store import read_items
from innerear.runs import tracking_records as records
from innerear.runs.system_metrics import SAMPLED, Meter
from innerear.runs.tracking_server import (
    CONTENT_TAG,
    MODEL_TAG,
    alone,
    client,
    connect,
    is_server,
    reason_of,
    shown,
)
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import atomic

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric


_PER_BATCH = 1000  # MLflow's limit of metrics in one call
_PARAMS_PER_BATCH = 100  # and of parameters


@dataclass
class Tracker:
    """Logs the results of one invocation of innerear; a context manager that closes the runs of its models.

    Attributes
    ----------
    uri
        An MLflow server (`http://…`) or a database URI as in SQLAlchemy; None for SQLite in `folder`.
    folder
        Folder of the default database, and of the artifacts unless a server keeps them.
    experiment
        Name of the MLflow experiment.
    title
        What the runs of models are from, such as the command line.
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
    _parents: dict[tuple[str, str], "_Parent"] = field(default_factory=dict, init=False)

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
                made = client.create_experiment(
                    self.experiment, artifact_location=folder, tags=records.EXPERIMENT_TAGS
                )
                return str(made)
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
        for name, value in records.EXPERIMENT_TAGS.items():
            if name not in known.tags:
                client.set_experiment_tag(known.experiment_id, name, value)
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
            parent = self._parent(self._client, result)
            begun, ended = records.times(result)
            name = f"{result.model.name} · {result.task.id} · {result.corpus.name}"
            run = self._start(self._client, name, begun, {"mlflow.parentRunId": parent.run})
            try:
                datasets = [records.dataset(corpus, role) for role, corpus in corpora.items()]
                self._fill(self._client, run, parent.model, result, path, datasets, plots)
                self._client.log_batch(parent.run, metrics=records.headline(result))
                self._client.log_inputs(parent.run, datasets=datasets)
            except BaseException:
                with suppress(Exception):  # report the first failure, not this one
                    self._client.set_terminated(run, "FAILED")
                raise
            self._client.set_terminated(run, "FINISHED", ended)
            parent.ended = max(parent.ended, ended)
        return True

    def _fill(
        self,
        client: "MlflowClient",
        run: str,
        model: str,
        result: Result,
        path: Path,
        datasets: Sequence["DatasetInput"],
        plots: Sequence[Path],
    ) -> None:
        from mlflow.entities import LoggedModelInput

        metrics = [*records.metrics(result, model), *self._system(result)]
        params = records.params(result)
        for start in range(0, len(params), _PARAMS_PER_BATCH):
            client.log_batch(run, params=params[start : start + _PARAMS_PER_BATCH])
        client.log_batch(run, tags=records.tags(result))
        for start in range(0, len(metrics), _PER_BATCH):
            client.log_batch(run, metrics=metrics[start : start + _PER_BATCH])
        client.log_inputs(run, datasets=datasets, models=[LoggedModelInput(model)])
        beside = path.parent / result.items.path if result.items else None
        for artifact in (path, beside, *plots):
            if artifact is not None:
                client.log_artifact(run, str(artifact))
        if result.items is not None:
            # in a folder: `pull` finds the result as the only JSON beside it
            client.log_table(run, read_items(path, result), "tables/items.json")

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

    def _parent(self, client: "MlflowClient", result: Result) -> "_Parent":
        """The run of a model, created with its first result: without a new one, an invocation leaves none.

        The logged model is its output: in each of its views MLflow has a link to runs that have one.
        """
        from mlflow.entities import LoggedModelOutput

        key = result.model.name, result.model.sha256
        if key not in self._parents:
            note = {records.NOTE: f"From `{shown(self.title)}`.", MODEL_TAG: result.model.sha256}
            run = self._start(client, result.model.name, records.times(result)[0], note)
            model = records.logged_model(client, self._experiment_id, result, run)
            client.log_batch(run, params=records.model_params(result))
            client.log_outputs(run, [LoggedModelOutput(model, step=0)])
            self._parents[key] = _Parent(run, model)
        return self._parents[key]

    def _start(self, client: "MlflowClient", name: str, begun: int, tags: Mapping[str, str]) -> str:
        run = client.create_run(self._experiment_id, begun, {**records.origin(), **tags}, name)
        return str(run.info.run_id)

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
        """Close the runs of models as finished, failed, or killed by the user."""
        self._meter.__exit__(kind, error, traceback)
        if kind is None:
            self.close()
        else:
            with suppress(Exception):  # report what went wrong, not this
                self.close("FAILED" if issubclass(kind, Exception) else "KILLED")

    def close(self, status: str = "FINISHED") -> None:
        """Close the runs of models, if there are any: finished ones when their last task was.

        Raises
        ------
        InnerearError
            If the tracking server fails.
        """
        parents, self._parents = self._parents, {}
        if self._client is None or not parents:
            return
        with (
            self._failing("failed when the run was closed; the results are safe", InnerearError),
            alone(self.address),
        ):
            for parent in parents.values():
                self._client.set_terminated(
                    parent.run, status, parent.ended if status == "FINISHED" else None
                )


@dataclass
class _Parent:
    """The run of a model, its logged model, and when its last task ended, in milliseconds since the epoch."""

    run: str
    model: str
    ended: int = 0
