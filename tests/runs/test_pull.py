import hostile
import pytest
from hostile import FILES, serving
from synthetic import make_sound

from innerear.results.store import Store, read_result
from innerear.runs import pull as pull_module
from innerear.runs.download import PAGES, _is_own, _paged
from innerear.runs.pull import pull
from innerear.runs.tracking import Tracker
from innerear.util.errors import InputError


@pytest.fixture(scope="module")
def logged(tmp_path_factory) -> tuple[str, Store]:
    """Two results, one of them without per-item outcomes, in a database with its artifacts."""
    folder = tmp_path_factory.mktemp("theirs")
    store = Store(folder)
    with Tracker(None, folder) as tracker:
        for result, rows in (
            make_sound(),
            (
                make_sound(model={"name": "ctc"}, status="n/a", reason="no decoder", scores={}, curves=[])[0],
                None,
            ),
        ):
            path = store.save(result, rows)
            tracker.log(read_result(path), path, {})
        return tracker.address, store


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


def test_each_run_of_a_hostile_server_fails_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(pull_module, "SECONDS", 5)
    monkeypatch.setattr(pull_module, "SIZE", 2**20)
    names = ("disk", "endless", "slow", "up", "nested", "good")
    with serving(tmp_path / "theirs", *names) as server:
        server.places["disk"] = "file:///etc"
        server.acts = {
            f"{FILES}/endless/": hostile.endless,
            f"{FILES}/slow/": hostile.drip,
            f"{FILES}/nested/": hostile.body("[" * 100_000),
            f"{FILES}?path=up": hostile.files("../../up.json"),
        }
        made = pull(server.uri, Store(tmp_path / "mine"))
    assert [path.name.partition("-")[0] for path in made.added] == ["good"]
    told = dict(line.removeprefix("run ").split(": ", 1) for line in made.refused)
    assert told.keys() == {"disk", "endless", "slow", "up", "nested"}
    assert told["disk"] == "its files are at file:///etc, which a server may not send anybody to"
    assert "File too large" in told["endless"]
    assert told["slow"] == "it took longer than 5 s"
    assert not any("\n" in line for line in told.values())
    assert not [*tmp_path.rglob("up.json")]


@pytest.mark.parametrize(
    ("place", "own"),
    [
        ("mlflow-artifacts:/1/a/artifacts", True),
        ("mlflow-artifacts://host:5000/1/a", True),
        ("s3://bucket/1/a", True),
        ("http://host:5000/api/2.0/mlflow-artifacts/artifacts/1", True),
        ("http://elsewhere/api", False),
        ("https://host:5000/api", False),
        ("mlflow-artifacts://elsewhere:5000/1/a", False),
        ("mlflow-artifacts://host:5000@elsewhere/1/a", False),
        ("file:///etc", False),
        ("/etc", False),
        ("FILE:/etc", False),
        ("ftp://host/a", False),
        ("sftp://host/a", False),
        ("", False),
    ],
)
def test_a_server_may_send_nobody_to_places_that_are_not_its_own(place, own):
    assert _is_own(place, "http://host:5000") == own


def test_pages_come_to_an_end():
    class Page(list):
        token = "more"

    with pytest.raises(InputError, match=f"more than {PAGES} pages"):
        list(_paged(lambda page_token: Page([1])))
    last = Page([3])
    last.token = ""
    turns = iter([Page([1, 2]), last])
    assert list(_paged(lambda page_token: next(turns))) == [1, 2, 3]
