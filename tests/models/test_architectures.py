"""An architecture alone: its size is that of the real model, it is timed, and nothing else is said of it."""

from pathlib import Path

import pytest
import torch
from conftest import save_tiny

from innerear.models.loading import Opened, load_model
from innerear.models.registry import load_spec, model_names
from innerear.models.weights import fetch
from innerear.report.leaderboard import tables
from innerear.report.markdown import to_markdown
from innerear.results.schema import ModelInfo, Result
from innerear.results.store import Store
from innerear.results.verify import verify
from innerear.runs.plans import Options, plan
from innerear.runs.runner import run
from innerear.tasks.applicable import applicable_tasks
from innerear.tasks.task import load_task
from innerear.util.errors import InputError
from innerear.util.io import sha256_json

SPEC = """
name: {name}
title: A tiny one
family: {family}
licence: no weights
parameters: 0
languages: [multilingual]
training_data: []
citation: ""
sources:
  - kind: architecture
    config: {{model_type: {family}, {config}}}
    tokens: {{{tokens}}}
"""
WHISPER = {
    "name": "tiny-whisper-architecture",
    "family": "whisper",
    "config": (
        "d_model: 32, encoder_layers: 2, decoder_layers: 2, encoder_attention_heads: 4, vocab_size: 300, "
        "decoder_attention_heads: 4, encoder_ffn_dim: 64, decoder_ffn_dim: 64, max_source_positions: 250, "
        "max_target_positions: 40, decoder_start_token_id: 201, eos_token_id: 200, pad_token_id: 200, "
        "bos_token_id: 200"
    ),
    "tokens": (
        '"<|endoftext|>": 200, "<|startoftranscript|>": 201, "<|en|>": 202, "<|transcribe|>": 203, '
        '"<|notimestamps|>": 204'
    ),
}
QWEN = {
    "name": "tiny-qwen-architecture",
    "family": "qwen2_audio",
    "config": (
        "audio_token_index: 203, audio_config: {model_type: qwen2_audio_encoder, num_mel_bins: 80, "
        "encoder_layers: 2, d_model: 32, encoder_attention_heads: 4, encoder_ffn_dim: 64, "
        "max_source_positions: 250}, text_config: {model_type: qwen2, vocab_size: 300, hidden_size: 32, "
        "intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 4, "
        "max_position_embeddings: 400, eos_token_id: 200}"
    ),
    "tokens": '"<|endoftext|>": 200, "<|AUDIO|>": 203, "<|audio_bos|>": 204, "<|audio_eos|>": 205',
}
ALONE = [name for name in model_names() if not load_spec(name).trained]


def written(folder, **stated) -> str:
    path = Path(folder) / f"{stated['name']}.yaml"
    path.write_text(SPEC.format(**stated))
    return str(path)


@pytest.mark.parametrize("name", ALONE)
def test_a_registered_architecture_has_the_size_of_the_model_whose_name_it_has(name):
    spec, real = load_spec(name), load_spec(name.removesuffix("-architecture"))
    opened = Opened.of(spec, fetch(spec).folder)
    with torch.device("meta"):
        network = opened.kind(opened.config)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == spec.parameters == real.parameters
    assert (spec.family, spec.training_data) == (real.family, ())


def test_the_two_sizes_that_are_quoted_most_are_registered():
    assert {"whisper-large-v3-architecture", "qwen2-audio-7b-architecture"} <= set(ALONE)


@pytest.mark.parametrize("name", ALONE)
def test_nothing_but_timings_applies_to_an_architecture_alone(name):
    reasons = applicable_tasks(load_spec(name).capabilities)
    assert [task for task, reason in reasons.items() if reason is None] == ["speed"]
    assert reasons["abx"] == (
        f"{name} is an architecture with random weights, of which only timings say something"
    )


def test_other_tasks_are_refused_before_anything_runs(tmp_path):
    path = written(tmp_path, **WHISPER)
    with pytest.raises(InputError, match=r"abx: tiny-whisper-.*only timings say something; run it with"):
        plan([path], ["speed", "abx"])
    with pytest.raises(InputError, match="phoneme-probing: tiny-whisper-architecture is an architecture"):
        plan([path])


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("architectures")
    names = [written(folder, **stated) for stated in (WHISPER, QWEN)]
    options = Options(folder / "results", cache=folder / "cache")
    small = load_task("speed").measure.model_dump() | {"repetitions": 2, "batches": [1], "tokens": 4}
    return Store(options.output), run(
        plan(names, ["speed"], limit=2, id="speed-tiny", measure=small), options
    )


def test_an_architecture_is_timed_but_for_what_depends_on_what_it_writes(ran):
    _, results = ran
    assert [result.model.name for result in results] == [WHISPER["name"], QWEN["name"]]
    for result in results:
        assert result.status == "ok", result.reason
        assert {"encoder_ms", "encoder_ms_best", "capture_ratio", "sweep_ms", "probe_s"} <= set(result.scores)
        assert not {"rtfx", "rtfx_best"} & set(result.scores)
        assert result.run.rtfx is None
        assert result.model.parameters > 1000


def test_each_table_marks_it_and_none_ranks_it(ran):
    store, results = ran
    (table,) = tables(store)
    assert [row.cells[2] for row in table.rows] == ["architecture only"] * 2
    assert not table.standing
    assert "| architecture only |" in to_markdown([table])
    for result in results:
        assert result.model.kind == "architecture"
        assert verify(store.path_of(result), placed=True) == []


def test_a_folder_of_weights_may_have_a_name_like_that(tmp_path):
    spec = load_spec(str(save_tiny("whisper", tmp_path / "my-architecture")))
    assert spec.trained


def test_two_networks_of_one_architecture_are_one_model_and_those_of_another_are_not(tmp_path):
    one = load_model(written(tmp_path, **WHISPER))
    again = load_model(written(tmp_path, **WHISPER))
    other = load_model(written(tmp_path, **WHISPER | {"config": WHISPER["config"].replace("32", "64")}))
    assert one.identity.sha256 == again.identity.sha256 != other.identity.sha256
    assert load_model(written(tmp_path, **WHISPER), dtype="bfloat16").network.dtype == torch.bfloat16
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "model"}, "is called a model, but its weights say otherwise"),
        ({"parts": "learnt"}, "is called an architecture, but its weights say otherwise"),
        ({"name": "whisper-base"}, "this name is registered for something else"),
    ],
)
def test_a_result_that_calls_it_something_else_does_not_verify(ran, tmp_path, changes, says):
    store, (result, _) = ran
    changes = dict(changes)
    if "parts" in changes:
        parts = {**result.model.parts, "weights": "0" * 64}
        changes |= {"parts": parts, "sha256": sha256_json(parts)}
    model = ModelInfo(**dict(result.model) | changes)
    made = Result(**{**dict(result), "model": model, "content_sha256": "", "record_sha256": ""})
    path = Store(tmp_path).save(made, store.read_items(result))
    assert any(says in problem for problem in verify(path, placed=True))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "tiny"}, "the name of an architecture alone ends in -architecture"),
        ({"family": "wav2vec2"}, "an architecture alone needs a decoder"),
        ({"tokens": '"<|endoftext|>": 300'}, "is 300, which is taken or not one of the 300 tokens"),
        ({"tokens": '"a": 7, "b": 7'}, "b is 7, which is taken"),
        ({"config": "vocab_size: many"}, r"config\.json cannot be loaded"),
    ],
)
def test_a_wrong_registry_file_is_refused_with_a_sentence(tmp_path, changes, says):
    with pytest.raises(InputError, match=says):
        load_model(written(tmp_path, **WHISPER | changes))
