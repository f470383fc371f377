from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import acos, nan, pi
from statistics import mean

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innerear.analysis.abx import (
    Token,
    abx_errors,
    comparisons,
    token_distances,
    triphones,
)
from innerear.data.schema import Corpus, Item, Segment
from innerear.stats.intervals import jackknife_error
from innerear.stats.nested import indexed, pooled, pooled_without
from innerear.util.errors import InputError

EVERYTHING = dict(most=1000, x_speakers=1000)


def token(number: int, phone="p", context="a_a", speaker="s") -> Token:
    before, after = context.split("_")
    return Token(phone, (before, after), speaker, f"clip{number % 3}", number % 3, number, number + 0.2)


def frame_distance(u, v, distance) -> int:
    """In units of 1e-9, so that sums and ties are exact."""
    sizes = np.linalg.norm(u.astype(float)), np.linalg.norm(v.astype(float))
    if 0 in sizes:
        cos = 1.0 if sizes == (0, 0) else -1.0
    else:
        cos = round(float(np.dot(u.astype(float), v.astype(float)) / sizes[0] / sizes[1]), 12)
    return round(1e9 * (acos(cos) / pi if distance == "angular" else 1 - cos))


def loop_distance(x, y, distance) -> Fraction:
    """The definition: over all paths the least (cost, steps), and then the mean."""
    best = {(-1, -1): (0, 0)}
    for i, j in product(range(len(x)), range(len(y))):
        cost, steps = min(best[step] for step in [(i - 1, j - 1), (i - 1, j), (i, j - 1)] if step in best)
        best[i, j] = (cost + frame_distance(x[i], y[j], distance), steps + 1)
    return Fraction(*best[len(x) - 1, len(y) - 1])


def loop_errors(tokens, frames, mode, distance):
    """The definition: every triple of a cell, and the means in their order."""
    cells = defaultdict(list)
    for a, b, x in product(range(len(tokens)), repeat=3):
        ta, tb, tx = tokens[a], tokens[b], tokens[x]
        voices = ta.speaker == tx.speaker if mode == "within" else ta.speaker != tx.speaker
        if not (a != x and ta.phone == tx.phone != tb.phone and ta.context == tb.context == tx.context):
            continue
        if ta.speaker == tb.speaker and voices:
            ax, bx = (loop_distance(frames[side], frames[x], distance) for side in (a, b))
            error = 0.5 if ax == bx else float(ax > bx)
            cells[ta.phone, tb.phone, *ta.context, ta.speaker, tx.speaker].append(error)
    speakers = defaultdict(list)
    for (phone, other, _, _, speaker, _), errors in cells.items():
        speakers[phone, other, speaker].append(mean(errors))
    pairs = defaultdict(list)
    for (phone, other, _), errors in speakers.items():
        pairs[phone, other].append(mean(errors))
    found = {key: (mean(errors), len(errors)) for key, errors in cells.items()}
    return found, mean(map(mean, pairs.values())) if pairs else nan


def by_token(plan, tokens, frames):
    """Frames in the order of the plan."""
    given = {(t.clip, t.start): states for t, states in zip(tokens, frames, strict=True)}
    return [given[t.clip, t.start] for t in plan.tokens]


def table(plan, errors):
    keys = plan.cells[["phone", "other", "before", "after", "speaker", "x_speaker"]].itertuples(index=False)
    rows = zip(errors.cells, plan.cells["triples"], strict=True)
    return {tuple(key): row for key, row in zip(keys, rows, strict=True)}


# small whole numbers make ties, parallel frames and frames of zeros common
WHOLE = st.lists(st.tuples(*[st.integers(-1, 2)] * 2), min_size=1, max_size=4).map(
    lambda rows: np.array(rows, dtype=np.float32)
)
REAL = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 6)).map(
    lambda drawn: np.random.default_rng(drawn[0]).standard_normal((drawn[1], 2)).astype(np.float32)
)
LABELS = st.tuples(st.sampled_from("ptk"), st.sampled_from(["a_a", "a_i"]), st.sampled_from("st"))


@pytest.mark.parametrize("distance", ["angular", "cosine"])
@pytest.mark.parametrize("mode", ["within", "across"])
@settings(deadline=None)  # librosa compiles on its first call
@given(st.lists(st.tuples(LABELS, WHOLE | REAL), min_size=1, max_size=14), st.randoms())
def test_equals_the_definition_whatever_the_order(mode, distance, drawn, random):
    tokens = [token(number, *labels) for number, (labels, _) in enumerate(drawn)]
    frames = [states for _, states in drawn]
    cells, pooled = loop_errors(tokens, frames, mode, distance)
    if not cells:
        with pytest.raises(InputError, match="nothing to compare"):
            comparisons(tokens, mode, **EVERYTHING)
        return
    plan = comparisons(tokens, mode, **EVERYTHING)
    errors = abx_errors(by_token(plan, tokens, frames), plan, distance)
    assert errors.pooled == pytest.approx(pooled)
    found = table(plan, errors)
    assert found.keys() == cells.keys()
    for key, (error, triples) in cells.items():
        assert found[key] == (pytest.approx(error), triples)

    shuffled = random.sample(tokens, len(tokens))
    again = comparisons(shuffled, mode, **EVERYTHING)
    assert again.tokens == plan.tokens
    pd.testing.assert_frame_equal(again.cells, plan.cells)
    assert abx_errors(by_token(again, tokens, frames), again, distance).pooled == errors.pooled


@settings(deadline=None)
@given(st.lists(WHOLE | REAL, min_size=2, max_size=8))
def test_distances_are_symmetric_and_nought_to_themselves(frames):
    pairs = np.array([(i, j) for i in range(len(frames)) for j in range(len(frames))])
    for distance in ("angular", "cosine"):
        found = token_distances(frames, pairs, distance).reshape(len(frames), -1)
        np.testing.assert_array_equal(found, found.T)
        assert (np.diag(found) == 0).all()
        assert found.max() <= (1 if distance == "angular" else 2)


def test_neither_batch_nor_length_of_padding_matters():
    rng = np.random.default_rng(1)
    frames = [rng.standard_normal((rng.integers(1, 30), 64)).astype(np.float32) for _ in range(40)]
    pairs = np.array([(i, j) for i in range(40) for j in range(i)])
    together = token_distances(frames, pairs)
    alone = np.concatenate([token_distances(frames, pair[None]) for pair in pairs])
    np.testing.assert_allclose(together, alone, atol=1e-9, rtol=0)


def test_a_copy_is_a_tie_in_any_company():
    rng = np.random.default_rng(2)
    states = rng.standard_normal((9, 512)).astype(np.float32)
    others = [rng.standard_normal((length, 512)).astype(np.float32) for length in (3, 40)]
    # B is a copy of A, and X is compared with both
    first = token_distances([states, *others], np.array([(0, 2)]))
    second = token_distances([others[0], others[1], states.copy()], np.array([(0, 1), (1, 2)]))
    assert first[0] == second[1]


def test_one_frame_is_compared_with_every_frame():
    one, two = np.array([[1.0, 0]]), np.array([[1.0, 0], [0, 1.0]])
    assert token_distances([one, two], np.array([(0, 1)]))[0] == 0.25  # (0 + 1/2) / 2
    assert token_distances([one, two[1:]], np.array([(0, 1)]), "cosine")[0] == 1.0


def test_a_frame_of_zeros_is_opposite_to_all_but_itself():
    frames = [np.zeros((1, 2)), np.array([[1.0, 2.0]]), np.zeros((1, 2))]
    pairs = np.array([(0, 1), (0, 2)])
    assert token_distances(frames, pairs).tolist() == [1.0, 0.0]
    assert token_distances(frames, pairs, "cosine").tolist() == [2.0, 0.0]


def crowd(seed: int, told_apart: float, speakers="stuv", tokens: int = 4, dim: int = 16):
    """Tokens of three phones in two contexts, their phones `told_apart` by their frames."""
    rng = np.random.default_rng(seed)
    centre = {phone: told_apart * rng.standard_normal(dim) for phone in "ptk"}
    made = [
        token(number, phone, context, speaker)
        for number, (phone, context, speaker, _) in enumerate(
            product("ptk", ["a_a", "a_i"], speakers, range(tokens))
        )
    ]
    frames = [centre[t.phone] + rng.standard_normal((rng.integers(1, 8), dim)) for t in made]
    return made, frames


@pytest.mark.parametrize("mode", ["within", "across"])
def test_separate_phones_have_no_error_and_labels_of_chance_half(mode):
    tokens, frames = crowd(0, told_apart=50)
    plan = comparisons(tokens, mode, **EVERYTHING)
    assert abx_errors(by_token(plan, tokens, frames), plan).pooled == 0
    chance = []
    for seed in range(10):
        tokens, frames = crowd(seed, told_apart=0)
        chance.append(abx_errors(by_token(plan, tokens, frames), plan).pooled)
    assert np.mean(chance) == pytest.approx(0.5, abs=0.03)


def test_equal_frames_are_ties():
    tokens, _ = crowd(0, told_apart=0)
    plan = comparisons(tokens, "within")
    same = np.random.default_rng(0).standard_normal((5, 33))
    errors = abx_errors([same.copy() for _ in plan.tokens], plan)
    assert errors.pooled == 0.5
    assert (errors.cells == 0.5).all()


def test_labels_swapped_are_errors_turned_round():
    # a cell of one A, one B and one X: d(A, X) > d(B, X) is the reverse of d(B, X) > d(A, X)
    tokens = [token(0, "p", speaker="s"), token(1, "t", speaker="s"), token(2, "p", speaker="u")]
    rng = np.random.default_rng(5)
    frames = [rng.standard_normal((4, 3)) for _ in tokens]
    swapped = [replace(tokens[0], phone="t"), replace(tokens[1], phone="p"), tokens[2]]
    one, other = (
        abx_errors(by_token(plan, labelled, frames), plan).pooled
        for labelled in (tokens, swapped)
        for plan in [comparisons(labelled, "across")]
    )
    assert {one, other} == {0.0, 1.0}


def test_tokens_are_sampled_by_name():
    tokens, _ = crowd(0, told_apart=0, tokens=12)
    plan = comparisons(tokens, "across", most=3, x_speakers=2, seed=7)
    counts = pd.Series([(t.phone, t.context, t.speaker) for t in plan.tokens]).value_counts()
    assert (counts == 3).all()
    voices = plan.cells.groupby(["phone", "other", "before", "after", "speaker"])["x_speaker"]
    assert (voices.nunique() == 2).all()
    assert (plan.cells["triples"] == 27).all()
    # a token that was not drawn may go, and one that was drawn stays when others go
    drawn = set(plan.tokens)
    again = comparisons(sorted(drawn, key=lambda t: -t.start), "across", most=3, x_speakers=2, seed=7)
    assert again.tokens == plan.tokens
    assert set(comparisons(tokens, "across", most=3, x_speakers=2, seed=8).tokens) != drawn


def test_no_pair_of_tokens_is_compared_twice():
    tokens, _ = crowd(0, told_apart=0)
    plan = comparisons(tokens, "across")
    assert len({frozenset(pair) for pair in plan.pairs.tolist()}) == len(plan.pairs)
    assert sorted({*plan.pairs.ravel().tolist()}) == list(range(len(plan.tokens)))
    assert np.bincount(plan.cell).tolist() == plan.cells["triples"].tolist()


def test_pooled_weighs_speakers_within_a_pair_and_pairs_alike():
    index = np.array([[0, 0, 0, 1], [0, 0, 1, 0], [2, 3, 2, 2]])
    assert pooled(index, np.array([0.0, 0.2, 0.5, 1.0])) == pytest.approx(mean([mean([0.1, 0.5]), 1.0]))
    tokens, frames = crowd(3, told_apart=0.3)
    plan = comparisons(tokens, "within")
    errors = abx_errors(by_token(plan, tokens, frames), plan)
    assert pooled(indexed(plan.cells), np.stack([errors.cells] * 2)).tolist() == [errors.pooled] * 2


def test_a_speaker_is_left_out_of_every_part_and_couples_are_counted_once():
    rng = np.random.default_rng(0)
    index = rng.integers(0, [[9], [6], [6]], (3, 80))
    values = rng.random((2, 80))
    made = pooled_without(index, values)

    def left(kept):
        return pooled(index[:, kept], values[:, kept])

    _, a, x = index
    whole = np.stack([left((a != each) & (x != each)) for each in range(6)], axis=-1)
    alone = np.stack([left(a != each) for each in range(6)], axis=-1)
    couples = [(one, two) for one in range(6) for two in range(one)]
    each = np.stack([left(~(((a == i) & (x == j)) | ((a == j) & (x == i)))) for i, j in couples], axis=-1)
    twice = np.square(each - pooled(index, values)[:, None]).sum(axis=-1)
    error = [np.sqrt(max(5 * w.var() - t, 5 * o.var())) for w, t, o in zip(whole, twice, alone, strict=True)]
    np.testing.assert_allclose(jackknife_error(made), error)
    np.testing.assert_allclose(made.mean(axis=-1), whole.mean(axis=-1))
    shrunk = (made - made.mean(axis=-1, keepdims=True)) / (whole - whole.mean(axis=-1, keepdims=True))
    np.testing.assert_allclose(shrunk, np.broadcast_to(shrunk[:, :1], shrunk.shape))
    assert (shrunk < 1).all()


def test_within_speakers_no_couple_is_counted():
    rng = np.random.default_rng(0)
    index = rng.integers(0, [[4], [5], [1]], (3, 40))
    index[2] = index[1]
    values = rng.random(40)
    left = [pooled(index[:, index[1] != each], values[index[1] != each]) for each in range(5)]
    np.testing.assert_allclose(pooled_without(index, values), left)


def clip(name: str, labels: str, speaker="s", gap_before=None) -> Item:
    phones, time = [], 0.0
    for number, label in enumerate(labels.split()):
        time += 0.05 if number == gap_before else 0.0
        phones.append(Segment(label, round(time, 3), round(time + 0.1, 3)))
        time += 0.1
    return Item(name, lambda: np.zeros(1), "", time, "", speaker=speaker, phones=tuple(phones))


def corpus(*items: Item) -> Corpus:
    return Corpus("toy", "1", items, "", "")


def test_triphones_hold_neither_silence_nor_gap():
    made = triphones(corpus(clip("x", "sil b ae t sil k ae t s"), clip("y", "b ih t s ih", gap_before=3)))
    assert [(t.phone, t.context, t.clip, t.item) for t in made] == [
        ("ae", ("b", "t"), "x", 0), ("ae", ("k", "t"), "x", 0), ("t", ("ae", "s"), "x", 0),
        ("ih", ("b", "t"), "y", 1),
    ]  # fmt: skip
    assert (made[0].start, made[0].end) == (0.1, 0.4)


def test_errors_of_corpora_say_what_is_missing():
    with pytest.raises(InputError, match="no clip has three phones in a row"):
        triphones(corpus(clip("x", "b ae sil t")))
    with pytest.raises(InputError, match="x has no speaker"):
        triphones(corpus(clip("x", "b ae t", speaker="")))


@pytest.mark.parametrize(
    ("mode", "said", "why"),
    [
        ("within", ["p s", "p t"], "two phones in one context"),
        ("within", ["p s", "t s", "p u"], "twice within a speaker; use across"),
        ("across", ["p s", "p s", "t s"], "one speaker only; use within"),
        ("across", ["p s", "p s", "t s", "k u"], "said by two speakers; use within"),
    ],
)
def test_errors_of_plans_say_what_is_missing(mode, said, why):
    tokens = [token(number, who[0], speaker=who[2]) for number, who in enumerate(said)]
    with pytest.raises(InputError, match=why):
        comparisons(tokens, mode)


def test_too_few_to_compare_is_refused():
    with pytest.raises(InputError, match="at least 2 tokens"):
        comparisons(crowd(0, 0)[0], "within", most=1)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda frames: frames[1:], "but the plan has"),
        (lambda frames: [frames[0][:0], *frames[1:]], "clip0, 0.000-0.200 s: frames of shape"),
        (lambda frames: [*frames[:-1], frames[-1][:, 1:]], "at least one frame"),
        (lambda frames: [frames[0] * nan, *frames[1:]], "not finite"),
    ],
)
def test_frames_that_do_not_fit_are_refused(change, why):
    tokens, frames = crowd(0, 0)
    plan = comparisons(tokens, "within")
    with pytest.raises(InputError, match=why):
        abx_errors(change(by_token(plan, tokens, frames)), plan)


@pytest.mark.parametrize("distance", ["angular", "cosine"])
@pytest.mark.parametrize("mode", ["within", "across"])
def test_agrees_with_fastabx(mode, distance):
    fastabx = pytest.importorskip("fastabx", reason="fastabx needs Python 3.12")
    import polars
    import torch
    from fastabx.accessor import InMemoryAccessor

    rng = np.random.default_rng(0)
    tokens, frames = crowd(0, told_apart=0.4, speakers="stuvwx", tokens=5)
    kept = np.flatnonzero(rng.random(len(tokens)) < 0.5)  # cells of many sizes, and pairs in one order only
    tokens = [tokens[index] for index in kept]
    frames = [frames[index].astype(np.float32) for index in kept]
    plan = comparisons(tokens, mode, **EVERYTHING)
    errors = abx_errors(by_token(plan, tokens, frames), plan, distance)

    ends = np.cumsum([len(states) for states in frames]).tolist()
    accessor = InMemoryAccessor(
        dict(enumerate(zip([0, *ends], ends, strict=False))),
        torch.from_numpy(np.concatenate(frames)), torch.device("cpu"),
    )  # fmt: skip
    labels = polars.DataFrame(
        [(t.phone, *t.context, t.speaker) for t in tokens],
        schema=["phone", "before", "after", "speaker"], orient="row",
    )  # fmt: skip
    by = ["before", "after"]
    task = fastabx.Task(
        fastabx.Dataset(labels=labels, accessor=accessor), on="phone",
        by=[*by, "speaker"] if mode == "within" else by, across=["speaker"] if mode == "across" else None,
    )  # fmt: skip

    def cosine(x, y):  # fastabx's own "cosine" is the angle
        x, y = (torch.nn.functional.normalize(side, dim=-1) for side in (x, y))
        return 1 - torch.einsum("aid,bjd->abij", x, y)

    score = fastabx.Score(task, "angular" if distance == "angular" else cosine)
    theirs = {
        (row["phone"], row["phone_b"], row["before"], row["after"], row["speaker"],
         row.get("speaker_x", row["speaker"])): (row["score"], row["size"])
        for row in score.cells.to_dicts()
    }  # fmt: skip
    ours = table(plan, errors)
    assert ours.keys() == theirs.keys()
    for key, (error, triples) in ours.items():
        assert theirs[key] == (pytest.approx(error, abs=1e-6), triples)
    assert errors.pooled == pytest.approx(score.collapse(levels=[("after", "before"), "speaker"]), abs=1e-6)
