"""The base of every part of a task's YAML."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Base of every part of a task: frozen, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
