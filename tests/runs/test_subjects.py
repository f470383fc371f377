"""Models and twins are known by their hashes; nothing is loaded or drawn that is measured already."""

import json
import weakref

import damage
import pytest
from conftest import save_tiny

from innerear.models import loading
from innerear.runs.plans import Options, plan
from innerear.runs.runner import run
from innerear.runs.subjects import Subject
from innerear.util.errors import InnerearError, InputError


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A model, and one of the same architecture with other weights."""
    place = tmp_path_factory.mktemp("models")
    first = save_tiny("moonshine", place / "first")
    double = damage.tensors(lambda held: {name: 2 * value for name, value in held.items()})
    return first, damage.copied(first, place / "second", double)


def go(output, *folders):
    wanted = plan([str(folder) for folder in folders], ["abx"], limit=28)
    return {result.model.name: result for result in run(wanted, Options(output))}


def known(folder, cache):
    """The twin, and the model."""
    spec = loading.load_spec(str(folder))
    return Subject.all_of(spec, loading.fetch(spec), [0], "cpu", "float32", cache)


@pytest.fixture
def draws(monkeypatch):
    """A list that grows by each twin that is drawn."""
    drawn, draw = [], loading.random_twin
    monkeypatch.setattr(loading, "random_twin", lambda *args: drawn.append(1) or draw(*args))
    return drawn


def test_a_twin_is_drawn_once_to_know_its_hash_and_then_where_it_listens(tuned, tmp_path, draws):
    first = known(tuned[0], tmp_path)
    assert len(draws) == 1
    again = known(tuned[0], tmp_path)
    assert [each.sha256 for each in again] == [each.sha256 for each in first]
    assert again[1].twins == first[1].twins
    assert len(draws) == 1
    assert again[0].listener().identity == first[0].listener().identity
    assert len(draws) == 2
    known(tuned[0], None)
    assert len(draws) == 3


@pytest.mark.parametrize("kept", [b"", b"[]", b'{"weights": 1}', b"\xff"])
def test_a_damaged_hash_of_a_twin_is_found_anew(tuned, tmp_path, draws, kept):
    first = known(tuned[0], tmp_path)
    (path,) = (tmp_path / "twins").iterdir()
    whole = path.read_bytes()
    path.write_bytes(kept)
    assert known(tuned[0], tmp_path)[0].sha256 == first[0].sha256
    assert path.read_bytes() == whole
    assert len(draws) == 2


def test_a_wrong_hash_of_a_twin_is_an_error_once(tuned, tmp_path):
    known(tuned[0], tmp_path)
    (path,) = (tmp_path / "twins").iterdir()
    path.write_text(json.dumps({"weights": "0" * 64, "dtype": "float32"}))
    with pytest.raises(InnerearError, match="not the one whose hash was known"):
        known(tuned[0], tmp_path)[0].listener()
    known(tuned[0], tmp_path)[0].listener()


def test_all_that_decides_the_draws_decides_the_hash_that_is_kept(tuned):
    opened = loading.Opened.of(loading.load_spec(str(tuned[0])), tuned[0])
    keys = {opened.twin_key(0), opened.twin_key(1)}
    opened.config.initializer_range *= 2  # not among what decides what a trained model does
    assert len({*keys, opened.twin_key(0)}) == 3


def test_a_model_that_does_not_load_has_no_twin_though_its_hash_is_known(tuned, tmp_path):
    known(tuned[0], tmp_path / "cache")
    short = damage.tensors(lambda held: {k: v for k, v in held.items() if ".layers.1." not in k})
    bad = damage.copied(tuned[0], tmp_path / "short", short)
    twin, _ = known(bad, tmp_path / "cache")
    with pytest.raises(InputError, match=r"layers\.1\."):
        twin.listener()
    said = []
    with pytest.raises(InputError, match=r"layers\.1\."):
        run(plan([str(bad)], ["abx"], limit=28), Options(tmp_path / "runs"), said.append)
    assert not any("short" in line for line in said)  # one failure, which is the run's


def test_two_models_of_one_architecture_share_a_twin_and_both_name_it(tuned, tmp_path):
    results = go(tmp_path / "runs", *tuned)
    twins = [results[f"{folder.name}-random"] for folder in tuned]
    assert len({twin.model.sha256 for twin in twins}) == 1
    assert [twin.model.twin_of for twin in twins] == [folder.name for folder in tuned]
    models = [results[folder.name] for folder in tuned]
    assert models[0].model.sha256 != models[1].model.sha256
    assert all(model.controls["random-twin"] == twins[0].content_sha256 for model in models)


def test_a_twin_is_gone_when_its_model_is_loaded(tuned, tmp_path, monkeypatch):
    alive, twin_of, load = [], loading.random_twin, loading.load_network

    def drawn(*args):
        network = twin_of(*args)
        alive.append(weakref.ref(network))
        return network

    def loaded(*args):
        gone.append(bool(alive) and alive[-1]() is None)
        return load(*args)

    gone = []
    monkeypatch.setattr(loading, "random_twin", drawn)
    monkeypatch.setattr(loading, "load_network", loaded)
    go(tmp_path / "runs", tuned[0])
    assert len(alive) == 1
    assert gone == [True]
