"""Sparse autoencoders: what they learn, that k is k, and that they come back from disk as they were."""

import json

import numpy as np
import pytest
import torch

from innerear.analysis.sae import SAE, train
from innerear.tasks.causal_settings import Dictionary
from innerear.util.errors import InputError

SETTINGS = Dictionary(expansion=2, k=3, steps=1500, batch=256, rate=3e-3, dead_after=20, revive=1 / 32)


@pytest.fixture(scope="module")
def planted():
    """States of three of 40 directions each, far from the origin: the directions, and the states."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((40, 32))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    codes = np.zeros((6000, 40))
    for row in codes:
        row[rng.choice(40, 3, replace=False)] = rng.uniform(1, 2, 3)
    states = codes @ directions + 5 * rng.standard_normal(32)
    return directions, states.astype(np.float32)


@pytest.fixture(scope="module")
def trained(planted):
    return train(planted[1], SETTINGS, seed=0, site="encoder.2")


def test_a_planted_dictionary_is_recovered(planted, trained):
    directions, states = planted
    cosine = directions @ trained.w_dec.numpy().T
    assert (cosine.max(axis=1) > 0.9).mean() > 0.9
    np.testing.assert_allclose(trained.w_dec.norm(dim=1), 1, rtol=1e-5)
    left = (torch.from_numpy(states) - trained.reconstruct(states)).square().sum()
    assert 1 - left / np.square(states - states.mean(axis=0)).sum() > 0.9


def test_training_improves_the_reconstruction(planted, trained):
    states = torch.from_numpy(planted[1])
    early = train(planted[1], SETTINGS.model_copy(update={"steps": 5}), seed=0)
    errors = [(states - sae.reconstruct(states)).square().mean() for sae in (early, trained)]
    assert errors[1] < 0.3 * errors[0]


def test_k_features_are_active_at_most_and_decode_is_the_reconstruction(planted, trained):
    codes = trained.encode(planted[1])
    assert codes.shape == (6000, 64)
    assert (codes >= 0).all()
    assert ((codes > 0).sum(dim=1) <= 3).all()
    assert (codes > 0).sum(dim=1).float().mean() > 2.9
    torch.testing.assert_close(trained.decode(codes), trained.reconstruct(planted[1]), atol=1e-4, rtol=1e-4)


def test_dead_features_come_back(planted):
    dead = [
        int((train(planted[1], SETTINGS.model_copy(update={"revive": revive}), 1).encode(planted[1]) > 0)
            .any(dim=0).logical_not().sum())
        for revive in (0.0, 1 / 32)
    ]  # fmt: skip
    assert dead[1] <= dead[0]


def test_the_scale_of_the_states_is_of_no_account(planted):
    short = SETTINGS.model_copy(update={"steps": 20})
    one, other = (train(factor * planted[1], short, 0) for factor in (np.float32(1), np.float32(64)))
    torch.testing.assert_close(
        64 * one.encode(planted[1]), other.encode(64 * planted[1]), rtol=1e-3, atol=1e-2
    )


def test_same_seed_same_weights_other_seed_others(planted):
    short = SETTINGS.model_copy(update={"steps": 30})
    one, same, other = (train(planted[1], short, seed) for seed in (0, 0, 1))
    assert torch.equal(one.w_enc, same.w_enc)
    assert torch.equal(one.w_dec, same.w_dec)
    assert torch.equal(one.b_dec, same.b_dec)
    assert not torch.equal(one.w_dec, other.w_dec)


def test_it_comes_back_from_disk_bit_by_bit(trained, tmp_path):
    trained.save(tmp_path / "sae")
    back = SAE.load(tmp_path / "sae")
    for name in ("w_enc", "b_enc", "w_dec", "b_dec"):
        assert torch.equal(getattr(back, name), getattr(trained, name))
    assert (back.k, back.site) == (3, "encoder.2")
    config = json.loads((tmp_path / "sae" / "cfg.json").read_text())
    assert (config["architecture"], config["d_in"], config["d_sae"], config["k"]) == ("topk", 32, 64, 3)
    assert config["metadata"]["hook_name"] == "encoder.2"


def test_bad_input(trained, tmp_path):
    with pytest.raises(InputError, match="holds no sparse autoencoder"):
        SAE.load(tmp_path)
    trained.save(tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(config | {"architecture": "jumprelu"}))
    with pytest.raises(InputError, match="not a TopK autoencoder"):
        SAE.load(tmp_path)
    with pytest.raises(InputError, match="no dictionary can be learnt"):
        train(np.ones((8, 4), dtype=np.float32), SETTINGS, 0)
