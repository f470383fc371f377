"""What a result records of its task and its model."""

from dataclasses import asdict

from innerear.data.schema import Corpus
from innerear.models.base import Identity
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
        contaminated=_contaminated(identity, corpus),
    )


def _contaminated(identity: Identity, corpus: Corpus) -> bool | None:
    """Whether a model was trained on a corpus, by its registry entry; None if its data are undisclosed."""
    known = [name.lower() for name in identity.training_data]
    if not known or not corpus.human:  # synthetic corpora were made for innerear
        return False
    if any(corpus.name.lower().startswith(name) for name in known):
        return True
    return None if any("undisclosed" in name for name in known) else False
