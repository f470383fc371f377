"""Weights that arrive in another program's format, turned into what `transformers` loads."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from innerear.errors import InnerearError

TIED = "proj_out.weight"
"""The output projection: it is the embedding, so it is not stored."""


def save(network: Any, weights: dict[str, Tensor], folder: Path, where: str) -> None:
    """Write weights and configurations as `save_pretrained` would, if they fit the architecture.

    Parameters
    ----------
    network
        A `transformers` model with its generation settings; its own tensors are not used (`meta` will do).
    weights
        The tensors of the model's state dict, without the tied one.
    folder, where
        Where they go, and how messages name them.

    Raises
    ------
    InnerearError
        If a tensor is missing, unknown or of another shape.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if name != TIED}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if wrong := sorted(dict(expected.items() ^ found.items())):
        raise InnerearError(f"{where}: tensors do not fit {type(network).__name__}: {', '.join(wrong[:3])}")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    network.config.architectures = [type(network).__name__]
    network.config.save_pretrained(folder)
    network.generation_config.save_pretrained(folder)
