"""Encoder states of one clip patched into another at every layer: all at once, against one by one.

One by one is a hooked forward pass of the bare network for each layer. The patched encoder output must be the
same.
"""

from time import perf_counter

import pytest
import torch
from measured import Session

from innerear.data.registry import load_corpus
from innerear.interventions.run import encode_from_site
from innerear.interventions.spec import Intervention
from innerear.models.loading import load_model

PAIRS = 6
FRAMES = tuple(range(20, 30))


@pytest.mark.parametrize("name", ["whisper-tiny.en", "whisper-base"])
def test_patching_every_layer_against_one_hooked_forward_each(benchmark, name):
    session, model = Session(name), load_model(name)
    items = load_corpus("innerear-speech").items
    sites = model.encoder_sites[1:]
    ratios = []

    def run_all(pair):
        audio = [items[2 * pair].audio(), items[2 * pair + 1].audio()]
        worlds = [(), *[(Intervention(site=s, kind="patch", row=0, positions=FRAMES),) for s in sites]]
        started = perf_counter()
        together = encode_from_site(model, audio, [0] + [1] * len(sites), worlds)[1:]
        ours = perf_counter() - started
        started = perf_counter()
        alone = torch.cat([_hooked(model, audio, site) for site in sites])
        ratios.append((perf_counter() - started) / ours)
        torch.testing.assert_close(together, alone, atol=2e-4, rtol=1e-4)

    run_all(0)
    ratios.clear()
    pairs = iter(range(PAIRS))
    benchmark.pedantic(lambda: run_all(next(pairs)), rounds=PAIRS)
    session.figure("hooked forward / patching", ratios, "×")
    session.record("patching")


def _hooked(model, audio, site):
    """The encoder output of the second clip; a plain hook writes frames of the first one's states."""
    frames, kept = list(FRAMES), []
    block = model.network.model.encoder.layers[site.layer - 1]

    def write(_module, _args, output):
        states = output[0] if isinstance(output, tuple) else output
        if not kept:
            kept.append(states[:, frames].clone())
            return None
        states = states.clone()
        states[:, frames] = kept[0]
        return (states, *output[1:]) if isinstance(output, tuple) else states

    handle = block.register_forward_hook(write)
    try:
        with torch.inference_mode():
            for clip in audio:
                encoded = model.network.model.encoder(**model.inputs([clip])).last_hidden_state
    finally:
        handle.remove()
    return encoded
