"""Attention of many rows to keys and values of one clip, of which there is a single copy.

The rows of a batch of worlds hear the same audio. In cross-attention, which has no mask, their queries are
concatenated along time. In a language model the audio comes before the tokens of a row in the same
self-attention: its queries meet the keys of the audio, which rows share, and those of its own tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, eager_mask, sdpa_mask
from transformers.modeling_utils import AttentionInterface

CROSS = "innerear_shared"
"""Cross-attention whose keys and values may be those of a single row."""
PREFIXED = "innerear_prefixed"
"""Self-attention behind a prefix, whose keys and values may be those of a single row."""


def _cross(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **how: Any
) -> tuple[Tensor, None]:
    """SDPA, where queries [row, head, token, dim] of many rows may meet keys and values of a single row."""
    rows, heads, tokens, dim = query.shape
    if key.shape[0] == rows:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **how)
    long = query.transpose(0, 1).reshape(1, heads, rows * tokens, dim)
    output, _ = sdpa_attention_forward(module, long, key, value, None, **how | {"is_causal": False})
    return output.reshape(rows, tokens, heads, dim), None


def _prefixed(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor,
    *, scaling: float, before: DynamicCache, **_how: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Attention to the positions of `before`, and to own positions, which alone are masked.

    `query` is [row, head, token, dim], `key` and `value` [row, group of heads, position, dim]; `before` has
    those of each row, or of a single one for all rows.
    """
    rows, heads, tokens, dim = query.shape
    groups = key.shape[1]
    query = query.reshape(rows, groups, heads // groups, tokens, dim) * scaling
    held: Any = before.layers[module.layer_idx]
    keys, values = (part[0] if alone(held) else part for part in (held.keys, held.values))
    row = "" if alone(held) else "r"
    given = torch.einsum(f"rghtd,{row}gpd->rghtp", query, keys)
    own = torch.einsum("rghtd,rgpd->rghtp", query, key) + attention_mask[:, :, None]
    weights = torch.cat([given, own], dim=-1).softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    given, own = weights.split([given.shape[-1], own.shape[-1]], dim=-1)
    output = torch.einsum(f"rghtp,{row}gpd->rtghd", given, values)
    output = output + torch.einsum("rghtp,rgpd->rtghd", own, value)
    return output.reshape(rows, tokens, heads, dim), None


def added_mask(sees: Tensor, kind: torch.dtype) -> Tensor:
    """What is added to scores so that each token attends to those that it sees [token, token] alone.

    [1, 1, token, token], in numbers of a kind: `transformers` takes a mask of four dimensions as it is.
    """
    shown = torch.zeros(sees.shape, dtype=kind, device=sees.device)
    return shown.masked_fill(~sees, torch.finfo(kind).min)[None, None]


def alone(held: Any) -> bool:
    """Whether a layer of a cache has the keys and values of a single row."""
    return len(held.keys) == 1


AttentionInterface.register(CROSS, _cross)
AttentionMaskInterface.register(CROSS, sdpa_mask)
AttentionInterface.register(PREFIXED, _prefixed)
AttentionMaskInterface.register(PREFIXED, eager_mask)


@contextmanager
def attending(network: Any, how: str) -> Iterator[None]:
    """Compute the attention of a network in another way while the context is open."""
    used = network.config._attn_implementation
    network.set_attn_implementation(how)
    try:
        yield
    finally:
        network.set_attn_implementation(used)
