"""Edits do what they say, and only while they hold."""

import pytest
import torch
from conftest import noise, tiny_model

from innerear.interventions.weights import HeadWeights, MlpWeights, WeightEdit, edited_weights
from innerear.util.errors import InputError

DECODERS = ("whisper", "moonshine")


def weights(model):
    return {name: value.clone() for name, value in model.network.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("family", DECODERS)
def test_edits_hold_while_the_context_is_open_and_leave_no_trace(family):
    model = tiny_model(family)
    before = weights(model)
    head = HeadWeights.of(model, "decoder.1.self_attn.head.2")
    edits = head.rebuilt(model, None, torch.ones(1, 32), torch.ones(32, 1))
    with edited_weights(model, edits):
        assert not same(before, weights(model))
    assert same(before, weights(model))


def test_edits_are_undone_when_the_body_fails():
    model = tiny_model("whisper")
    before = weights(model)
    with (
        pytest.raises(RuntimeError),
        edited_weights(model, [WeightEdit("x", "proj_out.weight", (slice(0, 1),), torch.zeros(1))]),
    ):
        raise RuntimeError
    assert same(before, weights(model))


@pytest.mark.parametrize("family", DECODERS)
def test_a_head_that_looks_nowhere_writes_the_mean_of_what_it_reads(family):
    model = tiny_model(family)
    reads, direction = torch.randn(1, 32, generator=torch.Generator().manual_seed(0)), torch.ones(32, 1)
    head = HeadWeights.of(model, "decoder.1.cross_attn.head.1")
    encoded = model.encode([noise(1.0)])
    with (
        edited_weights(model, head.rebuilt(model, None, reads, direction)),
        model.reading(["decoder.1.cross_attn.head.1"]) as kept,
    ):
        model.teacher_force(encoded, [5, 6, 7])
    found = kept["decoder.1.cross_attn.head.1"][0]
    expected = (encoded[0] @ reads[0]).mean()
    torch.testing.assert_close(found[:, 0], expected.expand(len(found)), atol=1e-5, rtol=1e-4)
    assert not found[:, 1:].any()


@pytest.mark.parametrize("gain", [1.0, 3.0])
def test_the_strength_scales_what_is_written_and_nothing_else(gain):
    model = tiny_model("whisper")
    head = HeadWeights.of(model, "encoder.1.self_attn.head.0")
    edits = head.rebuilt(model, None, torch.ones(1, 32), torch.ones(32, 1))
    for before, after in zip(edits, [edit.scaled(gain) for edit in edits], strict=True):
        factor = gain if before.gain else 1
        torch.testing.assert_close(after.value, factor * before.value)
    assert sum(edit.gain for edit in edits) == 1


def test_two_neurons_make_a_linear_map():
    """gelu(z) - gelu(-z) = z."""
    model = tiny_model("whisper")
    mlp = MlpWeights.of(model, "encoder.2.mlp")
    reads = torch.randn(1, 32, generator=torch.Generator().manual_seed(1))
    writes = torch.zeros(32, 1)
    writes[3] = 1
    edits = mlp.rebuilt(
        model, torch.cat([reads, -reads]), torch.zeros(2), torch.cat([writes, -writes], dim=1)
    )
    states = torch.randn(5, 32, generator=torch.Generator().manual_seed(2))
    first, second = (model.network.get_submodule(name) for name in (mlp.first, mlp.second))
    with torch.no_grad(), edited_weights(model, edits):
        neurons = edits[0].part[0]
        hidden = torch.nn.functional.gelu(first(states))
        found = hidden[:, neurons] @ second.weight[:, neurons].T
    torch.testing.assert_close(found[:, 3], (states @ reads[0]), atol=1e-5, rtol=1e-5)
    assert found.abs().sum(dim=1).allclose(found[:, 3].abs(), atol=1e-5)


def test_a_gated_mlp_opens_by_its_gate():
    model = tiny_model("moonshine")
    mlp = MlpWeights.of(model, "decoder.1.mlp")
    assert mlp.gated
    edits = mlp.rebuilt(model, torch.zeros(1, 32), torch.tensor([4.0]), torch.ones(32, 1))
    network = model.network.get_submodule(mlp.second.removesuffix(".fc2"))
    with torch.no_grad():
        before = network(torch.zeros(1, 32))
        with edited_weights(model, edits):
            after = network(torch.zeros(1, 32))
    assert (after - before).std() < 0.2
    assert float((after - before).mean()) == pytest.approx(
        float(torch.nn.functional.silu(torch.tensor(4.0))), abs=0.2
    )


def test_what_is_no_head_is_refused():
    with pytest.raises(InputError, match="is not a head"):
        HeadWeights.of(tiny_model("whisper"), "decoder.1.mlp")
