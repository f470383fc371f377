import pytest
from synthetic import make_items, make_result

from innerear.results.store import Store, read_result
from innerear.runs.pull import pull
from innerear.runs.tracking import Tracker
from innerear.util.errors import InputError


@pytest.fixture(scope="module")
def logged(tmp_path_factory) -> tuple[str, Store]:
    """Two results, one of them without per-item outcomes, in a database with its artifacts."""
    folder = tmp_path_factory.mktemp("theirs")
    store = Store(folder)
    items = make_items()
    mean = float(items["outcome"].mean())
    with Tracker(None, folder) as tracker:
        for result, rows in (
            (make_result(mean), items),
            (
                make_result(model={"name": "ctc"}, status="n/a", reason="no decoder", scores={}, curves=[]),
                None,
            ),
        ):
            spec = result.task.model_copy(update={"sha256": _hash(result.task.spec)})
            sealed = {**dict(result), "task": spec, "content_sha256": "", "record_sha256": ""}
            path = store.save(type(result)(**sealed), rows)
            tracker.log(read_result(path), path, {})
        return tracker.address, store


def _hash(spec):
    from innerear.util.io import sha256_json

    return sha256_json(spec)


def test_results_come_back_byte_for_byte_and_once(logged, tmp_path):
    uri, theirs = logged
    mine = Store(tmp_path / "mine")
    made = pull(uri, mine)
    assert made.refused == ()
    assert len(made.added) == 2
    for path in mine.paths():
        assert path.read_bytes() == (theirs.folder / path.relative_to(mine.folder)).read_bytes()
    again = pull(uri, mine, experiment="innerear")
    assert (again.added, again.known) == ((), 2)


def test_what_was_changed_on_the_server_is_refused(logged, tmp_path):
    uri, theirs = logged
    artifact = next((theirs.folder / "mlartifacts").rglob("*ctc*.json"))
    whole = artifact.read_bytes()
    artifact.write_bytes(whole.replace(b"no decoder", b"no encoder"))
    try:
        made = pull(uri, Store(tmp_path / "mine"))
    finally:
        artifact.write_bytes(whole)
    assert len(made.added) == 1
    assert len(made.refused) == 1
    assert "edited or damaged" in made.refused[0]


def test_a_wrong_experiment_and_an_empty_server_are_wrong_input(logged, tmp_path):
    with pytest.raises(InputError, match=r"there are .*innerear"):
        pull(logged[0], Store(tmp_path), experiment="inerear")
    with (
        Tracker(None, tmp_path) as empty,
        pytest.raises(InputError, match="holds no finished innerear results"),
    ):
        pull(empty.address, Store(tmp_path / "mine"))


def test_a_server_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:9 cannot be read"):
        pull("http://127.0.0.1:9", Store(tmp_path))
