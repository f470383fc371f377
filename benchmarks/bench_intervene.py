"""A sweep over all heads as one batch of worlds, against one hooked `generate` a head and clip."""

from statistics import median
from time import perf_counter

import numpy as np
import pytest
import torch

from innerear.corpora.registry import load_corpus
from innerear.intervene import Intervention
from innerear.models.loading import load_model
from innerear.parallel import generate
from innerear.tasks import load_task
from innerear.text import looping

CLIPS = 20
ALONE = 2
"""Heads of each clip that are run one at a time, in turn: all of them would take an hour."""


def decided(tokens):
    """A loop is a loop: what follows tells nothing."""
    return looping(tokens) is not None


@pytest.mark.parametrize("name", ["moonshine-tiny", "whisper-tiny.en", "whisper-base"])
def test_a_sweep_over_heads_against_one_hooked_generate_each(benchmark, name):
    """Both ablate by zero; the outputs of every head that is run alone must be the sweep's."""
    model = load_model(name)
    corpus = load_task("transcription").resolve(noise=None).select(load_corpus("innerear-speech"))
    clips = [item.audio() for item in corpus.items[:: len(corpus) // CLIPS][:CLIPS]]
    heads = [site for site in model.places if site.startswith("decoder") and ".head." in site]
    worlds = [(Intervention(site=site, kind="zero"),) for site in heads]
    ratios, reused = [], []

    def pair(at):
        audio = clips[at]
        started = perf_counter()
        with torch.inference_mode():
            encoded = model.encode([audio])
        made = generate(model, encoded, worlds, stop=decided)
        sweep = (perf_counter() - started) / len(worlds)
        alone, decoding = [], []
        for count in range(ALONE):
            number = (at * ALONE + count) * 7 % len(worlds)
            started = perf_counter()
            with model.hooks({heads[number]: torch.zeros_like}), torch.inference_mode():
                encoded = model.encode([audio])
                between = perf_counter()
                (text,) = model.write(encoded)
            alone.append(perf_counter() - started)
            decoding.append(perf_counter() - between)
            mine = made[number].tokens
            assert text.tokens[: len(mine)] == mine
        ratios.append(np.mean(alone) / sweep)
        reused.append(np.mean(decoding) / sweep)

    rounds = iter(range(CLIPS))
    benchmark.pedantic(lambda: pair(next(rounds)), rounds=CLIPS)
    ratio = median(ratios)
    benchmark.extra_info["hooked generate / sweep"] = ratio
    print(
        f"\n{name}, {len(heads)} heads × {CLIPS} clips: one hooked generate a head / sweep = {ratio:.1f} "
        f"(against decoding alone, the encoder output reused: {median(reused):.1f})"
    )
