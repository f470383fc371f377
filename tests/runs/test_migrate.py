"""Results of schema 3 become results of schema 4 with every number as it was."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from innerear.cli import app
from innerear.results.schema import Result
from innerear.results.store import Store, read_result
from innerear.results.verify import inconsistencies
from innerear.runs import migrate as migration
from innerear.runs.migrate import migrate
from innerear.tasks.task import PROSE
from innerear.util.errors import InnerearError, InputError
from innerear.util.io import sha256_json, write_json
from tests.synthetic import make_sound

PARTS = {"weights": "b" * 64, "config": "c" * 64}


def as_schema_3(store: Store, result: Result, items, controls=()) -> tuple:
    """Write a result as innerear 0.1.0 wrote it."""
    path = store.save(result, items)
    record = json.loads(path.read_bytes())
    task = record["task"]
    task["spec"] |= {name: task.pop(name) for name in PROSE - {"title"}} | {"title": task["title"]}
    task["sha256"] = sha256_json(task["spec"])
    model = record["model"]
    model["weights_sha256"] = model.pop("parts")["weights"]
    del model["sha256"], record["former_sha256"]
    record |= {"schema_version": 3, "options": {}, "controls": dict(controls)}
    unhashed = ("run", "environment", "content_sha256", "record_sha256")
    record["content_sha256"] = sha256_json({key: record[key] for key in record if key not in unhashed})
    record["record_sha256"] = sha256_json({key: record[key] for key in record if key != "record_sha256"})
    old = path.with_name(f"{result.model.name}-0123456789.json")
    beside = path.with_suffix(".items.parquet").rename(old.with_suffix(".items.parquet"))
    record["items"]["path"] = beside.name
    record["content_sha256"] = sha256_json({key: record[key] for key in record if key not in unhashed})
    record["record_sha256"] = sha256_json({key: record[key] for key in record if key != "record_sha256"})
    write_json(old, record)
    path.unlink()
    return old, record


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A model and its twin under schema 3: (store, path of the model's result, its record)."""
    monkeypatch.setattr(migration, "_known_parts", lambda name: dict(PARTS))
    store = Store(tmp_path / "results")
    model = {"name": "whisper-base", "parts": {"weights": "b" * 64}}
    twin = {"name": "whisper-base-random", "kind": "twin", "twin_of": "whisper-base", "seed": 0}
    _, drawn = as_schema_3(store, *make_sound(0.4, model=twin))
    control = {"random-twin": drawn["content_sha256"]}
    path, record = as_schema_3(store, *make_sound(0.8, model=model), control)
    return store, path, record


def test_numbers_and_items_stay_and_hashes_are_made_anew(old):
    store, path, record = old
    items = path.with_suffix(".items.parquet").read_bytes()
    assert len(migrate(store).results) == 2
    assert not path.exists()
    results = {result.model.name: result for result in store.load_all()}
    result, twin = results["whisper-base"], results["whisper-base-random"]
    new = json.loads(store.path_of(result).read_bytes())
    for name in ("scores", "curves", "tables", "tuned", "split", "corpus", "run", "environment"):
        assert new[name] == record[name]
    assert store.path_of(result).with_suffix(".items.parquet").read_bytes() == items
    assert result.former_sha256 == record["content_sha256"]
    assert result.model.parts == PARTS
    assert twin.model.parts == PARTS | {"weights": "whisper-base-random", "recipe": "random-weights-1"}
    assert result.controls == {"random-twin": twin.content_sha256}
    assert inconsistencies(store.path_of(result), result, placed=True) == []


def test_a_migration_that_was_stopped_ends_the_same(old, monkeypatch):
    store, path, _ = old
    copy = Store(store.folder.with_name("copy"))
    shutil.copytree(store.folder, copy.folder)
    migrate(copy)
    unlink = type(path).unlink

    def stop_at_the_model(self, missing_ok=False):
        if self == path:
            raise KeyboardInterrupt
        unlink(self, missing_ok)

    twin_first = sorted(store.paths(), key=lambda each: each == path)
    with monkeypatch.context() as patch:
        patch.setattr(type(path), "unlink", stop_at_the_model)
        patch.setattr(Store, "paths", lambda _: twin_first)
        with pytest.raises(KeyboardInterrupt):
            migrate(store)
    assert [each for each in twin_first if each.exists()] == [path]
    migrate(store)
    whole = [{result.record_sha256 for result in each.load_all()} for each in (store, copy)]
    assert whole[0] == whole[1]


def test_a_result_of_other_weights_stays_and_is_told(old, monkeypatch):
    store, path, _ = old
    monkeypatch.setattr(migration, "_known_parts", lambda name: PARTS | {"weights": "e" * 64})
    migrated = migrate(store)
    (reason,) = migrated.refused
    assert "has the weights eeeeeeeeeeee here, but the result is of bbbbbbbbbbbb" in reason
    assert path.exists()


@pytest.mark.parametrize("part", ["scores", "options", "items"])
def test_a_damaged_result_stays_and_is_told(old, part):
    store, path, record = old
    damaged = {"scores": {}, "options": {"x": 1}, "items": {**record["items"], "rows": 1}}
    write_json(path, record | {part: damaged[part]})
    (reason,) = migrate(store).refused
    assert "hashes do not match" in reason
    assert path.exists()


@pytest.mark.parametrize("damage", ["cut", "items", "headline"])
def test_a_file_that_cannot_be_migrated_leaves_the_others(old, damage, monkeypatch):
    store, path, _ = old
    if damage == "cut":
        path.write_text('{"schema_version": 3')
    elif damage == "items":
        path.with_suffix(".items.parquet").unlink()
    else:
        checked = migration.inconsistencies
        monkeypatch.setattr(
            migration, "inconsistencies",
            lambda at, new, placed: (
                ["wer is off"] * ("base-random" not in at.name) or checked(at, new, placed)
            ),
        )  # fmt: skip
    migrated = migrate(store)
    (reason,) = migrated.refused
    assert reason.startswith(f"{path}: ")
    assert [each.name.startswith("whisper-base-random") for each in migrated.results] == [True]
    assert set(store.paths()) == {path, *migrated.results}


def test_a_result_of_schema_3_is_refused_by_a_line_that_names_the_command(old):
    store, path, _ = old
    with pytest.raises(InnerearError, match=f"`innerear migrate {store.folder}`"):
        read_result(path)
    ran = CliRunner().invoke(app, ["migrate", str(store.folder)])
    assert (ran.exit_code, ran.output.splitlines()[-1]) == (0, "2 migrated, 0 refused")
    with pytest.raises(InputError, match="nothing to migrate"):
        migrate(store)
