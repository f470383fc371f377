"""The page of machines is that of results/machines.json; tolerances cover what moved."""

import sys
from pathlib import Path

import pytest
from synthetic import make_items, make_result

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

from reproducibility import PAGE, page, together  # noqa: E402

from innerear.results.machines import Machines, Repeated, RepeatedPair, machines  # noqa: E402
from innerear.results.store import Store  # noqa: E402
from innerear.tasks.task import load_task  # noqa: E402
from innerear.util.errors import InputError  # noqa: E402

WHERE = {
    "task": "abx", "version": 2, "task_sha256": "a", "corpus": "toy", "learnt_on": "", "first": "one",
    "second": "another",
}  # fmt: skip


@pytest.fixture(scope="module")
def found() -> Machines:
    return machines(ROOT / "results")


@pytest.fixture(scope="module")
def published():
    return Store(ROOT / "results").load_all()


def repeated(model, again=0.5, kind="model", point=0.0):
    return Repeated(
        **WHERE, model=model, kind=kind, content=model, threads=(2, 1), headline="error", value=0.5,
        again=again, point=point, where="probe at encoder.1" if point else "", scores=3,
        differ=int(again != 0.5), choices=0, turned=0,
    )  # fmt: skip


def pair(a, b, p, again):
    return RepeatedPair(**WHERE, a=a, b=b, a_content=a, b_content=b, p=p, again=again)


def row(results, pairs=()):
    lines = page(Machines(results=results, pairs=list(pairs)), []).splitlines()
    return next(line for line in lines if line.startswith("| abx (toy) | ")).strip("| ").split(" | ")


def test_the_page_is_that_of_what_was_measured(found, published):
    assert PAGE.read_text() == page(found, published), "python docs/reproducibility.py makes it anew"


def test_what_was_measured_is_of_published_results(found, published):
    assert found.results
    still = found.updated(Machines(results=[], pairs=[]), Store(ROOT / "results"))
    assert still == found, "python docs/reproducibility.py drops the rest"
    headlines = {
        (each.content_sha256[:12], each.model.name): each.score.value for each in published if each.score
    }
    assert all(headlines[each.content, each.model] == each.value for each in found.results)


def test_the_tolerances_of_the_register_cover_what_was_measured(found):
    beyond = [each for each in found.results if each.moved > load_task(each.task).tolerance]
    assert not beyond


def test_goals_are_met_or_not():
    assert row([repeated("m")])[-1] == "yes"
    assert row([repeated("m", again=0.5009)])[-1] == "yes"
    far = row([repeated("m"), repeated("n", again=0.5012)])
    assert (far[2], far[-1]) == ("0.0012 (n)", "no")
    bent = row([repeated("m", point=0.003)])
    assert (bent[3], bent[-1]) == ("0.0030 (m, probe at encoder.1)", "no")


def test_letters_that_changed_are_named_and_are_those_of_models():
    models = [repeated("m"), repeated("n"), repeated("noise", kind="floor")]
    moved = row(models, [pair("m", "n", 0.04, 0.06), pair("m", "noise", 0.001, 0.9)])
    assert moved[6] == "n b → a"
    assert moved[5].startswith("0.8990 (m − noise")
    assert moved[-1] == "no"
    assert row(models, [pair("m", "n", 0.04, 0.045)])[6:] == ["the same", "yes"]
    assert row([repeated("m"), repeated("noise", kind="floor")])[6] == "–"


def test_what_moved_by_more_is_listed():
    text = page(Machines(results=[repeated("near"), repeated("far", again=0.51)], pairs=[]), [])
    _, _, below = text.partition("## What moved by more")
    assert "| abx (toy) | far | one → another | 0.5000 → 0.5100 | 0 |" in below
    assert "near" not in below.partition("## ")[0]


def test_choices_that_are_near_a_tie_are_counted():
    dev = [
        [[-0.5, -0.7001, -0.7], [-0.6, -0.6002, -0.5]],
        [[-0.9, -0.5, -0.4001], [-0.4, -0.400002, -1.0]],
    ]
    made = make_result(tuned={"dev_log_likelihood": dev})
    text = page(Machines(results=[], pairs=[]), [made, make_result()])
    assert "| phoneme-probing | 4 | 1 | 2e-06 |" in text


def test_folders_of_one_machine_are_taken_together_and_no_result_twice(tmp_path):
    for name in ("one", "two"):
        Store(tmp_path / name).save(make_result(model={"name": name}), make_items())
    together([tmp_path / "one", tmp_path / "two"], both := Store(tmp_path / "both"))
    assert [result.model.name for result in both.load_all()] == ["one", "two"]
    with pytest.raises(InputError, match="another folder has this result, too"):
        together([tmp_path / "two"], both)
    with pytest.raises(InputError, match="no results here"):
        together([tmp_path], Store(tmp_path / "none"))
