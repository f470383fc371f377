"""What MLflow is told of a result: parameters, tags, metrics, its dataset, its model, and a description."""

import getpass
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from innerear.data.schema import Corpus
from innerear.results.schema import CurvePoint, Result, Score
from innerear.results.store import Store
from innerear.runs.tracking_server import CONTENT_TAG, MODEL_TAG, legal
from innerear.util.sanitise import slug

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric, Param, RunTag

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a description."""
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # else MLflow may open its view of conversations
    NOTE: (
        "Results of innerear. A run for each model has the headlines of its tasks (`TASK SCORE on CORPUS`). "
        "Below it, one for each task has all scores (`TASK/CORPUS/SCORE`), their intervals "
        "(`…/intervals/SCORE.low`, `.high`), curves by layer (`…/layers/CURVE`, step = layer) and outcomes "
        "of items (`tables/items.json`). `innerear pull --output runs` downloads the results, and "
        "`innerear leaderboard --results runs` compares them."
    ),
}
"""Tags of an experiment."""
_LONGEST = 6000  # MLflow's limit of characters in a parameter or tag
_LONGEST_OF_MODEL = 250  # and in a parameter of a model
DIGEST = 36  # MLflow's limit of characters in a dataset's digest


def times(result: Result) -> tuple[int, int]:
    """When the measurement began and ended, in milliseconds since the epoch."""
    end = datetime.fromisoformat(result.run.created).timestamp()
    return int(1000 * (end - result.run.total_s)), int(1000 * end)


def origin() -> dict[str, str]:
    """Tags of every run and logged model: what made it, and who, as MLflow itself would say."""
    made = {"mlflow.source.name": "innerear", "mlflow.source.type": "LOCAL"}
    with suppress(OSError, KeyError):  # a user without a name, as in a container
        made["mlflow.user"] = os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    return made


def description(result: Result) -> str:
    """What was measured, what was found, and how to see all of it; Markdown."""
    path = Store(Path("runs")).path_of(result)
    found = str(result).strip("<>").replace("_", r"\_")
    return (
        f"{result.task.question}\n\n{found}.\n\n"
        f"`innerear pull --output runs` downloads the result, and `innerear show {path}` shows all of it."
    )


def params(result: Result) -> list["Param"]:
    """Parameters of the run of a task on a model."""
    spec = pd.json_normalize(result.task.spec).iloc[0].to_dict() if result.task.spec else {}
    values: dict[str, Any] = {
        **_model(result),
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
    return _legal(values)


def model_params(result: Result) -> list["Param"]:
    """Parameters of the run of a model."""
    return _legal(_model(result))


def _model(result: Result) -> dict[str, Any]:
    model = result.model
    facts = ("kind", "family", "revision", "source", "parameters", "twin_of")
    return {"model": model.name, **{f"model.{name}": getattr(model, name) for name in facts}}


def _legal(values: dict[str, Any]) -> list["Param"]:
    from mlflow.entities import Param

    return [Param(legal(name), str(value)[:_LONGEST]) for name, value in values.items() if value is not None]


def tags(result: Result) -> list["RunTag"]:
    """Tags of the run of a task on a model: its hashes, and its description."""
    from mlflow.entities import RunTag

    values = {
        CONTENT_TAG: result.content_sha256,
        NOTE: description(result),
        "innerear.record_sha256": result.record_sha256,
        "innerear.task": f"{result.task.id}@{result.task.version}",
        "innerear.task_sha256": result.task.sha256,
        MODEL_TAG: result.model.sha256,
        "innerear.corpus_fingerprint": result.corpus.fingerprint,
        "innerear.status": result.status,
        "innerear.reason": result.reason or "",
        "innerear.version": result.environment.innerear,
        "mlflow.source.git.commit": result.environment.git_commit or "",
    }
    return [RunTag(name, value[:_LONGEST]) for name, value in values.items() if value]


def metrics(result: Result, model: str) -> Iterator["Metric"]:
    """Scores, of a logged model by its id, and timings at step 0; curves with step = layer."""
    from mlflow.entities import Metric

    # the same names for all models, so that they are compared in like things
    when, place = times(result)[1], f"{result.task.id}/{_corpora(result)}"
    of = {"dataset_name": result.corpus.name, "dataset_digest": result.corpus.fingerprint[:DIGEST]}

    def bounds(folder: str, name: str, of: Score | CurvePoint, step: int) -> Iterator[Metric]:
        for side, bound in (("low", of.low), ("high", of.high)):
            if bound is not None:
                yield Metric(legal(f"{folder}/intervals/{name}.{side}"), bound, when, step)

    for name, score in result.scores.items():
        yield Metric(legal(f"{place}/{name}"), score.value, when, 0, model_id=model, **of)
        yield from bounds(place, name, score, 0)
    for curve in result.curves:
        name, folder = f"{curve.name}.{curve.metric}", f"{place}/layers"
        for point in curve.points:
            yield Metric(legal(f"{folder}/{name}"), point.value, when, point.layer)
            yield from bounds(folder, name, point, point.layer)
    for name, value in result.run:
        if isinstance(value, float) or name == "cached_items":
            yield Metric(f"run/{name}", float(value), when, 0)


def headline(result: Result) -> list["Metric"]:
    """What the run of a model says of a task."""
    from mlflow.entities import Metric

    if result.score is None:
        return []
    # without a slash, so that MLflow draws those of all tasks side by side
    name = legal(f"{result.task.id} {result.headline} on {_corpora(result)}")
    return [Metric(name, result.score.value, times(result)[1], 0)]


def _corpora(result: Result) -> str:
    learnt = f" from {slug(result.train_corpus.name)}" if result.train_corpus else ""
    return f"{slug(result.corpus.name)}{learnt}"


def logged_model(client: "MlflowClient", experiment: str, result: Result, run: str) -> str:
    """Id of a result's model in an experiment: one that is there, or a new one without its weights.

    Parameters
    ----------
    run
        The run that it is from, if it is new.
    """
    model = result.model
    name = re.sub(r"[/:.%\"']", "-", model.name)  # what MLflow allows in none
    same = f"name = '{name}' AND tags.`{MODEL_TAG}` = '{model.sha256}'"
    if known := client.search_logged_models([experiment], same, max_results=1):
        return str(known[0].model_id)
    facts = {name: value for name, value in _model(result).items() if value is not None}
    made = client.create_logged_model(
        experiment,
        name=name,
        source_run_id=run,
        tags={**origin(), MODEL_TAG: model.sha256, "mlflow.model.isExternal": "true"},
        params={name: str(value)[:_LONGEST_OF_MODEL] for name, value in facts.items()},
        model_type=model.kind,
    )
    client.finalize_logged_model(made.model_id, "READY")
    return str(made.model_id)


def dataset(corpus: Corpus, role: str) -> "DatasetInput":
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
    dataset = from_pandas(table, source=source, name=corpus.name, digest=corpus.fingerprint()[:DIGEST])
    return DatasetInput(Dataset(**dataset.to_dict()), tags=[InputTag("mlflow.data.context", role)])
