"""How time grows: probes with layers, sweeps with heads, capture with hours of speech."""

from dataclasses import replace
from time import perf_counter

import numpy as np
import torch
from measured import Session

from innerear.activations.capture import Demand, capture
from innerear.activations.readings import Pooled
from innerear.analysis.probes import fit_probes
from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus
from innerear.interventions.ablation import ablated, heads
from innerear.interventions.run import generate
from innerear.models.loading import load_model

NAME = "moonshine-tiny"
LAYERS = 1, 2, 4, 8
CLIPS = 10, 20, 40, 80


def test_probes_by_layers(benchmark):
    """Random features with a weak cause of their class, as many frames and classes as phoneme probing has."""
    session, rng = Session("1,000 frames of 288 dimensions"), np.random.default_rng(0)
    labels = rng.integers(39, size=1000)
    values = rng.standard_normal((max(LAYERS), 1000, 288), dtype=np.float32)
    values[..., :39] += 2 * np.eye(39, dtype=np.float32)[labels]
    train, dev = np.split(np.arange(1000), [800])
    taken = {}

    def run_all():
        for layers in LAYERS:
            started = perf_counter()
            fit_probes(values[:layers], labels, train, dev, classes=39, grid=[0.01, 0.1])
            taken[layers] = perf_counter() - started

    benchmark.pedantic(run_all, rounds=1, warmup_rounds=1)
    session.curve("probes", "layers", taken)
    session.record("growth")


def test_a_sweep_by_heads(benchmark):
    session, model = Session(NAME), load_model(NAME)
    audio = load_corpus("innerear-speech").items[0].audio()
    with torch.inference_mode():
        encoded = model.encode([audio])
    sites, taken = heads(model), {}

    def run_all():
        for count in (len(sites) // 8, len(sites) // 4, len(sites) // 2, len(sites)):
            started = perf_counter()
            generate(model, encoded, [ablated([site]) for site in sites[:count]], max_tokens=24)
            taken[count] = perf_counter() - started

    benchmark.pedantic(run_all, rounds=1, warmup_rounds=1)
    session.curve("sweep of one clip", "heads", taken)
    session.record("growth")


def test_capture_by_hours(benchmark):
    """Clips are repeated under names and hashes of their own, so that each is heard."""
    session, model = Session(NAME), load_model(NAME)
    known, taken = load_corpus("innerear-speech").items, {}
    capture(model, [Demand(_repeated(known, CLIPS[0]), Pooled())])

    def run_all():
        for clips in CLIPS:
            corpus = _repeated(known, clips)
            started = perf_counter()
            capture(model, [Demand(corpus, Pooled())])
            taken[sum(item.duration for item in corpus) / 3600] = perf_counter() - started

    benchmark.pedantic(run_all, rounds=1)
    session.curve("capture", "hours", taken)
    session.record("growth")


def _repeated(known, clips):
    items = [known[at % len(known)] for at in range(clips)]
    return Corpus(
        "repeated", "1",
        tuple(replace(item, id=f"{item.id}-{at}", audio_sha256=f"{at:064}") for at, item in enumerate(items)),
        "synthetic", "CC0-1.0",
    )  # fmt: skip
