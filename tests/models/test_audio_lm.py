"""Audio language models: rows that share the audio's keys and values equal rows that run alone, in full."""

import sys
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
import transformers as hf
import yaml

from innerear.interventions.ablation import ablated, components, heads
from innerear.interventions.run import encode, encode_from_site, generate, predict, teacher_force
from innerear.interventions.spec import Intervention
from innerear.models.frames import FrameClock
from innerear.models.loading import load_model
from innerear.models.registration import registration
from innerear.models.shared import alone
from innerear.models.site import Site
from innerear.util.errors import InputError

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))
import zoo_audio_lm
from zoo import clip

TOLERANCE = dict(atol=2e-5, rtol=1e-4)
"""Float32: softmax over joined scores, against fused attention over the whole prompt."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio-lm") / "qwen2_audio"
    zoo_audio_lm.save_qwen2_audio(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder))


def given(model, audio, tokens):
    """Inputs of the bare network: the whole prompt with placeholders, and the tokens forced behind it."""
    settings = model.generation
    heard = [settings.placeholder] * len(model.heard_times(len(audio)))
    ids = [*settings.before, *heard, *settings.prefix, *tokens]
    return dict(input_ids=torch.tensor([ids]), **model.inputs([audio])), len(settings.before) + len(heard)


def alone_in_full(model, audio, tokens, site=None):
    """Logits behind the audio from one uncached pass of the bare network; the head writes zeros there."""
    inputs, start = given(model, audio, tokens)
    handles = []
    if site is not None:
        place = model.places[site]

        def silence(_module, args):
            states = args[0].clone()
            width = states.shape[-1] // place.heads
            states[:, start:, place.head * width : (place.head + 1) * width] = 0
            return (states,)

        handles.append(model.network.get_submodule(place.module).register_forward_pre_hook(silence))
    with torch.inference_mode():
        logits = model.network(**inputs).logits[0, start:]
    for handle in handles:
        handle.remove()
    return logits


def test_what_the_language_model_hears_is_what_the_bare_network_gives_it(model):
    seen = {}
    lm = model.network.model.language_model
    handle = lm.register_forward_pre_hook(lambda _m, _a, how: seen.update(how), with_kwargs=True)
    inputs, start = given(model, clip(), [])
    with torch.inference_mode():
        model.network(**inputs)
        handle.remove()
        heard = model.encode([clip()])
    assert torch.equal(heard[0], seen["inputs_embeds"][0, len(model.generation.before) : start])


def test_a_teacher_forced_pass_equals_one_of_the_bare_network(model):
    with torch.inference_mode():
        logits = model.teacher_force(model.encode([clip()]), [7, 9, 11])
    torch.testing.assert_close(logits, alone_in_full(model, clip(), [7, 9]), **TOLERANCE)


def test_every_ablated_head_of_a_batch_equals_its_own_pass_in_full(model):
    sites, tokens = heads(model), [7, 9, 11]
    with torch.inference_mode():
        encoded = model.encode([clip()])
    together = teacher_force(model, encoded, [tokens], [(), *(ablated([site]) for site in sites)])
    first = model.prefix_length - 1
    for made, site in zip(together, [None, *sites], strict=True):
        torch.testing.assert_close(made, alone_in_full(model, clip(), tokens[:-1], site)[first:], **TOLERANCE)
    assert not torch.allclose(together[0], together[1])


def test_a_hook_acts_behind_the_audio_only(model):
    site = heads(model)[1]
    with torch.inference_mode():
        encoded = model.encode([clip()])
        with model.hooks({site: torch.zeros_like}) as fired:
            logits = model.teacher_force(encoded, [7, 9, 11])
    torch.testing.assert_close(logits, alone_in_full(model, clip(), [7, 9], site), **TOLERANCE)
    assert fired[site] == 1


def test_generated_tokens_of_every_ablated_head_are_those_of_full_passes(model):
    sites = heads(model)[::3]
    with torch.inference_mode():
        encoded = model.encode([clip()])
    for made, site in zip(
        generate(model, encoded, [ablated([site]) for site in sites], max_tokens=5), sites, strict=True
    ):
        full = alone_in_full(model, clip(), made.tokens[:-1], site)[model.prefix_length - 1 :]
        assert full.argmax(dim=-1).tolist() == list(made.tokens)


def test_rows_share_one_copy_of_the_audio(model):
    with torch.inference_mode():
        encoded = model.encode([clip()])
        with model.decoding(encoded) as decoding:
            decoding.step(torch.tensor([model.prefix] * 50))
            heard, own = decoding._heard.layers[0], decoding._own.layers[0]
            assert alone(heard)
            assert heard.keys.shape[2] == len(model.generation.before) + encoded.shape[1]
            assert tuple(own.keys.shape[:3]) == (50, 2, model.prefix_length)


def test_rows_of_several_clips_each_hear_their_own(model):
    clips = [clip(seed=seed) for seed in range(3)]
    with torch.inference_mode():
        encoded = model.encode(clips)
    together = predict(model, encoded, [7, 9], [()] * 3)
    for row, audio in zip(together, clips, strict=True):
        torch.testing.assert_close(row, alone_in_full(model, audio, [7, 9])[-1], **TOLERANCE)
    assert not torch.allclose(together[0], together[1])
    with torch.inference_mode(), model.decoding(encoded) as decoding:
        decoding.step(torch.tensor([model.prefix] * 3))
        decoding.keep(torch.tensor([2]))
        kept = decoding.step(torch.tensor([[7, 9]]))[0, -1]
    torch.testing.assert_close(kept, together[2], **TOLERANCE)


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_encoding_from_a_layer_equals_encoding_from_the_start(model, layer):
    audio = [clip(seed=seed) for seed in range(2)]
    worlds = [(), (Intervention(site=Site("encoder", layer), kind="patch", row=0, positions=(3, 4)),)]
    slow = encode(model, audio, worlds)
    torch.testing.assert_close(encode_from_site(model, audio, [0, 1], worlds), slow, **TOLERANCE)
    assert not torch.allclose(slow[1], encode(model, audio[1:], [()])[0])


def test_the_last_states_through_norm_and_projection_are_the_encoder_output(model):
    last = model.encoder_sites[-1]
    with torch.inference_mode(), model.reading([last]) as kept:
        encoded = model.encode([clip()])
    with torch.inference_mode():
        torch.testing.assert_close(model.encoder_output(kept[last], len(clip())), encoded, **TOLERANCE)
        bare = model.encoder_output(kept[last], len(clip()), norm=False)
        pooled = kept[last][:, : 2 * encoded.shape[1]].unflatten(1, (-1, 2)).mean(dim=2)
        torch.testing.assert_close(bare, model.network.model.multi_modal_projector(pooled), **TOLERANCE)
        torch.testing.assert_close(model.encode([clip()]), encoded)  # nothing stays bypassed


def test_attention_is_that_of_the_bare_network(folder, model):
    with torch.inference_mode():
        own, audio = model.attention(model.encode([clip()]), [7, 9, 11])
        eager = load_model(str(folder)).network
        eager.set_attn_implementation("eager")
        inputs, start = given(model, clip(), [7, 9])
        full = torch.stack(eager(**inputs, output_attentions=True).attentions)[:, 0, :, start:]
    torch.testing.assert_close(own, full[..., start:], **TOLERANCE)
    torch.testing.assert_close(audio, full[..., len(model.generation.before) : start], **TOLERANCE)
    assert (own.sum(dim=-1) + audio.sum(dim=-1) < 1).all()  # the text before the audio has the rest


def test_gradients_reach_the_encoder_output(model):
    with torch.inference_mode():
        encoded = model.encode([clip()])
    encoded = encoded.clone().requires_grad_()
    with model.decoding(encoded, gradients=True) as decoding:
        decoding.step(torch.tensor([model.prefix] * 2)).logsumexp(-1).sum().backward()
    assert (encoded.grad.abs().sum(dim=-1) > 0).all()


@pytest.mark.parametrize("samples", [641, 960, 961, 1280, 1281, 20800, 160000])
def test_there_is_a_time_for_each_embedding_that_the_processor_makes_room_for(model, samples):
    mel = -(-samples // 160)
    assert len(model.heard_times(samples)) == ((mel - 1) // 2 + 1 - 2) // 2 + 1


@pytest.mark.parametrize("samples", [8000, 15999, 16000, 17279, 17280, 17440, 40000])
def test_frames_that_start_anew_each_second_are_those_that_the_processor_counts(samples):
    """Thirteen to a second, 80 ms apart, and 40 ms from the last of a second to the first of the next."""
    clock = FrameClock.of_pieces(100, 8, least=8000)
    mel = torch.tensor(samples // 160)
    made = hf.Qwen3ASRProcessor._get_audio_token_length(None, mel)
    assert clock.count(samples) == int(made)
    times = clock.times(samples)
    np.testing.assert_allclose(times[:4], [0, 0.08, 0.16, 0.24])
    if samples > 17000:
        np.testing.assert_allclose(times[12:15], [0.96, 1.0, 1.08][: len(times) - 12])
    assert clock.nearest(np.array([0.97, 0.99, 9.0]), 16000).tolist() == [12, 12, 12]


def test_an_embedding_is_in_the_middle_of_the_frames_that_it_is_made_of(folder):
    """An event moves the embedding at its time most, at both ends of the window."""
    model = load_model(str(folder))
    quiet = clip(9.5) * 0.01
    for block in model.network.model.audio_tower.layers:  # attention alone would carry it elsewhere
        torch.nn.init.zeros_(block.self_attn.out_proj.weight)
    for at in (0.5, 9.0):
        loud = quiet.copy()
        loud[int(at * 16000)] += 5
        with torch.inference_mode():
            change = (model.encode([loud]) - model.encode([quiet]))[0].norm(dim=-1)
        moved = model.heard_times(len(quiet))[int(change.argmax())]
        assert abs(moved - at) <= 0.02 + 1e-9


def test_the_components_of_a_block_are_self_attention_and_mlp(model):
    assert [site for site in components(model) if site.layer == 1] == ["decoder.1.self_attn", "decoder.1.mlp"]


def test_a_clip_too_short_for_two_embeddings_is_refused(model):
    assert model.unsupported_reason(960) == "0.060 s is shorter than two frames of the language model"
    with pytest.raises(InputError, match="two frames"):
        model.encode([np.zeros(960, np.float32)])


def test_the_prompt_names_the_language(folder, model):
    spelt = model.identity.parts["prompt"]
    assert "<|audio_bos|><|AUDIO|><|audio_eos|>" in spelt
    assert "<|en|>" in spelt
    with model.prompted("de"):
        assert "".join(model.pieces(model.prefix)).endswith("<|de|><|im_end|>Ċ<|im_start|>assistantĊ")
    assert model.generation.language == "en"


def test_a_registered_language_that_the_prompt_cannot_name_is_refused_and_not_replaced(folder, tmp_path):
    path, described = tmp_path / "mine.yaml", yaml.safe_load(registration(str(folder)).text)
    path.write_text(yaml.safe_dump(described | {"languages": ["de"]}))
    assert load_model(str(path)).generation.language == "de"
    path.write_text(yaml.safe_dump(described | {"languages": ["pl"]}))
    with pytest.raises(InputError, match=r"registered for the language 'pl', .* only en, zh, yue, fr"):
        load_model(str(path))


def test_a_tokenizer_without_a_mark_of_the_prompt_is_refused_and_does_not_spell_it_out(folder, tmp_path):
    copytree(folder, tmp_path / "mine")
    for path in (tmp_path / "mine").glob("token*.json"):
        path.write_text(path.read_text().replace("<|audio_bos|>", "<|audio_begin|>"))
    with pytest.raises(
        InputError, match=r"the tokenizer has no <\|audio_bos\|>, which is part of the prompt"
    ):
        load_model(str(tmp_path / "mine"))


def test_a_chat_model_ends_with_its_turn_and_a_base_model_with_the_text(tmp_path, model):
    zoo_audio_lm.save_qwen2_audio(tmp_path / "base", chat=False)
    base = load_model(str(tmp_path / "base"))
    assert model.pieces([model.end_of_text]) == ["<|im_end|>"]
    assert base.pieces([base.end_of_text]) == ["<|endoftext|>"]
    assert base.pieces(base.generation.before) == ["<|audio_bos|>"]
    assert base.identity.sha256 != model.identity.sha256
