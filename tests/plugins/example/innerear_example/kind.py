"""A kind of task of one's own, and where its task is."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from innerear.tasks.declarations import Declaration, TaskKind
from innerear.tasks.spec import Spec


class Loudness(Spec):
    """Its parameters, as `task.yaml` states them under `measure`."""

    protocol: Literal["loudness"]
    scale: float = Field(gt=0)


# an outcome is a ratio of norms: from 0 upwards, and not a share of 1
KIND = TaskKind(Loudness, Declaration(scale="rate"), "innerear_example.protocol:LoudnessProtocol")
FOLDER = Path(__file__).parent / "loudness"
