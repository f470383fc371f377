"""What capturing every layer adds to a bare forward pass of the encoder, measured in one run."""

from time import perf_counter

import numpy as np
import pytest
import torch
from measured import Session

from innerear.activations.capture import Demand, capture
from innerear.activations.forward import width
from innerear.activations.readings import Frames, Pooled
from innerear.data.registry import load_corpus
from innerear.models.loading import load_model
from innerear.protocols.phone_probing import phone_frames
from innerear.tasks.task import load_task

CLIPS = 24


@pytest.mark.parametrize("name", ["whisper-tiny.en", "moonshine-tiny"])
def test_capture_against_a_bare_forward(benchmark, name):
    session, model = Session(name), load_model(name)
    corpus = load_task("phoneme-probing").resolve(limit=CLIPS).select(load_corpus("innerear-speech"))
    frames = phone_frames(corpus)
    audio = [item.audio() for item in corpus]
    width(model, audio[:1])  # the warm-up of a run
    bare, captured = [], []

    def run_both():
        started = perf_counter()
        with torch.inference_mode():
            for clip in audio:
                model.network.model.encoder(**model.front_end([clip]))
        bare.append(perf_counter() - started)
        started = perf_counter()
        features = capture(model, [Demand(corpus, Frames(frames.times))])[0]
        captured.append(perf_counter() - started)
        assert features.log.processed == CLIPS
        return features

    features = benchmark.pedantic(run_both, rounds=6, warmup_rounds=1)
    assert np.isfinite(features.joined("states")).all()
    ratios = [c / b for b, c in zip(bare[1:], captured[1:], strict=True)]  # the first one warms up
    session.figure("capture / bare encoder", ratios, "×")
    session.record("capture")


def test_one_more_task_on_the_same_pass(benchmark):
    """What a second task costs when it reads the same clips in the same pass."""
    session, model = Session("whisper-tiny.en"), load_model("whisper-tiny.en")
    corpus = load_task("phoneme-probing").resolve(limit=CLIPS).select(load_corpus("innerear-speech"))
    first = Demand(corpus, Frames(phone_frames(corpus).times))
    alone, together = [], []

    def run_both():
        for demands, times in (([first], alone), ([first, Demand(corpus, Pooled())], together)):
            started = perf_counter()
            capture(model, demands)
            times.append(perf_counter() - started)

    benchmark.pedantic(run_both, rounds=6, warmup_rounds=1)
    ratios = [both / one for both, one in zip(together[1:], alone[1:], strict=True)]
    session.figure("two tasks / one task", ratios, "×")
    session.record("capture")
    assert min(ratios) < 2, "the second task runs the clips a second time"
