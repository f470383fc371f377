"""One bad model, or one task on it, does not end a run of many; what failed is listed, with the reason."""

import damage
import pytest
from conftest import save_tiny
from mlflow import MlflowClient
from typer.testing import CliRunner

from innerear.cli import app
from innerear.protocols.alignment_heads import AlignmentHeadsProtocol
from innerear.results.store import Store
from innerear.runs.failures import Failures, Part, Unmeasured
from innerear.runs.plans import Options, plan
from innerear.runs.runner import run
from innerear.util.errors import InnerearError, InputError


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A sound model, and three that are not: an adapter, weights without a tokenizer, a layer short."""
    place = tmp_path_factory.mktemp("models")
    sound = save_tiny("moonshine", place / "sound")

    def adapter(folder):
        (folder / "adapter_config.json").write_text("{}")

    short = damage.tensors(lambda held: {k: v for k, v in held.items() if ".layers.1." not in k})
    damage.copied(sound, place / "adapter", adapter)
    damage.copied(sound, place / "bare", lambda folder: (folder / "tokenizer.json").unlink())
    damage.copied(sound, place / "short", short)
    return place


def test_a_bad_model_does_not_end_a_run_of_many(folders, tmp_path):
    names = [str(folders / name) for name in ("adapter", "bare", "short", "sound")]
    with pytest.raises(Unmeasured, match=r"adapter: .*PEFT.*\(and 2 more\); the other results") as caught:
        run(plan(names, ["transcription"], limit=5), Options(tmp_path / "runs"))
    assert [result.model.name for result in caught.value.results] == ["sound"]
    parts, why = zip(*caught.value.failures, strict=True)
    assert [part.name.rpartition("/")[2] for part in parts] == ["adapter", "bare", "short"]
    assert all("\n" not in each for each in why)
    assert "layers.1." in why[2]


def test_the_twin_of_a_model_that_does_not_load_is_not_measured(folders, tmp_path):
    with pytest.raises(InputError, match=r"layers\.1\."):
        run(plan([str(folders / "short")], ["speaker-gender"], limit=40), Options(tmp_path / "runs"))
    assert not [*(tmp_path / "runs").glob("*/*/short*")]


def test_models_that_are_all_bad_are_the_first_ones_error(folders, tmp_path):
    with pytest.raises(InputError, match="PEFT"):
        run(plan([str(folders / "adapter"), str(folders / "short")], ["transcription"], limit=5),
            Options(tmp_path / "runs"))  # fmt: skip


def test_one_failure_is_told_once_and_several_as_they_come():
    def fail(message):
        raise InputError(message)

    for names, expected in ((["a"], []), (["a", "b"], ["a: failed, no a", "b: failed, no b"])):
        steps = []
        failures = Failures(steps.append, strict=False)
        for name in names:
            assert failures.attempt(Part(name), lambda name=name: fail(f"no {name}")) is None
        with pytest.raises(InputError, match=r"^no a$"):
            failures.check([])
        assert [step for step in steps if step] == expected
        assert [step.fields for step in steps if step.event == "failed"] == [
            {"part": name, "model": None, "reason": f"no {name}"} for name in names
        ]
    failures.attempt(Part("c"), lambda: fail("no c"))
    assert failures.attempt(Part("d"), lambda: 1) == 1
    assert steps[-1] == "c: failed, no c"


def test_a_task_that_finds_nothing_to_measure_on_a_model_is_na(folders, tmp_path):
    tasks = ["alignment-heads", "transcription"]
    made = CliRunner().invoke(
        app, ["run", "--models", str(folders / "sound"), "--tasks", ",".join(tasks), "--limit", "5",
              "--output", str(tmp_path / "runs")],
    )  # fmt: skip
    assert made.exit_code == 0
    assert "n/a, innerear-speech: sound transcribed no word correctly" in " ".join(made.output.split())
    stored = {result.task.id: result for result in Store(tmp_path / "runs").load_all()}
    assert [stored[task].status for task in tasks] == ["n/a", "ok"]
    assert "no word correctly" in stored["alignment-heads"].reason


def test_a_reading_that_fails_costs_its_task_alone(folders, tmp_path, monkeypatch):
    from innerear.activations.readings import AttentionPeaks

    def fail(*_):
        raise RuntimeError("CUDA error.\nSome kernel failed")

    monkeypatch.setattr(AttentionPeaks, "take", fail)
    wanted = plan([str(folders / "sound")], ["alignment-heads", "transcription"], limit=5)
    with pytest.raises(Unmeasured, match=r"RuntimeError: CUDA error\. Some") as caught:
        run(wanted, Options(tmp_path / "runs"))
    assert [result.task.id for result in caught.value.results] == ["transcription"]


def test_a_mistake_in_code_is_not_taken_for_a_bad_model(folders, tmp_path, monkeypatch):
    def wrong(*_):
        raise AttributeError("no such attribute")

    monkeypatch.setattr(AlignmentHeadsProtocol, "measure", wrong)
    with pytest.raises(AttributeError):
        run(plan([str(folders / "sound")], ["alignment-heads"], limit=5), Options(tmp_path / "runs"))


def test_a_strict_run_stops_at_the_first_failure():
    def fail():
        raise InnerearError("broken")

    assert Failures(lambda _: None, strict=False).attempt(Part("this"), fail) is None
    with pytest.raises(InnerearError, match="broken"):
        Failures(lambda _: None, strict=True).attempt(Part("this"), fail)


@pytest.mark.parametrize("call", ["log_batch", "set_terminated"], ids=["while logging", "at the end"])
def test_a_tracking_server_that_fails_costs_no_table(folders, tmp_path, monkeypatch, call):
    def gone(*_, **__):
        raise ConnectionError("gone away")

    command = ["run", "--models", str(folders / "sound"), "--tasks", "transcription", "--limit", "5",
               "--output", str(tmp_path / "runs")]  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, call, gone)
        made = CliRunner().invoke(app, command)
    assert made.exit_code == 1
    table, _, told = made.output.rpartition("innerear: MLflow tracking at sqlite:///")
    assert "transcription" in table
    assert "gone away" in told
    assert CliRunner().invoke(app, command).exit_code == 0
