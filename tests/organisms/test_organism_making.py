"""From the recipe to folders with their reports, by the command that maintainers type."""

import json
from dataclasses import replace
from functools import partial

import pytest
from test_organism_models import EARS, MOUTH, heard, whisper  # noqa: F401
from typer.testing import CliRunner

from innerear.cli import app
from innerear.organisms import conformer, language_model, making, recipe
from innerear.organisms.recipe import Recipe
from innerear.util.errors import InputError

TINY = Recipe(seed=1, examples=5, written=4, unseen=2, probes=1, transducer_steps=2, text_steps=1,
              language_model_steps=2)  # fmt: skip


@pytest.fixture
def tiny(monkeypatch, whisper):  # noqa: F811
    """A recipe whose sentences are few, whose clips are noise and whose models are tiny."""
    others = ("ox", "hen", "elk", "ape")
    sentences = [f"the {one} saw the other {two} today" for one in ("dog", "cat") for two in others]

    def render(script, folder, work, processes):
        return [
            replace(heard(at % 6), id=one.id, split=one.split, text=one.text) for at, one in enumerate(script)
        ]

    monkeypatch.setattr("innerear.organisms.speech.wordnet", lambda work: sentences)
    monkeypatch.setattr(making, "wordnet", lambda work: sentences)
    monkeypatch.setattr(making, "render", render)
    monkeypatch.setattr(conformer, "fit", partial(conformer.fit, size=EARS))
    monkeypatch.setattr(language_model, "fit", partial(language_model.fit, size=MOUTH))
    monkeypatch.setattr(language_model, "ears", lambda: whisper)
    monkeypatch.setattr(recipe, "RECIPES", {"full": TINY})


def invoked(*words):
    result = CliRunner().invoke(app, ["organisms", *map(str, words)], catch_exceptions=True)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_each_stage_writes_its_models_with_a_report(tiny, tmp_path):
    assert "examples: 5 clips" in invoked("speech", tmp_path)
    for stage, names in (("recognisers", ("tdt", "ctc")), ("audio-lm", ("audio-lm",))):
        output = invoked(stage, tmp_path)
        for name in names:
            folder = tmp_path / f"organism-{name}"
            assert f"innerear models check {folder}" in output.replace("\n", "")
            report = json.loads((folder / "training.json").read_text())
            assert report["clips"] == {"examples": 5, "written": 4, "unseen": 2, "probes": 64}
            assert report["left_out"] == 0
            assert len(report["transcripts"]) == 2
            assert sum(sum(each.values()) for each in report["collocations"].values()) == 64
            assert report["curve"][-1]["step"] == 2
            assert len(report["weights_sha256"]) == 64
            assert report["wer"] >= 0


def test_text_that_is_only_read_holds_no_sentence_that_is_kept(tiny, tmp_path):
    makings = making.Makings(TINY, tmp_path, tmp_path, 1)
    kept = {clip.text for clip in makings.script if clip.split in ("unseen", "probes")}
    assert kept.isdisjoint(makings.text)
    assert {clip.text for clip in makings.script if clip.split in ("examples", "written")} <= set(
        makings.text
    )


@pytest.mark.parametrize(
    ("words", "said"), [(("speach",), "stage"), (("speech", "--recipe", "ful"), "recipe")]
)
def test_an_unknown_stage_or_recipe_is_refused(words, said, tmp_path):
    with pytest.raises(InputError, match=said):
        invoked(words[0], tmp_path, *words[1:])
