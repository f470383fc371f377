"""Models of every kind on tasks of every kind: each cell is a score, or n/a or failed with its reason.

`python tests/contract/test_every_task.py FOLDER` runs 23 models of all kinds on all tasks, on few clips, and
keeps models, tasks and results in a folder; it takes about half an hour on two cores.
"""

import sys
from pathlib import Path

import pytest
import zoo_audio_lm  # noqa: F401  (lists its architectures)
import zoo_basic  # noqa: F401
import zoo_ctc  # noqa: F401
import zoo_decoders  # noqa: F401
import zoo_transducers  # noqa: F401
from small_tasks import save
from typer.testing import CliRunner
from zoo import ARCHITECTURES

from innerear.cli import app
from innerear.results.store import Store

MODELS = (
    *("whisper", "moonshine", "moonshine_streaming", "canary", "cohere_asr", "seamless_m4t_v2"),
    *("wav2vec2", "hubert", "wavlm", "wav2vec2-bert", "parakeet_ctc", "lasr_ctc"),
    *("parakeet_rnnt", "parakeet_tdt", "nemotron_asr_streaming", "nemotron3_5_asr"),
    *("qwen2_audio", "voxtral", "qwen3_asr", "glmasr"),
    *("wav2vec2-bert-encoder", "wav2vec2-conformer-encoder", "sew-encoder"),
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    place = tmp_path_factory.mktemp("table")
    names = ("moonshine", "parakeet_ctc", "parakeet_tdt", "qwen2_audio", "sew-encoder")
    for name in names:
        ARCHITECTURES[name].save(place / name)
    (place / "damaged").mkdir()
    (place / "damaged" / "config.json").write_text("{}")
    models = ",".join(str(place / name) for name in (*names, "damaged"))
    tasks = "transcription,alignment-heads,encoder-lens,semantic-bias"
    made = CliRunner().invoke(
        app,
        ["run", "--models", models, "--tasks", tasks, "--limit", "4", "--output", str(place / "runs")],
        env={"INNEREAR_CACHE": str(place / "cache")},
    )
    return made, Store(place / "runs").load_all()


def test_each_cell_of_a_run_is_a_score_or_has_its_reason(ran):
    made, results = ran
    assert made.exit_code == 1, made.output
    assert isinstance(made.exception, SystemExit)
    end = made.stdout[made.stdout.index("6 models × 4 tasks") :]
    assert end.startswith("6 models × 4 tasks: 8 scores, 7 n/a, 9 failed.")
    assert sum(result.model.kind == "model" and result.status == "ok" for result in results) == 8
    notes = [line for line in end.splitlines() if line.startswith("[")]
    for reason in (
        "the model has no decoder",
        "the model is a transducer: it has no decoder whose states read the audio",
        "the model has no text head",
        "--limit 4 leaves too little, raise it",
    ):
        assert sum(reason in note for note in notes) == 1, reason
    rows = [line.split() for line in made.stdout.splitlines() if line.split()[:1] == ["sew-encoder"]]
    assert rows[-1].count("n/a") == 3
    assert rows[-1].count("failed") == 1


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name in MODELS:
        if not (folder / "models" / name).exists():
            ARCHITECTURES[name].save(folder / "models" / name)
    models = ",".join(str(folder / "models" / name) for name in MODELS)
    tasks = ",".join(map(str, save(folder / "tasks")))
    app(["run", "--models", models, "--tasks", tasks, "--output", str(folder / "runs")])
