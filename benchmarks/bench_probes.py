"""Probes of all layers fitted at once, against a loop of scikit-learn fits on the same real features."""

from time import perf_counter

import numpy as np
from measured import Session
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from innerear.activations.capture import Demand, capture
from innerear.activations.readings import Frames
from innerear.analysis.probes import fit_probes
from innerear.data.phones import ARPABET
from innerear.data.registry import load_corpus
from innerear.data.splits import make_folds
from innerear.models.loading import load_model
from innerear.protocols.phone_probing import labelled, phone_frames
from innerear.tasks.task import load_task

ROUNDS = 2


def test_probes_against_a_scikit_learn_loop(benchmark):
    session = Session("moonshine-tiny")
    task = load_task("phoneme-probing").resolve(limit=84)
    corpus = task.select(load_corpus("innerear-speech"))
    frames = phone_frames(corpus)
    model = load_model("moonshine-tiny")
    data = labelled(corpus, frames, capture(model, [Demand(corpus, Frames(frames.times))])[0])
    values = data.values[::3]  # with every layer scikit-learn takes minutes
    fold = make_folds(corpus, task.split)[0]
    train, dev, test = (data.rows(side) for side in (fold.train, fold.dev, fold.test))
    ours, theirs, gaps = [], [], []

    def converged(states, c):
        """Test predictions of scikit-learn with a stricter tolerance than its own, which stops early."""
        x = (states - states[train].mean(0)) / states[train].std(0)
        probe = LogisticRegression(C=c, max_iter=20_000, tol=1e-6)
        return probe.fit(x[train], data.label[train]).predict(x[test])

    def run_both():
        started = perf_counter()
        fitted = fit_probes(
            values, data.label, train, dev, classes=len(ARPABET), grid=task.measure.probe.grid
        )
        ours.append(perf_counter() - started)
        predicted = fitted.probes.predict(values, test)
        started = perf_counter()
        best, chosen = np.full(len(values), -np.inf), np.zeros(len(values))
        for layer, states in enumerate(values):
            mean, scale = states[train].mean(0), states[train].std(0)
            x = (states - mean) / scale
            for c in task.measure.probe.grid:
                probe = LogisticRegression(C=c, max_iter=2000).fit(x[train], data.label[train])
                score = -log_loss(data.label[dev], probe.predict_proba(x[dev]), labels=probe.classes_)
                if score > best[layer]:
                    best[layer], chosen[layer] = score, c
        theirs.append(perf_counter() - started)
        reference = np.stack([converged(*each) for each in zip(values, chosen, strict=True)])
        accuracy = [(guess == data.label[test]).mean(axis=1) for guess in (predicted, reference)]
        gaps.append(np.abs(accuracy[0] - accuracy[1]).max())

    benchmark.pedantic(run_both, rounds=ROUNDS)
    session.figure("scikit-learn loop / fit_probes", [b / a for a, b in zip(ours, theirs, strict=True)], "×")
    session.figure("probes: test accuracy from scikit-learn's", [100 * max(gaps)], "points")
    session.figure("probes, seconds a layer", [each / len(values) for each in ours], "s")
    session.record("probes")
