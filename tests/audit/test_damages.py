"""Each kind of damage changes what it says, and nothing else."""

import pytest
import torch
from conftest import noise, tiny_model

from innerear.audit.damages import damages, emptied, pruned, rounded, swapped
from innerear.models.site import Site
from innerear.util.errors import InnerearError

PRE_NORM = ("whisper", "moonshine")


def weights(model):
    return {name: value.detach().clone() for name, value in model.network.named_parameters()}


def changed(family, change):
    """Names of the parameters that a change moved, with their values before and after."""
    before, model = weights(tiny_model(family)), tiny_model(family)
    change(model)
    after = weights(model)
    return {
        name: (before[name], after[name]) for name in before if not torch.equal(before[name], after[name])
    }


@pytest.mark.parametrize("family", PRE_NORM)
def test_pruned_heads_write_nothing_and_the_others_what_they_wrote(family):
    before, model = weights(tiny_model(family)), tiny_model(family)
    pruned(0.5, seed=1)(model)
    silent = []
    for place in (place for place in model.places.values() if place.head is not None):
        name = f"{place.module}.weight"
        mine, was = (each[name].chunk(place.heads, dim=1)[place.head] for each in (weights(model), before))
        silent.append(not mine.any())
        assert silent[-1] or torch.equal(mine, was)
    assert sum(silent) == len(silent) // 2


def test_a_share_of_few_heads_is_at_least_one():
    assert changed("whisper", pruned(0.001, seed=0))


@pytest.mark.parametrize("family", PRE_NORM)
def test_fewer_bits_leave_fewer_values_in_a_row(family):
    for before, after in changed(family, rounded(3)).values():
        assert all(len(row.unique()) <= 7 for row in after.flatten(1))
        step = before.flatten(1).abs().amax(1, keepdim=True) / 3
        assert ((after - before).flatten(1).abs() <= step / 2 * 1.001).all()


@pytest.mark.parametrize("family", PRE_NORM)
def test_swapping_exchanges_the_last_two_blocks_and_twice_is_nothing(family):
    moved = changed(family, swapped(1))
    first, *_ = (tiny_model(family).places[Site("encoder", layer)].module for layer in (1, 2, 3))
    assert moved
    assert not [name for name in moved if name.startswith(f"{first}.")]

    def twice(model):
        swapped(1)(model)
        swapped(1)(model)

    assert not changed(family, twice)
    with pytest.raises(InnerearError, match="no 2 pairs"):
        swapped(2)(tiny_model(family))


@pytest.mark.parametrize("family", PRE_NORM)
def test_an_empty_block_passes_its_input_on(family):
    model = tiny_model(family)
    emptied(2)(model)
    states = model.states([noise(1.0)], model.encoder_sites)
    assert torch.equal(states["encoder.1"], states["encoder.2"])
    assert not torch.equal(states["encoder.2"], states["encoder.3"])
    with pytest.raises(InnerearError, match="no block 9"):
        emptied(9)(model)


def test_degrees_of_every_kind_fit_the_encoder():
    for layers in (2, 3, 6):
        kinds = damages(layers)
        assert max(kinds["removed block"]) == layers
        assert max(kinds["swapped blocks"]) == layers // 2
        assert all(len(degrees) == len(set(degrees)) for degrees in kinds.values())
