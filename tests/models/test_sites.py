"""Hooks read what the network computes, write what they are told, and never fail silently."""

import pytest
import torch
from conftest import FAMILIES, noise, tiny_model

from innerear.models.sites import Place, hooked
from innerear.util.errors import InnerearError, InputError

CLIP = noise(1.0)


def output(model):
    """Logits of a whole pass over one clip, decoder included."""
    with torch.inference_mode():
        inputs = model.inputs([CLIP])
        if "decoder.0" in model.places:
            start = torch.tensor([[4, 7, 9]])
            return model.network(**inputs, decoder_input_ids=start).logits
        return model.network(**inputs).logits


def test_with_no_hook_active_the_output_is_that_of_the_bare_model(model):
    bare = output(model)
    with model.hooks({}):
        assert torch.equal(output(model), bare)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_site_can_be_read_written_back_and_changed(family):
    model = tiny_model(family)
    bare = output(model)
    for site in model.places:
        seen = []
        with model.hooks({site: seen.append}):
            assert torch.equal(output(model), bare), f"reading {site} changed the output"
        assert seen
        with model.hooks({site: lambda states: states.clone()}):
            assert torch.equal(output(model), bare), f"writing back at {site} changed the output"
        with model.hooks({site: lambda states: states + torch.randn(states.shape[-1])}):
            assert not torch.equal(output(model), bare), f"a change at {site} did not act"


def test_the_residual_stream_is_what_transformers_calls_hidden_states(model):
    with torch.inference_mode():
        reference = (
            model.network.model.encoder(**model.inputs([CLIP]), output_hidden_states=True)
            if "decoder.0" in model.places
            else model.network.base_model(**model.inputs([CLIP]), output_hidden_states=True)
        ).hidden_states
    states = model.states([CLIP], model.encoder_sites)
    for layer, expected in enumerate(reference[:-1]):  # the last one of some families is after the final norm
        assert torch.equal(states[f"encoder.{layer}"], expected)


def test_a_hook_that_never_fires_is_an_error():
    model = tiny_model("whisper")
    with (
        pytest.raises(InnerearError, match=r"'decoder\.1' never fired"),
        torch.inference_mode(),
        model.hooks({"decoder.1": lambda _: None}),
    ):
        model.encode([CLIP])


def test_an_error_in_the_body_is_not_hidden_by_the_count():
    model = tiny_model("whisper")
    with pytest.raises(ZeroDivisionError), model.hooks({"decoder.1": lambda _: None}):
        raise ZeroDivisionError


def test_a_site_that_the_model_lacks_is_refused():
    model = tiny_model("wav2vec2")
    with (
        pytest.raises(InputError, match=r"no site 'decoder\.1'; it has encoder\.0"),
        model.hooks({"decoder.1": print}),
    ):
        pass


def test_heads_share_out_the_input_of_the_output_projection():
    network = torch.nn.ModuleDict({"out": torch.nn.Linear(6, 6)})
    seen = {}
    table = {f"h{head}": Place("out", "input", head, heads=3) for head in range(3)}
    with hooked(
        network, table, {name: lambda x, name=name: seen.__setitem__(name, x) for name in table}
    ) as fired:
        network["out"](torch.arange(6.0)[None, None])
    assert [seen[f"h{head}"].flatten().tolist() for head in range(3)] == [[0, 1], [2, 3], [4, 5]]
    assert fired == {"h0": 1, "h1": 1, "h2": 1}
