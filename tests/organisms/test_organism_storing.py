"""What organisms share with other models is stored once, and put together again as it was."""

import shutil

import pytest
import torch
from conftest import save_tiny
from safetensors.torch import load_file, save_file

from innerear.models import weights
from innerear.models.registry import ModelSpec
from innerear.models.weights import fetch, weights_sha256
from innerear.organisms import storing
from innerear.organisms.storing import store
from innerear.util.errors import InnerearError, InputError

ENCODER = "model.encoder."


def spec(name, sources):
    return ModelSpec.model_validate(
        {
            "name": name, "title": "Tiny", "family": "whisper", "licence": "MIT", "parameters": 1,
            "languages": ["en"], "training_data": [], "citation": "@", "sources": sources,
        }
    )  # fmt: skip


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A folder with a model that borrows the encoder of another one; `weights/` is beside it."""
    lender = save_tiny("whisper", tmp_path / "lender")
    folder = tmp_path / "made" / "borrower"
    shutil.copytree(lender, folder)
    tensors = load_file(folder / "model.safetensors")
    changed = {
        key: value if key.startswith(ENCODER) else (value + 1).half() for key, value in tensors.items()
    }
    save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
    borrowed = [{"model": "lender", "theirs": ENCODER, "ours": ENCODER}]
    pinned = weights_sha256(folder)
    source = {"kind": "stored", "folder": "borrower", "borrowed": borrowed, "weights_sha256": pinned}
    specs = {
        "lender": spec("lender", [{"kind": "local", "path": str(lender)}]),
        "borrower": spec("borrower", [source]),
    }
    for module in (weights, storing):
        monkeypatch.setattr(module, "load_spec", specs.__getitem__)
        monkeypatch.setattr(module, "data_folder", lambda name: tmp_path / name)
    monkeypatch.setattr(storing, "STORED", ("borrower",))
    return folder, specs["borrower"]


def test_a_stored_model_is_put_together_as_it_was_made(made, tmp_path):
    folder, borrower = made
    (stored,) = store(folder.parent)
    assert not [key for key in load_file(stored / "model.safetensors") if key.startswith(ENCODER)]
    fetched = fetch(borrower)
    whole, again = (load_file(each / "model.safetensors") for each in (folder, fetched.folder))
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    assert fetched.source == "stored weights/borrower"


def test_weights_that_are_not_what_was_pinned_are_refused(made):
    folder, borrower = made
    (stored,) = store(folder.parent)
    own = load_file(stored / "model.safetensors")
    save_file({key: value * 2 for key, value in own.items()}, stored / "model.safetensors")
    with pytest.raises(InnerearError, match="not the pinned"):
        fetch(borrower)


def test_an_organism_with_other_ears_than_its_lender_is_not_stored(made):
    folder, _ = made
    tensors = load_file(folder / "model.safetensors")
    tensors[f"{ENCODER}conv1.weight"] += 1
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InnerearError, match="not what its lender has"):
        store(folder.parent)


def test_an_installed_package_says_where_the_weights_are(made):
    with pytest.raises(InputError, match="in a clone of the repository"):
        fetch(made[1])
