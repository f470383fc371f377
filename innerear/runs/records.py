"""What a result records of its task and its model."""

from dataclasses import asdict

from innerear.data.schema import Corpus
from innerear.models.base import Identity
from innerear.models.registry import trained_on
from innerear.results.schema import ModelInfo, TaskInfo
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
