"""TransformerLens as a referee: the same ablation of the same network gives the same logits there.

It has its own hooks, and runs a prompt as one pass without a cache. It is not part of the `test` extra, as
what it would install (wandb, …) is not needed; where it is missing, nothing is compared.
`pip install --no-deps transformer-lens==4.3.0 einops fancy-einsum typeguard`, then
`python tests/contract/test_referee.py FOLDER` prints the table of docs/validation.md.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch
import zoo_audio_lm  # noqa: F401  (lists its architectures)
from torch import Tensor
from zoo import ARCHITECTURES, clip
from zoo_basic import save_wav2vec

from innerear.interventions.ablation import ablated
from innerear.interventions.run import encode, teacher_force
from innerear.models.decoder import decoder_of
from innerear.models.loading import load_model
from innerear.models.site import Site

pytest.importorskip("transformer_lens", reason="TransformerLens is not part of the test extra")
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

TOLERANCE = 1e-5
"""Largest difference of two logits, as a share of the largest: sums in float32 are taken in another order."""
TEXT = [17, 29, 11, 40, 23]
"""Tokens that a decoder is led through."""

SAVES = {
    "wav2vec2": ARCHITECTURES["wav2vec2"].save,
    "wav2vec2, norms first": partial(save_wav2vec, name="Wav2Vec2", do_stable_layer_norm=True),
    "hubert": ARCHITECTURES["hubert"].save,
    "hubert, norms first": partial(save_wav2vec, name="Hubert", do_stable_layer_norm=True),
    "qwen2_audio": ARCHITECTURES["qwen2_audio"].save,
    "glmasr": ARCHITECTURES["glmasr"].save,
}
"""Architectures that both have."""


@dataclass(frozen=True)
class Compared:
    """Logits with a site ablated, here and there: both as shares of the largest untouched logit.

    Attributes
    ----------
    difference
        The largest difference between the two.
    effect
        The largest difference that the ablation makes here.
    """

    site: str
    difference: float
    effect: float


def compared(folder: Path) -> Iterator[Compared]:
    """The untouched model, then each component and each head of its encoder or language model ablated."""
    model, network = load_model(str(folder)), load_model(str(folder)).network
    bridge = build_bridge_from_module(network, type(network).__name__, hf_config=network.config)
    if model.decoder_layers:
        decoder, stack = decoder_of(model), "decoder"
        heard = len(model.heard_times(len(clip())))
        before = [*decoder.generation.before, *[decoder.generation.placeholder] * heard]
        given = torch.tensor([[*before, *decoder.prefix, *TEXT]])
        acting, reading = slice(len(before), None), slice(-len(TEXT) - 1, -1)
        inputs = {"input": given, **model.inputs([clip()])}
        encoded = model.encode([clip()])

        def ours(sites: Sequence[Site]) -> Tensor:
            return teacher_force(model, encoded, [TEXT], [ablated(sites)])[0]
    else:
        stack, acting, reading = "encoder", slice(None), slice(None)
        inputs = {"input": model.inputs([clip()])["input_values"]}

        def ours(sites: Sequence[Site]) -> Tensor:
            head = model.network.get_submodule(model.family.head)
            return head(encode(model, [clip()], [ablated(sites)]))[0]

    def zeroing(site: Site) -> tuple[str, Callable[..., Tensor]]:
        def zero(states: Tensor, hook: object) -> Tensor:
            if site.is_head:
                states[:, acting, site.head] = 0  # [row, position, head, dim]
            else:
                states[:, acting] = 0
            return states

        place = "attn.hook_z" if site.is_head else "hook_mlp_out" if site.part == "mlp" else "hook_attn_out"
        return f"blocks.{site.layer - 1}.{place}", zero

    def theirs(sites: Sequence[Site]) -> Tensor:
        hooks = [zeroing(site) for site in sites]
        return bridge.run_with_hooks(**inputs, fwd_hooks=hooks)[0, reading]

    with torch.inference_mode():
        untouched = ours([])
        for site in (None, *(each for each in model.places if each.stack == stack and each.part)):
            made, expected = ours([site] if site else []), theirs([site] if site else [])
            largest = untouched.abs().max()
            yield Compared(
                site or "none",
                float((made - expected).abs().max() / largest),
                float((made - untouched).abs().max() / largest),
            )


@pytest.mark.parametrize("name", SAVES)
def test_the_same_ablation_gives_the_same_logits(name, tmp_path):
    SAVES[name](tmp_path)
    untouched, *ablations = compared(tmp_path)
    assert untouched.effect == 0
    assert untouched.difference < TOLERANCE
    assert {"self_attn", "mlp"} <= {Site.parse(each.site).part for each in ablations}
    for each in ablations:
        assert each.difference < TOLERANCE, each
        assert each.effect > 100 * TOLERANCE, each


if __name__ == "__main__":
    print("| model | ablations | largest difference | smallest effect |")
    print("| --- | ---: | ---: | ---: |")
    for name, save in SAVES.items():
        folder = Path(sys.argv[1]) / name
        save(folder)
        _, *ablations = compared(folder)
        difference, effect = (
            max(each.difference for each in ablations),
            min(each.effect for each in ablations),
        )
        print(f"| {name} | {len(ablations)} | {difference:.1e} | {effect:.1e} |")
