import pytest
from synthetic import make_sound

from innerear.results import published
from innerear.results.schema import Result
from innerear.results.store import Store
from innerear.runs.submit import submit
from innerear.tasks.task import load_task


@pytest.fixture
def runs(tmp_path) -> Store:
    """Results of the current version of a task, on a corpus of which nothing is published."""
    store = Store(tmp_path / "runs")
    task = load_task("phone-interchange").resolve(corpus="toy.jsonl")
    for seed, name in enumerate(("one", "two", "three")):
        store.save(*make_sound(0.8, seed, task, model={"name": name}))
    return store


def test_whole_results_are_copied_byte_for_byte_and_once(runs, tmp_path):
    into = Store(tmp_path / "published")
    made = submit(runs.paths(), into)
    assert made.refused == ()
    assert len(made.added) == len(runs.paths())
    for mine, its in zip(runs.paths(), into.paths(), strict=True):
        assert mine.read_bytes() == its.read_bytes()
    for result in into.load_all():
        if result.items:
            assert into.read_items(result).equals(runs.read_items(result))
    again = submit(runs.paths(), into)
    assert (again.added, len(again.known)) == ((), len(made.added))


def test_a_flipped_byte_is_refused_and_the_rest_is_not(runs, tmp_path):
    first, *rest = runs.paths()
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(bytes(data))
    made = submit(runs.paths(), Store(tmp_path / "published"))
    assert len(made.added) == len(rest)
    assert made.refused
    assert all(str(first) in why for why in made.refused)


def test_a_copy_of_what_the_same_command_added_is_refused(tmp_path, monkeypatch):
    """What is published is looked up for each result, not once."""
    task, mine = load_task("phone-interchange").resolve(corpus="toy.jsonl"), Store(tmp_path / "runs")
    for name in ("one", "two"):
        mine.save(*make_sound(0.8, 0, task, model={"name": name}))
    into = Store(tmp_path / "published")
    monkeypatch.setattr(published, "_store", lambda: into)
    made = submit(mine.paths(), into)
    assert len(made.added) == len(made.refused) == 1
    assert "its per-item outcomes are those of" in made.refused[0]


def test_an_old_version_and_an_unknown_task_are_refused(tmp_path):
    store = Store(tmp_path / "runs")
    known = load_task("phone-interchange").resolve(corpus="toy.jsonl")
    for task, why in (
        (known.model_copy(update={"version": 1_000}), "run it again"),
        (None, "propose the task first"),
    ):
        path = store.save(*make_sound(task=task))
        made = submit([path], Store(tmp_path / "published"))
        assert made.added == ()
        assert any(why in line for line in made.refused)


@pytest.mark.parametrize(("moved", "known"), [(1e-6, True), (0.5, False)])
def test_a_repetition_on_another_machine_is_already_there_within_the_tolerance(runs, tmp_path, moved, known):
    path = runs.paths()[0]
    (result,) = (each for each in runs.load_all() if runs.path_of(each) == path)
    published = Store(tmp_path / "published")
    elsewhere = result.environment.model_copy(update={"cpu": "another"})
    scores = {
        name: score.model_copy(update={"value": score.value - moved}) for name, score in result.scores.items()
    }
    other = {"environment": elsewhere, "scores": scores, "content_sha256": "", "record_sha256": ""}
    published.save(Result(**{**dict(result), **other}), runs.read_items(result))
    made = submit([path], published)
    assert bool(made.known) == known
    assert any("other scores" in why for why in made.refused) != known


def test_other_scores_for_the_same_key_are_refused(runs, tmp_path):
    into = Store(tmp_path / "published")
    submit(runs.paths(), into)
    path = into.paths()[0]
    result = next(each for each in into.load_all() if into.path_of(each) == path)
    other = {"tuned": {**result.tuned, "note": "another"}, "content_sha256": "", "record_sha256": ""}
    runs.save(type(result)(**{**dict(result), **other}), runs.read_items(result) if result.items else None)
    made = submit([runs.folder / path.relative_to(into.folder)], into)
    assert any("other scores" in why for why in made.refused)
