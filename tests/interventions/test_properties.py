"""What holds of every intervention on every model: random families, shapes, weights, sites and worlds."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from conftest import FAMILIES, noise, tiny_model
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from innerear.interventions.run import encode, generate, teacher_force
from innerear.interventions.spec import Intervention, Worlds
from innerear.models.encoder_decoder import EncoderDecoder
from innerear.util.errors import InnerearError

EVERY = pytest.mark.parametrize("family", FAMILIES)
PROPERTY = settings(max_examples=6, deadline=None, derandomize=True)
CLOSE = {"atol": 1e-4, "rtol": 1e-4}
"""How far rows may be apart whose neighbours differ: kernels sum in another order."""
TOKENS = (5, 9, 7, 11)
POSITIONS = st.none() | st.sets(st.integers(0, 3), min_size=1).map(sorted).map(tuple)
"""Every stack has four positions at least: prefix and all tokens but the last."""
ALPHAS = st.sampled_from([1.0, 0.5, 0.0, -1.0, 2.0])


def shape(family, layers, heads, pre_norm):
    """A configuration in the words of its family."""
    dim = 8 * heads
    match family:
        case "whisper":
            return dict(
                d_model=dim, encoder_layers=layers, decoder_layers=layers, encoder_attention_heads=heads,
                decoder_attention_heads=heads,
            )  # fmt: skip
        case "moonshine":
            return dict(
                hidden_size=dim, encoder_num_hidden_layers=layers, decoder_num_hidden_layers=layers,
                encoder_num_attention_heads=heads, decoder_num_attention_heads=heads,
            )  # fmt: skip
    return dict(
        hidden_size=dim, num_hidden_layers=layers, num_attention_heads=heads, num_conv_pos_embedding_groups=2,
        do_stable_layer_norm=pre_norm,
    )  # fmt: skip


@st.composite
def models(draw, family):
    """A random model whose weights are no near-zeros, biases included."""
    layers, heads = draw(st.integers(1, 3)), draw(st.sampled_from([2, 4]))
    seed, pre_norm = draw(st.integers(0, 999)), draw(st.booleans())
    model = tiny_model(family, seed=seed, **shape(family, layers, heads, pre_norm))
    for name, parameter in model.network.named_parameters():
        if "attn" in name or "attention" in name or "fc" in name or "mlp" in name or "feed_forward" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


@dataclass
class Outcome:
    """What came of worlds: encoder output, and the logits of a decoder that was led."""

    encoded: torch.Tensor
    logits: torch.Tensor | None

    def equals(self, other):
        return torch.equal(self.encoded, other.encoded) and (
            self.logits is None or torch.equal(self.logits, other.logits)
        )

    def of(self, rows):
        return Outcome(self.encoded[rows], None if self.logits is None else self.logits[rows])

    def is_close_to(self, other):
        torch.testing.assert_close(self.encoded, other.encoded, **CLOSE)
        if self.logits is not None:
            torch.testing.assert_close(self.logits, other.logits, **CLOSE)


def run(model, clips, worlds, tensors=None):
    """All worlds as one batch, through the encoder and a decoder that is led over `TOKENS`."""
    encoded = encode(model, clips, worlds, tensors)
    if not isinstance(model, EncoderDecoder):
        return Outcome(encoded, None)
    return Outcome(encoded, torch.stack(teacher_force(model, encoded, [TOKENS], worlds, tensors)))


def width(model, site):
    place = model.places[site]
    return model.network.config.hidden_size // (place.heads if place.head is not None else 1)


def draw_intervention(data, model, rows):
    """Something to write, and the tensors that it names."""
    site = data.draw(st.sampled_from(sorted(model.places)))
    kind = data.draw(st.sampled_from(["zero", "set", "add", "patch"]))
    tensors = {}
    if kind in ("set", "add"):
        seed = data.draw(st.integers(0, 9))
        tensors[f"{site} {seed}"] = torch.randn(
            width(model, site), generator=torch.Generator().manual_seed(seed)
        )
    each = Intervention(
        site=site, kind=kind, positions=data.draw(POSITIONS), alpha=data.draw(ALPHAS),
        source=next(iter(tensors), None), row=data.draw(st.sampled_from(rows)) if kind == "patch" else None,
    )  # fmt: skip
    return each, tensors


@EVERY
@PROPERTY
@given(data=st.data())
def test_writing_what_is_there_changes_nothing(family, data):
    model = data.draw(models(family))
    sites = data.draw(st.lists(st.sampled_from(sorted(model.places)), min_size=1, max_size=5, unique=True))
    zeros = {site: torch.zeros(width(model, site)) for site in sites}
    where, alpha = data.draw(POSITIONS), data.draw(ALPHAS)
    same = [
        tuple(Intervention(site=site, kind="patch", row=0, positions=where, alpha=alpha) for site in sites),
        tuple(
            Intervention(site=site, kind="add", source=site, positions=where, alpha=alpha) for site in sites
        ),
        tuple(Intervention(site=site, kind="zero", positions=where, alpha=0.0) for site in sites),
    ]
    clips = [noise(1.0, data.draw(st.integers(0, 9)))]
    assert run(model, clips, same, zeros).equals(run(model, clips, [()] * 3))


@EVERY
@PROPERTY
@given(data=st.data())
def test_ablating_all_heads_leaves_the_bias_of_their_attention(family, data):
    model = data.draw(models(family))
    heads = sorted(site for site in model.places if ".head." in site)
    if family == "wavlm":  # its projection is fused
        assert not heads
        return
    part = data.draw(st.sampled_from(sorted({site.partition(".head.")[0] for site in heads})))
    own = [site for site in heads if site.startswith(f"{part}.head.")]
    bias = model.network.get_submodule(model.places[own[0]].module).bias
    rest = {"rest": torch.zeros(width(model, part)) if bias is None else bias.detach()}
    assert bias is None or bias.abs().min() > 0
    every = tuple(Intervention(site=site, kind="zero") for site in own)
    component = (Intervention(site=part, kind="set", source="rest"),)
    made = run(model, [noise(1.0)], [every, component], rest)
    made.of([0]).is_close_to(made.of([1]))
    some = run(model, [noise(1.0)], [every[1:], component], rest)
    assert not some.of([0]).equals(some.of([1])), "one head less must show"


@EVERY
@PROPERTY
@given(data=st.data())
def test_ablating_all_of_a_layer_is_removing_it(family, data):
    model = data.draw(models(family))
    stack = data.draw(st.sampled_from(sorted({site.partition(".")[0] for site in model.places})))
    streams = model.encoder_sites if stack == "encoder" else model.decoder_sites
    site = data.draw(st.sampled_from(streams[1:]))
    parts = [f"{site}.{part}" for part in ("self_attn", "cross_attn", "mlp")]
    world = tuple(Intervention(site=part, kind="zero") for part in parts if part in model.places)
    assert len(world) == 2 + (stack == "decoder")
    clips = [noise(1.0, data.draw(st.integers(0, 9)))]
    made, untouched = run(model, clips, [world]), run(model, clips, [()])
    assert not made.equals(untouched)
    block = model.network.get_submodule(model.places[site].module)
    forward = block.forward
    after = not getattr(model.network.config, "do_stable_layer_norm", True)

    def removed(hidden_states, *args, **kwargs):
        """The block as if it were not there; where norms follow what is added, only they are left."""
        output = forward(hidden_states, *args, **kwargs)
        left = block.final_layer_norm(block.layer_norm(hidden_states)) if after else hidden_states
        return (left, *output[1:]) if isinstance(output, tuple) else left

    block.forward = removed
    try:
        made.is_close_to(run(model, clips, [()]))
    finally:
        del block.forward


@EVERY
@PROPERTY
@given(data=st.data())
def test_patches_compose(family, data):
    model = data.draw(models(family))
    sites = [site for site in sorted(model.places) if site.startswith("encoder")]
    a, b = data.draw(st.lists(st.sampled_from(sites), min_size=2, max_size=2, unique=True))
    where, alpha = data.draw(POSITIONS), data.draw(ALPHAS)

    def patch(site, at=where):
        return Intervention(site=site, kind="patch", row=0, positions=at, alpha=alpha)

    clips = [noise(1.0, 1), noise(1.0, 2), noise(1.0, 2), noise(1.0, 2)]
    both = encode(model, clips, [(), (patch(a), patch(b)), (patch(b), patch(a)), ()])
    first, second = (Worlds(model, [(), (patch(each),), (patch(each),), ()]) for each in (a, b))
    with (
        torch.inference_mode(),
        first.applied("encoder", range(4)),
        second.applied("encoder", range(4)),
    ):
        one_after_the_other = model.encode(clips)
    assert torch.equal(both, one_after_the_other)
    assert same(family, both[1], both[2])
    halves = encode(model, clips[:2], [(), (patch(a, (0, 2)), patch(a, (1, 3)))])
    assert torch.equal(halves, encode(model, clips[:2], [(), (patch(a, (0, 1, 2, 3)),)]))


def same(family, one, other):
    """Whether two rows of a batch are equal: bitwise, but for WavLM, whose biased attention rounds by row."""
    return torch.allclose(one, other, atol=1e-5, rtol=1e-4) if family == "wavlm" else torch.equal(one, other)


@EVERY
@PROPERTY
@given(data=st.data())
def test_a_patch_of_the_whole_state_makes_all_that_follows_the_donors(family, data):
    model = data.draw(models(family))
    layer = data.draw(st.integers(0, len(model.encoder_sites) - 1))
    world = (Intervention(site=model.encoder_sites[layer], kind="patch", row=1),)
    clips = [noise(1.0, 1), noise(1.0, 2)]
    worlds = Worlds(model, [world, ()])
    with (
        torch.inference_mode(),
        worlds.applied("encoder", range(2)),
        model.reading(model.encoder_sites) as kept,
    ):
        encoded = model.encode(clips)
    for number, site in enumerate(model.encoder_sites):
        assert same(family, kept[site][0], kept[site][1]) == (number >= layer), site
    assert same(family, encoded[0], encoded[1])
    if isinstance(model, EncoderDecoder):
        site = data.draw(st.sampled_from(model.decoder_sites))
        patched = (Intervention(site=site, kind="patch", row=1),)
        one, donor, own = teacher_force(model, encoded[:1], [TOKENS, TOKENS[::-1], TOKENS], [patched, (), ()])
        assert torch.equal(one, donor)
        assert not torch.equal(own, donor)


@EVERY
@PROPERTY
@given(data=st.data())
def test_rows_do_not_know_of_their_neighbours(family, data):
    model = data.draw(models(family))
    drawn = [draw_intervention(data, model, [0, 1]) for _ in range(3)]
    tensors = {name: tensor for _, named in drawn for name, tensor in named.items()}
    worlds = [(), (), *((each,) for each, _ in drawn)]
    clips = [noise(1.0, 1), noise(1.0, 2), *[noise(1.0, 1)] * 3]
    made = run(model, clips, worlds, tensors)
    order = data.draw(st.permutations(range(5)))
    moved = [
        tuple(
            each if each.row is None else each.model_copy(update={"row": order.index(each.row)})
            for each in worlds[at]
        )
        for at in order
    ]
    run(model, [clips[at] for at in order], moved, tensors).is_close_to(made.of(order))
    few = [0, 1, data.draw(st.integers(2, 4))]
    run(model, [clips[at] for at in few], [worlds[at] for at in few], tensors).is_close_to(made.of(few))


@EVERY
@PROPERTY
@given(data=st.data())
def test_alpha_goes_straight_from_what_was_to_what_is_written(family, data):
    model = data.draw(models(family))
    each, tensors = draw_intervention(data, model, [0])
    assume(each.site.stack == "encoder")
    alpha = data.draw(st.sampled_from([0.25, 0.5, -1.0, 3.0]))
    clips = [noise(1.0, 1), noise(1.0, 2)]

    def written(*world):
        worlds = Worlds(model, [(), world], tensors)
        with torch.inference_mode(), worlds.applied("encoder", range(2)), model.reading([each.site]) as kept:
            model.encode(clips)
        return kept[each.site]

    before, whole, some = (
        written(),
        written(each.model_copy(update={"alpha": 1.0})),
        written(each.model_copy(update={"alpha": alpha})),
    )
    torch.testing.assert_close(some, before + alpha * (whole - before), **CLOSE)
    assert torch.equal(some[0], before[0])
    changed = (some[1] != before[1]).any(dim=-1).nonzero().flatten().tolist()
    assert changed == list(range(before.shape[1]) if each.positions is None else each.positions)


@EVERY
@PROPERTY
@given(data=st.data())
def test_firings_are_counted_and_what_never_acts_is_an_error(family, data):
    model = data.draw(models(family))
    sites = data.draw(st.lists(st.sampled_from(model.encoder_sites), min_size=1, max_size=3))
    clip = [noise(1.0)]
    frames = model.states(clip, ["encoder.0"])["encoder.0"].shape[1]
    at = [data.draw(st.sampled_from([None, (0,), (frames - 1, frames), (frames,)])) for _ in sites]
    worlds = [
        (Intervention(site=site, kind="zero", positions=where),)
        for site, where in zip(sites, at, strict=True)
    ]
    late = [where == (frames,) for where in at]
    made = Worlds(model, worlds)
    with torch.inference_mode(), made.applied("encoder", range(len(worlds))):
        model.encode(clip * len(worlds))
    assert [made.fired[row, 0] for row in range(len(worlds))] == [int(not each) for each in late]
    if any(late):
        with pytest.raises(InnerearError, match=rf"world {late.index(True)}: zero at .* never acted"):
            encode(model, clip, worlds)
    else:
        encode(model, clip, worlds)
    if isinstance(model, EncoderDecoder):
        encoded = encode(model, clip, [()])
        (text,) = generate(model, encoded, [()], max_tokens=3)
        steps = Worlds(
            model, [(Intervention(site="decoder.1", kind="add", source="zero"),)], {"zero": torch.zeros(1)}
        )
        with model.decoding(encoded) as decoding:
            for given_now in (model.prefix, *([token] for token in text.tokens)):
                with steps.applied("decoder", [0], decoding.length):
                    decoding.step(torch.tensor([given_now]))
        assert steps.fired[0, 0] == 1 + len(text.tokens)
        with pytest.raises(InnerearError, match="never acted"):
            generate(
                model,
                encoded,
                [(Intervention(site="decoder.1", kind="zero", positions=(30,)),)],
                max_tokens=3,
            )


def test_random_models_are_alive():
    """What is compared above differs between clips, or equality would tell nothing."""
    for family in FAMILIES:
        model = tiny_model(family)
        one, other = encode(model, [noise(1.0, 1), noise(1.0, 2)], [(), ()])
        assert np.abs((one - other).numpy()).max() > 1e-3
