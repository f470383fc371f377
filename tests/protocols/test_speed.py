"""What is slower by a known time is measured as slower by it; timings are of a machine and rank nothing."""

import numpy as np
import pytest
import torch
from conftest import make_item, measured, noise, tiny_model

from innerear.activations import forward
from innerear.activations.capture import Demand, capture
from innerear.activations.readings import Frames
from innerear.data.phones import ARPABET
from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus, Segment
from innerear.interventions.ablation import ablated, heads
from innerear.interventions.run import generate
from innerear.protocols import speed
from innerear.protocols.registry import protocol_of
from innerear.report.leaderboard import tables
from innerear.results.compare import compare
from innerear.results.environment import machine
from innerear.results.reproduction import Reproduction, is_repetition
from innerear.results.schema import Result
from innerear.results.store import Store
from innerear.results.verify import verify
from innerear.runs.jobs import Job
from innerear.runs.passes import Controls, Passes
from innerear.runs.plans import Options, Plan
from innerear.runs.runner import run
from innerear.runs.subjects import Subject
from innerear.tasks.registered import disagreement, registered_task
from innerear.tasks.task import load_task
from innerear.util.errors import InputError
from innerear.util.io import sha256_json

TASK = load_task("speed")
CLIPS, SLEEP = 4, 0.03


def clip(at):
    phones = tuple(
        Segment(ARPABET[(at + number) % 5], 0.05 + 0.1 * number, 0.15 + 0.1 * number) for number in range(4)
    )
    return make_item(f"c{at}", noise(0.6, at), speaker=f"s{at}", phones=phones)


CORPUS = Corpus("made", "1", tuple(map(clip, range(CLIPS))), "made", "none")


def timed(model, **settings):
    small = {"repetitions": 1, "batches": [1], "tokens": 4, "probe": {"grid": [0.1]}} | settings
    task = TASK.resolve(measure=TASK.measure.model_dump() | small)
    return measured(protocol_of(task, lambda _: CORPUS), model)


class Clock:
    """A clock that stands still but for what is planted, so that no other process is measured."""

    now = 0.0

    def __call__(self):
        self.now += 1e-9  # no work takes no time at all
        return self.now

    def sleep(self, seconds=SLEEP):
        self.now += seconds

    def hook(self, *_args):
        self.sleep()


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(forward, "perf_counter", made)
    return made


def block(model, name):
    return model.network.model.get_submodule(name)


def test_an_encoder_that_sleeps_is_slower_by_that_time_and_nothing_else_is(clock):
    model = tiny_model("moonshine")
    block(model, "encoder.layers.1").register_forward_pre_hook(clock.hook)
    value = {name: score.value for name, score in timed(model).scores.items()}
    assert value["encoder_ms"] == pytest.approx(1000 * SLEEP, rel=1e-3)
    assert value["encoder_ms_best"] == pytest.approx(1000 * SLEEP, rel=1e-3)
    assert value["rtfx"] == pytest.approx(0.6 / SLEEP, rel=1e-3)
    assert 1 <= value["capture_ratio"] <= 1 + 1 / CLIPS + 1e-3  # the bare encoder sleeps, too
    assert value["sweep_ms"] == pytest.approx(0, abs=1e-3)
    assert value["probe_s"] == pytest.approx(0, abs=1e-3)


def test_a_decoder_that_sleeps_at_each_step_makes_sweeps_and_writing_slower(clock):
    model = tiny_model("moonshine")
    block(model, "decoder.layers.1").register_forward_pre_hook(clock.hook)
    worlds = [ablated([site]) for site in heads(model)]
    with torch.inference_mode():
        encoded = model.encode([CORPUS.items[0].audio()])
    before = clock.now
    generate(model, encoded, worlds, max_tokens=4)
    slept = clock.now - before
    value = {name: score.value for name, score in timed(model, tokens=4).scores.items()}
    assert slept >= 4 * SLEEP  # all heads at once: a step sleeps once
    assert value["sweep_ms"] == pytest.approx(
        1000 * slept / 16, rel=1e-3
    )  # 2 layers × 4 heads × 2 attentions
    assert value["rtfx"] <= 0.6 / SLEEP
    assert value["encoder_ms"] == pytest.approx(0, abs=1e-3)


def test_what_capture_does_beside_the_encoder_is_its_overhead(clock, monkeypatch):
    finished = Frames.finished
    monkeypatch.setattr(Frames, "finished", lambda *args: (clock.sleep(), finished(*args))[1])
    model = tiny_model("moonshine")
    block(model, "encoder.layers.0").register_forward_pre_hook(clock.hook)
    found = timed(model)
    before = clock.now
    capture(model, [Demand(CORPUS, Frames({item.id: np.array([0.1]) for item in CORPUS}))])
    took = clock.now - before
    assert took >= 2 * CLIPS * SLEEP
    assert found.scores["capture_ratio"].value == pytest.approx(took / (CLIPS * SLEEP), rel=1e-3)


def test_probes_are_timed_by_layer(clock, monkeypatch):
    fit = speed.fit_probes
    monkeypatch.setattr(speed, "fit_probes", lambda *args, **options: (clock.sleep(), fit(*args, **options)))
    found = timed(tiny_model("moonshine"), repetitions=1)
    assert found.scores["probe_s"].value == pytest.approx(SLEEP / 4, rel=1e-3)  # 3 blocks and the embedding


def test_the_median_over_repetitions_is_deaf_to_one_that_was_disturbed(clock):
    model, heard = tiny_model("wav2vec2"), []

    def disturbed(*_args):
        heard.append(1)
        clock.sleep(9.0 if len(heard) == 60 else SLEEP)

    model.network.wav2vec2.encoder.layers[0].register_forward_pre_hook(disturbed)
    found = timed(model, repetitions=7)
    assert found.scores["encoder_ms"].value == pytest.approx(1000 * SLEEP, rel=1e-3)
    assert found.scores["encoder_ms"].high == pytest.approx(found.items["outcome"][:7].max())
    assert len(heard) > 60


@pytest.mark.parametrize(("power", "best", "tried"), [(0.0, 4, [1, 2, 4]), (1.5, 1, [1, 2])])
def test_more_clips_at_once_are_tried_for_as_long_as_a_clip_gets_faster(clock, power, best, tried):
    model = tiny_model("wav2vec2")
    encode = model.encode
    model.encode = lambda audio: (clock.sleep(SLEEP * len(audio) ** power), encode(audio))[1]
    found = timed(model, repetitions=1, batches=[1, 2, 4])
    assert found.tuned["batch"] == found.scores["batch"].value == best
    assert [row["batch"] for row in found.tables["batches"]] == tried
    if best == 4:
        assert found.scores["encoder_ms_best"].value == pytest.approx(1000 * SLEEP / 4, rel=1e-3)


def test_models_of_other_kinds_are_timed_without_what_they_lack():
    scores = timed(tiny_model("wav2vec2"), repetitions=1, timed=1).scores
    assert {"encoder_ms", "rtfx", "capture_ratio", "probe_s", "load"} <= set(scores)
    assert "sweep_ms" not in scores


def test_a_gpu_is_synchronised_before_and_after_and_its_own_clock_counts(monkeypatch):
    done = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            done.append("event")

        def elapsed_time(self, end):
            return 1234.0

    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: done.append("synchronised"))
    monkeypatch.setattr(torch.cuda, "Event", Event)
    assert speed.seconds(torch.device("cuda"), lambda: done.append("work")) == 1.234
    assert done == ["synchronised", "event", "work", "event", "synchronised"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A result of the registered task on two clips, in a folder."""
    folder = tmp_path_factory.mktemp("speed")
    options = Options(folder / "results", cache=folder / "cache")
    plan = Plan((), (TASK.resolve(limit=2),))
    jobs = [Job.of(plan.tasks[0], options, load_corpus)]
    subject = Subject.loaded(tiny_model("wav2vec2"))
    list(Passes(plan, options, jobs).results_of(subject, jobs, Controls({})))
    return Store(options.output)


def with_values(result: Result, factor, **task):
    """The same result with all timings `factor` times as long."""
    scores = {
        name: score.model_copy(
            update={
                each: getattr(score, each) and getattr(score, each) * factor
                for each in ("value", "low", "high")
            }
        )
        for name, score in result.scores.items()
    }
    info = result.task.model_copy(update=task)
    return Result(
        **{**dict(result), "task": info, "scores": scores, "content_sha256": "", "record_sha256": ""}
    )


def test_a_result_names_the_machine_and_gives_medians_with_intervals_over_repetitions(ran):
    (result,) = ran.load_all()
    assert result.task.spec["machine"] == machine("cpu")
    assert registered_task(result.task.spec).machine == machine("cpu")
    assert not disagreement(result.task.spec)
    items = ran.read_items(result)
    own = np.sort(items.loc[items["quantity"] == "encoder_ms", "outcome"].to_numpy())
    score = result.score
    assert (score.low, score.value, score.high) == (own[1], own[4], own[7])
    assert score.n == len(own) == 9
    assert verify(ran.path_of(result), placed=True) == []


def test_no_table_mixes_two_machines_or_ranks_timings(ran, tmp_path):
    (result,) = ran.load_all()
    store, items = Store(tmp_path), ran.read_items(result)
    for name in ("one", "other"):
        task = TASK.resolve(limit=2, machine=name)
        info = {"spec": task.canonical(), "sha256": task.sha256()}
        for factor in (1.0, 2.0):
            made = with_values(result, factor, **info)
            parts = {"weights": str(factor)}
            model = made.model.model_copy(update={"parts": parts, "name": f"m{factor:g}"})
            model = type(model)(**dict(model) | {"sha256": sha256_json(parts)})
            scaled = items.assign(outcome=items["outcome"] * factor)
            store.save(replace_model(made, model), scaled)
    found = tables(store)
    assert [table.heading.partition(", timed on ")[2] for table in found] == ["one", "other"]
    for table in found:
        assert len(table.results) == 2
        assert not table.standing
        assert not table.counts
        assert table.notes[0].startswith("A profile, so no ranks: ")
    with pytest.raises(InputError, match="no repetition of one is that of another"):
        compare(store, ["m1", "m2"])


def replace_model(result, model):
    return Result(**{**dict(result), "model": model, "content_sha256": "", "record_sha256": ""})


@pytest.mark.parametrize(("factor", "off"), [(1.2, False), (0.8, False), (1.3, True), (0.7, True)])
def test_a_repetition_on_the_same_machine_may_differ_by_a_quarter(ran, factor, off):
    (result,) = ran.load_all()
    again = with_values(result, factor)
    made = Reproduction.of(result, again, TASK.tolerance)
    assert made.off == off
    assert made.tolerance == pytest.approx(0.25 * result.score.value)
    assert is_repetition(result, again) is not off


def test_timings_of_another_machine_cannot_be_repeated_here(tmp_path):
    with pytest.raises(InputError, match="these timings are of another, and this is"):
        Job.of(TASK.resolve(machine="another"), Options(tmp_path), load_corpus)


def test_a_cluster_does_not_time_the_machine_of_the_command(tmp_path):
    class Elsewhere:
        elsewhere = True

    with pytest.raises(InputError, match="speed times the machine of the command; run it there"):
        run(Plan((), (TASK,)), Options(tmp_path), executor=Elsewhere())
