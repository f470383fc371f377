"""What every architecture keeps: a tiny random model of each, with a tokenizer and a front end of its own."""

import numpy as np
import pytest
import torch
import zoo_audio_lm  # noqa: F401  (lists its architectures)
import zoo_basic  # noqa: F401  (lists its architectures)
import zoo_ctc  # noqa: F401
import zoo_transducers  # noqa: F401
from zoo import ARCHITECTURES, clip

from innerear.activations.forward import ForwardPass, Stopwatch
from innerear.data.schema import SAMPLING_RATE
from innerear.interventions.ablation import ablated
from innerear.interventions.run import encode, encode_from_site, generate
from innerear.interventions.spec import Intervention
from innerear.models.decoder import DecoderModel, decoder_of
from innerear.models.loading import load_model
from innerear.models.site import Site

TOLERANCE = dict(atol=2e-5, rtol=1e-4)
"""Float32: sums over a batch may be taken in another order."""


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def architecture(request):
    return request.param


@pytest.fixture(scope="module")
def folder(architecture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo") / architecture
    ARCHITECTURES[architecture].save(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder))


def test_without_a_hook_it_writes_what_transformers_alone_writes(architecture, folder, model):
    bare = ARCHITECTURES[architecture].bare
    if bare is None:
        assert not model.writes
        return
    audio = clip()
    (written,) = model.transcribe([audio])
    expected = bare(folder, audio)
    if model.decoder_layers:
        size = min(len(written.tokens), len(expected))
        assert size > 1
        assert list(written.tokens[:size]) == expected[:size]
        assert not written.ended or written.tokens[-1] in decoder_of(model).generation.ends
    else:
        assert list(written.tokens) == expected[: len(written.tokens)]


def test_sites_are_complete_and_fire_in_order(model):
    assert model.encoder_layers >= 1
    order = []
    sites = [*model.encoder_sites]
    with torch.inference_mode(), model.hooks({s: lambda _, s=s: order.append(s) for s in sites}):
        model.encode([clip()])
    assert order == sites
    for stack, layers in (("encoder", model.encoder_layers), ("decoder", model.decoder_layers)):
        of_stack = {site for site in model.places if site.stack == stack}
        assert {site for site in of_stack if site.is_residual} == {
            Site(stack, layer) for layer in range(layers + 1 if layers else 0)
        }
        by_layer = [
            {(s.part, s.head) for s in of_stack if s.layer == layer} for layer in range(1, layers + 1)
        ]
        assert all(parts == by_layer[0] for parts in by_layer)
        assert not layers or {"self_attn", "mlp"} <= {part for part, _ in by_layer[0]}


def test_every_site_of_the_encoder_is_read(model):
    states = model.states([clip()], [site for site in model.places if site.stack == "encoder"])
    for site, values in states.items():
        assert values.shape[0] == 1
        assert values.shape[1] >= model.clock.count(len(clip())), site
        assert torch.isfinite(values).all(), site


@pytest.mark.parametrize("at", [0.5, 3.0, 7.5])
def test_an_impulse_moves_the_frame_at_its_time(architecture, model, at):
    """At both ends of a long clip: frame times neither drift nor shift."""
    quiet, loud = clip(8.0) * 0.01, clip(8.0) * 0.01
    if "samples" in model.family.front_end:
        # normalising the clip would change all of it: the impulse is in both, upwards and downwards
        quiet, loud = clip(8.0), clip(8.0)
        quiet[int(at * SAMPLING_RATE)] -= 5.0
    loud[int(at * SAMPLING_RATE)] += 5.0
    states = [model.states([audio], ["encoder.0"])["encoder.0"][0] for audio in (quiet, loud)]
    valid = model.clock.count(len(quiet))
    change = (states[1] - states[0])[:valid].norm(dim=-1)
    nearest = model.clock.nearest(np.array([at]), len(quiet))[0]
    assert abs(int(change.argmax()) - nearest) <= ARCHITECTURES[architecture].blur
    times = model.clock.times(len(quiet))
    assert 0 <= times[0] < 0.1
    assert 7.8 < times[-1] <= 8.0


def test_neighbours_in_a_batch_change_nothing(model):
    clips = [clip(seed=seed) for seed in range(3)]
    together = model.states(clips, model.encoder_sites)
    with torch.inference_mode():
        encoded = model.encode(clips)
    for row, audio in enumerate(clips):
        alone = model.states([audio], model.encoder_sites)
        for site in model.encoder_sites:
            torch.testing.assert_close(together[site][row], alone[site][0], **TOLERANCE)
        with torch.inference_mode():
            torch.testing.assert_close(encoded[row], model.encode([audio])[0], **TOLERANCE)


def test_starting_at_a_site_equals_running_the_whole_encoder(model):
    """Worlds with a patch at each depth, the last layer too; the last frame is masked, or one of a pair."""
    audio = clip(1.28)
    donor = {"other": torch.randn(model.states([audio], ["encoder.0"])["encoder.0"].shape[1:])}
    layers = (0, 1, model.encoder_layers)
    worlds = [(Intervention(site=Site("encoder", at), kind="set", source="other"),) for at in layers]
    fast = encode_from_site(model, [audio], [0] * len(worlds), worlds, donor)
    torch.testing.assert_close(fast, encode(model, [audio], worlds, donor), **TOLERANCE)


@pytest.mark.parametrize("seconds", [1.28, 1.3])
def test_the_states_of_the_last_layer_are_read_as_the_encoder_output(model, seconds):
    """As a lens on encoder layers hands them on, with the padding of the front end."""
    if model.lacks("lens"):
        return
    heard = ForwardPass(model, [clip(seconds)], Stopwatch(model.device)).clip(0)
    with torch.inference_mode():
        output = model.encoder_output(heard.padded_states[-1:], heard.samples)
    torch.testing.assert_close(output, heard.encoded[:, : output.shape[1]], **TOLERANCE)
    assert heard.encoded.shape[1] - output.shape[1] <= 1  # of an upsampled pair


def test_the_lens_at_the_last_layer_is_the_output(model):
    if not model.writes:
        return
    if not model.decoder_layers:
        if model.adapted:
            assert "adapter" in model.lacks("emissions")
            return
        last = model.encoder_sites[-1]
        with torch.inference_mode(), model.reading([last]) as kept:
            (written,) = model.transcribe([clip()])
        emitted = model.emissions(kept[last][:, : model.clock.count(len(clip()))])
        best = emitted.log_probs[-1].argmax(-1).tolist()
        assert model.spoken(best) == model.spoken(written.tokens) != []
        assert emitted.texts == [written.text]
        return
    decoder, last = decoder_of(model), model.decoder_sites[-1]
    with torch.inference_mode():
        encoded = model.encode([clip()])
        with model.reading([last]) as kept:
            logits = decoder.teacher_force(encoded, [7, 9, 11])
        torch.testing.assert_close(model.unembed(kept[last][0]), logits, **TOLERANCE)


def test_ablating_all_heads_leaves_the_bias_of_the_component(model):
    """In each attention of the encoder, and of the decoder along a teacher-forced text."""
    heads = [site for site in model.places if site.is_head]
    for component in dict.fromkeys(site.component for site in heads):
        own = [site for site in heads if site.component == component]
        projection = model.network.get_submodule(model.places[own[0]].module)
        bias = projection.bias
        silenced = model.hooks(dict.fromkeys(own, torch.zeros_like))
        with torch.inference_mode(), silenced, model.reading([component]) as kept:
            encoded = model.encode([clip(0.6)])
            if component.stack == "decoder":
                decoder_of(model).teacher_force(encoded, [7, 9, 11])
        left = kept[component]
        expected = torch.zeros_like(left) if bias is None else bias.expand_as(left)
        torch.testing.assert_close(left, expected, **TOLERANCE)


def test_cached_interventions_equal_uncached_ones(model):
    """Decoding token by token with cached keys, a head ablated, against whole passes with the same hook."""
    if not isinstance(model, DecoderModel):
        return
    site = next((s for s in model.places if s.is_head and s.stack == "decoder"), Site("decoder", 1, "mlp"))
    with torch.inference_mode():
        encoded = model.encode([clip()])
    plain, without = generate(model, encoded, [(), ablated([site])], max_tokens=8)
    assert plain.tokens == model.greedy_decode(encoded, 8)[0].tokens
    for made, actions in ((plain, {}), (without, {site: torch.zeros_like})):
        with torch.inference_mode(), model.hooks(actions):
            logits = model.teacher_force(encoded, made.tokens)[model.prefix_length - 1 :]
            best = [
                int(row.index_fill(0, model.suppressed_tokens(first=not at), -torch.inf).argmax())
                for at, row in enumerate(logits)
            ]
        assert best == list(made.tokens)
        log_probs = logits.log_softmax(-1).gather(-1, torch.tensor(made.tokens)[:, None])[:, 0]
        torch.testing.assert_close(log_probs, torch.tensor(made.log_probs), **TOLERANCE)


def test_saved_and_loaded_again_it_is_the_same_model(folder, model):
    again = load_model(str(folder))
    assert again.identity.sha256 == model.identity.sha256
    site = model.encoder_sites[-1]
    assert torch.equal(again.states([clip()], [site])[site], model.states([clip()], [site])[site])


def test_the_prompt_is_part_of_the_hash(folder, model):
    if not model.decoder_layers:
        return
    decoder = decoder_of(model)
    assert "prompt" in decoder.identity.parts
    for language in decoder.generation.languages:
        other = decoder.generation.in_language(language)
        assert (other.prefix == decoder.prefix) == (language == decoder.generation.language)


def test_a_random_twin_has_its_sites_and_other_weights(folder, model):
    twin = load_model(str(folder), twin_seed=1)
    assert list(twin.places) == list(model.places)
    assert twin.identity.weights_sha256 != model.identity.weights_sha256
