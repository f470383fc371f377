"""Items of a table as data: rows joined over models, what an outcome says, marks of errors, tokens."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from listened import SITES, clips, from_layers, heads, lens, phones, result, transcripts
from synthetic import make_items, make_result

from innerear.report.items import (
    _marks,
    by_clip,
    coded,
    joined,
    listed,
    outcome_kind,
    outcome_name,
    table_data,
)
from innerear.report.leaderboard import tables
from innerear.results.store import Store

PUBLISHED = Store(Path(__file__).parents[2] / "results")


def made(tmp_path, *sounds):
    """The only table of some results, and its data."""
    store = Store(tmp_path)
    for each in sounds:
        store.save(*each)
    (table,) = tables(store)
    frames = {name: store.read_items(each) for name, each in listed(table).items()}
    return table, *table_data(table, frames)


def plain(column) -> list:
    """A coded column as it was."""
    if isinstance(column, list):
        return column
    return [None if at < 0 else column["of"][at] for at in column["at"]]


def test_a_column_is_what_it_was():
    for values in ([1.0, 0.5, None], ["a", "b", None, "a"], [True, False, True], [3, 1, 2]):
        assert plain(coded(pd.Series(values))) == values
    assert coded(pd.Series([1 / 3, 2.0])) == [0.333333, 2]
    assert coded(pd.Series([1e300, 2.0])) == [1e300, 2]
    json.dumps(coded(pd.Series([np.nan, np.int64(3)])), allow_nan=False)


def test_units_are_joined_over_models_by_their_names():
    one = pd.DataFrame({"unit": ["a", "b"], "item": ["x", "x"], "speaker": "s", "truth": ["t", "u"]})
    two = pd.DataFrame({"unit": ["c", "b"], "item": ["y", "x"], "speaker": "s", "truth": ["v", "u"]})
    units = joined({"one": one, "two": two}, ["truth", "absent"])
    assert units.to_dict("list") == {
        "unit": ["a", "b", "c"], "item": ["x", "x", "y"], "speaker": ["s"] * 3, "truth": ["t", "u", "v"],
    }  # fmt: skip


def test_what_two_models_differ_in_was_not_given():
    one = pd.DataFrame({"unit": ["a"], "item": ["x"], "speaker": ["s"], "truth": ["t"]})
    units = joined({"one": one, "two": one.assign(truth="u")}, ["truth"])
    assert list(units) == ["unit", "item", "speaker"]


def test_each_model_has_its_own_rows_of_the_shared_units(tmp_path):
    result_one, items = phones("one", 3)
    result_two, others = phones("two", 4)
    _, shared, models = made(tmp_path, (result_one, items), (result_two, others.iloc[2:]))
    units = plain(shared["columns"]["unit"])
    assert len(units) == len(items)
    for name, frame in (("one", items), ("two", others.iloc[2:])):
        rows = models[name].get("rows", range(len(units)))
        assert [units[at] for at in rows] == frame["unit"].tolist()
        assert models[name]["outcome"] == frame["outcome"].tolist()
        assert plain(models[name]["own"]["predicted"]) == frame["predicted"].tolist()
        layers = models[name]["layers"]["correct"]
        assert layers["sites"] == SITES
        truths = frame[[f"correct.{site}" for site in SITES]].to_numpy()
        assert [[each == "1" for each in row] for row in plain(layers["digits"])] == truths.tolist()
    assert "rows" not in models["one"], "what follows is not said"
    assert plain(shared["columns"]["truth"]) == items["truth"].tolist()
    assert plain(shared["columns"]["word"])[3] == "word3"
    assert "type" not in shared["columns"]
    assert models["one"]["answer"] == "predicted"


@pytest.mark.parametrize(
    ("task", "direction", "outcomes", "kind"),
    [
        ("phoneme-probing", "higher", [0, 1], "right"),
        ("abx", "lower", [0, 1], "wrong"),
        ("abx", "lower", [0, 0.5], "number"),
        ("encoder-lens", "none", [0, 1], "number"),
        ("transcription", "lower", [0, 1], "errors"),
    ],
)
def test_what_an_outcome_says_follows_from_the_task(task, direction, outcomes, kind):
    score = make_result().scores["accuracy"].model_copy(update={"direction": direction})
    one = result(*clips(task), "one", scores={"accuracy": score})
    assert outcome_kind([one], pd.Series(outcomes, dtype=float)) == kind


def test_errors_are_marked_as_they_were_counted(tmp_path):
    _, shared, models = made(tmp_path, transcripts("one", "wrong"), transcripts("two", "wrong and more"))
    assert shared["kind"] == "errors"
    assert models["one"]["marks"] == {1: [["the decision to join the choir was"], ["easy", "wrong"]]}
    assert models["two"]["marks"][1][-2:] == [["", "wrong and"], ["easy", "more"]]
    assert models["one"]["unmarked"] == 0


def test_errors_of_published_results_are_marked_also_where_nobody_spoke():
    silent = 0
    for each in PUBLISHED.load_all():
        frame = PUBLISHED.read_items(each) if each.items else pd.DataFrame()
        if {"reference", "written", "errors"} <= set(frame):
            found = _marks(frame)
            assert len(found["marks"]) + found["unmarked"] == (frame["errors"] > 0).sum()
            assert not found["unmarked"]
            silent += sum(frame["reference"].iloc[at] == "" for at in found["marks"])
    assert silent


def test_errors_that_were_counted_otherwise_are_not_marked(tmp_path):
    made_of, items = transcripts("one", "wrong")
    _, _, models = made(tmp_path, (made_of, items.assign(errors=items["errors"] * 2)))
    assert models["one"]["marks"] == {}
    assert models["one"]["unmarked"] == 1


def test_tokens_are_listed_by_clip_with_what_each_layer_would_write(tmp_path):
    one, two = lens("one", ["▁The", "▁end"], mapped=True), lens("two", ["Ġthe", "Ġend", "."])
    _, shared, models = made(tmp_path, one, two)
    (clip,) = plain(shared["columns"]["unit"])
    assert shared["own"]
    assert plain(shared["columns"]["condition"]) == ["clean"]
    assert models["two"]["own"]["units"] == [3]
    seen = models["one"]["tokens"]["clips"][clip]
    assert models["one"]["tokens"]["sites"] == SITES
    assert seen["tokens"] == [" The", " end"]
    assert seen["digits"] == ["01111", "00111"]
    assert seen["right"] == ["right", "wrong"]
    assert seen["top"] == [[f"top{at}{layer}" for layer in range(5)] for at in range(2)]
    assert "top" not in models["two"]["tokens"]["clips"][clip]


def test_the_outcome_of_a_clip_is_the_mean_of_its_tokens():
    frame = pd.DataFrame({"item": ["b", "a", "b"], "speaker": "s", "outcome": [0.0, 1.0, 0.5]})
    assert by_clip(frame, ["absent"])[["unit", "outcome", "units"]].to_dict("list") == {
        "unit": ["b", "a"], "outcome": [0.25, 1.0], "units": [2, 1],
    }  # fmt: skip


def test_text_by_layer_is_kept_layer_by_layer(tmp_path):
    _, _, models = made(tmp_path, from_layers("one"))
    written = models["one"]["layers"]["written"]
    assert written["sites"] == SITES
    assert plain(written["values"][2]) == ["from encoder.2"] * 2
    assert "written.encoder.2" not in models["one"]["own"]


def test_peaks_are_answers(tmp_path):
    _, shared, models = made(tmp_path, heads("one", 0.1))
    assert models["one"]["answer"] == "peak"
    assert isinstance(shared["columns"]["start"], list)


def test_items_that_no_two_models_share_are_not_listed(tmp_path):
    dictionaries = make_result(task={"protocol": "sparse-features", "sha256": "d" * 64})
    store = Store(tmp_path)
    store.save(dictionaries, make_items())
    store.save(make_result(model={"name": "without"}))
    assert [list(listed(table)) for table in tables(store)] == [[], []]


def test_of_two_weights_under_one_name_the_best_count(tmp_path):
    store = Store(tmp_path)
    for value, weights in ((0.7, "a"), (0.9, "b")):
        store.save(
            make_result(value, model={"name": "same", "parts": {"weights": weights}}), make_items(value)
        )
    (table,) = tables(store)
    assert [each.score.value for each in listed(table).values()] == [0.9]


def test_an_outcome_is_named_for_what_it_is():
    word, character = (
        result(*clips("transcription"), "one", headline=name, scores={name: make_result().scores["accuracy"]})
        for name in ("wer_over_snr", "cer")
    )
    assert outcome_name([word], "errors") == "errors per word"
    assert outcome_name([word, character], "errors") == "errors per character or word"
    erased = make_result(task={"id": "erasure", "protocol": "erasure"})
    assert outcome_name([erased], "number") == "outcome (not yet divided by its weight)"


def test_infinity_is_no_number_of_a_page():
    assert coded(pd.Series([np.inf, 1.5, np.nan])) == [None, 1.5, None]
