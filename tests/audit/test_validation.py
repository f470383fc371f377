"""References are checked as they say: what agrees passes, what does not fails, what is missing is named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import noise, tiny_model
from hypothesis import given
from hypothesis import strategies as st
from synthetic import make_family, make_items, make_result
from typer.testing import CliRunner

from innerear.audit.validation import cells, check, judge
from innerear.audit.validation_checks import CHECKS, Context, Measured
from innerear.audit.validation_references import Reference, references
from innerear.cli import app
from innerear.results.store import Store
from innerear.util.errors import InputError


def about(**changes):
    """A reference to a published score."""
    fields = dict(
        id="r", what="accuracy", check="score", model="whisper-base", task="phoneme-probing", corpus="toy",
        score="accuracy", value=0.87, tolerance=0.005, source="somebody", read=True,
    )  # fmt: skip
    return Reference(**{**fields, **changes})


@pytest.fixture
def context(tmp_path):
    store = Store(tmp_path / "results")
    for result, items in make_family():
        store.save(result, items)
    return Context(store, load=lambda name: tiny_model(name))


def test_the_references_that_come_with_innerear_name_known_checks_and_sources():
    found = references()
    assert len({each.id for each in found}) == len(found) > 30
    assert all(each.check in CHECKS and each.source for each in found)
    assert any(not each.read for each in found)


def test_a_published_score_is_held_against_the_reference(context):
    assert check(about(), context).outcome == "pass"  # 0.86 [0.84, 0.88] holds 0.87
    assert "by its interval" in cells(check(about(), context))[-1]
    assert cells(check(about(value=0.86), context))[-1] == "pass"
    off = check(about(value=0.95), context)
    assert off.outcome == "fail"
    assert (off.value, off.low, off.high, off.n) == (0.86, 0.84, 0.88, 1200)
    assert check(about(check="worst-layer", value=0.602, tolerance=0.001), context).outcome == "pass"
    twin = about(check="twin-below-floor", value=-0.5, tolerance=0.5)
    assert check(twin, context).value == pytest.approx(0.44 - 0.58)


def test_of_several_results_that_of_the_most_clips_is_held_against_it(context):
    for digit in "08f":  # files are read by their hashes, whichever come first
        few = {"items": 4, "fingerprint": digit * 64}
        context.store.save(make_result(0.5, model={"name": "whisper-base"}, corpus=few), make_items(0.5))
    assert check(about(), context).value == 0.86


def test_what_is_missing_is_said(context):
    assert check(about(corpus="librispeech-test-clean"), context).outcome == "needs a hub"
    assert check(about(model="whisper-large-v3"), context).outcome == "needs a hub"
    assert check(about(model="whisper-tiny.en", task="abx"), context).outcome == "needs a result"
    assert (
        check(about(check="recording", model="whisper", file="none.wav"), context).outcome == "needs a file"
    )
    unread = check(about(read=False, source="a paper"), context)
    assert "a paper ?" in cells(unread)


def test_a_model_that_cannot_be_had_needs_a_hub(context):
    def none(name):
        raise InputError(f"{name}: no source can be reached")

    found = check(about(check="parameters"), Context(context.store, load=none))
    assert found.outcome == "needs a hub"
    assert "no source" in found.note


def test_listed_heads_must_be_the_very_ones(context):
    model = context.model("whisper")
    model.generation = replace(model.generation, alignment_heads=((1, 2), (0, 3)))
    right = about(check="listed-heads", model="whisper", value=[[0, 3], [1, 2]], tolerance=0)
    assert check(right, context).outcome == "pass"
    assert check(about(check="listed-heads", model="whisper", value=[[0, 3]]), context).outcome == "fail"


def test_a_recording_is_written_as_its_makers_say(context, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "said.wav", noise(1.0), 16000)
    heard = Context(context.store, tmp_path, context.load)
    text = heard.model("whisper").transcribe([np.asarray(noise(1.0))])[0].text
    asked = about(check="recording", model="whisper", file="said.wav", text=text, value=0, tolerance=0)
    if text:
        assert check(asked, heard).outcome == "pass"
    assert check(about(**{**asked.model_dump(), "text": f"{text} zebra"}), heard).outcome == "fail"


@given(st.floats(0, 1), st.floats(0, 0.2), st.floats(0, 0.3), st.floats(0, 1))
def test_a_pass_is_an_overlap_of_intervals(value, tolerance, half, found):
    reference = about(value=value, tolerance=tolerance)
    overlap = abs(value - found) <= tolerance + half
    if abs(abs(value - found) - tolerance - half) > 1e-6:
        made = Measured(found, found - half, found + half)
        assert (judge(reference, made) == "pass") == overlap


def test_the_command_exits_with_1_where_a_check_fails(context, tmp_path, monkeypatch):
    from innerear.audit import validation as module

    monkeypatch.setattr(module, "references", lambda: [about(value=0.2)])
    report = tmp_path / "validation.json"
    asked = ["validate", "--results", str(context.store.folder), "--output", str(report)]
    ran = CliRunner().invoke(app, [*asked, "--models", "nobody,whisper-base"])
    assert ran.exit_code == 1
    assert "1 checks: 0 pass, 1 fail" in ran.output
    assert report.is_file()
    with pytest.raises(InputError, match="there are no references to nobody; there are some to whisper-base"):
        module.validate(context.store, models=["nobody"])


@pytest.mark.real
def test_a_whole_state_patch_gives_the_donors_output():
    found = CHECKS["whole-state-patch"](
        about(check="whole-state-patch", model="moonshine-tiny"), Context(Store(Path("none")))
    )
    assert found.value == 1.0
    assert found.n >= 20
