from pathlib import Path

import pytest
from rich.console import Console
from synthetic import make_family, make_items, make_result

from innerear.report.cite import sentence
from innerear.report.result_details import commands_for, facts_of, show
from innerear.results.schema import ORGANISM_SPEECH, Result
from innerear.results.store import Store, read_result


def printed(result: Result, width: int = 160) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(show(result, Path("a folder/result.json")))
    return capture.get()


def test_a_reader_learns_what_was_measured_on_what_and_how_sure():
    text = printed(make_result())
    for needed in (
        "whisper-base on Layerwise phoneme probing",
        "toy 1: 48 clips, 2.0 min, 12 speakers, synthetic speech; refused: 1",
        "80.0 [78.0, 82.0] %",
        "higher is better",
        "95% interval over the clusters (speakers or sound sources); n = 1,200",
        "11.0 % by always predicting the most frequent class",
        "innerear reproduce 'a folder/result.json'",
        "(3/4 (0.75) by their mean)",
    ):
        assert needed in text


def test_a_layer_is_named_with_a_headline_only_where_folds_cannot_differ_in_it():
    folds = make_result()
    one = make_result(split={**dict(folds.split), "folds": folds.split.folds[:1]})
    assert "layer 3/4 (0.75), chosen on dev" in printed(one)
    assert "at layer 3/4 (0.75), chosen on dev, on" in sentence(one)
    assert "at the layer that each fold's dev speakers choose (3/4 (0.75) by their mean), on" in sentence(
        folds
    )


def test_a_model_organism_says_so_where_a_part_of_it_heard_what_is_undisclosed():
    own = {"name": "organism", "training_data": [ORGANISM_SPEECH]}
    whole, partly = (
        dict(facts_of(make_result(model={**own, "contaminated": known}), None))["model organism"]
        for known in (False, None)
    )
    assert "taken over" not in whole
    assert partly.startswith(whole)
    assert "taken over from another model" in partly


def test_the_layer_table_has_a_line_for_each_layer_and_marks_the_chosen_one():
    text = printed(make_result())
    line = next(line for line in text.splitlines() if "encoder.3" in line)
    assert line.split() == [
        "encoder.3", "←", "80.0", "78.0", "82.0", "81.0", "70.0", "20.0", "60.0", "1"
    ]  # fmt: skip
    other = next(line for line in text.splitlines() if "encoder.0" in line)
    assert other.split()[1:5] == ["56.0", "54.0", "58.0", "57.0"]


def test_each_fold_has_its_c_where_folds_differ():
    text = printed(make_result(tuned={"c": [[1, 1, 1, 1, 0.1], [1, 1, 1, 1, 10.0]]}))
    assert next(line for line in text.splitlines() if "encoder.4" in line).rstrip().endswith("0.1 10")


def test_controls_folds_confusions_provenance_and_times_are_there():
    text = printed(make_result(controls={"random twin": "9" * 64}))
    for needed in ("majority", "11.0", "300 / 12 / 3", "Z", "31", "b" * 64, "c" * 64, "a mirror", "9" * 64,
                   "bad: silent", "commit ffffffffffff", "torch 2.9.0", "40.0 times real time", "900 MiB",
                   "load 1.0 s, encoder 6.0 s, decoder 0.0 s", "680 kh of the web"):  # fmt: skip
        assert needed in text


def test_a_result_says_how_to_check_repeat_and_cite_it():
    assert commands_for(make_result(), "x.json") == [
        "innerear verify x.json",
        "innerear reproduce x.json  # made by innerear 0.1.0, commit ffffffffffff",
        "innerear cite x.json",
    ]
    twin = make_result(model={"name": "m-random", "kind": "twin", "twin_of": "a model", "seed": 3})
    assert "initialised from seed 3" in printed(twin)


def test_the_question_is_told_and_whether_the_model_knew_the_corpus():
    text = printed(make_result(task={"question": "Which layer?"}, model={"contaminated": True}))
    assert "Which layer?" in text
    assert "yes: the score may be too optimistic" in text
    assert "undisclosed" in printed(make_result(model={"contaminated": None}))


def test_clusters_are_those_that_the_headline_is_over(tmp_path):
    items = make_items()
    path = Store(tmp_path).save(make_result(), items[items["speaker"] < "s05"])
    console = Console(width=160)
    with console.capture() as capture:
        console.print(show(read_result(path), path))
    assert "interval over 5 clusters" in capture.get()


def test_a_matrix_too_wide_to_read_is_named_and_not_torn():
    rows = [{"truth": str(row), **{f"class {at}": at for at in range(39)}} for row in range(39)]
    text = printed(make_result(tables={"confusion_matrix": rows}), width=80)
    assert "39 rows of 40 columns, in the file" in text
    assert "class 1" not in text


@pytest.mark.parametrize("at", range(7))
def test_models_twins_and_floors_can_all_be_shown(at):
    result, _ = make_family()[at]
    assert result.model.name in printed(result, width=80)


def test_what_is_not_applicable_says_why():
    text = printed(make_result(status="n/a", reason="it has no encoder", scores={}, curves=[], tables={}))
    assert "n/a: it has no encoder" in text


def test_hostile_text_stays_text():
    text = printed(make_result(model={"name": "[red]x[/red]\x1b[2J"}, tables={"t": [{"[b]a": "[i]\x07"}]}))
    assert "[red]x[/red] [2J" in text
    assert "[i]" in text
    assert "\x1b[2J" not in text
