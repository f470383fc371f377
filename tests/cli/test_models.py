"""The catalogue of models, and the commands that check, pin and add one."""

import json
import re

import pytest
from conftest import save_tiny
from typer.testing import CliRunner

from innerear.audit import contract
from innerear.audit.contract import Outcome
from innerear.cli import app
from innerear.models.registry import load_spec, model_names
from innerear.util.errors import InputError


def call(*arguments):
    return CliRunner().invoke(app, ["models", *map(str, arguments)])


def test_the_catalogue_says_how_many_tasks_apply_and_what_nobody_verified():
    printed = call("list").stdout
    rows = {name: row for name in model_names() for row in printed.splitlines() if row.split()[:1] == [name]}
    assert set(rows) == set(model_names())
    assert re.search(
        r"encoder-decoder +73 M +multilingual +MIT +22 of 22 +hub, package", rows["whisper-base"]
    )
    assert re.search(r"transducer +627 M +25 languages +CC-BY-4\.0 +14 of 22", rows["parakeet-tdt-0.6b-v3"])
    assert re.search(r"encoder +580 M .* 9 of 22", rows["w2v-bert-2.0"])
    for name, row in rows.items():
        spec = load_spec(name)
        assert row.count("?") == len({*spec.unverified} - {"training_data"})
        assert ("no commit" in row) != all(source.pinned for source in spec.sources)


def test_the_catalogue_is_json_for_programs():
    rows = {row["name"]: row for row in json.loads(call("list", "--json").stdout)}
    assert set(rows) == set(model_names())
    spec = load_spec("parakeet-tdt-0.6b-v3")
    row = rows[spec.name]
    assert row["parameters"] == spec.parameters
    assert row["kind"] == "transducer"
    assert "transcription" in row["tasks"]
    assert "repetition" not in row["tasks"]


def test_an_entry_says_why_a_task_does_not_apply():
    printed = call("show", "w2v-bert-2.0").stdout
    assert "# encoder: 9 of 22 tasks" in printed
    assert re.search(r"# not .*transcription: w2v-bert-2\.0 has no text head", printed)
    assert "# encoder-decoder: 22 of 22 tasks" in call("show", "whisper-base").stdout


def test_a_model_that_keeps_the_contract_is_good_and_one_that_does_not_is_code_1(tmp_path, monkeypatch):
    folder = save_tiny("hubert", tmp_path / "tiny")
    sound = call("check", folder)
    assert sound.exit_code == 0, sound.stdout
    assert re.search(r"neighbours in a batch +yes +\d", sound.stdout)
    assert re.search(r"registered facts +n/a .*nothing is registered", sound.stdout)
    assert "8 of 8 checks held" in sound.stdout
    checks = dict(contract.CHECKS) | {"neighbours in a batch": lambda _: Outcome(False, 0.5, "they differ")}
    monkeypatch.setattr(contract, "CHECKS", checks)
    fallen = call("check", folder)
    assert fallen.exit_code == 1
    assert re.search(r"neighbours in a batch +no +0\.5 +they differ", fallen.stdout)
    assert "7 of 8 checks held" in fallen.stdout


@pytest.mark.parametrize(("fact", "wrong"), [("parameters", 7), ("writes", False)])
def test_registered_facts_that_are_not_those_of_the_network_fall(tmp_path, fact, wrong):
    save_tiny("hubert", tmp_path / "tiny")
    path = tmp_path / "tiny.yaml"
    assert call("add", tmp_path / "tiny", "--output", path).exit_code == 0
    text = re.sub(
        r"\nparameters: (\d+)",
        "\nparameters: 7" if fact == "parameters" else r"\nparameters: \1",
        path.read_text(),
    )
    path.write_text(text + ("writes: false\n" if fact == "writes" else ""))
    printed = call("check", path)
    assert printed.exit_code == 1
    assert re.search(rf"registered facts +no .*{fact} is", printed.stdout)


@pytest.mark.real
def test_real_weights_keep_the_contract_and_are_what_is_registered():
    done = call("check", "moonshine-tiny")
    assert done.exit_code == 0, done.stdout
    assert "11 of 11 checks held" in done.stdout


@pytest.mark.parametrize("command", ["fetch", "check"])
def test_an_architecture_alone_has_nothing_to_fetch_or_check(command):
    done = call(command, "whisper-large-v3-architecture")
    assert isinstance(done.exception, InputError)
    assert str(done.exception).endswith(f"is an architecture alone: it has no weights to {command}")
