"""Random twins have the same bits on every machine, and the distributions of their architecture."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from innerear.models import twins
from innerear.models.loading import load_model
from innerear.models.twins import random_twin
from innerear.models.weights import tensors_sha256
from innerear.util.errors import InputError
from tests.conftest import FAMILIES, _network

PINNED = {
    "whisper": "969911f08e75d6dff1ff1e5915f474e0a06896f6166df00a7520bc5eba7d9be5",
    "moonshine": "edbf483285e827fa8e890d58b1f58df9efe0fa7eeb446aadad7117522662f21f",
    "wav2vec2": "20299234a62adb42b90a73d42107672703da972b535115195c0bc7a32b093a9b",
    "hubert": "197a48443f0d3a922785850f07b692295f43c9ad623a37d33bc9df86ea440022",
    "wavlm": "8ed30cf71f189438a32a46f2f7ff0224ca1c66973164c3b74b3d63b2c2c1801c",
}
"""Hashes of the weights, which do not depend on the machine."""


def _twin(family, seed=0):
    return random_twin(lambda: _network(family), seed)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_weights_of_a_seed_are_pinned(family):
    assert tensors_sha256(_twin(family).state_dict()) == PINNED[family]


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("moonshine-tiny", "6fc13d1192af4a2aea2db428a2261b529f7470a918d8dc2dfb4779f7e42bcc8b"),
        ("whisper-tiny.en", "f321c401358f517acdeb0fbc10e860f4d7ee3c9af82ea65693d233d881f70ed5"),
    ],
)
def test_the_twins_of_published_results_are_pinned(name, sha256):
    assert load_model(name, twin_seed=0).identity.parts["weights"] == sha256


@pytest.mark.parametrize("family", FAMILIES)
def test_each_weight_has_the_distribution_of_its_architecture(family):
    """Against the architecture's own initialisation: constants are equal, moments agree."""
    own, twin = _network(family), _twin(family)
    for name, value in own.named_parameters():
        drawn = twin.get_parameter(name)
        if len(value.unique()) < 3 or not value.requires_grad:
            assert torch.allclose(value, drawn, atol=1e-4), name
        else:
            assert not torch.equal(value, drawn), name
            deviation = value.std().item()
            assert abs(value.mean() - drawn.mean()) < 6 * deviation / value.numel() ** 0.5, name
            assert abs(np.log(drawn.std().item() / deviation)) < 6 / value.numel() ** 0.5, name
            assert torch.equal(value == 0, drawn == 0), name  # rows of padding tokens


def test_seeds_and_parameters_have_draws_of_their_own():
    drawn = [value for seed in (0, 1) for value in _twin("moonshine", seed).parameters() if value.std()]
    assert len({tuple(value.flatten()[:64].tolist()) for value in drawn}) == len(drawn)


def test_normal_numbers_are_normal_and_uniform_ones_uniform():
    normal = twins._draw("normal", 2.0, 3.0, shape=(200_000,), seed=0, name="weight")
    uniform = twins._draw("uniform", -1.0, 4.0, shape=(200_000,), seed=0, name="weight")
    assert stats.kstest(normal, stats.norm(2, 3).cdf).pvalue > 1e-3
    assert stats.kstest(uniform, stats.uniform(-1, 5).cdf).pvalue > 1e-3


def test_the_logarithm_is_that_of_the_library_to_the_last_bits():
    value = np.random.default_rng(0).uniform(0, 1, 100_000) ** 9
    np.testing.assert_allclose(twins._log(value), np.log(value), rtol=1e-15, atol=1e-15)


def test_a_row_of_a_padding_token_stays_zero():
    twin = _twin("whisper")
    padding = twin.config.pad_token_id
    assert not twin.model.decoder.embed_tokens.weight[padding].any()


def test_tables_are_rounded_from_double_precision():
    table = _twin("whisper").model.encoder.embed_positions.weight
    scales = torch.exp((-np.log(10000) / 15 * torch.arange(16)).double()).float()
    times = torch.arange(1500)[:, None] * scales
    assert torch.equal(table, torch.cat([times.double().sin(), times.double().cos()], dim=1).float())


def test_a_distribution_without_a_recipe_is_refused():
    def build():
        linear = nn.Linear(4, 4)
        nn.init.trunc_normal_(linear.weight, std=3)
        return linear

    with pytest.raises(InputError, match="no random twin: this architecture initialises a weight by aten"):
        random_twin(build, 0)


def test_the_generator_of_the_caller_is_left_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    random_twin(lambda: nn.Linear(2, 2), 0)
    assert torch.equal(torch.rand(3), expected)


def test_a_processor_with_other_instructions_gives_the_same_weights():
    """torch and numpy without their vector instructions compute as an older processor does."""
    older = {"ATEN_CPU_CAPABILITY": "default", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F"}
    code = (
        "from tests.models.test_twins import _twin, tensors_sha256\n"
        "for family in ('whisper', 'wav2vec2'): print(tensors_sha256(_twin(family).state_dict()))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | older, cwd=Path(__file__).parents[2], text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    assert ran.stdout.split() == [PINNED["whisper"], PINNED["wav2vec2"]]
