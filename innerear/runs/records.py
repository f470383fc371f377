"""What a result records of its task and its model."""

from dataclasses import asdict
from typing import Any

from innerear.data.schema import Corpus
from innerear.models.base import Identity
from innerear.models.registry import trained_on
from innerear.results.schema import ModelInfo, Result, TaskInfo
from innerear.tasks.task import Task


def task_info(task: Task) -> TaskInfo:
    """What a result says of its task."""
    return TaskInfo(
        id=task.id,
        version=task.version,
        sha256=task.sha256(),
        protocol=task.measure.protocol,
        spec=task.canonical(),
        **task.prose(),
    )


def model_info(identity: Identity, twin_of: str | None, corpus: Corpus) -> ModelInfo:
    """What a result says of its model; `twin_of` is the name of a random twin's model."""
    return ModelInfo(
        **asdict(identity),
        sha256=identity.sha256,
        twin_of=twin_of,
        contaminated=trained_on(identity.training_data, corpus.name, corpus.human),
    )


def event_of(result: Result) -> dict[str, Any]:
    """What the log for programs says of a result."""
    said = {
        "task": result.task.id, "version": result.task.version, "corpus": result.corpus.name,
        "train_corpus": result.train_corpus.name if result.train_corpus else None,
        "model": result.model.name, "kind": result.model.kind, "status": result.status,
        "reason": result.reason, "headline": result.headline,
    }  # fmt: skip
    score = result.score.model_dump(exclude={"column"}) if result.score else {}
    return said | score | {"measured_s": result.run.total_s, "content_sha256": result.content_sha256}
