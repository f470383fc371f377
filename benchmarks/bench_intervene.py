"""A sweep over all heads in one batch, against one hooked decoding a head, by hand or by nnsight.

It runs on a GPU where there is one. There a batch of another size rounds otherwise, so that near ties of two
tokens may fall the other way: outputs that differ are counted. On a CPU none may.
"""

import warnings
from statistics import median
from time import perf_counter

import numpy as np
import pytest
import torch
from torch import nn

from innerear.data.registry import load_corpus
from innerear.interventions.ablation import ablated, heads, stop_at_loop
from innerear.interventions.run import generate
from innerear.models.loading import load_model
from innerear.tasks.task import load_task

CLIPS = 20
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ALONE = 2
"""Heads of each clip that are run one at a time, in turn: all of them would take an hour."""


class Writer(nn.Module):
    """What nnsight traces: a whole greedy decoding."""

    def __init__(self, model, network):
        super().__init__()
        self.network = network
        self.greedy_decode = model.greedy_decode
        self.tokens = ()

    def forward(self, encoded):
        (text,) = self.greedy_decode(encoded)
        self.tokens = text.tokens
        return encoded


def by_nnsight(model):
    """Write with one head zeroed at every step by nnsight; None where it is not installed."""
    try:
        from nnsight import NNsight
    except ImportError:
        return None
    writer = Writer(model, model.network)
    traced = NNsight(writer)

    def write(audio, site):
        place = model.places[site]
        module = traced.network
        for part in place.module.split("."):
            module = module[int(part)] if part.isdigit() else getattr(module, part)
        size = model.network.get_submodule(place.module).in_features // place.heads
        start = place.head * size
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an open loop over steps ends with a warning, by its design
            with traced.trace(model.encode([audio])) as tracer:
                for _step in tracer.iter[:]:
                    module.input[..., start : start + size] = 0
        return writer.tokens

    return write


@pytest.mark.parametrize("name", ["moonshine-tiny", "whisper-tiny.en", "whisper-base"])
def test_a_sweep_over_heads_against_one_hooked_generate_each(benchmark, name):
    """Both ablate by zero; the outputs of every head that is run alone must be the sweep's."""
    model = load_model(name, device=DEVICE)
    corpus = load_task("transcription").resolve(noise=None).select(load_corpus("innerear-speech"))
    clips = [item.audio() for item in corpus.items[:: len(corpus) // CLIPS][:CLIPS]]
    sites = heads(model)
    worlds = [ablated([site]) for site in sites]
    ratios, reused, traced, same = [], [], [], []
    trace = by_nnsight(model)

    def pair(at):
        audio = clips[at]
        started = perf_counter()
        with torch.inference_mode():
            encoded = model.encode([audio])
        made = generate(model, encoded, worlds, stop=stop_at_loop)
        sweep = (perf_counter() - started) / len(worlds)
        alone, decoding, nnsight = [], [], []
        for count in range(ALONE):
            number = (at * ALONE + count) * 7 % len(worlds)
            started = perf_counter()
            with model.hooks({sites[number]: torch.zeros_like}), torch.inference_mode():
                encoded = model.encode([audio])
                between = perf_counter()
                (text,) = model.greedy_decode(encoded)
            alone.append(perf_counter() - started)
            decoding.append(perf_counter() - between)
            mine = made[number].tokens
            same.append(text.tokens[: len(mine)] == mine)
            if trace is not None:
                started = perf_counter()
                tokens = trace(audio, sites[number])
                nnsight.append(perf_counter() - started)
                assert tokens == text.tokens
        ratios.append(np.mean(alone) / sweep)
        reused.append(np.mean(decoding) / sweep)
        if nnsight:
            traced.append(np.mean(nnsight) / sweep)

    if DEVICE != "cpu":  # a GPU's first clip pays for its libraries
        pair(0)
        for each in (ratios, reused, traced, same):
            each.clear()
    rounds = iter(range(CLIPS))
    benchmark.pedantic(lambda: pair(next(rounds)), rounds=CLIPS)
    assert all(same) or DEVICE != "cpu"
    ratio = median(ratios)
    benchmark.extra_info["hooked generate / sweep"] = ratio
    print(
        f"\n{name} on {DEVICE}, {len(sites)} heads × {CLIPS} clips, {sum(same)} of {len(same)} outputs the "
        f"same: one hooked generate a head / sweep = {ratio:.1f} "
        f"(against decoding alone, the encoder output reused: {median(reused):.1f}); nnsight / sweep = "
        + (f"{median(traced):.1f}" if traced else "not measured: it is not installed (innerear[bench])")
    )
