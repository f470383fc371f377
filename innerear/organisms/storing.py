"""What of an organism is kept in `weights/`: all that no other registered model has already."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from innerear.models.registry import StoredSource, load_spec
from innerear.models.weights import borrowed
from innerear.util.errors import InnerearError
from innerear.util.io import atomic
from innerear.util.paths import data_folder

STORED = ("organism-tdt", "organism-ctc", "organism-audio-lm")
"""Registered models, and the folders that the stages of the recipe make: each borrows from earlier ones."""


def store(made: Path) -> list[Path]:
    """Copy the organisms from `made` into `weights/` of this checkout, without what they borrow.

    Raises
    ------
    InnerearError
        If a tensor that is borrowed is not the one that the organism was made with.
    """
    return [_stored(made, name) for name in STORED]


def _stored(made: Path, name: str) -> Path:
    (source,) = (source for source in load_spec(name).sources if isinstance(source, StoredSource))
    tensors = load_file(made / name / "model.safetensors")
    lent = borrowed(source)
    for key, value in lent.items():
        if key not in tensors or not torch.equal(tensors[key].float(), value.float()):
            raise InnerearError(f"{made / name}: {key} is not what its lender has; make the model again")
    folder = data_folder("weights") / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made / name, folder, ignore=shutil.ignore_patterns("model.safetensors"))
    own = {key: value for key, value in tensors.items() if key not in lent}
    with atomic(folder / "model.safetensors") as temporary:
        save_file(own, temporary, metadata={"format": "pt"})
    return folder
