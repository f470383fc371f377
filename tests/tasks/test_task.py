"""Tasks are validated on load, hashed in canonical form, and select clips by a stated rule."""

from collections import Counter

import pytest
from conftest import make_item, noise

from innerear.data.schema import Corpus
from innerear.runs.plans import plan
from innerear.tasks.task import card, load_suite, load_task, suites, task_names
from innerear.util.errors import InputError

SPEC = "tasks/phoneme-probing/task.yaml"


@pytest.fixture
def text():
    from innerear.util.paths import data_folder

    return (data_folder("tasks") / "phoneme-probing" / "task.yaml").read_text()


def test_every_task_loads_and_has_a_card():
    assert "phoneme-probing" in task_names()
    for name in task_names():
        assert load_task(name).id == name
        assert card(name).startswith(f"# {name}")


def test_every_suite_names_tasks_that_exist():
    for name in suites():
        for entry in load_suite(name).tasks:
            assert entry.task().id == entry.task(full=True).id == entry.id


def test_full_takes_all_clips_of_a_suite():
    share, full = (plan(suite="causal", full=full) for full in (False, True))
    assert [task.id for task in share.tasks] == [task.id for task in full.tasks]
    few = {task.id: task.clips_per_speaker for task in share.tasks}
    for task in full.tasks:
        assert task.clips_per_speaker == load_task(task.id).clips_per_speaker
        assert few[task.id] <= (task.clips_per_speaker or 1000)
        assert task.measure == load_task(task.id).measure
    measures = {task.id: task.measure for task in share.tasks}
    assert measures["semantic-bias"].graded == 6
    assert measures["sparse-features"].steering.clips == 8
    assert measures["sparse-features"].steering.most == load_task("sparse-features").measure.steering.most
    with pytest.raises(InputError, match="--full applies to a suite"):
        plan(tasks=["repetition"], full=True)


def test_tasks_beside_a_suite_are_some_of_its_own():
    whole, some = plan(suite="causal"), plan(tasks=["erasure", "repetition"], suite="causal")
    assert some.tasks == tuple(task for task in whole.tasks if task.id in ("erasure", "repetition"))
    assert (some.models, some.experiment) == (whole.models, whole.experiment)
    with pytest.raises(InputError, match="suite causal: unknown task 'abx'"):
        plan(tasks=["abx"], suite="causal")


def test_the_hash_is_of_what_is_measured():
    task = load_task("phoneme-probing")
    assert task.sha256() == load_task("phoneme-probing").sha256()
    assert task.resolve(limit=None).sha256() == task.sha256()
    changed = [task.resolve(limit=9), task.resolve(seed=3), task.resolve(corpus="timit-sample")]
    assert len({task.sha256(), *(other.sha256() for other in changed)}) == 4


def test_a_users_own_task_runs_by_path(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("id: phoneme-probing", "id: mine"))
    assert load_task(str(path)).id == "mine"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("version: 4", "versoin: 3", r"unknown key 'versoin'; did you mean 'version'\?|'version' is missing"),
        ("folds: 4", "folds: many", r"split\.folds: .*not 'many'"),
        ("grid: [0.001, 0.01, 0.1, 1.0]", "grid: [-1]", r"measure\..*probe\.grid\.0: .*greater than 0"),
        ("id: phoneme-probing", "id: [", "not YAML"),
    ],
)
def test_a_mistake_in_a_task_is_one_line_that_names_it(tmp_path, text, old, new, complaint):
    path = tmp_path / "task.yaml"
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=complaint) as caught:
        load_task(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(InputError, match="did you mean 'phoneme-probing'"):
        load_task("phonem-probing")
    with pytest.raises(InputError, match="did you mean 'quick'"):
        load_suite("quik")


def made(speakers=4, clips=5):
    items = [
        make_item(f"s{speaker}-{clip}", noise(0.2), speaker=f"s{speaker}")
        for speaker in range(speakers)
        for clip in range(clips)
    ]
    return Corpus("made", "1", tuple(items), "made", "none")


def test_clips_per_speaker_takes_the_first_of_each():
    chosen = load_task("phoneme-probing").resolve(clips_per_speaker=2).select(made())
    assert [item.id for item in chosen] == [f"s{speaker}-{clip}" for speaker in range(4) for clip in range(2)]


def test_a_limit_is_spread_over_speakers():
    chosen = load_task("phoneme-probing").resolve(limit=6).select(made())
    assert sorted(Counter(item.speaker for item in chosen).values()) == [1, 1, 2, 2]
