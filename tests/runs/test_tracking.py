import json
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.request import urlopen

import pytest
from mlflow import MlflowClient
from synthetic import make_items, make_result

from innerear.data.schema import Corpus, Item
from innerear.results.schema import Result
from innerear.results.store import Store, read_result
from innerear.runs.tracking import Tracker
from innerear.runs.tracking_server import legal
from innerear.util.errors import InnerearError, InputError


def _no_audio():
    raise AssertionError("tracking must not decode audio")


CORPUS = Corpus(
    name="toy", version="1", source="https://example.org/toy", licence="CC0-1.0",
    items=tuple(Item(f"clip{k}", _no_audio, f"{k:064x}", 1.5, f"text {k}", speaker="s1") for k in range(3)),
)  # fmt: skip


def stored(folder: Path, **changes) -> tuple[Result, Path, Path]:
    """A result in a store, its JSON, and a plot."""
    path = Store(folder).save(make_result(**changes), make_items())
    plot = path.with_suffix(".png")
    plot.write_bytes(b"\x89PNG")
    return read_result(path), path, plot


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory) -> Path:
    """A database with MLflow's tables; making one takes a second."""
    folder = tmp_path_factory.mktemp("empty")
    Tracker(None, folder)._make_database()
    return folder / "mlflow.db"


@pytest.fixture
def folder(tmp_path, empty_database) -> Path:
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def server(tmp_path_factory, empty_database) -> Iterator[str]:
    """A real `mlflow server` that keeps artifacts itself."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", str(folder / "kept"),
    ]  # fmt: skip
    log = (folder / "log").open("wb")
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(
        command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True
    )
    uri = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urlopen(f"{uri}/health", timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.2)
        else:
            pytest.fail((folder / "log").read_text())
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its data are thrown away: no need to wait for manners
        process.wait(20)
        log.close()


def runs_of(uri: str, experiment: str = "innerear"):
    """(parent runs, nested runs) of an experiment."""
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    nested = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    return client, [run for run in runs if run not in nested], nested


def test_a_result_comes_back_from_a_server_over_http(server, tmp_path, capfd):
    result, path, plot = stored(tmp_path)
    with Tracker(server, tmp_path, title="innerear run --models whisper-base") as tracker:
        assert tracker.log(result, path, {"test": CORPUS}, [plot])
    assert capfd.readouterr() == ("", "")
    client, (parent,), (run,) = runs_of(server)
    assert parent.info.run_name == "whisper-base"
    assert "innerear run --models whisper-base" in parent.data.tags["mlflow.note.content"]
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert {parent.info.status, run.info.status} == {"FINISHED"}
    assert run.data.params["model"] == "whisper-base"
    assert run.data.params["task.probe.grid"] == "[0.1, 1.0]"
    assert run.data.metrics["phoneme-probing/toy/accuracy"] == 0.8
    assert run.data.metrics["phoneme-probing/toy/intervals/accuracy.low"] == 0.78
    assert run.data.metrics["run/rtfx"] == 20.0
    assert "run/gpu_forward_ms" not in run.data.metrics
    assert run.data.tags["innerear.content_sha256"] == result.content_sha256
    assert run.data.tags["innerear.task_sha256"] == "a" * 64
    history = client.get_metric_history(run.info.run_id, "phoneme-probing/toy/layers/probe.accuracy")
    assert [(m.step, m.value) for m in sorted(history, key=lambda m: m.step)] == [
        (point.layer, point.value) for point in result.curve("probe").points
    ]
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("toy", CORPUS.fingerprint()[:36])
    assert "https://example.org/toy" in dataset.dataset.source
    assert '"num_rows": 3' in dataset.dataset.profile
    names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert names == {path.name, path.with_suffix(".items.parquet").name, plot.name, "tables"}
    fetched = client.download_artifacts(run.info.run_id, path.name, str(tmp_path))
    assert Path(fetched).read_bytes() == path.read_bytes()
    assert not (tmp_path / "mlflow.db").exists()


def test_models_are_compared_by_headlines_of_one_name(folder):
    with Tracker(None, folder) as tracker:
        for name, value in (("a", 0.8), ("b.en", 0.7)):
            result, path, _ = stored(folder, value=value, model={"name": name})
            tracker.log(result, path, {"test": CORPUS})
    client, parents, nested = runs_of(tracker.address)
    headline = "phoneme-probing accuracy on toy"
    assert {run.info.run_name: run.data.metrics[headline] for run in parents} == {"a": 0.8, "b.en": 0.7}
    assert {run.data.params["model.kind"] for run in parents} == {"model"}
    assert len({tuple(sorted(run.data.metrics)) for run in nested}) == 1
    experiment = client.get_experiment_by_name("innerear")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert "innerear pull" in experiment.tags["mlflow.note.content"]


def test_an_experiment_of_an_older_version_gets_its_kind_and_keeps_its_description(folder):
    client = MlflowClient(Tracker(None, folder).address)
    client.create_experiment("innerear", tags={"mlflow.note.content": "ours"})
    Tracker(None, folder).check()
    tags = client.get_experiment_by_name("innerear").tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert tags["mlflow.note.content"] == "ours"


def test_runs_begin_and_end_when_the_measurement_did(folder):
    results = [
        stored(
            folder, task={"id": task}, run={"created": f"2026-01-02T03:0{minute}:00+00:00", "total_s": 30.0}
        )
        for task, minute in (("phoneme-probing", 4), ("other", 6))
    ]
    with Tracker(None, folder) as tracker:
        for result, path, _ in results:
            tracker.log(result, path, {"test": CORPUS})
    _, (parent,), nested = runs_of(tracker.address)
    spans = sorted((run.info.start_time, run.info.end_time) for run in nested)
    assert [end - start for start, end in spans] == [30_000, 30_000]
    assert spans[1][1] == datetime.fromisoformat("2026-01-02T03:06:00+00:00").timestamp() * 1000
    assert (parent.info.start_time, parent.info.end_time) == (spans[0][0], spans[1][1])


def test_a_model_is_logged_once_with_its_scores_on_a_corpus(folder):
    for task in ("phoneme-probing", "other"):
        result, path, _ = stored(folder, task={"id": task}, model={"name": "a.en"})
        with Tracker(None, folder) as tracker:
            tracker.log(result, path, {"test": CORPUS})
    client, parents, nested = runs_of(tracker.address)
    (model,) = client.search_logged_models([client.get_experiment_by_name("innerear").experiment_id])
    assert (model.name, model.status, model.model_type) == ("a-en", "READY", "model")
    assert model.params["model"] == "a.en"
    assert model.tags["innerear.model_sha256"] == result.model.sha256
    scores = {metric.key: (metric.value, metric.dataset_name) for metric in model.metrics}
    assert scores["phoneme-probing/toy/accuracy"] == scores["other/toy/accuracy"] == (0.8, "toy")
    assert len(parents) == 2  # of two invocations
    for run in nested:
        used = client.get_run(run.info.run_id).inputs.model_inputs
        assert [each.model_id for each in used] == [model.model_id]
    for run in parents:  # MLflow has a link to runs whose output is a model in each of its views
        made = client.get_run(run.info.run_id).outputs.model_outputs
        assert [each.model_id for each in made] == [model.model_id]


def test_the_run_of_a_model_names_its_corpora_and_who_made_it(folder, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "somebody")
    results = [stored(folder, task={"id": task}) for task in ("phoneme-probing", "other")]
    with Tracker(None, folder) as tracker:
        for result, path, _ in results:
            tracker.log(result, path, {"test": CORPUS})
    client, (parent,), nested = runs_of(tracker.address)
    (model,) = client.search_logged_models([parent.info.experiment_id])
    (dataset,) = parent.inputs.dataset_inputs  # once, though two tasks share it
    assert dataset.dataset.name == "toy"
    for tags in (model.tags, *(run.data.tags for run in (parent, *nested))):
        assert (tags["mlflow.user"], tags["mlflow.source.name"], tags["mlflow.source.type"]) == (
            "somebody", "innerear", "LOCAL",
        )  # fmt: skip


def test_a_user_without_a_name_is_tracked_all_the_same(folder, monkeypatch):
    def nameless():
        raise OSError("No username set in the environment")

    monkeypatch.setattr("getpass.getuser", nameless)
    result, path, _ = stored(folder)
    with Tracker(None, folder) as tracker:
        assert tracker.log(result, path, {"test": CORPUS})
    _, (parent,), _ = runs_of(tracker.address)
    assert "mlflow.user" not in parent.data.tags


def test_outcomes_of_items_are_a_table_and_a_description_says_how_to_see_all(folder, tmp_path):
    result, path, _ = stored(folder)
    with Tracker(None, folder) as tracker:
        tracker.log(result, path, {"test": CORPUS})
    client, _, (run,) = runs_of(tracker.address)
    table = json.loads(
        Path(client.download_artifacts(run.info.run_id, "tables/items.json", str(tmp_path))).read_text()
    )
    assert table["columns"] == result.items.columns
    assert len(table["data"]) == result.items.rows
    note = run.data.tags["mlflow.note.content"]
    assert result.task.question in note
    assert "accuracy 0.8 [0.78, 0.82]" in note
    assert f"innerear show {Store(Path('runs')).path_of(result)}" in note


def test_what_is_logged_already_is_not_logged_again(folder):
    logged = []
    for _ in range(2):
        with Tracker(None, folder) as tracker:
            for name in ("a", "b"):
                result, path, plot = stored(folder, model={"name": name})
                logged.append(tracker.log(result, path, {"test": CORPUS}, [plot]))
    assert logged == [True, True, False, False]
    _, parents, nested = runs_of(tracker.address)
    assert len(parents) == 2  # one for each model: an invocation with nothing new leaves none
    assert len(nested) == 2
    assert list((folder / "mlartifacts").glob("*/artifacts/*.json"))


def test_a_run_that_was_cut_off_is_logged_again(folder):
    result, path, plot = stored(folder)
    tracker = Tracker(None, folder)
    tracker.check()
    experiment = MlflowClient(tracker.address).get_experiment_by_name("innerear").experiment_id
    MlflowClient(tracker.address).create_run(
        experiment, tags={"innerear.content_sha256": result.content_sha256}
    )
    assert tracker.log(result, path, {"test": CORPUS}, [plot])


def test_the_default_database_is_made_where_it_is_missing(tmp_path, caplog, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result, path, _ = stored(tmp_path / "results")
    with caplog.at_level(logging.INFO), Tracker(None, tmp_path / "results") as tracker:
        tracker.log(result, path, {"test": CORPUS, "train": CORPUS})
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert [entry.name for entry in tmp_path.iterdir()] == ["results"]  # no mlruns/ in the working directory
    assert not list((tmp_path / "results").glob(".mlflow*"))
    assert sqlite3.connect(tmp_path / "results" / "mlflow.db").execute(
        "select count(*) from runs"
    ).fetchone() == (2,)


def test_a_result_without_curves_or_items_is_logged_with_its_reason(folder):
    path = Store(folder).save(make_result(status="n/a", reason="no encoder", scores={}, curves=[]))
    with Tracker(None, folder) as tracker:
        assert tracker.log(read_result(path), path, {"test": CORPUS})
    _, _, (run,) = runs_of(tracker.address)
    assert run.data.tags["innerear.reason"] == "no encoder"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, BaseException])
def test_an_interrupted_invocation_says_so(folder, interruption):
    result, path, plot = stored(folder)
    tracker = Tracker(None, folder)
    with pytest.raises(interruption), tracker:  # noqa: PT012
        tracker.log(result, path, {"test": CORPUS}, [plot])
        raise interruption
    _, (parent,), (run,) = runs_of(tracker.address)
    assert (parent.info.status, run.info.status) == ("KILLED", "FINISHED")


def refusing() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param(refusing(), id="a port where nobody listens"),
        "http://no-such-host.invalid:5000",
        "mlflow.db",
        "postgres+nothing://x/y",
        "http://",
        "sqlite:////x/y",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_at_once(uri, tmp_path):
    started = time.perf_counter()
    with pytest.raises(InputError, match="tracking") as caught:
        Tracker(uri, tmp_path).check()
    assert time.perf_counter() - started < 8
    assert uri in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_never_answers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("innerear.runs.tracking_server.SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(InputError, match="timed out"):
            Tracker(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path).check()


def test_a_broken_database_is_named(tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"not a database" * 100)
    with pytest.raises(InputError, match=r"mlflow\.db .*not a database"):
        Tracker(None, tmp_path).check()


def test_a_failure_in_the_middle_keeps_the_result(folder, monkeypatch):
    result, path, plot = stored(folder)

    def broken(*_, **__):
        raise ConnectionError("gone\naway")

    with Tracker(None, folder) as tracker:
        with monkeypatch.context() as patched:
            patched.setattr(MlflowClient, "log_artifact", broken)
            with pytest.raises(InnerearError, match="is safe, and the next run logs it") as caught:
                tracker.log(result, path, {"test": CORPUS}, [plot])
        assert "\n" not in str(caught.value)
        assert Store(folder).load_all() == [result]
        assert tracker.log(result, path, {"test": CORPUS}, [plot])
    _, _, nested = runs_of(tracker.address)
    assert sorted(run.info.status for run in nested) == ["FAILED", "FINISHED"]


def test_a_server_that_goes_away_does_not_hide_what_went_wrong(folder, monkeypatch):
    result, path, plot = stored(folder)

    def gone(*_, **__):
        raise ConnectionError("connection refused")

    def invocation(ends_well):
        with monkeypatch.context() as patched, Tracker(None, folder) as tracker:
            tracker._parent(tracker._client, result)
            for method in ("log_batch", "set_terminated"):
                patched.setattr(MlflowClient, method, gone)
            if not ends_well:
                tracker.log(result, path, {"test": CORPUS}, [plot])

    with pytest.raises(InnerearError, match=f"{path.name} is safe, and the next run logs it"):
        invocation(ends_well=False)
    with pytest.raises(InnerearError, match=r"when the run was closed.*connection refused"):
        invocation(ends_well=True)


def test_a_deleted_experiment_is_told_before_anything_is_measured(folder):
    Tracker(None, folder).check()
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    known = client.get_experiment_by_name("innerear").experiment_id
    client.delete_experiment(known)
    with pytest.raises(InputError, match=rf"was deleted; .*experiments restore --experiment-id {known}"):
        Tracker(None, folder).check()
    client.restore_experiment(known)
    Tracker(None, folder).check()


def test_names_that_mlflow_refuses_are_logged_under_legal_ones(folder):
    names = ["error|rate (%)", "a//b", "../up", "x" * 300, "Wörter/s"]
    score = make_result().scores["accuracy"]
    path = Store(folder).save(make_result(scores={"accuracy": score} | dict.fromkeys(names, score)))
    with Tracker(None, folder) as tracker:
        assert tracker.log(read_result(path), path, {"test": CORPUS})
    _, _, (run,) = runs_of(tracker.address)
    assert {legal(f"phoneme-probing/toy/{name}") for name in names} <= set(run.data.metrics)


def test_a_password_is_in_no_run_no_database_and_no_message(folder, tmp_path):
    uri = f"sqlite:///{tmp_path}/other.db?password=hunter2"
    result, path, plot = stored(folder)
    with Tracker(None, folder, title=f"innerear run --tracking-uri {uri} http://me:hunter2@host") as tracker:
        tracker.log(result, path, {"test": CORPUS}, [plot])
    assert b"hunter2" not in (folder / "mlflow.db").read_bytes()
    assert b"tracking-uri" in (folder / "mlflow.db").read_bytes()


LOG_ONE = """
import sys
from pathlib import Path
from innerear.results.store import Store, read_result
from innerear.runs.tracking import Tracker
from innerear.runs.tracking_server import legal
from synthetic import make_items, make_result
folder = Path(sys.argv[1])
path = Store(folder).save(make_result(model={"name": sys.argv[2]}), make_items())
with Tracker(None, folder) as tracker:
    tracker.log(read_result(path), path, {})
"""


def test_several_runs_start_in_one_new_folder_at_once(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", LOG_ONE, str(tmp_path / "new")]
    running = [
        subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True, env=environment)
        for name in "abcd"
    ]
    told = [each.communicate(timeout=180)[1] for each in running]
    assert [each.returncode for each in running] == [0] * 4, told
    _, parents, nested = runs_of(f"sqlite:///{tmp_path}/new/mlflow.db")
    assert {run.data.params["model"] for run in nested} == set("abcd")
    assert {run.info.status for run in (*parents, *nested)} == {"FINISHED"}
    assert len(Store(tmp_path / "new").load_all()) == 4


def test_a_kill_while_the_database_is_made_leaves_none(tmp_path):
    code = (
        "import os, pathlib, sys, innerear.runs.tracking as t, mlflow.store.db.utils as db\n"
        "db._upgrade_db = lambda *_: os._exit(9)\n"
        "t.Tracker(None, pathlib.Path(sys.argv[1])).check()"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, timeout=60)
    assert killed.returncode == 9
    assert not (tmp_path / "mlflow.db").exists()
    Tracker(None, tmp_path).check()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.lock"]


def test_importing_innerear_tracking_does_not_import_mlflow():
    code = "import sys, innerear.runs.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_the_dataset_is_a_table_without_audio(folder):
    result, path, _ = stored(folder)
    with Tracker(None, folder) as tracker:
        tracker.log(result, path, {"test": CORPUS})
    _, _, (run,) = runs_of(tracker.address)
    columns = json.loads(run.inputs.dataset_inputs[0].dataset.schema)["mlflow_colspec"]
    assert {"id", "speaker", "duration"} <= {column["name"] for column in columns}
