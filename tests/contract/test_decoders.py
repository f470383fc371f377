"""What encoder-decoder families beyond Whisper do in their own way."""

import json
import shutil

import numpy as np
import pytest
import torch
import zoo_decoders  # noqa: F401  (lists its architectures)
from conftest import make_item
from safetensors.torch import load_file, save_file
from transformers.utils import import_utils
from zoo import ARCHITECTURES, clip, saving

from innerear.activations.readings import packed
from innerear.interventions.ablation import ablated
from innerear.interventions.run import encode, generate
from innerear.models.loading import load_model
from innerear.models.site import Site
from innerear.protocols.tokens import written_tokens
from innerear.util.errors import InputError


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return saving(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="module")
def loaded(folders):
    models = {}

    def model(name):
        return models.setdefault(name, load_model(str(folders(name))))

    return model


def _edited(folder, into, name, **change):
    """A copy of a folder with one JSON file changed; None deletes a key."""
    copy = shutil.copytree(folder, into / folder.name)
    path = copy / name
    values = json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    return str(copy)


FIRST = {
    "moonshine_streaming": "model.encoder.embedder.conv2",
    "canary": "model.encoder.subsampling.linear",
    "cohere_asr": "model.encoder.subsampling.linear",
    "speech_to_text": "model.encoder.conv.conv_layers.1",
    "seamless_m4t_v2": "speech_encoder.feature_projection.projection",
}
"""The first module at the rate of the encoder, before attention blurs its frames."""


def _frames(model, module, audio):
    """What a module gives for a clip, [frame, dim]."""
    seen = []
    handle = model.network.get_submodule(module).register_forward_hook(
        lambda _module, _input, output: seen.append(output[0] if isinstance(output, tuple) else output)
    )
    with torch.inference_mode():
        model.encode([audio])
    handle.remove()
    # convolutions have the time last
    return seen[0][0].mT if isinstance(model.network.get_submodule(module), torch.nn.Conv1d) else seen[0][0]


def _missed(model, module, times, span):
    """By how many frames the centre of what an impulse changes misses its time, on average."""
    missed = []
    for sample in range(24000, 24000 + span, span // 7):
        audio = [clip(3.0), clip(3.0)]
        for each, height in zip(audio, (-5.0, 5.0), strict=True):  # what normalises log-mel changes alike
            each[sample] += height
        down, up = (_frames(model, module, each) for each in audio)
        change = (up - down).norm(dim=1)
        changed = torch.nonzero(change > 0.2 * change.max())
        centre = float(changed.min() + changed.max()) / 2
        missed.append((np.interp(centre, range(len(times)), times) - sample / 16000) / (times[1] - times[0]))
    return np.mean(missed)


@pytest.mark.parametrize("family", list(FIRST))
def test_the_frames_that_an_impulse_changes_are_centred_on_its_time(loaded, family):
    model = loaded(family)
    assert abs(_missed(model, FIRST[family], model.clock.times(48000), 6 * model.clock.stride)) < 0.3


def test_the_decoder_of_seamless_hears_the_frames_of_the_adapter(loaded):
    model = loaded("seamless_m4t_v2")
    times = model.heard_times(48000)
    assert times[1] - times[0] == pytest.approx(0.16)
    convolution = "speech_encoder.adapter.layers.0.residual_conv"
    with model.hooks({site: lambda states: torch.zeros_like(states) for site in _mixing(model)}):
        assert abs(_missed(model, convolution, times, 2 * 2560)) < 0.3
    assert "adapter" in model.lacks("lens")


def _mixing(model):
    """The components by which frames of the encoder see each other."""
    return [site for site in model.places if site.part in ("self_attn", "conv") and not site.is_head
            and site.stack == "encoder"]  # fmt: skip


@pytest.mark.parametrize("samples", [20480, 20800, 22880, 23040])
@pytest.mark.parametrize("family", ["seamless_m4t_v2", "moonshine_streaming", "canary"])
def test_frames_that_the_network_masks_are_not_heard(folders, loaded, family, samples):
    """What is stacked or subsampled leaves frames over, of which a padded one is masked."""
    model, audio = loaded(family), clip(1.5)[:samples]
    (written,) = model.transcribe([audio])
    expected = ARCHITECTURES[family].bare(folders(family), audio)
    assert list(written.tokens) == expected[: len(written.tokens)]
    with torch.inference_mode():
        assert model.encode([audio]).shape[1] == len(model.heard_times(samples))


@pytest.mark.parametrize("family", list(FIRST))
def test_decoding_leaves_the_encoder_output_as_it_was(loaded, family):
    """Moonshine Streaming's decoder adds positions to it in place."""
    model = loaded(family)
    with torch.inference_mode():
        encoded = model.encode([clip()])
    before = encoded.clone()
    once = model.teacher_force(encoded, [7, 9])
    model.greedy_decode(encoded, 3)
    generate(model, encoded, [(), ablated([Site("decoder", 1, "mlp")])], max_tokens=3)
    model.attention(encoded, [7, 9])
    assert torch.equal(encoded, before)
    assert torch.equal(model.teacher_force(encoded, [7, 9]), once)


@pytest.mark.parametrize("family", list(FIRST))
def test_rows_with_encoder_outputs_of_their_own_decode_as_they_do_alone(loaded, family):
    """Those that end leave the batch, with their keys and values."""
    model = loaded(family)
    worlds = [(), ablated([Site("encoder", 1, "mlp")]), ablated([Site("encoder", 2, "self_attn")])]
    encoded = encode(model, [clip()], worlds)
    together = generate(model, encoded, [()] * len(worlds), max_tokens=6)
    for row, made in enumerate(together):
        assert made.tokens == model.greedy_decode(encoded[row : row + 1], 6)[0].tokens


def test_gradients_flow_into_the_encoder_output(loaded):
    model = loaded("moonshine_streaming")
    with torch.inference_mode():
        states = model.encode([clip()])
    encoded = states.clone().requires_grad_()
    with model.decoding(encoded, gradients=True) as decoding:
        for token in (model.prefix[0], 7):
            logits = decoding.step(torch.tensor([[token]]), last=True)
        logits[0, -1].logsumexp(-1).backward()
    assert encoded.grad is not None
    assert torch.isfinite(encoded.grad).all()
    assert encoded.grad.norm() > 0


@pytest.mark.parametrize(
    ("family", "german"),
    [
        (
            "canary",
            "<|startofcontext|><|startoftranscript|><|emo:undefined|><|de|><|de|><|pnc|><|noitn|>"
            "<|notimestamp|><|nodiarize|>",
        ),
        (
            "cohere_asr",
            "▁<|startofcontext|><|startoftranscript|><|emo:undefined|><|de|><|de|><|pnc|><|noitn|>"
            "<|notimestamp|><|nodiarize|>",
        ),
        ("seamless_m4t_v2", "</s>__deu__"),
    ],
)
def test_the_decoder_is_told_the_language_of_a_clip(loaded, family, german):
    model = loaded(family)
    assert model.language == "en"
    with model.prompted("de"):
        assert "".join(model.pieces(model.prefix)) == german
    if family == "seamless_m4t_v2":  # of two scripts of a language, the one without a suffix
        assert model.generation.prefix_for("zh") == (3, 6)
    else:
        assert set(model.languages) == {"en", "de"}  # the others have no token in this tokenizer


def test_a_token_that_stands_for_no_text_is_part_of_a_word(loaded):
    model = loaded("cohere_asr")
    the, unknown = model.tokenize("the"), 0
    assert model.pieces([unknown]) == ["<unk>"]
    tokens = [unknown, *the, unknown, *the]
    text = model.transcript(tokens, [0.0] * len(tokens)).text
    assert text == "the the"
    written = {"text": text, "tokens": tokens, "ended": False, "pieces": model.pieces(tokens)}
    item = make_item("clip", clip(), text="the the", language="en")
    found = written_tokens(model, 0, item, packed(written))
    assert list(found.tokens["word"]) == [0] * (len(the) + 2) + [1] * len(the)
    assert set(found.tokens["right"]) == {"right"}


def test_a_text_of_spaces_alone_has_tokens_and_no_words(loaded):
    model = loaded("moonshine")
    space = next(token for token in range(300) if model.pieces([token]) == ["▁"])
    written = {"text": " ", "tokens": [space, space], "ended": False, "pieces": ["▁", "▁"]}
    found = written_tokens(model, 0, make_item("clip", clip(), text="a b"), packed(written))
    assert list(found.tokens["word"]) == [-1, -1]
    assert set(found.tokens["right"]) == set(found.tokens["kind"]) == {""}


def test_no_decoder_writes_longer_than_whisper(folders, tmp_path):
    longest = _edited(folders("moonshine_streaming"), tmp_path, "generation_config.json", max_length=None)
    assert load_model(longest).max_tokens == 448


@pytest.mark.parametrize(
    ("family", "name", "change", "said"),
    [
        ("seamless_m4t_v2", "generation_config.json", {"text_decoder_lang_to_code_id": None}, "has no text"),
        (
            "seamless_m4t_v2", "generation_config.json",
            {"text_decoder_lang_to_code_id": {"eng": 1, "xyz": 2}},
            r"seamless_m4t_v2: generation_config.json: .* lists xyz, but the tokenizer has no __xyz__",
        ),
        (
            "canary", "config.json", {"decoder_start_token_id": 4},
            r"canary: .*<\|startofcontext\|> is token 4, but 7",
        ),
        ("moonshine_streaming", "preprocessor_config.json", {"do_normalize": True}, "do_normalize is True"),
    ],
)  # fmt: skip
def test_a_folder_that_contradicts_itself_is_one_line(folders, tmp_path, family, name, change, said):
    generation = folders(family) / "generation_config.json"
    folder = _edited(folders(family), tmp_path, name, **change)
    if family == "canary":
        values = json.loads(generation.read_text())
        (tmp_path / family / "generation_config.json").write_text(
            json.dumps({key: value for key, value in values.items() if key != "decoder_start_token_id"})
        )
    with pytest.raises(InputError, match=said) as error:
        load_model(folder)
    assert len(str(error.value).splitlines()) == 1


def test_tensors_for_other_tasks_than_recognition_are_left_aside(folders, loaded, tmp_path):
    """SeamlessM4T is published with a text encoder and a voice."""
    folder = shutil.copytree(folders("seamless_m4t_v2"), tmp_path / "whole")
    tensors = load_file(folder / "model.safetensors")
    for name in ("text_encoder.layers.0.ffn.fc1.weight", "t2u_model.lm_head.weight", "vocoder.unit.weight"):
        tensors[name] = torch.zeros(2)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (written,) = load_model(str(folder)).transcribe([clip()])
    assert written.tokens == loaded("seamless_m4t_v2").transcribe([clip()])[0].tokens


def test_a_library_that_a_tokenizer_needs_is_named(folders, monkeypatch):
    absent = {"sentencepiece": (lambda: False, import_utils.SENTENCEPIECE_IMPORT_ERROR)}
    monkeypatch.setattr(import_utils, "BACKENDS_MAPPING", absent)
    monkeypatch.setattr(
        "transformers.AutoTokenizer.from_pretrained",
        lambda *_, **__: import_utils.requires_backends("Speech2TextTokenizer", "sentencepiece"),
    )
    with pytest.raises(InputError, match="needs SentencePiece, which is not installed: `pip install sent"):
        load_model(str(folders("speech_to_text")))
