"""A run measures what is not known, once; the same inputs give the same results to the bit."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

import pytest
import soundfile
from conftest import noise, save_tiny

from innerear.results.store import Store
from innerear.runs import passes, runner
from innerear.runs.plans import Options, plan
from innerear.runs.runner import run
from innerear.util.errors import InputError

LIMIT = 56


@pytest.fixture
def folder(tmp_path):
    return str(save_tiny("moonshine", tmp_path / "tiny"))


def go(folder, tmp_path, said=None, **options):
    wanted = plan([folder], ["phoneme-probing"], limit=LIMIT)
    return run(wanted, Options(tmp_path / "runs", **options), (said if said is not None else []).append)


def contents(output):
    return {path.name: path.read_bytes() for path in output.rglob("*.parquet")} | {
        result.model.name: result.content_sha256 for result in Store(output).load_all()
    }


def test_a_run_gives_floor_twin_and_model_with_their_controls(folder, tmp_path):
    results = {result.model.name: result for result in go(folder, tmp_path)}
    assert list(results) == ["log-mel", "tiny-random", "tiny"]
    model = results["tiny"]
    assert model.controls == {
        "log-mel": results["log-mel"].content_sha256,
        "random-twin": results["tiny-random"].content_sha256,
    }
    assert model.model.kind == "model"
    assert results["tiny-random"].model.twin_of == "tiny"
    assert [point.site for point in model.curve("probe").points] == [f"encoder.{layer}" for layer in range(4)]
    assert model.corpus.items == LIMIT
    assert len(model.split.folds) == 4
    assert 0 < model.score.low < model.score.value < model.score.high < 1
    logged = {path.name for path in (tmp_path / "runs" / "mlartifacts").rglob("*") if path.is_file()}
    assert {"layers.png"} < logged
    items = Store(tmp_path / "runs").read_items(model)
    assert len(items) == model.score.n
    assert items.outcome.mean() == pytest.approx(model.score.value)
    assert (items.outcome == (items.truth == items.predicted)).all()
    assert items["correct.encoder.2"].mean() == pytest.approx(model.curve("probe").points[2].value)


def test_a_second_run_measures_nothing_and_a_fresh_one_gives_the_same_bits(folder, tmp_path):
    go(folder, tmp_path)
    before = contents(tmp_path / "runs")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.json")}
    said = []
    go(folder, tmp_path, said)
    lines = [line for line in said if line]
    assert len(lines) == 3
    assert all("already measured" in line for line in lines)
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.json")}
    said = []
    go(folder, tmp_path, said, fresh=True)
    assert not any("differs" in line for line in said)
    assert contents(tmp_path / "runs") == before


def test_what_does_not_apply_is_na_with_its_reason(folder, tmp_path, monkeypatch):
    from innerear.protocols.phone_probing import PhoneProbingProtocol

    def unsupported_reason(_self, listener):
        return None if listener.identity.kind == "floor" else f"{listener.identity.name} has no ears"

    monkeypatch.setattr(PhoneProbingProtocol, "unsupported_reason", unsupported_reason)
    said = []
    results = {result.model.name: result for result in go(folder, tmp_path, said)}
    assert results["tiny"].status == "n/a"
    assert results["tiny"].reason == "tiny has no ears"
    assert results["tiny"].score is None
    assert results["log-mel"].status == "ok"
    assert any("n/a, tiny has no ears" in line for line in said)


def test_what_a_model_leaves_nothing_to_measure_of_is_na_and_the_run_goes_on(folder, tmp_path, monkeypatch):
    from innerear.protocols.base import NotApplicable
    from innerear.protocols.phone_probing import PhoneProbingProtocol

    measure = PhoneProbingProtocol.measure

    def faultless(self, listener, heard, device):
        if listener.identity.kind == "twin":
            raise NotApplicable("it never errs")
        return measure(self, listener, heard, device)

    monkeypatch.setattr(PhoneProbingProtocol, "measure", faultless)
    said = []
    results = {result.model.name: result for result in go(folder, tmp_path, said)}
    assert (results["tiny-random"].status, results["tiny-random"].reason) == ("n/a", "it never errs")
    assert results["tiny"].status == "ok"
    assert any("n/a, it never errs" in line for line in said)


def test_transfer_trains_on_one_corpus_and_tests_another(folder, tmp_path):
    manifest = tmp_path / "few.jsonl"
    write_manifest(manifest, tmp_path)
    wanted = plan(
        [folder], ["phoneme-probing"], corpus=str(manifest), train_corpus="innerear-speech", limit=LIMIT
    )
    results = run(wanted, Options(tmp_path / "runs"))
    assert {result.corpus.name for result in results} == {"few"}
    assert {result.train_corpus.name for result in results} == {"innerear-speech"}
    assert all(len(result.split.folds) == 1 for result in results)


def test_a_bad_clip_is_reported_and_counted_and_strict_stops(folder, tmp_path):
    manifest = tmp_path / "few.jsonl"
    write_manifest(manifest, tmp_path)
    next(tmp_path.glob("clip-*.flac")).write_bytes(b"not audio")
    wanted = plan(
        [folder], ["phoneme-probing"], corpus=str(manifest), train_corpus="innerear-speech", limit=LIMIT
    )
    results = run(wanted, Options(tmp_path / "runs"))
    assert all(len(result.corpus.refused) == 1 for result in results)
    with pytest.raises(InputError, match="clip-"):
        run(wanted, Options(tmp_path / "strict", strict=True))


def test_a_strict_run_stops_at_a_clip_that_a_task_cannot_use(tmp_path):
    for at, text in enumerate(("a word", "[noise]")):
        soundfile.write(tmp_path / f"clip-{at}.flac", noise(1, at), 16_000)
        line = {"id": f"clip-{at}", "audio": f"clip-{at}.flac", "text": text, "speaker": f"s{at}"}
        with (tmp_path / "two.jsonl").open("a") as manifest:
            manifest.write(json.dumps(line) + "\n")
    model = str(save_tiny("moonshine", tmp_path / "tiny"))
    wanted = plan([model], ["transcription"], corpus=str(tmp_path / "two.jsonl"))
    (result,) = run(wanted, Options(tmp_path / "runs"))
    assert [name for name, _ in result.corpus.refused] == ["clip-1"]
    with pytest.raises(InputError, match=r"transcription cannot use clip-1 of two: clip-1 has no words"):
        run(wanted, Options(tmp_path / "strict", strict=True))
    assert not [*(tmp_path / "strict").rglob("*.json")]


def test_a_folder_that_cannot_be_written_is_one_line(folder, tmp_path):
    (tmp_path / "runs").write_text("a file where a folder should be")
    with pytest.raises(InputError) as caught:
        go(folder, tmp_path)
    assert "runs" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_a_plan_only_what_is_wanted_is_measured(folder, tmp_path):
    whole = plan([folder], ["phoneme-probing", "abx"], limit=LIMIT)
    only = frozenset({(whole.tasks[0].sha256(), "tiny-random"), (whole.tasks[1].sha256(), "log-mel")})
    made = run(replace(whole, only=only), Options(tmp_path / "runs"))
    assert {(result.task.id, result.model.name) for result in made} == {
        ("phoneme-probing", "tiny-random"),
        ("abx", "log-mel"),
    }


def test_the_time_that_tasks_share_is_counted_once(folder, tmp_path, monkeypatch):
    ticks = count()
    monkeypatch.setattr(passes, "perf_counter", lambda: float(next(ticks)))
    results = run(plan([folder], ["phoneme-probing", "abx"], limit=LIMIT), Options(tmp_path / "runs"))
    assert len(results) == 6
    assert all(result.run.total_s >= result.run.measure_s > 0 for result in results)
    assert sum(result.run.total_s for result in results) < next(ticks)


def test_the_bar_of_a_run_counts_its_results_also_of_one_that_measures_nothing(folder, tmp_path, monkeypatch):
    shown = []

    @contextmanager
    def bar(label, total):
        shown.append([label, total, 0])

        def advance(n=1):
            shown[-1][2] += n

        yield advance

    wanted = plan([folder], ["phoneme-probing", "transcription"], limit=LIMIT)
    monkeypatch.setattr(runner, "bar", bar)
    for times in (1, 2):
        results = run(wanted, Options(tmp_path / "runs"))
        assert shown == [["results", 4, 4]] * times
        assert len(results) == 4  # of transcription there is neither a floor nor a twin


def test_a_model_named_twice_is_measured_once():
    assert plan(["whisper-tiny.en", "openai/whisper-tiny.en"], ["abx"]).models == ("whisper-tiny.en",)


def test_a_floor_is_no_model():
    with pytest.raises(InputError, match=r"log-mel is a floor.* leave it out of --models"):
        plan(["log-mel"], ["abx"])


def test_unknown_names_are_refused_before_any_work():
    with pytest.raises(InputError, match="did you mean 'whisper-base'"):
        plan(["whisper-bass"])
    with pytest.raises(InputError, match="unknown suite"):
        plan(suite="everything")


def test_a_killed_run_resumes_to_the_same_result(folder, tmp_path):
    command = [
        sys.executable, "-m", "innerear", "run", "--models", folder, "--tasks", "phoneme-probing",
        "--limit", str(LIMIT), "--output",
    ]  # fmt: skip
    environment = os.environ | {"INNEREAR_CACHE": str(tmp_path / "whole-cache")}
    started = time.monotonic()
    subprocess.run([*command, tmp_path / "whole"], env=environment, check=True, capture_output=True)
    lasted = time.monotonic() - started
    environment["INNEREAR_CACHE"] = str(tmp_path / "killed-cache")
    running = subprocess.Popen(
        [*command, tmp_path / "killed"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(0.7 * lasted)
    running.send_signal(signal.SIGKILL)
    running.wait()
    subprocess.run([*command, tmp_path / "killed"], env=environment, check=True, capture_output=True)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert not list((tmp_path / "killed").rglob("*.part"))


def write_manifest(path, folder):
    """A manifest of a few clips of the embedded corpus, by two speakers."""
    import json

    import soundfile

    from innerear.data.registry import load_corpus

    whole = load_corpus("innerear-speech")
    lines = []
    for item in [*whole.items[:6], *whole.items[400:406]]:
        soundfile.write(folder / f"clip-{item.id}.flac", item.audio(), 16000)
        segments = {
            kind: [{name: s.label, "start": s.start, "end": s.end} for s in found]
            for kind, name, found in (("words", "text", item.words), ("phones", "label", item.phones))
        }
        line = {"id": item.id, "audio": f"clip-{item.id}.flac", "text": item.text, "speaker": item.speaker}
        lines.append(json.dumps(line | segments))
    path.write_text("\n".join(lines))
