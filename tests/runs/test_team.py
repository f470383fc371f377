"""What a team has: an MLflow server on PostgreSQL, whose results come back as files."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from synthetic import make_sound
from test_tracking import CORPUS, runs_of

from innerear.results.store import Store, read_result
from innerear.runs.pull import pull
from innerear.runs.tracking import Tracker


def _binaries() -> Path | None:
    """Folder of PostgreSQL's programs: on the path, or where Debian keeps them, the newest first."""
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return Path(found).resolve().parent if found else next(iter(places), None)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A cluster of its own on loopback, run by an unprivileged user: PostgreSQL refuses root."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    user: dict[str, str] = {}
    folder = Path(tempfile.mkdtemp(prefix="innerear-postgres-"))
    if os.geteuid() == 0:
        user = {"user": "nobody"}
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data, options = folder / "data", f"-h 127.0.0.1 -p {port} -k {folder} -F"

    def call(*command: str | Path) -> None:
        subprocess.run(command, check=True, capture_output=True, timeout=120, cwd=folder, **user)

    try:
        call(binaries / "initdb", "-D", data, "-U", "mlflow", "-A", "trust", "-E", "UTF8", "--no-sync")
        call(binaries / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            call(binaries / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "mlflow", "mlflow")
            yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/mlflow"
        finally:
            call(binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sealed(store: Store, name: str) -> Path:
    """A result that `verify` has nothing against."""
    result, items = make_sound(model={"name": name})
    return store.save(result, items)


def test_a_teams_results_are_kept_in_postgresql_and_come_back(database, tmp_path):
    theirs, mine = Store(tmp_path / "theirs"), Store(tmp_path / "mine")
    paths = {
        suite: [sealed(theirs, f"{suite}-{number}") for number in range(2)] for suite in ("quick", "causal")
    }
    for suite, made in paths.items():
        with Tracker(database, theirs.folder, f"innerear/{suite}") as tracker:
            assert all(tracker.log(read_result(path), path, {"test": CORPUS}) for path in made)
        _, parents, nested = runs_of(database, f"innerear/{suite}")
        assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {run.info.run_id for run in parents}
        assert {run.data.metrics["toy-task/toy/accuracy"] for run in nested} == {
            read_result(made[0]).score.value
        }
    assert not (theirs.folder / "mlflow.db").exists()

    assert len(pull(database, mine, "innerear/quick").added) == 2
    both = pull(database, mine)
    assert (len(both.added), both.known, both.refused) == (2, 2, ())
    assert {path.name: path.read_bytes() for path in mine.paths()} == {
        path.name: path.read_bytes() for path in theirs.paths()
    }
