"""Grouped convolutions in a half type on a CPU, which a library of kernels may compute wrongly.

Measured with torch 2.13 on a processor with AMX: in bfloat16, those of 3 to 15 channels a group come out of
oneDNN with an error of the size of the output; torch's own kernels and other widths are right. wav2vec 2.0
and its kin have such a convolution (of 48 channels a group and more where they are published).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

WRONG = 0.1
"""Relative error from which on two ways of computing disagree; rounding gives some 0.003."""
FRAMES = 8
"""Number of frames that are compared."""


def mend_convolutions(network: nn.Module) -> int:
    """Let torch's own kernels compute each grouped convolution that oneDNN computes wrongly here.

    Returns
    -------
    int
        How many there were; 0 in float32 and on other devices.
    """
    mended = 0
    for module in network.modules():
        if not isinstance(module, nn.Conv1d) or module.groups == 1:
            continue
        weight = module.weight
        if weight.device.type != "cpu" or weight.dtype == torch.float32 or _agrees(module):
            continue
        module.forward = partial(_without_onednn, module.forward)  # type: ignore[method-assign]
        mended += 1
    return mended


def _agrees(module: nn.Conv1d) -> bool:
    random = torch.Generator().manual_seed(0)
    frames = module.kernel_size[0] * module.dilation[0] + FRAMES * module.stride[0]
    noise = torch.randn(1, module.in_channels, frames, generator=random).to(module.weight.dtype)
    with torch.inference_mode():
        made, expected = module.forward(noise), _without_onednn(module.forward, noise)
    return bool((made - expected).float().norm() <= WRONG * expected.float().norm())


def _without_onednn(forward: Callable[..., Tensor], *given: Any) -> Tensor:
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        return forward(*given)
    finally:
        torch.backends.mkldnn.enabled = before
