"""Synthesised and human results of one task are paired by model; orders are those of the headlines."""

from pathlib import Path

import pytest
from synthetic import make_family, make_sound
from typer.testing import CliRunner

from innerear.cli import app
from innerear.report.agreement import orders, pairs
from innerear.results.store import Store


def human(result, **corpus):
    fields = {name: getattr(result, name) for name in type(result).model_fields}
    heard = result.corpus.model_copy(
        update={"human": True, "name": "people", "fingerprint": "d" * 64} | corpus
    )
    return type(result)(**fields | {"corpus": heard, "content_sha256": "", "record_sha256": ""})


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path)
    for result, items in make_family():
        made.save(result, items)
        made.save(human(result), items)
    return made


def test_equal_curves_agree_and_only_models_are_paired(store):
    found = pairs(store)
    assert [pair.synthetic.model.name for pair in found] == [
        "moonshine-tiny", "whisper-base", "whisper-tiny.en",
    ]  # fmt: skip
    assert all(pair.tau == pytest.approx(1) for pair in found)
    ((name, first, second, same),) = orders(found)
    assert name == "phoneme-probing (toy, people)"
    assert first == second == "whisper-base > whisper-tiny.en > moonshine-tiny"
    assert same


def test_the_command_prints_tables_or_says_what_is_missing(store, tmp_path):
    both = Store(tmp_path / "both")
    for corpus in ({"name": "toy", "human": False}, {"name": "people", "human": True}):
        for value in (0.86, 0.8):
            both.save(*make_sound(value, model={"name": f"model-{value}"}, corpus=corpus))
    told = CliRunner().invoke(app, ["agreement", "--results", str(both.folder)])
    assert told.exit_code == 0
    assert "| toy-task (toy, people) | model-0.86 | 86.0" in told.stdout
    assert "| yes |" in told.stdout
    empty = Store(Path(tmp_path) / "one")
    empty.save(*make_sound())
    told = CliRunner().invoke(app, ["agreement", "--results", str(empty.folder)])
    assert told.exit_code != 0
    assert "no task has results on both" in str(told.exception)
