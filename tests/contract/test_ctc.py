"""What CTC families beyond wav2vec 2.0 do in their own way."""

import pytest
import torch
import transformers as hf
import zoo_ctc  # noqa: F401  (lists its architectures)
from zoo import ARCHITECTURES, clip

from innerear.models.loading import load_model
from innerear.models.site import Site

COLLAPSING = ["parakeet_ctc", "lasr_ctc"]
"""Families with a tokenizer of their own."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("zoo") / name
            ARCHITECTURES[name].save(made[name])
        return made[name]

    return folder


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
