"""Cross-attention of many rows to the encoder output of one clip, with a single copy of its keys and values.

The rows of a batch of worlds attend to the same audio. Their queries are concatenated along time, which is
equivalent for cross-attention: it has no mask. Self-attention is computed as usual.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

NAME = "innerear_shared"


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **how: Any
) -> tuple[Tensor, None]:
    """SDPA, where queries [row, head, token, dim] of many rows may meet keys and values of a single row."""
    rows, heads, tokens, dim = query.shape
    if key.shape[0] == rows:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **how)
    long = query.transpose(0, 1).reshape(1, heads, rows * tokens, dim)
    output, _ = sdpa_attention_forward(module, long, key, value, None, **how | {"is_causal": False})
    return output.reshape(rows, tokens, heads, dim), None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def shared_attention(network: Any) -> Iterator[None]:
    """Let rows share the keys and values of one clip while the context is open."""
    used = network.config._attn_implementation
    network.set_attn_implementation(NAME)
    try:
        yield
    finally:
        network.set_attn_implementation(used)
