"""Merits rank models and count in a mean over tasks; profiles and headlines without a passed audit do not."""

import shutil
from pathlib import Path

import pytest
from synthetic import make_sound

from innerear.report.leaderboard import arrow, tables
from innerear.report.markdown import publish
from innerear.results.audit import FILE, Audit, Audited, Check
from innerear.results.environment import environment
from innerear.results.merits import counts, no_merit, unaudited
from innerear.results.paired import difference
from innerear.results.store import Store, read_result
from innerear.tasks.task import load_task, task_names
from innerear.util.io import write_json

PUBLISHED = Store(Path(__file__).parents[2] / "results")


def audits(task="phoneme-probing", older=0, **outcomes):
    """An audit of one headline, of this version or an older one, with the outcomes of checks by name."""
    version = load_task(task).version - older
    checks = [Check(name=name, outcome=outcome, says="so") for name, outcome in outcomes.items()]
    return {
        task: [
            Audited(
                task=task, version=version, model="m", headline="accuracy", direction="higher",
                unit="fraction", clips=56, n=1200, checks=checks,
            )
        ]
    }  # fmt: skip


def of(task):
    """Published results of a task on innerear-speech."""
    return list(map(read_result, sorted((PUBLISHED.folder / task / "innerear-speech").glob("*.json"))))


def test_a_headline_whose_audit_passed_is_a_merit():
    results = of("phoneme-probing")
    assert no_merit(results, audits(damage="pass", seeds="pass", human="not run")) == ""
    assert counts(results, "")


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (audits(damage="pass", seeds="fail"), "failed the audit (seeds)"),
        (audits(damage="not run"), "no audit has shown"),
        (audits(older=1, damage="pass"), "no audit has shown"),
        ({}, "no audit has shown"),
    ],
)
def test_without_a_passed_audit_of_this_version_there_are_no_ranks(known, why):
    reason = no_merit(of("phoneme-probing"), known)
    assert why in reason
    assert not counts(of("phoneme-probing"), reason)


def test_a_profile_has_no_ranks_and_no_arrow_even_if_its_audit_passed():
    assert no_merit(of("accent"), audits("accent", damage="pass")).startswith(
        "A profile, so no ranks: It says"
    )
    assert arrow(of("accent")[0]) == ""
    assert arrow(of("phoneme-probing")[0]) == " ↑"


def test_a_task_of_ones_own_is_ranked_but_counts_in_no_mean():
    results = [make_sound()[0]]
    assert no_merit(results, {}) == ""
    assert not counts(results, "")
    assert unaudited(results) == (
        "Ranked without an audit: the task is not registered, and its author answers for it."
    )


def test_methods_are_ranked_without_an_audit_and_their_tables_say_why():
    methods = list(map(read_result, sorted((PUBLISHED.folder / "planted-causes").glob("*/*.json"))))
    assert no_merit(methods, {}) == ""
    assert "planted causes, where the truth is known" in unaudited(methods)
    assert unaudited(of("phoneme-probing")) == ""


@pytest.mark.parametrize(("task", "ahead"), [("accent", None), ("phoneme-probing", "whisper-base")])
def test_a_significant_difference_of_profiles_puts_nobody_ahead(task, ahead):
    named = {result.model.name: result for result in of(task)}
    compared = difference(PUBLISHED, named["whisper-base"], named["whisper-base-random"])
    assert compared.p < 0.05
    assert (compared.ahead.model.name if compared.ahead else None) == ahead
    assert compared.better.model.name == "whisper-base"  # what the audit holds orders against


@pytest.mark.parametrize("outcome", ["pass", "fail"])
def test_the_table_says_why_it_has_no_ranks_and_the_mean_win_rate_is_over_merits(tmp_path, outcome):
    place = "phoneme-probing/innerear-speech"
    shutil.copytree(PUBLISHED.folder / place, tmp_path / place)
    (metric,) = audits(damage=outcome)["phoneme-probing"]
    here = environment("cpu")
    report = Audit(
        created="", cpu_s=1, levels=[], seeds=[], metrics=[metric], environments={here.machine: here}
    )
    write_json(tmp_path / FILE, report.model_dump(mode="json"))
    (table,) = tables(Store(tmp_path))
    assert {bool(row.cells[0]) for row in table.rows if row.kind == "model"} == {outcome == "pass"}
    assert table.counts == (outcome == "pass")
    assert ("## Over all tasks" in publish(Store(tmp_path)).read_text()) == (outcome == "pass")
    assert ("No ranks: the headline failed the audit (damage)." in table.notes) == (outcome == "fail")


def test_in_a_folder_without_an_audit_the_published_one_applies(tmp_path):
    shutil.copytree(
        PUBLISHED.folder / "semantic-bias/innerear-pairs", tmp_path / "semantic-bias/innerear-pairs"
    )
    (table,) = tables(Store(tmp_path))
    assert "failed the audit (damage)" in table.notes[0]


def test_every_headline_without_a_better_direction_is_a_profile():
    for task in map(load_task, task_names()):
        assert task.metric.direction != "none" or task.profile, task.id
