"""Sensitivity: the smallest damage told apart, by its cost, and where it stands in the leaderboard."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import save_tiny

from innerear.audit import sensitivity as measuring
from innerear.audit.model_variants import noisy
from innerear.report.leaderboard import tables
from innerear.results.audit import FILE as AUDIT
from innerear.results.audit import Audit, Audited, Check
from innerear.results.sensitivity import FILE, Damaged, Sensitivities, Sensitivity, sensitivities
from innerear.results.store import Store
from innerear.runs.plans import Options
from innerear.tasks.task import load_task
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import write_json

PUBLISHED = Path(__file__).parents[2] / "results"
VERSION = load_task("phoneme-probing").version


def write_audit(folder, *tasks):
    """An audit in which these tasks passed."""
    metrics = [
        Audited(
            task=name, version=load_task(name).version, model="m", headline="accuracy", direction="higher",
            unit="fraction", clips=56, n=1200, checks=[Check(name="damage", outcome="pass", says="")],
        ) for name in tasks
    ]  # fmt: skip
    found = Audit(created="", cpu_s=1, levels=[], seeds=[], metrics=metrics, environments={})
    write_json(folder / AUDIT, found.model_dump(mode="json"))


def damaged(cost, p, *, worse=True, kind="weight noise"):
    return Damaged(kind=kind, degree=cost, cost=cost, value=0.5, p=p, worse=worse, machine="x")


def merit(*variants, version=VERSION, n=4036):
    return Sensitivity(
        task="phoneme-probing", version=version, corpus="innerear-speech", model="m", headline="accuracy",
        unit="fraction", n=n, value=0.8, wer=0.02, damaged=list(variants),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("variants", "smallest"),
    [
        ([damaged(0.01, 0.3), damaged(0.02, 0.04), damaged(0.2, 0.001)], 0.02),
        ([damaged(0.01, 0.01), damaged(0.02, 0.3), damaged(0.2, 0.001)], 0.2),  # the costlier ones count
        ([damaged(0.01, 0.01), damaged(0.2, 0.001, worse=False)], None),  # told apart as better
        ([damaged(0.01, 0.3)], None),
        ([damaged(0.01, 0.01), damaged(0.01, 0.3), damaged(0.02, 0.01)], 0.02),  # one of the same cost is not
    ],
)
def test_the_smallest_damage_told_apart_has_all_costlier_damage_told_apart(variants, smallest):
    assert merit(*variants).smallest("weight noise") == smallest


def test_the_sentence_has_every_kind_in_points_of_wer():
    found = merit(damaged(0.021, 0.01), damaged(0.3, 0.9, kind="fewer bits"))
    assert found.sentence().endswith("that it costs: weight noise 2.1, fewer bits never.")


def test_a_table_of_a_merit_says_what_it_tells_apart(tmp_path):
    place = "phoneme-probing/innerear-speech"
    shutil.copytree(PUBLISHED / place, tmp_path / place)
    write_audit(tmp_path, "phoneme-probing")
    own = merit(damaged(0.021, 0.01))
    others = merit(damaged(0.5, 0.01), version=VERSION - 1), merit(damaged(0.4, 0.01), n=700)  # fewer clips
    found = Sensitivities(created="", merits=[own, *others], environments={})
    write_json(tmp_path / FILE, found.model_dump(mode="json"))
    (table,) = tables(Store(tmp_path))
    assert [note for note in table.notes if "Smallest damage" in note] == [own.sentence()]
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(InnerearError, match="not the sensitivities"):
        sensitivities(tmp_path)


def test_a_tiny_model_is_damaged_and_compared_with_itself(tmp_path, monkeypatch):
    folder = str(save_tiny("moonshine", tmp_path / "tiny"))
    monkeypatch.setattr(measuring, "damages", lambda _: {"weight noise": {0.5: noisy(0.5, seed=0)}})
    suite = measuring.suites(measuring.SUITES)[measuring.SUITE]
    only = suite.model_copy(update={"tasks": [suite.tasks[0].model_copy(update={"limit": 12})]})
    monkeypatch.setattr(measuring, "suites", lambda _: {measuring.SUITE: only})
    write_audit(tmp_path, "transcription")
    found, _ = measuring.sensitivity(Store(tmp_path), Options(tmp_path / "runs"), [folder])
    (own,) = found.merits
    (variant,) = own.damaged
    untouched, damaged = (
        next(each for each in Store(tmp_path / "runs").load_all() if label in each.model.name)
        for label in ("audit", "noise 0.5")
    )
    assert (own.task, own.headline, own.wer) == (
        "transcription",
        "wer_over_snr",
        untouched.scores["wer"].value,
    )
    assert own.value == untouched.score.value
    assert variant.cost == pytest.approx(damaged.scores["wer"].value - own.wer)
    assert (variant.kind, variant.degree) == ("weight noise", 0.5)
    assert variant.worse == (damaged.score.value > own.value)


@pytest.mark.parametrize(
    ("kind", "costs", "p", "measured"),
    [
        ("weight noise", [1, 2, 3, 4], [0.3, 0.01, 0.01, 0.01], 3),  # two in a row: a fourth says nothing
        ("weight noise", [1, 2, 3, 4], [0.01, 0.3, 0.01, 0.01], 4),
        ("weight noise", [1, 2, 3, 4], [0.3, 0.3, 0.3, 0.3], 4),
        ("weight noise", [0, 0, 0, 4], [0.3, 0.01, 0.01, 0.01], 4),  # the first cost no less, untold
        ("removed block", [1, 2, 3, 4], [0.01, 0.01, 0.01, 0.3], 4),  # a later block may do less harm
    ],
)
def test_damage_grows_until_two_degrees_in_a_row_are_told_apart(
    tmp_path, monkeypatch, kind, costs, p, measured
):
    degrees = (1.0, 2.0, 3.0, 4.0)
    result = Store(PUBLISHED).load_all()[0].model_copy(update={"headline": "wer"})
    score = next(each.score for each in Store(PUBLISHED).load_all() if each.score)
    monkeypatch.setattr(measuring, "damages", lambda _: {kind: dict.fromkeys(degrees)})
    monkeypatch.setattr(measuring, "load_model", lambda _: SimpleNamespace(encoder_layers=6))
    monkeypatch.setattr(measuring, "run_tasks", lambda *_: {"transcription": None})
    monkeypatch.setattr(measuring, "_scored", lambda *_: result.model_copy(update={"scores": {"wer": score}}))
    variants = iter(
        damaged(cost, p, kind=kind).model_copy(update={"degree": degree})
        for degree, cost, p in zip(degrees, costs, p, strict=True)
    )
    monkeypatch.setattr(measuring, "_damaged", lambda *_: next(variants))
    write_audit(tmp_path, "transcription")
    (found,) = measuring.sensitivity(Store(tmp_path), Options(tmp_path / "runs"), ["m"])[0].merits
    assert [each.degree for each in found.damaged] == list(degrees[:measured])


@pytest.mark.parametrize("same", [True, False])
def test_what_a_damage_costs_is_measured_once(tmp_path, monkeypatch, same):
    """Transcription is run on the untouched model, and on damage whose cost was not measured on it."""
    result = Store(PUBLISHED).load_all()[0]
    score = next(each.score for each in Store(PUBLISHED).load_all() if each.score)
    runs = []

    def run_tasks(_, tasks, *__):
        runs.append([task.id for task in tasks])
        return dict.fromkeys(runs[-1])

    monkeypatch.setattr(measuring, "damages", lambda _: {"weight noise": dict.fromkeys((0.1, 0.2))})
    monkeypatch.setattr(measuring, "load_model", lambda _: SimpleNamespace(encoder_layers=6))
    monkeypatch.setattr(measuring, "run_tasks", run_tasks)
    monkeypatch.setattr(
        measuring,
        "_scored",
        lambda *_: result.model_copy(update={"headline": "wer", "scores": {"wer": score}}),
    )
    monkeypatch.setattr(
        measuring,
        "_damaged",
        lambda _, kind, degree, cost, *__: damaged(cost, 0.3).model_copy(update={"degree": degree}),
    )
    write_audit(tmp_path, "transcription", "phoneme-probing")
    earlier = {
        "task": "transcription", "version": load_task("transcription").version, "n": score.n,
        "value": score.value, "wer": score.value + (0 if same else 0.01),
    }  # fmt: skip
    known = Sensitivities(
        created="", environments={}, merits=[merit(damaged(0.1, 0.01)).model_copy(update=earlier)]
    )
    (own,) = measuring.sensitivity(
        Store(tmp_path), Options(tmp_path / "runs"), ["m"], tasks=["phoneme-probing"], earlier=known
    )[0].merits
    assert (own.task, own.wer) == ("phoneme-probing", score.value)
    assert [(each.degree, each.cost) for each in own.damaged] == [(0.1, 0.1 if same else 0.0), (0.2, 0.0)]
    both = ["phoneme-probing", "transcription"]
    assert runs == [both, ["phoneme-probing"] if same else both, both]


def test_a_task_that_is_no_merit_is_refused_by_name(tmp_path):
    write_audit(tmp_path, "transcription")
    with pytest.raises(InputError, match="'abx' is none of the merits that are measured: transcription"):
        measuring.sensitivity(Store(tmp_path), Options(tmp_path / "runs"), tasks=["abx"])


def test_what_was_measured_of_other_models_tasks_and_kinds_stays():
    def whole(*merits):
        return Sensitivities(created="", merits=list(merits), environments={})

    earlier = whole(merit(), merit(version=VERSION - 1).model_copy(update={"model": "former"}))
    other = merit().model_copy(update={"model": "other"})
    assert whole(other).joined(earlier).merits == [merit(), other]
    noise, bits = damaged(0.02, 0.01), damaged(0.03, 0.01, kind="fewer bits")
    again = damaged(0.01, 0.2)
    assert whole(merit(bits)).joined(whole(merit(noise))).merits == [merit(noise, bits)]
    assert whole(merit(again)).joined(whole(merit(noise, bits))).merits == [merit(bits, again)]
    fewer = merit(bits, n=12)  # other clips: nothing of them stays
    assert whole(merit(noise)).joined(whole(fewer)).merits == [merit(noise)]


def test_without_a_merit_there_is_nothing_to_measure(tmp_path):
    write_audit(tmp_path)
    with pytest.raises(InputError, match="no headline is a merit"):
        measuring.sensitivity(Store(tmp_path), Options(tmp_path / "runs"))
