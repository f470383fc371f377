"""Every forgery of a published result is told by a line that says what does not agree, or cannot be."""

import pytest
from forgeries import FORGERIES
from forging import WER, altered, higher_is_better, lines, mine, original, restated, with_score, with_task
from synthetic import make_sound
from typer.testing import CliRunner

from innerear.cli import app
from innerear.report.leaderboard import tables
from innerear.results.store import Store
from innerear.results.verify import sound, verify
from innerear.runs.reproduce import task_to_repeat
from innerear.runs.submit import submit


def test_there_are_many_forgeries_of_many_protocols_and_each_has_a_name():
    told = [forgery for forgery in FORGERIES if forgery.expected == "told"]
    assert len(told) >= 60
    assert len({forgery.source.split("/")[0] for forgery in told}) >= 10
    assert len({(forgery.kind, forgery.name) for forgery in FORGERIES}) == len(FORGERIES)


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: f"{forgery.kind}: {forgery.name}")
def test_a_forgery_is_told_by_what_does_not_agree_or_cannot_be_proved(forgery):
    found = lines(forgery)
    if forgery.says:
        assert any(forgery.says in line for line in found), found
    else:
        assert found == []


@pytest.mark.parametrize("source", sorted({forgery.source for forgery in FORGERIES}))
def test_nothing_is_said_of_what_was_sealed_again_but_not_changed(source, tmp_path):
    result, items = original(source)
    assert verify(Store(tmp_path).save(*restated(result, items))) == []


def test_a_forged_result_is_left_out_of_the_leaderboard_and_the_rest_is_not(tmp_path):
    store = Store(tmp_path / "runs")
    for value in (0.8, 0.7):
        store.save(*make_sound(value, model={"name": f"model-{value}"}))
    result, items = original(WER)
    liar = store.save(higher_is_better(mine(result), spec=False), items)
    assert sound(store.folder)[0].without == {liar}
    made = CliRunner().invoke(app, ["leaderboard", "--results", str(store.folder)])
    assert made.exit_code == 1
    assert "model-0.8" in made.stdout
    assert "my-model" not in made.stdout
    assert f"left out: {liar}: the direction of wer_over_snr is higher, but lower in the task" in made.stderr


def test_a_task_of_ones_own_has_a_table_of_its_own_that_says_so(tmp_path):
    store = Store(tmp_path)
    result, items = original(WER)
    own = with_task(
        mine(result), id="my-transcription", metric={"name": "wer_over_snr", "direction": "higher"}
    )
    store.save(result, items)
    path = store.save(*restated(with_score(own, direction="higher"), items))
    assert verify(path) == []
    assert [table.heading for table in tables(store)] == [
        "my-transcription v3, not registered, on innerear-speech 1",
        "transcription v3 on innerear-speech 1",
    ]
    assert "propose the task first" in submit([path], Store(tmp_path / "published")).refused[0]


def test_a_repetition_takes_its_tolerance_from_the_register():
    result, _ = original(WER)
    lie = altered(result, task={"tolerance": 1e9})
    assert task_to_repeat(lie).tolerance == task_to_repeat(result).tolerance == 0.01
    variant = with_task(lie, id="my-transcription")
    assert task_to_repeat(variant).tolerance == 0.01, "no variant may claim more than its protocol has"
