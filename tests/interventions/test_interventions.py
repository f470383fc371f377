"""Worlds of a batch equal one hook at a time on the bare model, token for token, on every family."""

import numpy as np
import pytest
import torch
from conftest import noise, tiny_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import GenerationMixin

from innerear.interventions.run import encode, encode_from_site, generate, predict, teacher_force
from innerear.interventions.spec import Intervention, Worlds
from innerear.models.encoder_decoder import Encoded
from innerear.util.errors import InnerearError, InputError

DECODERS = ("whisper", "moonshine")
TOKENS = (5, 9, 7, 30, 11, 8)
MOST = 8


def lively(family):
    """A tiny model that does not write one token for ever: head and attention are drawn anew."""
    model = tiny_model(family)
    torch.manual_seed(7)
    network = model.network
    network.proj_out.weight = torch.nn.Parameter(torch.randn_like(network.proj_out.weight))  # no longer tied
    for name, parameter in network.named_parameters():
        if parameter.dim() == 2 and ("attn" in name or "embed" in name):
            torch.nn.init.normal_(parameter, std=0.4)
    return model


def hooked_alone(model, site, write, run):
    """Run with one plain PyTorch hook on the bare network; `write` sees the states and gives new ones."""
    place = model.places[site]
    module = model.network.get_submodule(place.module)

    def changed(states):
        if place.head is None:
            return write(states)
        width = states.shape[-1] // place.heads
        part = slice(place.head * width, (place.head + 1) * width)
        states = states.clone()
        states[..., part] = write(states[..., part])
        return states

    if place.side == "input":

        def before(_module, args, kwargs):
            if args:
                return (changed(args[0]), *args[1:]), kwargs
            return args, kwargs | {"hidden_states": changed(kwargs["hidden_states"])}

        handle = module.register_forward_pre_hook(before, with_kwargs=True)
    else:

        def after(_module, _args, output):
            return (changed(output[0]), *output[1:]) if isinstance(output, tuple) else changed(output)

        handle = module.register_forward_hook(after)
    try:
        with torch.inference_mode():
            return run()
    finally:
        handle.remove()


def writer(each, tensors, donor=None):
    """The slow reference of one intervention: sees [1, token, dim] of a step, counts positions itself."""
    seen = [0]

    def write(states):
        offset, length = seen[0], states.shape[1]
        seen[0] += length
        states = states.clone()
        for position in range(offset, offset + length):
            if each.positions is not None and position not in each.positions:
                continue
            old = states[0, position - offset]
            if each.kind == "add":
                states[0, position - offset] = old + each.alpha * tensors[each.source]
                continue
            if each.kind == "zero":
                new = torch.zeros_like(old)
            elif each.kind == "set":
                tensor = tensors[each.source]
                index = position if each.positions is None else each.positions.index(position)
                new = tensor if tensor.dim() == 1 else tensor[index]
            else:
                index = (
                    position
                    if each.source_positions is None
                    else (each.source_positions[each.positions.index(position)])
                )
                new = donor[index]
            states[0, position - offset] = new if each.alpha == 1 else old + each.alpha * (new - old)
        return states

    return write


def recorded(model, site, run):
    """States [position, dim] that pass a site."""
    parts = []

    def keep(states):
        parts.append(states[0].clone())
        return states

    hooked_alone(model, site, keep, run)
    return torch.cat(parts)


def bare(model, encoded, max_tokens=MOST):
    """Greedy decoding of one clip by `transformers` alone."""
    start = torch.tensor([model.prefix])
    made = GenerationMixin.generate(
        model.network, encoder_outputs=Encoded(last_hidden_state=encoded),
        decoder_input_ids=start, decoder_attention_mask=torch.ones_like(start), do_sample=False,
        num_beams=1, max_new_tokens=max_tokens,
    )  # fmt: skip
    return made[0, start.shape[1] :].tolist()


def decoder_sites(model):
    return sorted(site for site in model.places if site.startswith("decoder"))


def width(model, site):
    return 32 // (model.places[site].heads if model.places[site].head is not None else 1)


def draw_world(data, model, sites, length, patch_from=None, positions=True):
    """One random intervention, and the tensors that it names."""
    site = data.draw(st.sampled_from(sites))
    kind = data.draw(st.sampled_from(["zero", "set", "add", *(["patch"] if patch_from is not None else [])]))
    at = None
    if positions and data.draw(st.booleans()):
        at = tuple(sorted(data.draw(st.sets(st.integers(0, length - 1), min_size=1, max_size=3))))
    alpha = data.draw(st.sampled_from([1.0, 0.5, -1.0, 2.0]))
    seed = data.draw(st.integers(0, 99))
    tensors = {}
    if kind in ("set", "add"):
        states = torch.randn(width(model, site), generator=torch.Generator().manual_seed(seed))
        tensors[f"t{seed}-{width(model, site)}"] = states
    each = Intervention(
        site=site, kind=kind, positions=at, alpha=alpha,
        source=next(iter(tensors), None), row=patch_from if kind == "patch" else None,
    )  # fmt: skip
    return each, tensors


@pytest.fixture(scope="module", params=DECODERS)
def heard(request):
    """A model and the encoder output of two clips."""
    model = lively(request.param)
    with torch.inference_mode():
        return model, [model.encode([noise(1.0, seed)]) for seed in (0, 1)]


PROPERTY = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@PROPERTY
@given(data=st.data(), family=st.sampled_from(DECODERS))
def test_resumed_worlds_equal_whole_passes(data, family):
    model = lively(family)
    clips = [noise(1.0, seed) for seed in (0, 1)]
    sites = sorted(site for site in model.places if site.startswith("encoder"))
    drawn = [draw_world(data, model, sites, 20, patch_from=0) for _ in range(4)]
    donor, extra = draw_world(data, model, sites, 20)
    tensors = {name: tensor for _, named in drawn for name, tensor in named.items()} | extra
    first = (donor,) if data.draw(st.booleans()) else ()
    worlds = [first, *((each,) for each, _ in drawn), ()]
    clip = [1, 0, 0, 1, 0, 0]
    made = encode_from_site(model, clips, clip, worlds, tensors)
    whole = encode(model, [clips[at] for at in clip], worlds, tensors)
    torch.testing.assert_close(made, whole, atol=1e-4, rtol=1e-4)
    with torch.inference_mode():
        assert torch.equal(made[-1], model.encode(clips)[0])


@PROPERTY
@given(data=st.data())
def test_worlds_of_a_led_batch_equal_one_hook_at_a_time(heard, data):
    model, (encoded, _) = heard
    length = model.prefix_length + len(TOKENS) - 1
    drawn = [draw_world(data, model, decoder_sites(model), length, patch_from=0) for _ in range(3)]
    tensors = {name: tensor for _, named in drawn for name, tensor in named.items()}
    steer, extra = draw_world(data, model, decoder_sites(model), length)  # the donor is no clean run
    worlds = [(steer,), *((each,) for each, _ in drawn), ()]
    made = teacher_force(model, encoded, [TOKENS], worlds, tensors | extra)

    def alone(each, donor=None):
        write = writer(each, tensors | extra, donor)
        return hooked_alone(model, each.site, write, lambda: model.teacher_force(encoded, TOKENS))

    first = model.prefix_length - 1
    torch.testing.assert_close(made[0], alone(steer)[first:], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(made[-1], model.teacher_force(encoded, TOKENS)[first:], atol=1e-4, rtol=1e-4)
    for logits, (each, _) in zip(made[1:-1], drawn, strict=True):
        donor = None
        if each.kind == "patch":  # the donor's states at the site, its own world at work (before this site)
            if steer.site == each.site:
                continue  # what arrives at a site is before any write there; the recording hook sees it after
            write = writer(steer, extra)
            donor = hooked_alone(
                model, steer.site, write,
                lambda each=each: recorded(model, each.site, lambda: model.teacher_force(encoded, TOKENS)),
            )  # fmt: skip
        torch.testing.assert_close(logits, alone(each, donor)[first:], atol=1e-4, rtol=1e-4)


@PROPERTY
@given(data=st.data())
def test_generated_worlds_equal_one_hooked_generate_each(heard, data):
    model, (encoded, _) = heard
    drawn = [draw_world(data, model, decoder_sites(model), model.prefix_length + 2) for _ in range(4)]
    tensors = {name: tensor for _, named in drawn for name, tensor in named.items()}
    made = generate(model, encoded, [*((each,) for each, _ in drawn), ()], tensors, max_tokens=MOST)
    for transcript, (each, _) in zip(made[:-1], drawn, strict=True):
        write = writer(each, tensors)
        assert list(transcript.tokens) == hooked_alone(model, each.site, write, lambda: bare(model, encoded))
    assert list(made[-1].tokens) == bare(model, encoded)


def test_decoding_without_interventions_is_write(heard):
    model, both = heard
    (one,) = model.greedy_decode(both[0])
    made = generate(model, both[0], [(), (), ()])
    assert [each.tokens for each in made] == [one.tokens] * 3
    assert made[0].text == one.text
    np.testing.assert_allclose(made[1].log_probs, one.log_probs, atol=1e-4)
    assert len(set(one.tokens)) > 2, "a model that writes one token for ever shows little"
    each_own = generate(model, torch.cat(both), [(), ()])
    assert [own.tokens for own in each_own] == [model.greedy_decode(encoded)[0].tokens for encoded in both]


def test_patching_a_row_of_generation_takes_the_donor_step_by_step(heard):
    model, both = heard
    site = "decoder.1"
    worlds = [(), (Intervention(site=site, kind="patch", row=0),)]
    made = generate(model, torch.cat(both), worlds, max_tokens=MOST)
    donor = recorded(model, site, lambda: bare(model, both[0]))
    each = worlds[1][0]
    alone = hooked_alone(model, site, writer(each, {}, donor), lambda: bare(model, both[1]))
    assert list(made[1].tokens) == alone[: len(made[1].tokens)]
    assert list(made[0].tokens) == bare(model, both[0])


@pytest.mark.parametrize("family", DECODERS)
def test_a_whole_state_patched_at_one_layer_makes_the_output_the_donors(family):
    model = lively(family)
    clips = [noise(1.0, 0), noise(1.0, 1)]
    last = f"encoder.{model.encoder_layers}"
    worlds = [(), (), (Intervention(site=last, kind="patch", row=0),)]
    encoded = encode(model, [clips[0], clips[1], clips[1]], worlds)
    assert torch.equal(encoded[2], encoded[0])
    assert not torch.equal(encoded[1], encoded[0])
    made = generate(model, encoded, [(), (), ()], max_tokens=MOST)
    assert made[2].tokens == made[0].tokens


@PROPERTY
@given(data=st.data())
def test_encoder_worlds_equal_one_hook_at_a_time(data):
    model = tiny_model(data.draw(st.sampled_from(["whisper", "moonshine", "wav2vec2", "hubert", "wavlm"])))
    sites = sorted(site for site in model.places if site.startswith("encoder"))
    each, tensors = draw_world(data, model, sites, 10, patch_from=1)
    clips = [noise(0.5, 0), noise(0.5, 1)]
    made = encode(model, [clips[0], clips[1]], [(each,), ()], tensors)
    donor = None
    if each.kind == "patch":
        donor = recorded(model, each.site, lambda: model.encode([clips[1]]))
    alone = hooked_alone(model, each.site, writer(each, tensors, donor), lambda: model.encode([clips[0]]))
    torch.testing.assert_close(made[:1], alone, atol=1e-4, rtol=1e-4)
    with torch.inference_mode():
        torch.testing.assert_close(made[1:], model.encode([clips[1]]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", DECODERS)
def test_identity_writes_change_nothing_and_perturbations_do(family):
    model = lively(family)
    with torch.inference_mode():
        encoded = model.encode([noise(1.0)])
    plain = teacher_force(model, encoded, [TOKENS], [(), ()])
    for site in decoder_sites(model):
        same = Intervention(site=site, kind="patch", row=0)
        nudge = Intervention(site=site, kind="add", source="d", alpha=0.0)
        tensors = {"d": torch.arange(width(model, site)).float()}  # a norm would not see a constant
        back = teacher_force(model, encoded, [TOKENS], [(), (same,)])
        assert torch.equal(back[1], plain[1]), site
        still = teacher_force(model, encoded, [TOKENS], [(), (nudge,)], tensors)
        assert torch.equal(still[1], plain[1]), site
        moved = teacher_force(
            model, encoded, [TOKENS], [(), (nudge.model_copy(update={"alpha": 5.0}),)], tensors
        )
        assert not torch.allclose(moved[1], plain[1], atol=1e-5), site


def test_all_heads_of_a_component_are_the_component_without_its_bias(heard):
    model, (encoded, _) = heard
    heads = [site for site in decoder_sites(model) if site.startswith("decoder.1.cross_attn.head.")]
    every = tuple(Intervention(site=site, kind="zero") for site in heads)
    projection = model.network.get_submodule(model.places[heads[0]].module)
    rest = torch.zeros(32) if projection.bias is None else projection.bias.detach()
    component = (Intervention(site="decoder.1.cross_attn", kind="set", source="bias"),)
    a, b = teacher_force(model, encoded, [TOKENS], [every, component], {"bias": rest})
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_rows_do_not_know_of_each_other(heard):
    model, (encoded, _) = heard
    worlds = [(Intervention(site=site, kind="zero"),) for site in decoder_sites(model)[:12]]
    together = teacher_force(model, encoded, [TOKENS], worlds)
    backwards = teacher_force(model, encoded, [TOKENS], worlds[::-1])[::-1]
    for at, (one, other) in enumerate(zip(together, backwards, strict=True)):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
        (alone,) = teacher_force(model, encoded, [TOKENS], [worlds[at]])
        torch.testing.assert_close(one, alone, atol=1e-4, rtol=1e-4)


def test_rows_may_be_led_over_other_tokens(heard):
    model, (encoded, _) = heard
    made = teacher_force(model, encoded, [TOKENS, TOKENS[:3], (9, 9)], [(), (), ()])
    assert [len(each) for each in made] == [6, 3, 2]
    for each, tokens in zip(made, (TOKENS, TOKENS[:3], (9, 9)), strict=True):
        alone = model.teacher_force(encoded, tokens)[model.prefix_length - 1 :]
        torch.testing.assert_close(each, alone, atol=1e-4, rtol=1e-4)


def test_a_row_stops_when_its_answer_is_decided_and_others_go_on(heard):
    model, (encoded, _) = heard
    zero = (Intervention(site="decoder.1.mlp", kind="zero"),)
    whole = generate(model, encoded, [(), zero], max_tokens=MOST)
    made = generate(
        model, encoded, [(), zero], max_tokens=MOST, stop=lambda tokens: tokens == list(whole[0].tokens[:2])
    )
    assert made[0].tokens == whole[0].tokens[:2]
    assert not made[0].ended
    if whole[1].tokens[:2] != whole[0].tokens[:2]:
        assert made[1].tokens == whole[1].tokens


def test_what_never_acts_is_an_error(heard):
    model, (encoded, _) = heard
    late = (Intervention(site="decoder.1", kind="zero", positions=(30,)),)
    with pytest.raises(InnerearError, match=r"world 1: zero at decoder.1 never acted; its positions \(30,\)"):
        teacher_force(model, encoded, [TOKENS], [(), late])
    with pytest.raises(InnerearError, match="never acted"):
        generate(model, encoded, [(), late], max_tokens=3)


def test_records_that_make_no_sense_are_one_line(heard):
    model, (encoded, _) = heard

    def led(**fields):
        return teacher_force(
            model, encoded, [TOKENS], [(Intervention(**fields),)], {"short": torch.zeros(2, 32)}
        )

    with pytest.raises(InputError, match=r"no site 'decoder\.9'"):
        led(site="decoder.9", kind="zero")
    with pytest.raises(InputError, match="no tensor 'mean'"):
        led(site="decoder.1", kind="set", source="mean")
    with pytest.raises(InputError, match="there is no row 4"):
        led(site="decoder.1", kind="patch", row=4)
    with pytest.raises(InputError, match="has 2 states, but position"):
        led(site="decoder.1", kind="set", source="short")
    with pytest.raises(ValidationError, match="`set`, `add` and `erase` need a source"):
        Intervention(site="decoder.1", kind="zero", source="x")
    with pytest.raises(ValidationError, match="`patch` needs a row"):
        Intervention(site="decoder.1", kind="patch")
    with pytest.raises(ValidationError, match="one for each of positions"):
        Intervention(site="decoder.1", kind="patch", row=0, positions=(1, 2), source_positions=(1,))
    with pytest.raises(InputError, match="2 worlds need one clip, or one each; there are 3"):
        encode(model, [noise(0.5)] * 3, [(), ()])


def test_ctc_has_encoder_worlds_and_no_decoder():
    model = tiny_model("wav2vec2")
    encoded = encode(model, [noise(0.5)], [(), (Intervention(site="encoder.1", kind="zero"),)])
    plain, changed = generate(model, encoded, [(), ()])
    assert plain.tokens == model.transcribe([noise(0.5)])[0].tokens != changed.tokens
    with pytest.raises(InputError, match="has no decoder"):
        predict(model, encoded, [1], [(), ()])


def test_interventions_are_values_that_survive_json():
    each = Intervention(site="decoder.1", kind="patch", row=0, positions=(1, 2), source_positions=(2, 3))
    assert Intervention.model_validate_json(each.model_dump_json()) == each
    assert hash(each) == hash(each.model_copy())
    assert Worlds(tiny_model("whisper"), [(each,)]).worlds == [(each,)]
