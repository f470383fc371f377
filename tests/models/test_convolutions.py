"""A grouped convolution in a half type is right, also where a library of kernels computes it wrongly."""

import copy

import pytest
import torch
from torch import nn

from innerear.models.convolutions import mend_convolutions


class Faulty(nn.Conv1d):
    """What oneDNN computes is nothing like the convolution."""

    def forward(self, given):
        made = super().forward(given)
        return -made if torch.backends.mkldnn.enabled else made


def error(module, exact, given):
    with torch.inference_mode():
        made, expected = module(given.to(module.weight.dtype)).float(), exact(given)
    return float((made - expected).norm() / expected.norm())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channels", [4, 8, 12, 16, 48])
def test_each_width_is_that_of_float32_to_the_precision_of_the_type(channels, dtype):
    exact = nn.Conv1d(4 * channels, 4 * channels, 16, groups=4, padding=8)
    half = copy.deepcopy(exact).to(dtype)
    mend_convolutions(half)
    assert error(half, exact, torch.randn(1, 4 * channels, 49)) < 8 * torch.finfo(dtype).eps


def test_a_wrong_one_is_found_and_left_to_torch():
    exact = nn.Conv1d(32, 32, 16, groups=4)
    half = nn.Sequential(Faulty(32, 32, 16, groups=4), nn.ReLU()).to(torch.bfloat16)
    half[0].load_state_dict(exact.state_dict())
    assert error(half[0], exact, torch.randn(1, 32, 40)) > 1
    assert mend_convolutions(half) == 1
    assert error(half[0], exact, torch.randn(1, 32, 40)) < 0.02
    assert torch.backends.mkldnn.enabled, "as it was for everything else"


def test_what_is_right_is_left_as_it_is():
    network = nn.Sequential(nn.Conv1d(4, 4, 3), nn.Conv1d(4, 4, 3, groups=4), Faulty(4, 4, 3))
    assert mend_convolutions(network) == 0
    assert all("forward" not in vars(module) for module in network)
