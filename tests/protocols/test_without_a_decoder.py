"""What a task says of a model without a decoder: n/a with the reason; the catalogue says the same of it."""

import pytest
from conftest import save_tiny, tiny_model

from innerear.data.registry import load_corpus
from innerear.models.base import SpeechModel
from innerear.protocols.registry import protocol_of
from innerear.results.store import Store
from innerear.results.verify import verify
from innerear.runs.plans import Options, plan
from innerear.runs.runner import run
from innerear.tasks.applicable import applicable_tasks
from innerear.tasks.task import load_suite, load_task, task_names


@pytest.mark.parametrize("name", [entry.id for entry in load_suite("causal").tasks])
def test_ctc_models_are_not_applicable_with_the_reason(name):
    protocol = protocol_of(load_task(name), load_corpus)
    for family in ("wav2vec2", "hubert", "wavlm"):
        reason = None if name in ("sparse-features", "erasure") else f"tiny-{family} has no decoder"
        assert protocol.unsupported_reason(tiny_model(family)) == reason


HEARD = (
    "abx",
    "accent",
    "noise",
    "phone-recognition",
    "phoneme-probing",
    "semantic-category",
    "sparse-features",
    "speaker-gender",
    "speed",
)


def bare_encoder(family):
    """The encoder of a tiny model, as it is before a text head is trained."""
    whole = tiny_model(family)
    return SpeechModel(whole.identity, whole.network.base_model, whole.family, whole.front_end)


@pytest.mark.parametrize("name", sorted({*task_names()} - {"planted-causes"}))
def test_an_encoder_without_a_text_head_is_probed_and_its_text_tasks_are_not_applicable(name):
    protocol = protocol_of(load_task(name), load_corpus)
    adapted = tiny_model("wav2vec2")
    adapted.adapted = True
    for other in (tiny_model("whisper"), tiny_model("hubert"), adapted):
        assert applicable_tasks(other.capabilities)[name] == protocol.unsupported_reason(other)
    model = bare_encoder("hubert")
    assert applicable_tasks(model.capabilities)[name] == protocol.unsupported_reason(model)
    assert protocol.unsupported_reason(model) == (None if name in HEARD else "tiny-hubert has no text head")
    if name in HEARD:
        assert {demand.reading.needs for demand in protocol.demands(model).values()} == {"encoder"}


@pytest.mark.parametrize("name", ["logit-lens", "encoder-lens"])
def test_a_lens_along_the_audio_gives_rows_from_which_its_numbers_are_counted_again(tmp_path, name):
    folder = str(save_tiny("wav2vec2", tmp_path / "tiny"))
    run(plan([folder], [name], limit=8), Options(tmp_path / "runs"), lambda _: None)
    (path,) = Store(tmp_path / "runs").paths()
    assert verify(path) == []
