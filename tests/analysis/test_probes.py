"""The batched probes are scikit-learn's, layer by layer; the other head and the controls do what they say."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid

from innerear.analysis.logistic import TOLERANCE
from innerear.analysis.probes import (
    PART,
    _together,
    best_layer,
    control_labels,
    emergence,
    fit_centroids,
    fit_probes,
)
from innerear.util.errors import InputError
from innerear.util.layers import OnDisk

CLASSES = 12


@pytest.fixture(scope="module")
def data():
    """Three layers of correlated features with more and more of the label in them; classes unbalanced."""
    rng = np.random.default_rng(0)
    frames, dim = 3000, 48
    labels = rng.choice(CLASSES, frames, p=rng.dirichlet(np.full(CLASSES, 3.0)))
    means = rng.standard_normal((CLASSES, dim))
    mixing = rng.standard_normal((dim, dim)) / np.sqrt(1 + np.arange(dim))
    layers = [
        ((share * means[labels] + rng.standard_normal((frames, dim))) @ mixing + 5) * 10.0**layer
        for layer, share in enumerate((0.2, 0.5, 0.9))
    ]
    index = np.arange(frames)
    return np.stack(layers).astype(np.float32), labels, index[:1800], index[1800:2200], index[2200:]


def sklearn_fit(values, labels, train, c):
    mean, scale = values[train].mean(0), values[train].std(0)
    model = LogisticRegression(C=c, tol=1e-6, max_iter=5000).fit(
        (values[train] - mean) / scale, labels[train]
    )
    return model, (values - mean) / scale


@pytest.mark.parametrize("c", [0.001, 0.01, 0.1, 1.0])
def test_every_layer_equals_scikit_learn(data, c):
    values, labels, train, dev, test = data
    fitted = fit_probes(values, labels, train, dev, classes=CLASSES, grid=[c])
    predicted = fitted.probes.predict(values, test)
    for layer in range(len(values)):
        reference, standardised = sklearn_fit(values[layer], labels, train, c)
        ours = (predicted[layer] == labels[test]).mean()
        theirs = reference.score(standardised[test], labels[test])
        assert abs(ours - theirs) <= 0.002, "more than 0.2 points apart"

        def objective(weight, bias, standardised=standardised):
            scores = log_softmax(standardised[train].astype(float) @ weight + bias, axis=1)
            return -scores[np.arange(len(train)), labels[train]].mean() + (weight**2).sum() / (
                2 * c * len(train)
            )

        best = objective(reference.coef_.T, reference.intercept_)
        weight, bias = fitted.probes.weight[layer].numpy(), fitted.probes.bias[layer].numpy()
        assert objective(weight, bias) <= best + 5 * TOLERANCE


def test_the_grid_is_chosen_by_dev_and_all_of_it_is_kept(data):
    values, labels, train, dev, _ = data
    grid = [0.1, 0.001, 0.01]
    together = fit_probes(values, labels, train, dev, classes=CLASSES, grid=grid)
    for column, c in enumerate(sorted(grid)):
        alone = fit_probes(values, labels, train, dev, classes=CLASSES, grid=[c])
        np.testing.assert_allclose(together.dev_grid[:, column], alone.dev_score, atol=0.003)
    assert together.dev_score.tolist() == together.dev_grid.max(axis=1).tolist()
    assert [sorted(grid)[column] for column in together.dev_grid.argmax(axis=1)] == together.c.tolist()


def test_c_is_that_under_which_dev_is_likeliest_also_where_accuracies_tie():
    """One dimension tells two classes apart for every C; only likelihood says that the largest fits best."""
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    values = (10.0 * labels + rng.normal(size=200)).astype(np.float32).reshape(1, -1, 1)
    train, dev = np.arange(100), np.arange(100, 200)
    fitted = fit_probes(values, labels, train, dev, classes=2, grid=[0.001, 0.1, 10.0])
    assert fitted.dev_accuracy.tolist() == [1.0]
    assert fitted.c.tolist() == [10.0]
    assert np.all(np.diff(fitted.dev_grid) > 0)
    logits = fitted.probes.logits(values, dev)[0].astype(float)
    likely = logits[np.arange(100), labels[dev]] - np.logaddexp(logits[:, 0], logits[:, 1])
    assert fitted.dev_score[0] == pytest.approx(likely.mean(), abs=1e-6)


def test_dev_frames_of_a_class_that_training_lacks_say_nothing_about_c(data):
    values, labels, train, dev, _ = data
    absent = labels[dev[0]]
    some, none = train[labels[train] != absent], dev[labels[dev] == absent]
    known = dev[labels[dev] != absent]
    options = {"classes": CLASSES, "grid": [0.001, 0.1]}
    with_it, without = (fit_probes(values, labels, some, side, **options) for side in (dev, known))
    np.testing.assert_allclose(with_it.dev_grid * len(dev), without.dev_grid * len(known), rtol=1e-5)
    assert with_it.c.tolist() == without.c.tolist()
    assert np.all(with_it.dev_accuracy < without.dev_accuracy)
    with pytest.raises(InputError, match="C is chosen on dev frames of classes that occur in training"):
        fit_probes(values, labels, some, none, **options)


def test_a_fixed_c_for_each_layer(data):
    values, labels, train, dev, _ = data
    fixed = np.array([[0.001], [0.1], [0.01]])
    assert fit_probes(values, labels, train, dev, classes=CLASSES, grid=fixed).c.tolist() == [
        0.001,
        0.1,
        0.01,
    ]


def test_two_fits_are_equal_to_the_bit(data):
    values, labels, train, dev, _ = data
    first, second = (fit_probes(values, labels, train, dev, classes=CLASSES, grid=[0.01]) for _ in range(2))
    assert torch.equal(first.probes.weight, second.probes.weight)


def on_disk(values, folder):
    kept = OnDisk(folder)
    for start in range(0, values.shape[1], 700):
        kept.append(values[:, start : start + 700])
    return kept


@pytest.mark.parametrize("part", [PART, 256])
def test_layers_on_disk_give_the_same_bits_as_in_memory(data, tmp_path, monkeypatch, part):
    """Also where a layer is read in parts: numbers do not depend on what memory holds."""
    monkeypatch.setattr("innerear.analysis.probes.PART", part)
    values, labels, train, dev, test = data
    fits = [
        (
            fit_probes(layers, labels, train, dev, classes=CLASSES, grid=[0.001, 0.1]),
            fit_centroids(layers, labels, train, classes=CLASSES),
            layers,
        )
        for layers in (values, on_disk(values, tmp_path))
    ]
    (memory, means, _), (disk, other, stored) = fits
    assert torch.equal(memory.probes.weight, disk.probes.weight)
    assert np.array_equal(memory.dev_grid, disk.dev_grid)
    assert torch.equal(means.weight, other.weight)
    for probes in (memory.probes, means):
        assert np.array_equal(probes.logits(values, test), probes.logits(stored, test))


def test_parts_of_the_frames_give_what_all_at_once_give(data, monkeypatch):
    values, labels, train, dev, test = data
    whole = fit_probes(values, labels, train, dev, classes=CLASSES, grid=[0.001, 0.1])
    monkeypatch.setattr("innerear.analysis.probes.PART", 100)
    parts = fit_probes(values, labels, train, dev, classes=CLASSES, grid=[0.001, 0.1])
    torch.testing.assert_close(parts.probes.weight, whole.probes.weight, atol=1e-4, rtol=1e-3)
    np.testing.assert_allclose(parts.dev_grid, whole.dev_grid, atol=0.002)
    assert (parts.probes.predict(values, test) == whole.probes.predict(values, test)).mean() > 0.998


@pytest.mark.parametrize(("free", "layers"), [(2**40, 30), (2**30, 0)])
def test_a_layer_that_the_memory_of_a_gpu_does_not_hold_is_read_in_parts(monkeypatch, free, layers):
    """A million frames of 1,280 dimensions are 10 GB with their copy in the eigenbasis."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    held = _together("cuda", 1_000_000, 1280, 4 * 39)
    assert (held >= layers) if layers else (held == 0)


def test_layers_fitted_together_give_what_one_after_the_other_give(data):
    """As on a GPU: in the last bits sums differ, in accuracies by 0.2 points at most."""
    values, labels, train, dev, test = data
    grid = [0.0001, 0.001, 0.01, 0.1]
    alone = fit_probes(values, labels, train, dev, classes=CLASSES, grid=grid)
    for together in (2, 3):
        fitted = fit_probes(values, labels, train, dev, classes=CLASSES, grid=grid, together=together)
        np.testing.assert_allclose(fitted.dev_grid, alone.dev_grid, atol=0.002)
        one, other = (each.probes.predict(values, test) for each in (alone, fitted))
        assert (
            np.abs((one == labels[test]).mean(axis=1) - (other == labels[test]).mean(axis=1)).max() <= 0.002
        )


def test_classes_that_training_lacks_are_never_predicted(data):
    values, labels, train, dev, test = data
    train = train[labels[train] != 3]
    fitted = fit_probes(values, labels, train, dev, classes=CLASSES, grid=[0.01])
    centroids = fit_centroids(values, labels, train, classes=CLASSES)
    assert 3 not in fitted.probes.predict(values, test)
    assert 3 not in centroids.predict(values, test)


def test_a_constant_feature_does_no_harm(data):
    values, labels, train, dev, test = data
    values = values.copy()
    values[:, :, 0] = 7.0
    predicted = fit_probes(values, labels, train, dev, classes=CLASSES, grid=[0.01]).probes.predict(
        values, test
    )
    assert (predicted[2] == labels[test]).mean() > 0.5


def test_features_that_are_not_finite_are_refused_with_their_layer(data):
    values, labels, train, dev, _ = data
    values = values.copy()
    values[1, 5, 5] = np.nan
    with pytest.raises(InputError, match="of a layer are not finite"):
        fit_probes(values, labels, train, dev, classes=CLASSES, grid=[0.01])


def test_an_empty_side_and_a_single_class_are_refused(data):
    values, labels, train, dev, _ = data
    with pytest.raises(InputError, match="training and dev frames"):
        fit_probes(values, labels, train, dev[:0], classes=CLASSES, grid=[0.01])
    with pytest.raises(InputError, match="two classes"):
        fit_probes(values, labels, train[labels[train] == 1], dev, classes=CLASSES, grid=[0.01])


def test_centroids_are_scikit_learns_nearest_centroid(data):
    values, labels, train, _, test = data
    predicted = fit_centroids(values, labels, train, classes=CLASSES).predict(values, test)
    for layer in range(len(values)):
        mean, scale = values[layer][train].mean(0), values[layer][train].std(0)
        standardised = (values[layer] - mean) / scale
        reference = NearestCentroid().fit(standardised[train], labels[train]).predict(standardised[test])
        assert (predicted[layer] == reference).mean() > 0.999


@given(st.lists(st.sampled_from(["t|the", "s|so", "iy|see"]), min_size=1), st.integers(0, 5))
def test_a_type_has_one_control_label_wherever_it_occurs(types, seed):
    marginal = np.array([5, 3, 0, 2])
    drawn = control_labels(np.array(types), marginal, seed)
    again = control_labels(np.array(types[::-1]), marginal, seed)[::-1]
    assert drawn.tolist() == again.tolist()
    assert 2 not in drawn
    assert all(len({d for d, t in zip(drawn, types, strict=True) if t == kind}) == 1 for kind in set(types))


def test_control_labels_follow_the_marginal():
    types = np.array([f"type {number}" for number in range(20_000)])
    drawn = np.bincount(control_labels(types, np.array([70, 20, 10]), seed=1), minlength=3) / len(types)
    np.testing.assert_allclose(drawn, [0.7, 0.2, 0.1], atol=0.01)


def test_best_layer_and_emergence():
    curve = np.array([0.5, 0.78, 0.82, 0.82, 0.8])
    assert best_layer(curve) == 2
    assert emergence(curve) == 1
