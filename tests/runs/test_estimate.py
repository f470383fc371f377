"""Times are of results of this device, else scaled from them, else calibrated, and each cell says which."""

from pathlib import Path

import pytest
import torch
from conftest import make_item, noise
from huggingface_hub.errors import LocalEntryNotFoundError
from synthetic import make_result
from transformers import WhisperConfig
from typer.testing import CliRunner

from innerear.cli import app
from innerear.data import hub
from innerear.data.hub import SPECS
from innerear.models import calibration
from innerear.models.calibration import Calibration, calibrate
from innerear.models.registry import load_spec, model_names
from innerear.results.environment import environment
from innerear.results.store import Store
from innerear.runs import estimate as estimates
from innerear.runs.estimate import Cell, Extent, estimate
from innerear.runs.plans import Options, plan
from innerear.util.errors import InputError

RUNS = Path("runs")
SLOW = Calibration(parameters=1000, window_s=2.0, token_s=0.5)


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No corpus of the hub and no weights are here, and asking for either would be an error."""

    def ask(*_, local_files_only, **options):
        assert local_files_only
        raise LocalEntryNotFoundError("no snapshot")

    monkeypatch.setattr(hub, "snapshot_download", ask)
    monkeypatch.setattr(estimates, "calibrate", lambda *_: SLOW)
    monkeypatch.setenv("INNEREAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def measured_here(name, parameters=1000, kind="model", task="phoneme-probing", **changes):
    """A result of this device: 120 s of audio take 12 s of encoder, 24 s of decoder and 6 s of probes.

    Clips were heard side by side, by a process for each thread.
    """
    run = {
        "encoder_s": 12.0 * torch.get_num_threads(), "decoder_s": 24.0 * torch.get_num_threads(),
        "audio_s": 120.0, "measure_s": 6.0, "threads": torch.get_num_threads(),
    }  # fmt: skip
    twin_of = name if kind == "twin" else None
    return make_result(
        model={"name": name, "parameters": parameters, "kind": kind, "twin_of": twin_of},
        task={"id": task},
        run=run | changes,
        environment=dict(environment("cpu")),
    )


def cells(results=(), models=("whisper-base",), task="phoneme-probing", **changes):
    wanted = plan(models, [task], corpus="librispeech-test-clean", clips_per_speaker=10, **changes)
    return [timed(cell) for (cell,) in estimate(wanted, Options(RUNS), results).cells]


def timed(cell):
    """Without its features."""
    return Cell(cell.seconds, cell.basis)


HOUR = SPECS["librispeech-test-clean"].hours * 3600 * 400 / 2620
"""Seconds of ten clips of each of its forty readers."""


def test_what_is_published_of_a_corpus_that_is_not_here_tells_clips_hours_and_download():
    found = estimate(
        plan(["whisper-large-v3"], ["transcription"], corpus="librispeech-test-clean", clips_per_speaker=10),
        Options(RUNS),
        [],
    )
    assert found.extents == (Extent(5 * 400, pytest.approx(5 * HOUR), False),)  # clean and at four ratios
    assert [(each.name, each.size) for each in found.downloads] == [
        ("librispeech-test-clean", SPECS["librispeech-test-clean"].size),
        ("whisper-large-v3", 4 * load_spec("whisper-large-v3").parameters),
    ]


def test_results_of_the_model_and_its_twin_on_this_device_tell_the_time():
    both = [measured_here("whisper-base"), measured_here("whisper-base", kind="twin")]
    assert cells(both) == [Cell(pytest.approx(2 * HOUR * (0.1 + 6 / 120)), "measured")]
    heard = measured_here("whisper-base", cached_items=7)  # its twin's clips were not cached
    assert cells([heard, both[1]]) == cells(both)
    assert cells(both[:1]) == cells(both)  # a twin is as fast as its model
    assert cells([heard])[0].basis == "calibrated"


def test_a_task_that_writes_takes_the_time_of_the_decoder_and_has_no_twin():
    found = cells([measured_here("whisper-base", task="transcription")], task="transcription")
    assert found == [Cell(pytest.approx(5 * HOUR * (0.1 + 0.2 + 6 / 120)), "measured")]


def test_another_model_is_scaled_by_parameters_and_other_devices_do_not_count():
    size = load_spec("whisper-base").parameters
    near, far = (
        [measured_here(name, times * size), measured_here(name, times * size, kind="twin")]
        for name, times in (("near", 2), ("far", 9))
    )
    assert cells([*far, *near]) == [Cell(pytest.approx(HOUR * (0.1 + 6 / 120)), "scaled")]
    elsewhere = [
        make_result(model=dict(each.model), task=dict(each.task), run=dict(each.run)) for each in near
    ]
    cached = [measured_here("near", 2 * size, kind=kind, cached_items=3) for kind in ("model", "twin")]
    assert cells([*elsewhere, *cached])[0].basis == "calibrated"


def test_a_calibration_counts_a_window_for_every_clip_and_tokens_where_they_are_written():
    ratio = load_spec("whisper-base").parameters / SLOW.parameters
    assert cells() == [Cell(pytest.approx(2 * 400 * 2.0 * ratio), "calibrated")]
    tokens = 4 * 5 * HOUR
    assert cells(task="transcription") == [
        Cell(pytest.approx((5 * 400 * 2.0 + tokens * 0.5) * ratio), "calibrated")
    ]


def test_tasks_on_one_corpus_hear_its_clips_once():
    results = [measured_here("whisper-base", task=name) for name in ("phoneme-probing", "abx")]
    wanted = plan(
        ["whisper-base"], ["phoneme-probing", "abx"], corpus="librispeech-test-clean", clips_per_speaker=10
    )
    ((first, second),) = [map(timed, row) for row in estimate(wanted, Options(RUNS), results).cells]
    assert first == Cell(pytest.approx(2 * HOUR * (0.1 + 6 / 120)), "measured")
    assert second == Cell(pytest.approx(2 * HOUR * 6 / 120), "measured")


def test_what_does_not_apply_is_told_and_what_nobody_knows_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("INNEREAR_DATA", str(tmp_path))
    assert cells(models=["wav2vec2-base-960h"], task="alignment-heads") == [Cell(0.0, "n/a")]
    wanted = plan(["whisper-base"], ["transcription"], corpus="ravdess")
    found = estimate(wanted, Options(RUNS), [])
    assert (found.extents, found.cells) == (
        (Extent(None, None, False, None),),
        ((Cell(None, "unknown", None),),),
    )
    assert found.downloads[0] == ("ravdess", None, "its publisher")


def test_results_in_the_output_folder_are_not_counted_again(monkeypatch, tmp_path):
    wanted = plan(["whisper-base"], ["phoneme-probing"], corpus="librispeech-test-clean")
    task = wanted.tasks[0]
    result = make_result(
        model={"name": "whisper-base"}, task={"sha256": task.sha256(), "spec": task.canonical()}
    )
    monkeypatch.setattr(Store, "path_of", lambda *_: tmp_path)
    known = estimate(wanted, Options(tmp_path / "runs"), [result])
    again = estimate(wanted, Options(tmp_path / "runs", fresh=True), [result])
    assert [found.cells[0][0].basis for found in (known, again)] == ["stored", "calibrated"]


def test_a_corpus_that_is_here_is_counted_as_the_task_selects_it(monkeypatch):
    from innerear.data.schema import Corpus

    clips = [
        make_item(f"{speaker}-{clip}", noise(0.5), speaker=f"s{speaker}", text=f"go {speaker} {clip}")
        for speaker in range(6) for clip in range(3)
    ]  # fmt: skip
    made = Corpus("made", "1", tuple(clips), "made", "none")
    monkeypatch.setattr(estimates, "load_corpus", lambda name, **_: made)
    wanted = plan(["whisper-base"], ["transcription"], corpus="innerear-speech", clips_per_speaker=2)
    wanted = type(wanted)(wanted.models, (wanted.tasks[0].resolve(noise={"snr": [0], "kinds": ["white"]}),))
    assert estimate(wanted, Options(RUNS), []).extents == (Extent(24, 12.0, True),)


def test_features_are_counted_for_all_models_and_twins_and_once_more_for_the_largest():
    wanted = plan(["whisper-base", "whisper-large-v3"], ["transcription", "phoneme-probing"],
                  corpus="librispeech-test-clean", clips_per_speaker=10)  # fmt: skip
    found = estimate(wanted, Options(RUNS), [])
    texts, phones = found.extents
    assert texts.states == 0
    assert 8 * HOUR < phones.states < 15 * HOUR  # people say ten to fifteen phones a second
    (none, small), (_, large) = found.cells
    assert (none.features, none.once_more) == (0, 0)
    for cell, sites, width in ((small, 7, 512), (large, 33, 1280)):
        exact = 4 * phones.states * sites * width
        assert exact <= cell.once_more <= 5 * exact
        assert cell.features == 2 * cell.once_more  # the model and its twin
    assert found.features == small.features + large.features + large.once_more
    half = estimate(plan(["whisper-base"], ["phoneme-probing"], corpus="librispeech-test-clean",
                         clips_per_speaker=5), Options(RUNS), [])  # fmt: skip
    assert half.cells[0][0].features == pytest.approx(small.features / 2, rel=1e-4)


def test_features_of_a_corpus_that_is_here_are_those_that_the_task_reads(monkeypatch):
    wanted = plan(["whisper-base"], ["phoneme-probing", "speaker-gender", "abx"], clips_per_speaker=6)
    extents = estimate(wanted, Options(RUNS), []).extents
    phones, clips, frames = (extent.states for extent in extents)
    assert clips == extents[1].clips
    assert clips < phones < frames < 50 * extents[2].seconds


@pytest.mark.parametrize("name", [name for name in model_names() if not load_spec(name).trained])
def test_no_registered_architecture_has_more_states_than_are_said(name):
    spec = load_spec(name)
    config = spec.sources[0].config
    encoder = config.get("audio_config", config)
    numbers = (1 + encoder["encoder_layers"]) * encoder["d_model"]
    assert estimates._features(spec, Extent(1, 1.0, True, 1)) >= 4 * numbers


def test_the_calibration_times_a_window_and_a_token(monkeypatch):
    small = {
        "d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "vocab_size": 50258,
        "encoder_layers": 1, "decoder_layers": 1, "max_source_positions": 50,
    }  # fmt: skip
    monkeypatch.setattr(calibration, "WhisperConfig", lambda **sizes: WhisperConfig(**sizes | small))
    found = calibrate("cpu", "float32", 2)
    assert found.window_s > 0 < found.token_s
    assert found.parameters > 50258 * 16
    with pytest.raises(InputError, match="no type of numbers"):
        calibrate("cpu", "float12", 1)


def test_a_dry_run_of_the_standard_suite_prints_and_leaves_nothing(tmp_path):
    done = CliRunner().invoke(app, ["run", "--suite", "standard", "--dry-run"])
    assert done.exit_code == 0, done.output
    for part in (
        *("whisper-large-v3", "edacc-test", "hub ashraq/esc50", "to download:", "calibrated: "),
        *("features, at most", "features of the clips take up to"),
    ):
        assert part in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_on_a_device_that_is_not_here_is_refused():
    done = CliRunner().invoke(app, ["run", "--suite", "standard", "--dry-run", "--device", "cuda:99"])
    assert isinstance(done.exception, InputError)
    assert "cuda:99" in str(done.exception)
