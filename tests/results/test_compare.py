"""Differences are found where they are, and not where they are not; results that do not fit are refused."""

import numpy as np
import pandas as pd
import pytest
from synthetic import make_items, make_result

from innerear.report.comparisons import cells
from innerear.results.compare import compare
from innerear.results.headline import Ratio
from innerear.results.paired import paired_test
from innerear.results.schema import Score
from innerear.results.store import Store
from innerear.stats.intervals import detectable
from innerear.util.errors import InputError

ONE = {"name": "one", "parts": {"weights": "0" * 64}}
"""The first model of `models`, by this name."""


def models(tmp_path, *pairs, **changes):
    store = Store(tmp_path)
    for at, (name, value) in enumerate(pairs):
        result = make_result(
            value, model={"name": name, "parts": {"weights": f"{at}" * 64}}, **changes.get(name, {})
        )
        store.save(result, make_items(value, seed=at))
    return store


def test_a_difference_is_found_and_corrected_for_the_number_of_pairs(tmp_path):
    store = models(tmp_path, ("good", 0.85), ("fair", 0.8), ("same", 0.8))
    found, refused = compare(store, ["good", "fair", "same"])
    assert not refused
    by_pair = {(each.a.model.name, each.b.model.name): each for each in found}
    sure = by_pair["good", "fair"]
    assert sure.difference == pytest.approx(0.05)
    assert sure.low <= 0.05 <= sure.high
    assert sure.ahead.model.name == "good"
    assert sure.adjusted >= sure.p
    assert (sure.n, sure.clusters) == (1200, 12)
    assert by_pair["fair", "same"].ahead is None
    assert by_pair["fair", "same"].p > 0.2


def test_what_is_counted_is_what_the_headline_is_over(tmp_path):
    store = Store(tmp_path)
    for at, name in enumerate(("one", "two")):
        rows = [make_items(0.8).assign(concept=kind, weight=1.0) for kind in ("phones", "gender")]
        items = pd.concat(rows, ignore_index=True).assign(unit=lambda made: made["unit"] + made["concept"])
        scores = {"use_phones": Score(value=0.8, n=1200, unit="fraction", direction="lower")}
        model = {"name": name, "parts": {"weights": f"{at}" * 64}}
        task = {"protocol": "erasure"}
        store.save(make_result(model=model, task=task, scores=scores, headline="use_phones"), items)
    ((found,), _) = compare(store, ["one", "two"])
    assert (found.n, found.clusters) == (1200, 12)


def test_results_of_another_task_or_corpus_are_refused_by_name(tmp_path):
    other = {"corpus": {"fingerprint": "d" * 64}}
    store = models(tmp_path, ("one", 0.8), ("two", 0.8), two=other)
    with pytest.raises(InputError, match="the corpus is cccccccccccc in one and dddddddddddd in the other"):
        compare(store, ["one", "two"])
    with pytest.raises(InputError, match="no result of three; there are one, two"):
        compare(store, ["one", "three"])
    with pytest.raises(InputError, match="two different models"):
        compare(store, ["one", "one"])


def test_what_only_one_model_was_measured_on_is_told(tmp_path):
    store = models(tmp_path, ("one", 0.8), ("two", 0.8))
    only = make_result(0.8, model=dict(ONE), corpus={"name": "people", "fingerprint": "d" * 64})
    store.save(only, make_items(0.8))
    found, refused = compare(store, ["one", "two"])
    assert len(found) == 1
    assert refused == ["one on phoneme-probing (people): two has no such result"]


def test_every_result_that_finds_no_partner_is_told(tmp_path):
    store = models(tmp_path, ("one", 0.8), ("two", 0.8))
    learnt = make_result().corpus.model_copy(update={"name": "other", "fingerprint": "e" * 64})
    store.save(make_result(0.7, model=dict(ONE), train_corpus=learnt), make_items(0.7))
    for names in (["one", "two"], ["two", "one"]):
        found, refused = compare(store, names)
        assert len(found) == 1
        assert refused == [
            f"{' and '.join(names)} on phoneme-probing (toy): the training corpus differs; "
            "run both with the same one"
        ]


def test_two_models_of_one_name_are_told_apart_by_hash(tmp_path):
    store = models(tmp_path, ("one", 0.8), ("two", 0.8))
    other = make_result(0.7, model={"name": "one", "parts": {"weights": "f" * 64}})
    store.save(other, make_items(0.7))
    with pytest.raises(InputError, match=rf"several models .*say which: .*one@{other.model.sha256[:8]}"):
        compare(store, ["one", "two"])
    (first,) = {result.model.sha256 for result in store.load_all() if result.model.name == "one"} - {
        other.model.sha256
    }
    names = [f"one@{sha256[:8]}" for sha256 in (first, other.model.sha256)]
    (made,), refused = compare(store, names)
    assert [made.a.model.sha256, made.b.model.sha256] == [first, other.model.sha256]
    assert made.difference == pytest.approx(made.a.score.value - made.b.score.value)
    assert cells(made)[1] == " − ".join(names)
    assert not refused
    with pytest.raises(InputError, match="no result of one@12345678;"):
        compare(store, ["one@12345678", "two"])
    with pytest.raises(InputError, match="two different models"):
        compare(store, [names[0], names[0][:-1]])


def means(outcome, speaker):
    return Ratio.mean(pd.DataFrame({"speaker": speaker, "outcome": outcome}))


def test_a_model_does_not_differ_from_itself():
    own = means(np.random.default_rng(0).integers(0, 2, 120), np.repeat(list("abcdef"), 20))
    assert paired_test(own, own, level=0.95, seed=0) == (0, 0, 1, 0)


def test_where_one_speaker_has_all_there_is_nothing_to_compare():
    speaker = list("aabb")
    own = Ratio.of(pd.DataFrame({"speaker": speaker, "outcome": 1.0, "weight": [1, 1, 0, 0]}))
    assert paired_test(own, own, level=0.95, seed=0) is None


def test_a_difference_in_every_speaker_has_the_smallest_p():
    speaker = np.repeat([f"s{number}" for number in range(10)], 20)
    worse = np.random.default_rng(0).integers(0, 2, 200).astype(float)
    better = worse.copy()
    better[::5] = 1.0
    worse[::5] = 0.0
    # all 2^10 exchanges are enumerated: two of them are as extreme
    assert paired_test(means(better, speaker), means(worse, speaker), level=0.95, seed=0)[2] == 2 / 1024


def made(rng, speakers, mean, spread):
    """Accuracies of two models that share what is hard, and differ by `mean` give or take `spread`."""
    counts = rng.integers(40, 120, speakers)
    base, gap = rng.normal(0.7, 0.06, speakers), rng.normal(mean, spread, speakers)
    sides = []
    for accuracy in (base + gap / 2, base - gap / 2):
        right = rng.binomial(counts, np.clip(accuracy, 0, 1))
        sides.append(pd.DataFrame({"speaker": np.arange(speakers), "outcome": right, "weight": counts}))
    return [Ratio.of(side) for side in sides]


def test_the_detectable_difference_is_found_four_times_in_five():
    rng = np.random.default_rng(0)
    errors = [paired_test(*made(rng, 16, 0.0, 0.03), level=0.95, seed=0)[3] for _ in range(40)]
    gap = detectable(float(np.mean(errors)), 16)
    found = [paired_test(*made(rng, 16, gap, 0.03), level=0.95, seed=0)[2] < 0.05 for _ in range(300)]
    assert 0.72 <= np.mean(found) <= 0.88


def test_weights_of_one_name_on_different_tasks_are_not_one_model(tmp_path):
    store = models(tmp_path, ("one", 0.8), ("two", 0.8))
    halves = {"name": "one", "parts": {"weights": "f" * 64}}
    store.save(
        make_result(0.7, model=halves, corpus={"name": "people", "fingerprint": "d" * 64}), make_items(0.7)
    )
    with pytest.raises(InputError, match="several models have this name"):
        compare(store, ["one", "two"])
