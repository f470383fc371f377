"""Layers probed one by one, in processes of their own, give what all of them give at once."""

import numpy as np
import pytest

from innerear.analysis.folds import FoldRows, probe_layers
from innerear.analysis.probes import joined
from innerear.util.layers import OnDisk, OneLayer
from innerear.util.processes import parallel_map

LAYERS, ROWS, DIM = 3, 90, 6


def features(rng):
    values = rng.standard_normal((LAYERS, ROWS, DIM), dtype=np.float32)
    labels = rng.integers(2, size=ROWS)
    values[1, :, 0] += 3 * labels
    return values, labels


def rows(rng, labels):
    types = rng.integers(2, size=ROWS)
    return FoldRows(
        learn=np.arange(50), dev=np.arange(50, 65), held=np.arange(65, ROWS),
        share=np.bincount(labels[:50]) / 50, recurring=rng.random(ROWS - 65) < 0.5,
        drawn=[(types, types[65:]), (1 - types, 1 - types[65:])],
    )  # fmt: skip


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_layer_in_a_process_is_what_it_is_among_all(tmp_path, on_disk, processes):
    rng = np.random.default_rng(0)
    array, labels = features(rng)
    side, values = rows(rng, labels), array
    if on_disk:
        values = OnDisk(tmp_path)
        for part in np.array_split(array, 4, axis=1):
            values.append(part)
        values.flush()
    together = probe_layers(array, array, labels, side, 2, [0.01, 1.0], "cpu")

    def probe(layer):
        own = OneLayer(values, layer)
        return probe_layers(own, own, labels, side, 2, [0.01, 1.0], "cpu")

    parts = list(parallel_map(probe, range(LAYERS), processes))
    for name in ("predicted", "centroid", "odds", "centroid_odds", "control"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(part, name) for part in parts]), getattr(together, name)
        )
    fit = joined([part.fit for part in parts])
    for name in ("c", "dev_score", "dev_accuracy", "dev_grid"):
        np.testing.assert_array_equal(getattr(fit, name), getattr(together.fit, name))
    assert fit.probes.weight.equal(together.fit.probes.weight)
    assert fit.steps == together.fit.steps
    assert (together.predicted[1] == labels[65:]).mean() > 0.8


def test_a_forked_process_writes_nothing_of_what_waited_to_be_written(tmp_path):
    values = OnDisk(tmp_path)
    values.append(np.ones((1, 4, 2), dtype=np.float32))
    values.flush()
    sums = list(parallel_map(lambda _: float(values[0].sum()), range(6), 2))
    assert sums == [8.0] * 6
    values.append(np.full((1, 4, 2), 2, dtype=np.float32))
    assert values[0].tolist() == [[1, 1]] * 4 + [[2, 2]] * 4


def test_a_control_label_that_was_not_learnt_counts_by_the_share_of_the_class_that_is_named():
    rng = np.random.default_rng(1)
    values, labels = features(rng)
    side = rows(rng, labels)
    found = probe_layers(values, values, labels, side, 2, [0.1], "cpu")
    assert set(np.unique(found.control[:, ~side.recurring] * 2).round(6)) <= {
        round(one + other, 6) for one in side.share for other in side.share
    }
    assert set(np.unique(found.control[:, side.recurring])) <= {0.0, 0.5, 1.0}
