"""Files for the hub hold the scores that rank models, in the format that it reads, and nothing made up."""

import os
import shlex
import subprocess
import sys

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from synthetic import make_result
from typer.testing import CliRunner

from innerear.cli import app
from innerear.models.registry import load_spec
from innerear.report.eval_results import prepare
from innerear.results.store import Store
from innerear.runs.records import task_info
from innerear.tasks.task import load_task
from innerear.util.errors import InputError

WEIGHTS = {"weights": load_spec("whisper-base").sources[0].weights_sha256}


def saved(store, task, value=0.8, model="whisper-base", **changes):
    """A result of a registered task, or of a user's own where `task` is None."""
    parts = WEIGHTS if model == "whisper-base" else {"weights": model}
    own = (
        dict(task_info(load_task(task))) if task else {"id": "own", "spec": {"id": "own", "confidence": 0.95}}
    )
    store.save(make_result(value, task=own, model={"name": model, "parts": parts}, **changes))


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path / "results")
    for task in ("phoneme-probing", "accent", None):  # a merit, a profile, a user's own task
        saved(made, task)
    saved(made, "phoneme-probing", 0.7, "other")
    return made


def read(paths):
    return [yaml.safe_load(path.read_text()) for path in paths]


def test_the_hub_reads_the_scores_of_a_model(store, tmp_path):
    prepared = prepare(store, "whisper-base", "someone/innerear", tmp_path / "out")
    scores, _ = read(prepared.paths)
    (entry,) = parse_eval_result_entries(scores)
    (result,) = [
        each
        for each in store.load_all()
        if (each.task.id, each.model.name) == ("phoneme-probing", "whisper-base")
    ]
    assert prepared.paths[0] == tmp_path / "out/models/whisper-base/.eval_results/innerear.yaml"
    assert (entry.dataset_id, entry.value, entry.date) == (
        "someone/innerear", result.score.value, result.run.created,
    )  # fmt: skip
    for part in (result.task.sha256, result.corpus.fingerprint, result.model.sha256, result.content_sha256):
        assert part[:12] in entry.notes
    assert "accuracy (fraction, higher is better), 95% interval [" in entry.notes
    unknown = (entry.dataset_revision, entry.verify_token, entry.source_url, entry.source_name)
    assert unknown == (None,) * 4, "what innerear does not know is not made up"


def test_a_benchmark_has_the_fields_of_the_documentation_and_the_tasks_of_the_scores(store, tmp_path):
    scores, benchmark = read(prepare(store, "whisper-base", "someone/innerear", tmp_path / "out").paths)
    assert list(benchmark) == ["name", "description", "evaluation_framework", "tasks"]
    assert all(isinstance(benchmark[name], str) and benchmark[name] for name in list(benchmark)[:3])
    assert [list(task) for task in benchmark["tasks"]] == [["id"]]
    assert [task["id"] for task in benchmark["tasks"]] == [each["dataset"]["task_id"] for each in scores]
    assert benchmark["description"].endswith("Higher is better.")


def test_all_models_of_a_task_have_one_task_id_and_other_clips_have_another(store, tmp_path):
    saved(store, "phoneme-probing", 0.6, corpus={"fingerprint": "d" * 64})
    ids = {}
    for name, repo in (("whisper-base", None), ("other", "someone/other")):
        prepared = prepare(store, name, "someone/innerear", tmp_path / "out", repo)
        scores, benchmark = read(prepared.paths)
        ids[name] = {each["dataset"]["task_id"] for each in scores}
        assert len(benchmark["tasks"]) == 2
    assert len(ids["whisper-base"]) == 2
    assert len(ids["other"] & ids["whisper-base"]) == 1


def test_what_ranks_no_models_is_left_out_with_its_reason(store, tmp_path):
    saved(store, "transcription", status="n/a", reason="no text", scores={}, curves=[])
    lines = prepare(store, "whisper-base", "someone/innerear", tmp_path / "out").left_out
    assert [line.partition(" (")[0] for line in lines] == ["accent", "own", "transcription"]
    assert "A profile, so no ranks" in lines[0]
    assert "Not a task that comes with innerear" in lines[1]
    assert lines[2].endswith("n/a: no text")


def test_the_commands_are_those_of_the_hubs_own_tool(store, tmp_path):
    out = tmp_path / "a folder"
    commands = prepare(store, "whisper-base", "someone/innerear", out).commands
    asked = [sys.executable, "-m", "huggingface_hub.cli.hf", "upload", "--help"]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    known = subprocess.run(asked, env=offline, capture_output=True, text=True, check=True).stdout
    for command, repo, folder in zip(
        commands,
        ("openai/whisper-base", "someone/innerear"),
        (out / "models/whisper-base", out / "dataset"),
        strict=True,
    ):
        words = shlex.split(command)
        assert words[:5] == ["hf", "upload", repo, str(folder), "."]
        assert [word for word in words if word.startswith("--") and f"{word} " not in known] == []
        assert "--create-pr" in words


def test_where_the_repository_is_not_known_it_is_asked_for(store, tmp_path):
    with pytest.raises(InputError, match=r"of no known repository on the hub; .* --repo OWNER/NAME"):
        prepare(store, "other", "someone/innerear", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("dataset", "repo", "says"),
    [
        ("innerear", None, "--dataset 'innerear': not an id of the hub; write OWNER/NAME"),
        ("a/b/c", None, "--dataset: "),
        ("someone/innerear", "--help", "--repo: "),
        ("someone/innerear", "whisper", "--repo 'whisper': not an id of the hub"),
    ],
)
def test_what_is_no_id_of_the_hub_is_refused(store, tmp_path, dataset, repo, says):
    with pytest.raises(InputError, match=says):
        prepare(store, "whisper-base", dataset, tmp_path / "out", repo)
    assert not (tmp_path / "out").exists()


def test_a_model_without_a_score_that_ranks_has_no_files(store, tmp_path):
    saved(store, "accent", model="profiled")
    with pytest.raises(InputError, match="profiled has no score that ranks models"):
        prepare(store, "profiled", "someone/innerear", tmp_path / "out", "someone/profiled")
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_wrote_and_what_would_send_it(tmp_path):
    arguments = ["export", "openai/whisper-base", "--dataset", "someone/innerear", "--results", "results"]
    made = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path)])
    assert made.exit_code == 0, made.output
    scores, benchmark = read([tmp_path / "models/whisper-base/.eval_results/innerear.yaml",
                              tmp_path / "dataset/eval.yaml"])  # fmt: skip
    lower = {each["dataset"]["task_id"] for each in scores if "lower is better" in each["notes"]}
    assert lower
    said = benchmark["description"].partition("Lower is better in ")[2]
    assert set(said.removesuffix(", and higher elsewhere.").split(", ")) == lower
    assert made.stdout.count("\nopens a pull request, with your token: hf upload ") == 2
    assert "left out: accent (innerear-speech): A profile" in made.stdout


def test_a_control_is_no_model_of_the_hub(store, tmp_path):
    twin = {"name": "base-random", "kind": "twin", "twin_of": "whisper-base"}
    store.save(make_result(0.2, task=dict(task_info(load_task("phoneme-probing"))), model=twin))
    with pytest.raises(InputError, match=r"base-random: a control \(twin\)"):
        prepare(store, "base-random", "a/b", tmp_path, "me/mine")
    assert not list(tmp_path.glob("models"))


def test_weights_of_one_name_have_folders_of_their_own(store, tmp_path):
    other = {"name": "whisper-base", "parts": {"weights": "f" * 64}}
    task = dict(task_info(load_task("accent")))
    store.save(make_result(0.6, task=task, model=other, corpus={"fingerprint": "e" * 64}))
    with pytest.raises(InputError, match="several models have this name"):
        prepare(store, "whisper-base", "a/b", tmp_path)
    first = next(each for each in store.load_all() if each.score.value == 0.8)
    prepared = prepare(store, f"whisper-base@{first.model.sha256[:8]}", "a/b", tmp_path)
    assert first.model.sha256[:8] in str(prepared.paths[0])


def test_another_headline_than_that_of_the_table_is_left_out(store, tmp_path):
    score = make_result().scores["accuracy"]
    saved(store, "phoneme-probing", model="zz", headline="cer", scores={"cer": score})
    with pytest.raises(InputError, match="no score that ranks models"):
        prepare(store, "zz", "a/b", tmp_path, "me/zz")
