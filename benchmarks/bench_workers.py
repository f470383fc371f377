"""Clips in parallel, with one process and one thread each, against one clip at a time with all threads."""

from time import perf_counter

import pytest
import torch
from measured import Session

from innerear.data.registry import load_corpus
from innerear.interventions.ablation import ablated, heads, stop_at_loop
from innerear.interventions.run import generate
from innerear.models.loading import load_model
from innerear.util.processes import parallel_map, process_count

CLIPS = 12


@pytest.mark.parametrize("name", ["moonshine-tiny", "whisper-tiny.en", "whisper-base"])
def test_processes_against_threads(benchmark, name):
    """A sweep over all heads of each clip; the outputs must be the same."""
    session, model = Session(name), load_model(name)
    clips = [item.audio() for item in load_corpus("innerear-loops").items[::8][:CLIPS]]
    worlds = [ablated([site]) for site in heads(model)]
    count = process_count(len(clips))
    if count < 2:
        pytest.skip("needs two threads or more")

    def sweep(audio):
        with torch.inference_mode():
            return [made.tokens for made in generate(model, model.encode([audio]), worlds, stop=stop_at_loop)]

    ratios, same = [], []

    def run_both():
        started = perf_counter()
        threads = [sweep(clip) for clip in clips]
        between = perf_counter()
        processes = list(parallel_map(sweep, clips, count))
        ratios.append((between - started) / (perf_counter() - between))
        same.extend(one == two for one, two in zip(threads, processes, strict=True))

    benchmark.pedantic(run_both, rounds=3, warmup_rounds=0)
    assert all(same)
    session.figure("threads / processes", ratios, "×")
    session.record("workers")
