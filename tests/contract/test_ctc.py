"""What CTC families beyond wav2vec 2.0 do in their own way."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers as hf
import zoo_ctc  # noqa: F401  (lists its architectures)
import zoo_transducers  # noqa: F401
from safetensors.torch import load_file, save_file
from zoo import ARCHITECTURES, clip, saving

from innerear.models.folders import adapter_files
from innerear.models.loading import load_model
from innerear.models.site import Site
from innerear.util.errors import InnerearError, InputError

COLLAPSING = ["parakeet_ctc", "lasr_ctc"]
"""Families with a tokenizer of their own."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return saving(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="module")
def loaded(folders):
    return lambda name: load_model(str(folders(name)))


@pytest.mark.parametrize("family", COLLAPSING)
def test_blanks_and_repetitions_are_left_out_as_transformers_does_it(folders, loaded, family):
    model, processor = loaded(family), hf.AutoProcessor.from_pretrained(folders(family))
    the, cat = model.tokenize("the"), model.tokenize("cat")
    frames = [model.blank, *[each for token in the for each in (token, token)], model.blank, *cat, cat[-1]]
    text = model._spelling.collapse(frames)
    assert text == processor.batch_decode([frames])[0] == "the cat"
    twice = [*cat, model.blank, *cat]
    assert model._spelling.collapse(twice) == processor.batch_decode([twice])[0] == "cat cat"


@pytest.mark.parametrize("samples", [20480, 20640, 20800])
def test_frames_that_the_front_end_masks_are_not_written(folders, loaded, samples):
    """Where the hops of a clip are a multiple of 8, Parakeet computes one frame more, of the masked hop."""
    model, folder = loaded("parakeet_ctc"), folders("parakeet_ctc")
    network = hf.ParakeetForCTC.from_pretrained(folder).eval()
    audio = clip()[:samples]
    given = hf.AutoProcessor.from_pretrained(folder)(audio, sampling_rate=16000)
    frames = network._get_subsampling_output_length(given["attention_mask"].sum(-1)).item()
    (written,) = model.transcribe([audio])
    assert list(written.tokens) == network.generate(**given)[0, :frames].tolist()
    assert len(written.tokens) == model.clock.count(samples) == frames


def _german(folder, into, **change):
    """A registry file of the model, for German."""
    registry = into / "mms-german.yaml"
    spec = dict(
        name="mms-german", title="MMS, German", family="wav2vec2", licence="none", parameters=0,
        languages=["de"], training_data=[], citation="", sources=[{"kind": "local", "path": str(folder)}],
    )  # fmt: skip
    registry.write_text(json.dumps(spec | change))
    return str(registry)


def test_the_adapter_of_the_registered_language_is_loaded(folders, loaded, tmp_path):
    folder = folders("mms")
    english, german = loaded("mms"), load_model(_german(folder, tmp_path))
    network = hf.Wav2Vec2ForCTC.from_pretrained(
        folder, target_lang="deu", ignore_mismatched_sizes=True
    ).eval()
    given = hf.AutoFeatureExtractor.from_pretrained(folder)(clip(), sampling_rate=16000, return_tensors="pt")
    with torch.inference_mode():
        expected = network(**given).logits.argmax(-1)
    tokenizer = hf.Wav2Vec2CTCTokenizer.from_pretrained(folder, target_lang="deu")
    (written,) = german.transcribe([clip()])
    assert list(written.tokens) == expected[0].tolist()
    assert written.text == tokenizer.batch_decode(expected)[0]
    assert written.text != english._spelling.collapse(written.tokens)
    assert (english.languages, german.languages) == ({"en"}, {"de"})
    differing = {
        key for key in german.identity.parts if german.identity.parts[key] != english.identity.parts.get(key)
    }
    assert differing >= {"adapter", "language", "tokenizer"}
    assert "weights" not in differing
    assert load_model(_german(folder, tmp_path), twin_seed=1).unembed(torch.zeros(32)).shape[-1] == 35


def test_another_adapter_for_the_same_language_is_another_model(folders, tmp_path):
    folder = shutil.copytree(folders("mms"), tmp_path / "mms")
    before = load_model(_german(folder, tmp_path)).identity.sha256
    path = folder / "adapter.deu.safetensors"
    save_file({name: value * 1.5 for name, value in load_file(path).items()}, path)
    assert load_model(_german(folder, tmp_path)).identity.sha256 != before


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "adapter.deu.safetensors").unlink(), "holds no adapter.deu.safetensors"),
        (
            lambda folder: shutil.copy(
                folder / "adapter.eng.safetensors", folder / "adapter.deu.safetensors"
            ),
            "35 letters for deu, but its adapter writes 32",
        ),
        (
            lambda folder: save_file(
                {"lm_head.weight": torch.ones(35, 32)}, folder / "adapter.deu.safetensors"
            ),
            "missing keys",
        ),
        (lambda folder: (folder / "adapter.deu.safetensors").write_bytes(b"x"), "adapter.deu.safetensors"),
    ],
)
def test_an_adapter_that_does_not_fit_is_one_line(folders, tmp_path, damage, said):
    folder = shutil.copytree(folders("mms"), tmp_path / "mms")
    damage(folder)
    with pytest.raises(InnerearError, match=said) as error:
        load_model(_german(folder, tmp_path))
    assert len(str(error.value).splitlines()) == 1


def test_a_language_without_letters_is_one_line(folders, tmp_path):
    with pytest.raises(InputError, match=r"'fr'.*vocab\.json does not have it"):
        load_model(_german(folders("mms"), tmp_path, languages=["fr"]))


def test_adapters_of_a_repository_for_a_language():
    names = [
        "adapter.deu.safetensors",
        "adapter.deu.bin",
        "adapter.urd-script_arabic.safetensors",
        "model.safetensors",
    ]
    assert adapter_files(names, "de") == ["adapter.deu.safetensors"]
    assert adapter_files(names, "ur") == ["adapter.urd-script_arabic.safetensors"]
    assert adapter_files(names, "multilingual") == []


def test_the_shortest_clip_that_the_front_end_takes(loaded):
    model = loaded("parakeet_ctc")
    assert "shorter than one frame" in model.unsupported_reason(319)
    assert model.unsupported_reason(320) is None
    with torch.inference_mode():
        assert torch.isfinite(model.encode([clip()[:320]])).all()


@pytest.mark.parametrize("samples", [20480, 20640, 20800, 21000])
@pytest.mark.parametrize(
    "family", ["wav2vec2-bert", "wav2vec2-bert-adapter", "wav2vec2-adapter", "sew", "lasr_ctc"]
)
def test_frames_of_odd_numbers_are_those_of_transformers(folders, loaded, family, samples):
    """What is stacked, squeezed, or halved by an adapter leaves a frame over."""
    audio = clip()[:samples]
    (written,) = loaded(family).transcribe([audio])
    assert list(written.tokens) == ARCHITECTURES[family].bare(folders(family), audio)


def _log_mel(projection):
    """Frames after the first module at the rate of the encoder, from the front end on."""

    def frames(model, audio):
        seen = []
        module = model.network.get_submodule(projection)
        handle = module.register_forward_hook(lambda _module, _input, output: seen.append(output[0]))
        model.encode([audio])
        handle.remove()
        return seen[0]

    return frames


def _convolved(model, audio):
    """Frames of the convolutions over samples, squeezed where a model does it; the clip is not normalised."""
    base = model.network.base_model
    features = base.feature_extractor(torch.from_numpy(audio)[None])
    return getattr(base.encoder, "pool", torch.nn.Identity())(features)[0].mT


CLOCKS = {
    "unispeech": _convolved,
    "unispeech-sat": _convolved,
    "data2vec-audio": _convolved,
    "wav2vec2-conformer": _convolved,
    "sew": _convolved,
    "sew-d": _convolved,
    "wav2vec2-bert": _log_mel("wav2vec2_bert.feature_projection.projection"),
    "lasr_ctc": _log_mel("encoder.subsampler.dense_1"),
    "parakeet_ctc": _log_mel("encoder.subsampling.linear"),
    "nemotron_asr_streaming": _log_mel("encoder.subsampling.linear"),
}
"""Frames of a clip before attention or a positional convolution blurs them."""


@pytest.mark.parametrize("family", list(CLOCKS))
def test_the_frames_that_an_impulse_changes_are_centred_on_its_time(loaded, family):
    """On average over impulses at many places: a clock that is half a frame off fails."""
    model, missed = loaded(family), []
    for sample in range(8000, 26000, 1237):
        audio = [clip(2.0), clip(2.0)]
        for each, height in zip(audio, (-5.0, 5.0), strict=True):  # what normalises log-mel changes alike
            each[sample] += height
        with torch.inference_mode():
            down, up = (CLOCKS[family](model, each) for each in audio)
        change = (up - down).norm(dim=1)
        changed = torch.nonzero(change > 0.2 * change.max())
        centre = model.clock.first + model.clock.stride * float(changed.min() + changed.max()) / 2
        missed.append((centre - sample) / model.clock.stride)
    assert abs(np.mean(missed)) < 0.3


def _parakeet(block, config, stream, first, attention, conv, last):
    return block.norm_out(stream + first + attention + conv + last)


def _wav2vec2(block, config, stream, first, attention, conv, last):
    return block.final_layer_norm(stream + first + attention + conv + last)


def _lasr(block, config, stream, first, attention, conv, last):
    (step, _), (kept, _) = (
        config.encoder_config.feed_forward_residual_weights,
        config.encoder_config.conv_residual_weights,
    )
    return block.norm_out(step * (kept * (step * stream + first + attention) + conv) + last)


SUMS = {
    "parakeet_ctc": _parakeet,
    "lasr_ctc": _lasr,
    "wav2vec2-conformer": _wav2vec2,
    "wav2vec2-bert": _wav2vec2,
}


@pytest.mark.parametrize("family", list(SUMS))
def test_components_add_up_to_what_a_block_adds_to_the_residual_stream(loaded, family):
    model = loaded(family)
    parts = [Site("encoder", 2, part) for part in ("first_mlp", "self_attn", "conv", "mlp")]
    before, after = Site("encoder", 1), Site("encoder", 2)
    states = model.states([clip()], [before, *parts, after])
    block = model.network.get_submodule(model.places[after].module)
    with torch.inference_mode():
        made = SUMS[family](block, model.network.config, states[before], *(states[part] for part in parts))
    torch.testing.assert_close(made, states[after], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("part", ["first_mlp", "mlp"])
def test_what_is_written_in_place_of_a_scaled_component_is_what_the_block_adds(loaded, part):
    model = loaded("parakeet_ctc")
    site, silent = Site("encoder", 2, part), Site("encoder", 2)
    own = model.states([clip()], [site, silent])
    with (
        torch.inference_mode(),
        model.hooks({site: lambda states: own[site]}),
        model.reading([silent]) as kept,
    ):
        model.encode([clip()])
    assert torch.equal(kept[silent], own[silent])
