"""Phones are drawn by a stated rule: the same for all that is measured, and told wherever numbers are."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import measured, tiny_model
from hypothesis import given
from hypothesis import strategies as st

from innerear.activations.capture import capture
from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus
from innerear.protocols.base import NotApplicable
from innerear.protocols.phone_probing import PhoneProbingProtocol, drawn, labelled, phone_frames
from innerear.report.leaderboard import tables
from innerear.results.store import Store
from innerear.runs.jobs import Job
from innerear.runs.passes import Controls, Passes
from innerear.runs.plans import Options, Plan
from innerear.runs.subjects import Subject
from innerear.tasks.task import load_task

TASK = load_task("phoneme-probing").resolve(limit=56)
CORPUS = TASK.select(load_corpus("innerear-speech"))
EVERY = phone_frames(CORPUS)
TOTAL = len(EVERY.phone)


def at_most(most, **changes):
    return TASK.resolve(measure=TASK.measure.model_dump() | {"most_phones": most}, **changes)


def names(corpus, frames):
    """Clip, time, phone and word of each frame."""
    times = [(item.id, float(time)) for item in corpus for time in frames.times[item.id]]
    assert len(times) == len(frames.phone)
    return {(*at, phone, word) for at, phone, word in zip(times, frames.phone, frames.word, strict=True)}


@given(some=st.integers(1, TOTAL), more=st.integers(1, 2 * TOTAL), seed=st.integers(0, 5), order=st.randoms())
def test_which_phones_are_drawn_depends_on_their_names_and_the_seed_alone(some, more, seed, order):
    own = drawn(CORPUS, EVERY, some, seed)
    assert len(names(CORPUS, own)) == min(some, TOTAL)
    assert names(CORPUS, own) <= names(CORPUS, EVERY)  # each with its own label
    assert (np.diff(own.item) >= 0).all()
    low, high = sorted((some, more))
    assert names(CORPUS, drawn(CORPUS, EVERY, low, seed)) <= names(CORPUS, drawn(CORPUS, EVERY, high, seed))
    items = [*CORPUS.items]
    order.shuffle(items)
    shuffled = Corpus("shuffled", "1", tuple(items), "", "")
    again = drawn(shuffled, phone_frames(shuffled), some, seed)
    assert names(shuffled, again) == names(CORPUS, own)


def test_another_seed_draws_others():
    assert names(CORPUS, drawn(CORPUS, EVERY, 50, 0)) != names(CORPUS, drawn(CORPUS, EVERY, 50, 1))


def test_without_the_setting_nothing_changes_and_with_it_the_hash_does():
    assert "most_phones" not in TASK.canonical()["measure"]
    assert at_most(None).sha256() == TASK.sha256() != at_most(600).sha256()
    assert names(CORPUS, PhoneProbingProtocol(TASK, lambda _: CORPUS).frames["test"]) == names(CORPUS, EVERY)
    with pytest.raises(ValueError, match="most_phones"):
        at_most(0)


def test_the_numbers_are_those_of_probing_the_drawn_phones_alone():
    model, task = tiny_model("wav2vec2"), at_most(400)
    found = measured(PhoneProbingProtocol(task, lambda _: CORPUS), model)
    kept = names(CORPUS, drawn(CORPUS, EVERY, 400, task.seed))
    fewer = CORPUS.with_items(
        replace(
            item,
            phones=tuple(
                each for each in item.phones if any(name[:2] == (item.id, each.middle) for name in kept)
            ),
        )
        for item in CORPUS
    )
    alone = measured(PhoneProbingProtocol(TASK, lambda _: fewer), model)
    assert found.scores == alone.scores
    assert found.items.equals(alone.items)
    assert "sampled" not in alone.tables


def test_model_twin_and_floor_have_the_same_phones_and_each_result_and_the_table_say_so(tmp_path):
    plan = Plan((), (at_most(400),))
    options = Options(tmp_path / "results", cache=tmp_path / "cache")
    jobs = [Job.of(plan.tasks[0], options, load_corpus)]
    passes = Passes(plan, options, jobs)
    for model in (tiny_model("wav2vec2"), *jobs[0].protocol.floors()):
        list(passes.results_of(Subject.loaded(model), jobs, Controls({})))
    store = Store(options.output)
    one, other = store.load_all()
    assert {one.model.kind, other.model.kind} == {"model", "floor"}
    assert set(store.read_items(one)["unit"]) == set(store.read_items(other)["unit"])
    for result in (one, other):
        (row,) = result.tables["sampled"]
        assert (row["corpus"], row["phones"], row["drawn"]) == ("innerear-speech", TOTAL, 400)
    (table,) = tables(store)
    told = f"400 of the {TOTAL:,} phones of innerear-speech were drawn, the same for every model: those whose"
    assert any(note.startswith(told) for note in table.notes)


def test_too_few_phones_for_a_fold_leave_nothing_to_measure_and_the_reason_is_told():
    with pytest.raises(NotApplicable, match="a probe needs two"):
        measured(PhoneProbingProtocol(at_most(2), lambda _: CORPUS), tiny_model("wav2vec2"))


def test_clips_without_a_drawn_phone_are_not_heard():
    protocol = PhoneProbingProtocol(at_most(3), lambda _: CORPUS)
    reading = protocol.demands(tiny_model("wav2vec2"))["test"].reading
    assert sum(reading.wanted(item) is not None for item in CORPUS) <= 3


def test_states_and_labels_of_drawn_phones_belong_together():
    protocol = PhoneProbingProtocol(at_most(40), lambda _: CORPUS)
    model = tiny_model("wav2vec2")
    (captured,) = capture(model, list(protocol.demands(model).values()))
    examples = labelled(CORPUS, protocol.frames["test"], captured)
    assert examples.values.shape[1] == len(examples.label) == 40


def test_a_phone_outside_words_has_a_control_label_of_its_own():
    """Otherwise all such phones of a class would share one, which is as easily learnt as the class."""
    clip = CORPUS.items[0]
    bare = Corpus("bare", "1", (clip, replace(clip, id="without", words=())), "made", "none")
    frames = phone_frames(bare)
    states = np.zeros((1, len(frames.phone), 1), np.float32)
    types = labelled(bare, frames, SimpleNamespace(indices=[0, 1], joined=lambda _: states)).type.tolist()
    count = len(types) // 2
    assert types[0] == f"{frames.phone[0]}|{clip.words[0].label.lower()}"
    assert len({*types[count:]}) == count
    assert not {*types[:count]} & {*types[count:]}


def test_without_word_times_there_is_no_selectivity():
    clips = tuple(replace(clip, words=()) for clip in CORPUS)
    bare = Corpus("bare", "1", clips, "made", "none")
    with pytest.raises(NotApplicable, match="give the corpus word times"):
        measured(PhoneProbingProtocol(TASK, lambda _: bare), tiny_model("moonshine"))
