"""Damage does what it says, and a variant is never taken for the model it was made of."""

import pytest
import torch
from conftest import FAMILIES, noise, tiny_model

from innerear.audit.model_variants import MAX_TOKENS, in_type, noisy, shuffled, variant
from innerear.util.errors import InnerearError


def weights(model):
    return {name: value.detach().clone() for name, value in model.network.named_parameters()}


@pytest.mark.parametrize("family", FAMILIES)
def test_noise_has_the_stated_share_of_each_tensor(family):
    before, model = weights(tiny_model(family)), tiny_model(family)
    noisy(0.1, seed=3)(model)
    moved = {name: value.detach() - before[name] for name, value in model.network.named_parameters()}
    big = max(before, key=lambda name: before[name].numel())
    assert float(moved[big].std()) == pytest.approx(0.1 * float(before[big].std()), rel=0.05)
    assert all(moved[name].any() for name in moved if before[name].numel() > 1 and before[name].std() > 0)
    again = tiny_model(family)
    noisy(0.1, seed=3)(again)
    assert all(
        torch.equal(a, b) for a, b in zip(weights(again).values(), weights(model).values(), strict=True)
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_shuffling_moves_every_block_and_keeps_the_weights(family):
    before, model = weights(tiny_model(family)), tiny_model(family)
    shuffled(seed=0)(model)
    stack = model.places["encoder.1"].module.rpartition(".")[0]
    part = next(
        name.removeprefix(f"{stack}.0.")
        for name, value in before.items()
        if name.startswith(f"{stack}.0.") and value.dim() == 2 and "embed" not in name
    )
    old = [before[f"{stack}.{layer}.{part}"] for layer in range(3)]
    new = [weights(model)[f"{stack}.{layer}.{part}"] for layer in range(3)]
    came_from = [next(at for at in range(3) if torch.equal(old[at], value)) for value in new]
    assert sorted(came_from) == [0, 1, 2]
    assert all(at != to for to, at in enumerate(came_from))
    other = {name for name in before if not name.startswith(f"{stack}.")}
    assert all(torch.equal(before[name], weights(model)[name]) for name in other)


def test_a_variant_has_a_name_and_a_hash_of_its_own():
    made = [
        variant(tiny_model("moonshine"), "audit"),
        variant(tiny_model("moonshine"), "2 threads"),
        variant(tiny_model("moonshine"), "noise 0.1", noisy(0.1, 0)),
    ]
    assert len({model.identity.sha256 for model in made}) == 3
    assert tiny_model("moonshine").identity.sha256 not in {m.identity.sha256 for m in made}
    assert made[2].identity.name == "tiny-moonshine (noise 0.1)"
    assert made[0].max_tokens <= MAX_TOKENS


def test_a_change_that_changes_nothing_is_refused():
    with pytest.raises(InnerearError, match="changed no weight"):
        variant(tiny_model("whisper"), "noise 0", noisy(0.0, 0))


@pytest.mark.parametrize("family", FAMILIES)
def test_double_precision_computes_nearly_the_same_from_the_same_weights(family):
    one, other = tiny_model(family), variant(tiny_model(family), "float64", in_type(torch.float64))
    clip = noise(1.0)
    (site,) = one.encoder_sites[-1:]
    single, double = one.states([clip], [site])[site], other.states([clip], [site])[site]
    assert double.dtype == torch.float64
    assert not torch.equal(single.double(), double)
    assert torch.allclose(single.double(), double, atol=1e-4)
    assert other.transcribe([clip])[0].tokens[:MAX_TOKENS] == one.transcribe([clip])[0].tokens[:MAX_TOKENS]
