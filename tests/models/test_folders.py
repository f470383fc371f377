"""Folders as people have them: each loads whole, or one line says what is wrong and what to do."""

import json
import os
import shutil

import damage
import pytest
import torch
from conftest import FAMILIES, noise, save_tiny
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from innerear.models.base import SpeechModel
from innerear.models.encoder_decoder import EncoderDecoder
from innerear.models.loading import assemble, load_model
from innerear.models.registry import load_spec
from innerear.models.weights import fetch
from innerear.util.errors import InnerearError, InputError

EVERY = 29
"""Tries one in so many changes of keys and tensors; 1 tries all, which takes minutes."""
TRANSFORMER = ("wav2vec2", "hubert", "wavlm")


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A sound folder of each family."""
    return {family: save_tiny(family, tmp_path_factory.mktemp("sound") / family) for family in FAMILIES}


def heard(folder):
    """Load a folder and use all of it."""
    model = load_model(str(folder))
    states = model.states([noise(0.5)], model.encoder_sites)
    assert all(torch.isfinite(each).all() for each in states.values())
    return model.transcribe([noise(0.5)])[0] if model.writes else None


@pytest.mark.parametrize("family", ["whisper", "moonshine", "wav2vec2"])
def test_a_damaged_folder_is_one_line_or_works(family, folders, tmp_path):
    folder = folders[family]
    rest = [*damage.key_changes(folder), *damage.tensor_changes(folder)]
    for what, change in [*damage.file_changes(folder), *rest[::EVERY]]:
        try:
            heard(damage.copied(folder, tmp_path / "model", change))
        except InnerearError as error:
            lines = len(str(error).splitlines())
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
        else:
            lines = 1
        assert lines == 1, what


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("rewrite", "line"),
    [
        (
            lambda held: {k: v for k, v in held.items() if ".layers.2." not in k},
            r"missing: \d+ \(.*layers\.2\.",
        ),
        (
            lambda held: {k: v for k, v in held.items() if "q_proj.bias" not in k and "norm" not in k},
            "missing",
        ),
        (lambda held: held | {"extra": torch.ones(1)}, r"not part of it: 1 \(extra\)"),
        (lambda held: {f"net.{k}": v for k, v in held.items()}, r"missing: .* not part of it: "),
        (lambda held: {k: v[:, :-1] if v.ndim == 2 else v for k, v in held.items()}, "of another shape: "),
        (lambda held: {}, "hold no tensor"),
        (lambda held: {k: (9 * v).to(torch.int8) for k, v in held.items()}, "quantised"),
    ],
)
def test_weights_that_are_not_the_networks_are_refused(family, rewrite, line, folders, tmp_path):
    with pytest.raises(InputError, match=line):
        heard(damage.copied(folders[family], tmp_path / "model", damage.tensors(rewrite)))


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_in_half_precision_are_loaded_as_float32(family, folders, tmp_path):
    half = damage.tensors(lambda held: {k: v.half() for k, v in held.items()})
    model = load_model(str(damage.copied(folders[family], tmp_path / "model", half)))
    assert {each.dtype for each in model.network.parameters()} == {torch.float32}


@pytest.mark.parametrize("family", ["whisper", "moonshine"])
@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_a_configuration_with_other_layers_than_the_weights_is_refused(family, stack, folders, tmp_path):
    key = {"whisper": f"{stack}_layers", "moonshine": f"{stack}_num_hidden_layers"}[family]
    count = {"encoder": 3, "decoder": 2}[stack]
    for layers, line in ((count - 1, "not part of it"), (count + 1, "missing")):
        with pytest.raises(InputError, match=line):
            heard(
                damage.copied(
                    folders[family], tmp_path / "model", damage.edit("config.json", **{key: layers})
                )
            )


# Encoders


@pytest.mark.parametrize("family", TRANSFORMER)
@pytest.mark.parametrize("saved", ["bare", "pretrained", "speaker", "classifier"])
def test_an_encoder_without_a_text_head_is_heard_and_writes_nothing(family, saved, folders, tmp_path):
    def behead(folder):
        held = {k: v for k, v in load_file(folder / damage.WEIGHTS).items() if not k.startswith("lm_head.")}
        if saved == "bare":
            held = {k.removeprefix(f"{family}."): v for k, v in held.items()}
        elif saved == "speaker":  # Wav2Vec2ForXVector
            held |= {"feature_extractor.weight": torch.ones(2, 2), "tdnn.0.kernel.bias": torch.ones(2)}
        elif saved == "pretrained":
            held |= {"quantizer.codevectors": torch.ones(1, 2), "project_q.weight": torch.ones(2, 2)}
        else:
            held |= {"projector.weight": torch.ones(2, 2), "classifier.weight": torch.ones(2, 2)}
        save_file(held, folder / damage.WEIGHTS, {"format": "pt"})
        damage.edit("config.json", architectures=["SomeModel"])(folder)
        for name in ("vocab.json", "tokenizer_config.json"):
            (folder / name).unlink()

    model = load_model(str(damage.copied(folders[family], tmp_path / "model", behead)))
    whole = load_model(str(folders[family]))
    assert type(model) is SpeechModel
    sites = model.encoder_sites
    for site, states in whole.states([noise(0.5)], sites).items():
        torch.testing.assert_close(model.states([noise(0.5)], sites)[site], states, rtol=0, atol=0)
    with pytest.raises(InputError, match="has no text head"):
        model.transcribe([noise(0.5)])
    with pytest.raises(InputError, match="has no text head"):
        model.tokenize("a")


@pytest.mark.parametrize("family", TRANSFORMER)
@pytest.mark.parametrize("lost", [("lm_head.weight", "lm_head.bias"), ("lm_head.weight",)])
def test_a_recogniser_that_lost_its_head_is_refused(family, lost, folders, tmp_path):
    cut = damage.tensors(lambda held: {k: v for k, v in held.items() if k not in lost})
    with pytest.raises(InputError, match=r"missing: . \(lm_head"):
        heard(damage.copied(folders[family], tmp_path / "model", cut))


# What else is in a folder


@pytest.mark.parametrize(
    ("family", "names", "line"),
    [
        (
            "whisper",
            ["tokenizer.json", "tokenizer_config.json"],
            r"copy tokenizer\.json and tokenizer_config",
        ),
        ("moonshine", ["tokenizer.json"], "tokenizer"),
        ("hubert", ["vocab.json"], "tokenizer"),
        ("wavlm", ["preprocessor_config.json"], "do_normalize.*copy the file"),
    ],
)
def test_what_cannot_be_derived_is_asked_for(family, names, line, folders, tmp_path):
    def remove(folder):
        for name in names:
            (folder / name).unlink()

    with pytest.raises(InputError, match=line):
        heard(damage.copied(folders[family], tmp_path / "model", remove))


@pytest.mark.parametrize("family", ["whisper", "moonshine"])
@pytest.mark.parametrize("name", ["preprocessor_config.json", "generation_config.json"])
def test_what_can_be_derived_is(family, name, folders, tmp_path):
    made = damage.copied(folders[family], tmp_path / "model", lambda folder: (folder / name).unlink())
    assert heard(made) == heard(folders[family])


@pytest.mark.parametrize(
    ("family", "change", "line"),
    [
        ("whisper", {"feature_size": 128}, "feature_size is 128, but the model needs 80"),
        ("whisper", {"sampling_rate": 8000}, "sampling_rate is 8000"),
        ("whisper", {"hop_length": 320}, "hop_length is 320"),
        ("whisper", {"chunk_length": 10}, "chunk_length is 10, but the model needs 30"),
        ("hubert", {"sampling_rate": 8000}, "sampling_rate is 8000"),
        ("hubert", {"feature_size": 80}, "feature_size is 80"),
        ("moonshine", {"do_normalize": True}, "do_normalize is True"),
    ],
)
def test_a_front_end_of_another_model_is_refused(family, change, line, folders, tmp_path):
    edit = damage.edit("preprocessor_config.json", **change)
    with pytest.raises(InputError, match=line):
        heard(damage.copied(folders[family], tmp_path / "model", edit))


def test_a_whisper_of_ten_seconds_has_a_window_of_ten_seconds(folders, tmp_path):
    def shorten(folder):
        name = "model.encoder.embed_positions.weight"
        damage.tensors(lambda held: held | {name: held[name][:500]})(folder)
        damage.edit("config.json", max_source_positions=500)(folder)
        damage.edit("preprocessor_config.json", chunk_length=10)(folder)

    model = load_model(str(damage.copied(folders["whisper"], tmp_path / "model", shorten)))
    assert isinstance(model, EncoderDecoder)
    assert model.window == 10.0
    assert model.states([noise(9.9)], ["encoder.0"])["encoder.0"].shape[1] == 500
    with pytest.raises(InputError, match="longer than the model's window of 10 s"):
        model.transcribe([noise(10.5)])


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("whisper", {"encoder_attention_heads": -1}),
        ("whisper", {"dropout": 7}),
        ("wavlm", {"max_bucket_distance": 0}),
        ("wav2vec2", {"add_adapter": True}),
        ("moonshine", {"is_causal": True}),
        ("hubert", {"architectures": 7, "hidden_act": "x"}),
        ("hubert", {"conv_stride": [0] * 7}),
        ("whisper", {"decoder_layers": 10**9}),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(family, change, folders, tmp_path):
    with pytest.raises(InputError):
        heard(damage.copied(folders[family], tmp_path / "model", damage.edit("config.json", **change)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "change",
    [
        {"return_dict": False, "output_attentions": True, "output_hidden_states": True},
        {"attn_implementation": "eager"},
        {"_attn_implementation": "flash_attention_2"},
        {"is_encoder_decoder": False},
        {"is_causal": False},
        {"gradient_checkpointing": True, "id2label": {"0": "a"}, "torchscript": True},
    ],
)
def test_how_its_maker_had_it_computed_changes_nothing(family, change, folders, tmp_path):
    made = damage.copied(folders[family], tmp_path / "model", damage.edit("config.json", **change))
    assert heard(made) == heard(folders[family])
    assert load_model(str(made)).identity.parts == load_model(str(folders[family])).identity.parts


@pytest.mark.parametrize("family", ["whisper", "moonshine"])
def test_keys_of_other_versions_are_no_settings(family, folders, tmp_path):
    for change in ({"pruned_heads": {}}, {"alignment_heads": [[0, 1]]}):
        heard(damage.copied(folders[family], tmp_path / "model", damage.edit("config.json", **change)))
    with pytest.raises(InputError, match="layerdrop is None"):
        heard(damage.copied(folders[family], tmp_path / "model", damage.edit("config.json", layerdrop=None)))


def test_whole_numbers_of_a_front_end_may_be_written_with_a_point(folders, tmp_path):
    pointed = damage.edit("preprocessor_config.json", chunk_length=30.0, sampling_rate=16000.0)
    made = damage.copied(folders["whisper"], tmp_path / "model", pointed)
    assert heard(made) == heard(folders["whisper"])
    assert load_model(str(made)).identity.parts == load_model(str(folders["whisper"])).identity.parts


def test_the_blank_of_tokenizer_and_network_is_one(folders, tmp_path):
    with pytest.raises(InputError, match=r"the blank is token 3 in config\.json"):
        heard(
            damage.copied(folders["hubert"], tmp_path / "model", damage.edit("config.json", pad_token_id=3))
        )


def test_settings_without_effect_are_told(folders, tmp_path, capsys):
    beams = damage.edit("generation_config.json", num_beams=5, no_repeat_ngram_size=2, num_return_sequences=3)
    made = damage.copied(folders["whisper"], tmp_path / "model", beams)
    assert heard(made) == heard(folders["whisper"])
    assert "sets num_beams, num_return_sequences, no_repeat_ngram_size" in capsys.readouterr().err


# Other formats


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({"adapter_config.json": "{}", "adapter_model.safetensors": ""}, "PEFT adapter.*merge_and_unload"),
        ({"model.nemo": ""}, "NeMo"),
        ({"whisper-base.gguf": ""}, "GGUF"),
        ({"ggml-base.bin": ""}, "ggml"),
        ({"config.json": '{"alignment_heads": []}', "model.bin": "", "vocabulary.json": "[]"}, "CTranslate2"),
        ({"config.json": '{"model_type": "whisper"}', "onnx/encoder_model.onnx": ""}, "ONNX"),
        ({"base.pt": ""}, "PyTorch checkpoint.*convert_openai_to_hf"),
        ({"config.json": '{"model_type": "whisper"}', "optimizer.pt": "", "scheduler.pt": ""}, "Trainer"),
        ({"config.json": '{"model_type": "whisper"}', "pytorch_model.bin": ""}, "pickled"),
        ({"config.json": '{"model_type": "whisper"}', "tf_model.h5": ""}, "TensorFlow"),
        (
            {
                "config.json": '{"model_type": "whisper", "quantization_config": {"quant_method": "awq"}}',
                "model.safetensors": "",
            },
            r"quantised weights \(awq\)",
        ),
        ({"model.safetensors": "version https://git-lfs.github.com/spec/v1\n"}, "git lfs pull"),
        ({"tokenizer.json": "{}", "vocab.json": "{}"}, r"holds no config\.json"),
        ({"checkpoint-10/config.json": "{}", "checkpoint-20/config.json": "{}"}, "checkpoint-20 does"),
        ({"config.json": '{"model_type": "whisper"}', "model-00001-of-00002.safetensors": ""}, "index.json"),
    ],
)
def test_other_formats_are_known_by_name(files, line, tmp_path):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=line) as refused:
        heard(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["parakeet.nemo", "base.pt", "model.gguf", "model.safetensors", "notes.txt"])
def test_a_file_is_no_model(name, tmp_path):
    (tmp_path / name).write_text("")
    with pytest.raises(InputError, match=name):
        load_spec(str(tmp_path / name))


@pytest.mark.parametrize("name", ["generation_config.json", "model.safetensors", "preprocessor_config.json"])
def test_a_link_to_nowhere_is_not_a_file_that_was_never_there(name, folders, tmp_path):
    def cut_off(folder):
        (folder / name).unlink()
        (folder / name).symlink_to(tmp_path / "gone")

    with pytest.raises(InputError, match=f"{name}: a link to a file that is not there"):
        heard(damage.copied(folders["whisper"], tmp_path / "model", cut_off))


def test_a_tokenizer_of_more_tokens_than_the_decoder_has_is_refused(folders, tmp_path):
    def extend(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens(["new"])
        tokenizer.save_pretrained(folder)

    with pytest.raises(InputError, match="has 1 tokens more than the model's 60"):
        heard(damage.copied(folders["whisper"], tmp_path / "model", extend))


def test_a_missing_shard_is_named(folders, tmp_path):
    def split(folder):
        held = load_file(folder / damage.WEIGHTS)
        (folder / damage.WEIGHTS).unlink()
        save_file(held, folder / "model-00001-of-00002.safetensors", {"format": "pt"})
        placed = dict.fromkeys(held, "model-00001-of-00002.safetensors")
        index = {"weight_map": placed | {"lm_head.bias": "model-00002-of-00002.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    with pytest.raises(InputError, match=r"model-00002-of-00002\.safetensors is missing"):
        heard(damage.copied(folders["hubert"], tmp_path / "model", split))


def test_a_hidden_folder_is_a_model(folders, tmp_path):
    assert load_spec(str(damage.copied(folders["hubert"], tmp_path / ".mine", lambda _: None))).name == "mine"


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("whisper", {"vocab_size": 10**9}),
        ("whisper", {"encoder_layers": 10**9}),
        ("whisper", {"max_source_positions": 0}),
        ("whisper", {"max_source_positions": 10**12}),
        ("wav2vec2", {"hidden_size": 2**30}),
        ("wav2vec2", {"num_conv_pos_embeddings": 2**30}),
        ("moonshine", {"max_position_embeddings": 10**9}),
        ("moonshine", {"intermediate_size": 2**40}),
    ],
)
def test_a_configuration_far_larger_than_its_weights_costs_no_memory(tmp_path, family, settings):
    folder = save_tiny(family, tmp_path / "huge")
    damage.edit("config.json", **settings)(folder)
    with pytest.raises(InputError, match=r"parameters, but the weights hold|cannot be") as refused:
        load_model(str(folder))
    assert "\n" not in str(refused.value)


def test_a_decoder_without_a_position_is_one_line(tmp_path):
    folder = save_tiny("moonshine", tmp_path / "none")
    damage.edit("config.json", max_position_embeddings=0)(folder)
    with pytest.raises(InputError) as refused:
        load_model(str(folder))
    assert "\n" not in str(refused.value)


def test_a_pipe_among_the_files_of_a_model_is_refused_and_never_waited_for(tmp_path):
    for name in ("config.json", "tokenizer.json", "model.safetensors", "preprocessor_config.json"):
        folder = save_tiny("whisper", tmp_path / name)
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
        with pytest.raises(InputError, match="a pipe"):
            load_model(str(folder))


@pytest.mark.parametrize(("registered", "family"), [("wav2vec2", "hubert"), ("whisper", "moonshine")])
def test_a_registered_family_that_the_folder_contradicts_is_refused(registered, family, folders):
    """Networks of related families would load, and be reported under the wrong name."""
    spec = load_spec(str(folders[family])).model_copy(update={"family": registered})
    with pytest.raises(InputError, match=f"of the family {family}, but .* registered as {registered}"):
        assemble(spec, fetch(spec))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_without_a_vocabulary_names_the_files_to_copy(family, folders, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(folders[family], folder)
    for name in ("tokenizer.json", "vocab.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"there is no tokenizer; copy .*tokenizer_config\.json"):
        load_model(str(folder))
