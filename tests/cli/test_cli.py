"""What the command line prints and returns: one line for what is wrong, codes 0, 1 and 2."""

import json
import re
import shutil
import signal
import subprocess
import sys

import pytest
from conftest import save_tiny
from typer.testing import CliRunner

import innerear
from innerear.cli import app, main
from innerear.runs import plans
from innerear.tasks.task import load_task, task_names
from innerear.util.errors import InputError
from innerear.util.paths import data_folder


def call(*arguments, cwd, **environment):
    import os

    return subprocess.run(
        [sys.executable, "-m", "innerear", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "160", **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def told(monkeypatch, capsys, tmp_path):
    """What a command prints as an error and ends with, in this process: a new one takes seconds to import."""

    def told(arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("INNEREAR_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(sys, "argv", ["innerear", *arguments])
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
        with pytest.raises(SystemExit) as done:
            main()
        return done.value.code, capsys.readouterr().err

    return told


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run", "--models", "whisper-bse"], "did you mean 'whisper-base'"),
        (["run", "--tasks", "phonem-probing"], "did you mean 'phoneme-probing'"),
        (["run", "--suite", "quikc"], "did you mean 'quick'"),
        (["run", "--corpus", "timit-sampel"], "did you mean 'timit-sample'"),
        (["run", "--models", "log-mel"], "log-mel is a floor, not a model"),
        (["run", "--models", "openai/whisper-bse"], "unknown model 'openai/whisper-bse'"),
        (["run", "--tasks", "missing.yaml"], "missing.yaml: cannot be read"),
        (["run", "--device", "cuda:99", "--limit", "28"], "device 'cuda:99' cannot be used"),
        (["run", "--tracking-uri", "http://127.0.0.1:9"], "--tracking-uri"),
        (["show", "missing.json"], "cannot read missing.json"),
        (["leaderboard"], "no results here"),
        (["leaderboard", "--results", "runs", "--output", "other"], "--output writes README.md"),
        (["corpora", "show", "ravdess", "--data-dir", "~/none"], "/none: no such folder"),
        (["compare", "a", "b"], "no results here"),
        (["verify", "missing.json"], "cannot read missing.json"),
        (["verify", "."], "no results here"),
        (["reproduce", "missing.json"], "cannot read missing.json"),
        (["cite", "missing.json"], "cannot read missing.json"),
        (["models", "fetch", "nothing"], "unknown model 'nothing'"),
        (["corpora", "check", "nothing.jsonl"], "nothing.jsonl"),
        (["corpora", "render", "ravdess", "--output", "rendered"], "'ravdess' cannot be rendered"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(told, arguments, line):
    code, said = told(arguments)
    assert code == 2, said
    assert line in said
    assert len(said.strip().splitlines()) == 1


def test_a_process_of_its_own_says_the_same(tmp_path):
    done = call("run", "--models", "whisper-bse", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'whisper-base'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("given", [["--models", "a,b"], ["--models", "a", "--models", "b, a"]])
def test_names_separated_by_commas_and_repeated_options_both_count(monkeypatch, given):
    asked = []

    def plan(models, tasks, *_rest, **_changes):
        asked.append((models, tasks))
        raise InputError("enough")

    monkeypatch.setattr(plans, "plan", plan)
    CliRunner().invoke(app, ["run", *given, "--tasks", "x", "--tasks", "y"])
    assert asked == [(("a", "b"), ("x", "y"))]


def test_wrong_usage_is_code_2(tmp_path):
    assert call("run", "--limit", "none", cwd=tmp_path).returncode == 2
    assert call("run", "--limit", "0", cwd=tmp_path).returncode == 2
    assert call("fly", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--model", "--models"), ("--model_args", "--models"), ("--task", "--tasks"),
        ("--output_path", "--output"), ("--output-folder", "--output"), ("--batch_size", "--batch-size"),
        ("--dry_run", "--dry-run"),
    ],
)  # fmt: skip
def test_options_of_other_harnesses_are_answered_with_the_one_that_is_meant(typed, meant):
    made = CliRunner().invoke(app, ["run", typed, "x"])
    assert made.exit_code == 2
    assert re.search(rf"No such option: {typed} \(Possible options: .*{meant}[,)]", made.output)


def test_the_files_that_commands_name_in_the_documents_are_there():
    folder = data_folder("tasks").parent
    text = (folder / "docs" / "use.md").read_text()
    named = re.findall(r"^innerear .*?(results/\S+\.json)", text, flags=re.M)
    assert len(named) > 2
    assert [name for name in named if not (folder / name).is_file()] == []


def test_version(tmp_path):
    assert call("--version", cwd=tmp_path).stdout.strip() == f"innerear {innerear.__version__}"


def test_lists_name_what_there_is(tmp_path):
    assert "whisper-tiny.en" in call("models", "list", cwd=tmp_path).stdout
    assert "phoneme-probing" in call("tasks", "list", cwd=tmp_path).stdout
    assert "quick" in call("tasks", "list", cwd=tmp_path).stdout
    listed = call("corpora", "list", cwd=tmp_path).stdout
    assert all(name in listed for name in ("innerear-speech", "innerear-words", "timit-sample", "ravdess"))
    assert "28" in call("corpora", "show", "innerear-speech", cwd=tmp_path).stdout
    assert "Hewitt" in call("tasks", "show", "phoneme-probing", cwd=tmp_path).stdout


def test_tasks_are_json_for_programs():
    rows = json.loads(CliRunner().invoke(app, ["tasks", "list", "--json"]).stdout)
    assert {row["id"]: row["sha256"] for row in rows} == {
        name: load_task(name).sha256() for name in task_names()
    }


def test_a_corpus_is_checked_with_the_split_of_a_task(tmp_path):
    done = call("corpora", "check", "innerear-speech", "--task", "phoneme-probing", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "448 clips checked: 0 errors" in done.stdout


def test_a_run_ends_with_a_table_a_plot_and_a_result_to_show(tmp_path):
    folder = save_tiny("moonshine", tmp_path / "tiny")
    done = call(
        "run", "--models", folder, "--tasks", "phoneme-probing", "--limit", "56", cwd=tmp_path,
        INNEREAR_CACHE=str(tmp_path / "cache"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = done.stdout
    assert all(name in table for name in ("tiny-random", "log-mel", "majority"))
    plot = tmp_path / re.search(r"layer curves: (\S+)", table)[1]
    assert plot.read_bytes().startswith(b"\x89PNG")
    result = next((tmp_path / "runs").glob("phoneme-probing/*/tiny-[0-9a-f]*.json"))
    shown = call("show", result, cwd=tmp_path)
    assert shown.returncode == 0
    assert all(word in shown.stdout for word in ("encoder.3", "selectivity", "innerear-speech", "--limit 56"))
    board = call("leaderboard", cwd=tmp_path)
    assert "| tiny" in board.stdout
    damaged = result.read_text().replace('"value": 0.', '"value": 1.', 1)
    result.write_text(damaged)
    assert call("show", result, cwd=tmp_path).returncode == 1
    rest = call("leaderboard", cwd=tmp_path)
    assert rest.returncode == 1
    assert "| log-mel |" in rest.stdout
    assert "| tiny |" not in rest.stdout
    assert f"left out: {result.relative_to(tmp_path)}" in rest.stderr


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A folder with published results of some tasks: all of them are verified apart, before the tests."""
    folder = tmp_path_factory.mktemp("few") / "results"
    for task in ("phoneme-probing", "sparse-features", "speaker-gender"):
        shutil.copytree(data_folder("tasks").parent / "results" / task, folder / task)
    return folder


def test_published_results_are_compared_verified_cited_and_repeated(few, tmp_path):
    results = few
    compared = call("compare", "whisper-base", "moonshine-tiny", "--results", results, cwd=tmp_path)
    assert compared.returncode == 0, compared.stderr
    assert (
        "| phoneme-probing (innerear-speech): accuracy | whisper-base − moonshine-tiny |" in compared.stdout
    )
    assert "not compared: whisper-base and moonshine-tiny on sparse-features" in compared.stderr

    whole = call("verify", results, cwd=tmp_path)
    assert whole.returncode == 0, whole.stdout
    one = next((results / "speaker-gender" / "innerear-speech").glob("log-mel-*.json"))
    (tmp_path / one.name).write_bytes(one.read_bytes().replace(b"0.5", b"0.6", 1))
    torn = call("verify", tmp_path / one.name, cwd=tmp_path)
    assert torn.returncode == 1
    assert "was edited or damaged" in torn.stdout

    cited = call("cite", one, cwd=tmp_path)
    assert "@software{innerear" in cited.stdout
    assert "% log-mel reaches accuracy" in cited.stdout

    again = call("reproduce", one, cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.rstrip().endswith("1 of 1 reproduced")
    assert "NOT" not in again.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["leaderboard", "--results", "results"]], ids=" ".join)
def test_help_and_leaderboard_do_not_load_torch(arguments, few):
    code = (
        "import sys\nfrom innerear.cli import app\n"
        f"try:\n    app({arguments})\nexcept SystemExit as done:\n    assert not done.code\n"
        "sys.exit(int('torch' in sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=few.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("option", ["--models", "--tasks", "--suite"])
def test_unknown_names_are_told_before_torch_is_imported(option):
    code = (
        "import sys\nfrom innerear.cli import app\nfrom innerear.util.errors import InputError\n"
        f"try:\n    app(['run', '{option}', 'nothing'])\n"
        "except InputError:\n    sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=300).returncode == 0


def test_modules_that_read_results_do_not_load_torch():
    modules = "all_figures, comparisons, export, leaderboard, result_details, site"
    code = f"import sys\nfrom innerear.report import {modules}\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=300).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run", "--models", ""], "a list of names is empty"),
        (["run", "--models", "x" * 300], "File name too long"),
        (["run", "--models", "moonshine-tiny", "--tasks", "abx", "--device", "meta"], "device 'meta'"),
        (["verify", "x" * 300], "File name too long"),
        (["leaderboard", "--results", "x" * 300], "File name too long"),
        (["verify", "\x1b[2J\u202e\nname"], "cannot read"),
    ],
)
def test_names_that_cannot_be_are_one_line_without_what_a_terminal_obeys(told, arguments, line):
    code, said = told(arguments)
    assert code == 2, said
    assert line in said
    assert len(said.strip().splitlines()) == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", said)
