"""A model's hash covers all that decides what it does, and nothing else."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from innerear.models.loading import load_model, model_parts_of
from innerear.models.networks import dtype_name
from innerear.models.registry import load_spec
from innerear.models.weights import fetch
from tests.conftest import save_tiny


def _parts(folder):
    spec = load_spec(str(folder))
    return model_parts_of(spec, fetch(spec))


def _edit(path, **changes):
    values = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(values | changes))


def _other_tensor(folder):
    tensors = load_file(folder / "model.safetensors")
    name = min(tensors)
    save_file(tensors | {name: tensors[name] + 1}, folder / "model.safetensors", {"format": "pt"})


def _other_spelling(folder):
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    words = content["model"]["vocab"]
    one, other = sorted(words)[:2]
    words[one], words[other] = words[other], words[one]
    path.write_text(json.dumps(content))


EDITS = [
    ("weights", "wav2vec2", _other_tensor),
    ("config", "wav2vec2", lambda folder: _edit(folder / "config.json", hidden_act="relu")),
    ("config", "wav2vec2", lambda folder: _edit(folder / "config.json", num_attention_heads=8)),
    ("config", "whisper", lambda folder: _edit(folder / "config.json", activation_function="relu")),
    ("front_end", "wav2vec2", lambda folder: _edit(_extractor(folder), do_normalize=False)),
    ("tokenizer", "whisper", _other_spelling),
    ("generation", "whisper", lambda folder: _edit(folder / "generation_config.json", max_new_tokens=3)),
    ("generation", "whisper", lambda folder: _edit(folder / "generation_config.json", suppress_tokens=[9])),
]


def _extractor(folder):
    return next(
        folder / name
        for name in ("preprocessor_config.json", "processor_config.json")
        if (folder / name).is_file()
    )


@pytest.mark.parametrize(("part", "family", "edit"), EDITS)
def test_an_edit_shows_in_its_part_and_in_the_hash(part, family, edit, tmp_path):
    folder = save_tiny(family, tmp_path)
    before = load_model(str(folder)).identity
    edit(folder)
    after = load_model(str(folder)).identity
    assert {name for name in before.parts if before.parts[name] != after.parts[name]} == {part}
    assert before.sha256 != after.sha256
    assert (before.weights_sha256 != after.weights_sha256) == (part == "weights")


@pytest.mark.parametrize("family", ["whisper", "moonshine", "wav2vec2"])
def test_what_changes_nothing_is_not_hashed(family, tmp_path):
    folder = save_tiny(family, tmp_path)
    before = _parts(folder)
    _edit(
        folder / "config.json", transformers_version="4.0", attention_dropout=0.3, use_cache=False,
        _name_or_path="/somewhere/else",
    )  # fmt: skip
    (folder / "README.md").write_text("a card")
    assert _parts(folder) == before


def test_the_identity_is_known_without_loading_the_weights_into_a_network(tmp_path):
    folder = save_tiny("whisper", tmp_path)
    assert _parts(folder) == load_model(str(folder)).identity.parts


def test_a_twin_differs_in_weights_and_recipe_only(tmp_path):
    folder = save_tiny("whisper", tmp_path)
    model, twin = load_model(str(folder)).identity, load_model(str(folder), twin_seed=0).identity
    assert {name for name in twin.parts if twin.parts[name] != model.parts.get(name)} == {"weights", "recipe"}
    assert load_model(str(folder), twin_seed=1).identity.sha256 != twin.sha256


def test_the_prompt_is_spelt_out(tmp_path):
    folder = save_tiny("whisper", tmp_path)
    prompt = load_model(str(folder)).identity.parts["prompt"]
    assert prompt == "<|startoftranscript|><|en|><|transcribe|><|notimestamps|>"


def test_the_type_of_numbers_is_measured(tmp_path):
    model = load_model(str(save_tiny("moonshine", tmp_path)))
    assert model.identity.parts["dtype"] == dtype_name(model.network) == "float32"
    assert dtype_name(model.network.half()) == "float16"


def test_values_that_are_stored_in_another_precision_are_one_content(tmp_path):
    folder = save_tiny("wav2vec2", tmp_path)
    stored = load_file(folder / "model.safetensors")
    found = []
    for dtype in (torch.float16, torch.float32, torch.float64):
        tensors = {name: tensor.half().to(dtype) for name, tensor in stored.items()}
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        found.append(_parts(folder))
    assert found[0] == found[1] == found[2] != load_model(str(save_tiny("wav2vec2", tmp_path))).identity.parts


def test_the_registered_language_of_a_model_that_is_told_none_is_part_of_it(tmp_path):
    folder = save_tiny("wav2vec2", tmp_path)
    spec = load_spec(str(folder))

    def found(*languages):
        changed = spec.model_copy(update={"languages": languages})
        return model_parts_of(changed, fetch(spec))

    assert found("de") == found("en") | {"language": "de"}
    assert found("en") == found()  # a copy of a registered English model is the same model
