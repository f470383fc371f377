"""A sweep over all heads in one batch, against one hooked decoding per head, by hand or with nnsight.

It runs on a GPU where there is one. There the batch size changes the rounding, and with it the choice between
two nearly equal tokens: outputs that differ are counted. On a CPU none may differ. nnsight is timed where it
is installed (`pip install innerear[bench]`).
"""

import warnings
from time import perf_counter

import numpy as np
import pytest
import torch
from measured import Session
from torch import nn

from innerear.data.registry import load_corpus
from innerear.interventions.ablation import ablated, heads, stop_at_loop
from innerear.interventions.run import generate
from innerear.models.loading import load_model
from innerear.tasks.task import load_task

CLIPS = 20
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ALONE = 2
"""Heads per clip that are also run one at a time, others for each clip: all of them would take an hour."""


class GreedyDecoding(nn.Module):
    """A whole greedy decoding as one module, for nnsight to trace."""

    def __init__(self, model, network):
        super().__init__()
        self.network = network
        self.greedy_decode = model.greedy_decode
        self.tokens = ()

    def forward(self, encoded):
        (text,) = self.greedy_decode(encoded)
        self.tokens = text.tokens
        return encoded


def nnsight_decoder(model):
    """Greedy decoding with one head set to zero at every step by nnsight; None if it is not installed."""
    try:
        from nnsight import NNsight
    except ImportError:
        return None
    decoding = GreedyDecoding(model, model.network)
    traced = NNsight(decoding)

    def decode(audio, site):
        place = model.places[site]
        module = traced.network
        for part in place.module.split("."):
            module = module[int(part)] if part.isdigit() else getattr(module, part)
        size = model.network.get_submodule(place.module).in_features // place.heads
        start = place.head * size
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nnsight warns at the end of a loop over all steps
            with traced.trace(model.encode([audio])) as tracer:
                for _step in tracer.iter[:]:
                    module.input[..., start : start + size] = 0
        return decoding.tokens

    return decode


@pytest.mark.parametrize("name", ["moonshine-tiny", "whisper-tiny.en", "whisper-base"])
def test_a_sweep_over_heads_against_one_hooked_generate_each(benchmark, name):
    """Both set heads to zero; a head run alone must give the same output as in the sweep."""
    session, model = Session(name, DEVICE), load_model(name, device=DEVICE)
    corpus = load_task("transcription").resolve(noise=None).select(load_corpus("innerear-speech"))
    clips = [item.audio() for item in corpus.items[:: len(corpus) // CLIPS][:CLIPS]]
    sites = heads(model)
    worlds = [ablated([site]) for site in sites]
    ratios, reused, traced, same = [], [], [], []
    trace = nnsight_decoder(model)

    def run_both(at):
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

    if DEVICE != "cpu":  # the first clip on a GPU includes the start of its libraries
        run_both(0)
        for each in (ratios, reused, traced, same):
            each.clear()
    rounds = iter(range(CLIPS))
    benchmark.pedantic(lambda: run_both(next(rounds)), rounds=CLIPS)
    assert all(same) or DEVICE != "cpu"
    session.figure("hooked generate / sweep", ratios, "×")
    session.figure("hooked generate, encoder output reused / sweep", reused, "×")
    if traced:
        session.figure("nnsight / sweep", traced, "×")
    session.figure("outputs that differ", [100 * (1 - np.mean(same))], "%")
    session.record("intervene")
