"""Convert weights from the formats of other programs to what `transformers` loads."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from innerear.util.errors import InnerearError

TIED = "proj_out.weight"
"""The output projection: it is tied to the embedding, so it is not stored."""


def save(
    network: Any, weights: dict[str, Tensor], tokenizer: Any, extractor: Any, folder: Path, where: str
) -> None:
    """Write weights, configuration, tokenizer and front end as `save_pretrained` would, if the weights fit.

    Parameters
    ----------
    network
        A `transformers` model with its generation settings; its own tensors are not used (`meta` will do).
    weights
        The tensors of the model's state dict, without the tied one.
    tokenizer, extractor
        The model's tokenizer and feature extractor.
    folder, where
        The folder to write to, and the name of the weights in messages.

    Raises
    ------
    InnerearError
        If a tensor is missing, unknown or has the wrong shape.
    OSError
        If the folder cannot be written, or the disk is full.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if name != TIED}
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if wrong := sorted(dict(expected.items() ^ given.items())):
        raise InnerearError(f"{where}: tensors do not fit {type(network).__name__}: {', '.join(wrong[:3])}")
    network.config.architectures = [type(network).__name__]
    try:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        for part in (network.config, network.generation_config, tokenizer, extractor):
            part.save_pretrained(folder)
    except OSError:
        raise
    except Exception as error:  # the Rust writers raise their own errors for a full disk
        raise OSError(str(error)) from error
