"""A network of which a part is elsewhere: the hooks that move tensors there, and ours, act together."""

import pytest
import torch
from conftest import noise, save_tiny

from innerear.interventions.ablation import ablated
from innerear.interventions.run import encode, encode_from_site, generate, teacher_force
from innerear.interventions.spec import Intervention
from innerear.models.decoder import decoder_of
from innerear.models.loading import load_model
from innerear.models.site import Site

WORLDS = [(), ablated([Site("decoder", 1, "self_attn", 0)]), ablated([Site("decoder", 2, "mlp")])]


@pytest.mark.parametrize("family", ["whisper", "moonshine"])
def test_a_network_of_which_a_part_is_elsewhere_computes_the_same(family, tmp_path):
    accelerate = pytest.importorskip("accelerate")
    folder = str(save_tiny(family, tmp_path / family))
    whole, spread = load_model(folder), load_model(folder)
    head = "disk" if family == "moonshine" else "cpu"
    accelerate.dispatch_model(
        spread.network, {"model.encoder": "cpu", "model.decoder": "disk", "proj_out": head},
        main_device="cpu", offload_dir=str(tmp_path / "offloaded"), force_hooks=True,
    )  # fmt: skip
    assert {each.device.type for each in spread.network.parameters()} == {"cpu", "meta"}
    assert spread.device.type == "cpu"
    made = []
    for model in (whole, spread):
        encoded = encode(model, [noise(1.0)], [()])
        written = generate(model, encoded, WORLDS)
        world = (Intervention(site=Site("encoder", 1), kind="set", source="vector"),)
        started = encode_from_site(model, [noise(1.0)], [0], [world], {"vector": torch.full((32,), 0.3)})
        logits = teacher_force(model, encoded, [written[0].tokens], WORLDS)
        made.append((written, [*logits, started, decoder_of(model).unembed(torch.ones(3, 32))]))
    assert made[0][0] == made[1][0]
    assert all(torch.equal(one, other) for one, other in zip(made[0][1], made[1][1], strict=True))
