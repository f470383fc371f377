import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from synthetic import SPEAKERS, make_family, make_items, make_result, make_sound

from innerear.report.chart import PALETTE
from innerear.report.leaderboard import best_layer, ranked, resolution, tables
from innerear.report.legend import NO_WIDTH
from innerear.report.numbers import interval, number, p_value
from innerear.report.ranking import DRAWN
from innerear.results.headline import Ratio
from innerear.results.merits import unaudited
from innerear.results.paired import paired_test, pairwise_comparisons
from innerear.results.schema import ORGANISM_SPEECH, Score
from innerear.results.store import Store
from innerear.stats.intervals import holm
from innerear.util.errors import InnerearError
from innerear.util.io import sha256_json


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path)
    for result, items in make_family():
        made.save(result, items)
    return made


def column(table, name: str) -> list[str]:
    at = table.columns.index(name)
    return [row.cells[at] for row in table.rows]


def test_models_are_ranked_and_twins_and_floors_are_shown_without_a_rank(store):
    (table,) = tables(store)
    assert list(zip(column(table, "#"), column(table, "model"), column(table, "kind"), strict=True)) == [
        ("1", "whisper-base", ""),
        ("2", "whisper-tiny.en", ""),
        ("3", "moonshine-tiny", ""),
        ("", "log-mel", "floor"),
        ("", "whisper-base-random", "random twin"),
        ("", "whisper-tiny.en-random", "random twin"),
        ("", "moonshine-tiny-random", "random twin"),
        ("", "majority", "floor"),
    ]
    assert table.rows[3].kind == "floor"
    assert table.rows[4].kind == "twin"


def test_a_row_says_how_much_and_how_sure(store):
    (table,) = tables(store)
    cells = dict(zip(table.columns, table.rows[0].cells, strict=True))
    assert cells["accuracy ↑"] == "86.0 [84.0, 88.0]"
    assert cells["layer (depth)"] == "3/4 (0.75)"
    assert cells["selectivity"] == "66.0"
    assert cells["emergence"] == "0.5"
    assert cells["2nd head"] == "0.9"
    assert cells["RTFx"] == "20.0"
    assert cells["n"] == "1,200"
    assert "12 speakers" in table.facts
    assert "a" * 12 in table.facts


def test_the_lead_is_the_paired_difference_with_holms_p_over_speakers(store):
    (table,) = tables(store)
    first, second, third = (store.read_items(result) for result in table.results[:3])
    p = [
        paired_test(Ratio.mean(a), Ratio.mean(b), level=0.95, seed=0)[2]
        for a, b in ((first, second), (second, third))
    ]
    shown = [f"+2.0, {p_value(holm(p)[0])}", f"+1.0, {p_value(holm(p)[1])}"]
    assert column(table, "lead") == [*shown, "–", "–", "–", "–", "–", "–"]


def test_a_table_says_how_many_pairs_it_tells_apart_and_what_could_have_been_of_tied_neighbours(store):
    (table,) = tables(store)
    models = [result for result in table.results if result.model.kind == "model"]
    compared = pairwise_comparisons(store, models)
    tied = [at for at in range(len(models) - 1) if compared[at, at + 1].better is None]
    found = sorted(number(compared[at, at + 1].detectable, "fraction") for at in tied)
    assert 0 < len(compared.ahead) < len(compared), "some are told apart and some are not"
    (note,) = [note for note in table.notes if "told apart jointly" in note]
    assert note.startswith(f"{len(compared.ahead)} of {len(compared)} pairs told apart jointly.")
    assert f"finds a difference of {found[0]}" in note
    assert note.endswith("points with a power of 80 %.")


def test_pairs_with_an_organism_are_counted_apart(tmp_path):
    store = Store(tmp_path)
    for name, value, training in (("a", 0.9, []), ("b", 0.9, []), ("grown", 0.3, [ORGANISM_SPEECH])):
        result, items = make_sound(value, model={"name": name, "training_data": training})
        store.save(result, items)
    (table,) = tables(store)
    assert table.apart is not None
    assert (table.apart.told, table.apart.pairs) == (2, 3)
    assert (table.apart.told_of_models, table.apart.pairs_of_models) == (0, 1)
    counted = replace(table, counts=True)
    assert resolution([counted, counted]) == (
        "The tables of merits tell 4 of 6 pairs of models apart, 0 of 2 without model organisms."
    )
    methods = [
        each.model_copy(update={"model": each.model.model_copy(update={"kind": "method"})})
        for each in table.results
    ]
    assert resolution([replace(table, counts=False), replace(counted, results=tuple(methods))]) == ""


def test_a_model_that_heard_the_corpus_in_training_is_marked_and_so_is_one_of_which_nobody_knows(tmp_path):
    store = Store(tmp_path)
    for name, known in (("clean", False), ("heard", True), ("secret", None)):
        store.save(make_result(model={"name": name, "contaminated": known}), make_items())
    store.save(make_result(model={"name": "twin", "kind": "twin", "contaminated": None}), make_items())
    (table,) = tables(store)
    assert sorted(column(table, "model")) == ["clean", "heard !", "majority", "secret ?", "twin"]


def test_a_model_organism_is_marked(tmp_path):
    store = Store(tmp_path)
    store.save(make_result(model={"name": "grown", "training_data": [ORGANISM_SPEECH]}), make_items())
    store.save(make_result(model={"name": "real", "parts": {"weights": "9" * 64}}), make_items())
    (table,) = tables(store)
    assert sorted(zip(column(table, "model"), column(table, "kind"), strict=True)) == [
        ("grown", "organism"), ("majority", "floor"), ("real", ""),
    ]  # fmt: skip


def test_items_are_paired_by_name_and_not_by_order(tmp_path):
    store = Store(tmp_path)
    items = make_items(0.8)
    store.save(make_result(0.8, model={"name": "a"}), items)
    store.save(make_result(0.8, model={"name": "b"}), items.sample(frac=1, random_state=1))
    assert [gap.difference for gap in pairwise_comparisons(store, store.load_all()).values()] == [0.0]


def test_only_items_that_both_models_heard_are_paired(tmp_path):
    store = Store(tmp_path)
    easy = make_items(0.8).assign(outcome=1.0)
    hard = make_items(0.5)
    store.save(make_result(1.0, model={"name": "a"}), easy)
    kept = hard[hard["speaker"] != SPEAKERS[0]]
    store.save(make_result(kept["outcome"].mean(), model={"name": "b"}), kept)
    (gap,) = pairwise_comparisons(store, ranked(store.load_all())).values()
    assert gap.difference == pytest.approx(1 - kept["outcome"].mean())
    assert gap.p < 0.01


def test_models_without_common_items_have_no_lead(tmp_path):
    store = Store(tmp_path)
    store.save(make_result(0.9, model={"name": "a"}), make_items().assign(item="x"))
    store.save(make_result(0.8, model={"name": "b"}), make_items())
    store.save(make_result(0.7, model={"name": "c"}))
    assert pairwise_comparisons(store, ranked(store.load_all())) == {}


def test_lower_is_better_where_the_metric_says_so():
    def scored(name, value):
        score = Score(value=value, n=9, unit="fraction", direction="lower")
        return make_result(model={"name": name}, scores={"wer": score}, headline="wer", curves=[])

    names = [result.model.name for result in ranked([scored("worse", 0.3), scored("better", 0.1)])]
    assert names == ["better", "worse"]


def test_another_task_hash_is_another_table_that_says_what_differs(store):
    spec = make_result().task.spec | {"clips_per_speaker": 8}
    store.save(make_result(0.99, task={"sha256": "d" * 64, "spec": spec}), make_items(0.99))
    quick, full = tables(store)
    assert full.heading == "phoneme-probing v1, not registered, on toy 1 (clips_per_speaker = None)"
    assert quick.heading == "phoneme-probing v1, not registered, on toy 1 (clips_per_speaker = 8)"
    assert column(quick, "model") == ["whisper-base", "majority"]
    assert column(full, "accuracy ↑")[0] == "86.0 [84.0, 88.0]"


def test_another_fingerprint_of_the_corpus_is_another_table(store):
    store.save(make_result(corpus={"fingerprint": "e" * 64}))
    assert [table.heading for table in tables(store)] == [
        "phoneme-probing v1, not registered, on toy 1 (corpus cccccccc)",
        "phoneme-probing v1, not registered, on toy 1 (corpus eeeeeeee)",
    ]


def test_headings_that_are_cut_alike_have_a_hash(tmp_path):
    store, spec = Store(tmp_path), make_result().task.spec
    for seed in range(2):
        many = {"many": ["setting"] * 30 + [seed], "id": "phoneme-probing", "confidence": 0.95}
        store.save(make_result(task={"spec": spec | many, "sha256": sha256_json(many)}))
    headings = [table.heading for table in tables(store)]
    assert len({*headings}) == 2
    assert all(re.search(r"…\) \[[0-9a-f]{8}\]$", heading) for heading in headings), headings


def test_transfer_has_a_table_of_its_own(store):
    source = dict(make_result().corpus) | {"name": "other", "fingerprint": "f" * 64}
    store.save(make_result(train_corpus=source))
    assert [table.heading for table in tables(store)] == [
        "phoneme-probing v1, not registered, on toy 1",
        "phoneme-probing v1, not registered, on toy 1, learnt on other 1",
    ]


def test_a_shift_that_is_a_bound_is_told(tmp_path):
    store = Store(tmp_path)
    contexts = {"one": "neutral", "two": "favours-foil", "three": "favours-spoken"}
    for name, context in contexts.items():
        rows = [
            {"evidence": "dB", "context": each, "censored": each == context} for each in contexts.values()
        ]
        store.save(make_result(model={"name": name}, tables={"psychometric": rows}))
    (table,) = tables(store)
    (note,) = [each for each in table.notes if "shift" in each]
    assert note.startswith("shift, dB, is a lower bound of one and two: a threshold is at the edge")


def test_what_is_not_applicable_comes_last_with_its_reason(store):
    store.save(make_result(model={"name": "ctc"}, status="n/a", reason="no decoder", scores={}, curves=[]))
    (table,) = tables(store)
    assert table.rows[-1].cells[1] == "ctc"
    assert len(table.rows[-1].cells) == len(table.columns)
    assert table.rows[-1].result.reason == "no decoder"
    assert "n/a" in table.rows[-1].cells
    assert table.notes == (unaudited(table.results), "ctc is n/a: no decoder.")


def test_who_left_out_clips_that_others_were_scored_on_is_named(store):
    refused = [("long", "long: 66.2 s is longer than the model's window of 30 s"), ("far", "far: the same")]
    corpus = dict(make_result().corpus)
    corpus |= {"refused": [*corpus["refused"], *refused]}
    store.save(make_result(0.99, model={"name": "deaf"}, corpus=corpus), make_items(0.99))
    (table,) = tables(store)
    assert [note for note in table.notes if "not scored" in note] == [
        "deaf was not scored on 2 clips that others were scored on; the first: long: 66.2 s is longer than "
        "the model's window of 30 s."
    ]


def test_an_interval_without_width_says_what_it_means(tmp_path):
    store = Store(tmp_path)
    right = {"value": 1.0, "low": 1.0, "high": 1.0, "n": 9, "unit": "fraction", "direction": "higher"}
    store.save(make_result(0.9))
    assert NO_WIDTH not in tables(store)[0].notes
    store.save(make_result(model={"name": "all-right"}, scores={"accuracy": right}))
    assert NO_WIDTH in tables(store)[0].notes


def test_a_clip_that_no_model_heard_is_no_difference_between_them(tmp_path):
    store = Store(tmp_path)
    corpus = dict(make_result().corpus) | {"refused": [("broken", "broken: cannot be decoded")]}
    for seed, name in enumerate(("one", "other")):
        store.save(make_result(0.8, model={"name": name}, corpus=corpus), make_items(0.8, seed))
    (table,) = tables(store)
    own = [note for note in table.notes if "told apart" not in note]
    assert own == [unaudited(table.results)]


def test_a_table_of_what_is_not_applicable_only_can_be_made(tmp_path):
    store = Store(tmp_path)
    store.save(make_result(status="n/a", reason="no encoder", scores={}, curves=[]))
    (table,) = tables(store)
    assert len(table.rows) == 1


def test_two_weights_of_one_name_are_told_apart(tmp_path):
    store = Store(tmp_path)
    results = [
        make_result(value, model={"parts": {"weights": sign}}) for sign, value in (("1", 0.8), ("2", 0.7))
    ]
    for result in results:
        store.save(result)
    (table,) = tables(store)
    assert column(table, "model")[:2] == [f"whisper-base ({each.model.sha256[:8]})" for each in results]


def test_a_model_in_two_types_of_numbers_is_told_apart_by_them(tmp_path):
    store = Store(tmp_path)
    for value, dtype in ((0.8, "float32"), (0.7, "bfloat16")):
        store.save(make_result(value, model={"parts": {"weights": "1", "dtype": dtype}}))
    (table,) = tables(store)
    assert column(table, "model")[:2] == ["whisper-base (float32)", "whisper-base (bfloat16)"]


def test_an_empty_store_has_no_tables_and_a_damaged_one_is_an_error(tmp_path):
    assert tables(Store(tmp_path)) == []
    Store(tmp_path).save(make_result()).write_text("{")
    with pytest.raises(InnerearError, match="not JSON"):
        tables(Store(tmp_path))


def test_a_result_that_cannot_be_used_is_left_out_where_the_reader_is_told(store):
    (whole,) = tables(store)
    unknown = make_result(model={"name": "new"}, task={"protocol": "of-tomorrow"})
    damaged = make_result(model={"name": "damaged"})
    store.save(unknown)
    store.save(damaged).write_text("{")
    skipped = []
    (table,) = tables(store, skipped.append)
    assert table == whole
    assert sorted(str(each).split("; ")[0][:80] for each in skipped) == sorted(
        [
            f"{store.path_of(damaged)}: not JSON"[:80],
            f"{store.path_of(unknown)}: unknown protocol 'of-tomorrow'"[:80],
        ]
    )
    with pytest.raises(InnerearError, match="not JSON"):
        tables(store)


def test_figures_show_the_best_of_many_models_with_their_twins_and_the_table_says_so(tmp_path):
    store = Store(tmp_path)
    assert len(PALETTE) == DRAWN
    for at in range(DRAWN + 2):
        name, value = f"m{at:02}", 0.9 - at / 100
        store.save(make_result(value, model={"name": name}))
        store.save(make_result(0.3, model={"name": f"{name}-random", "kind": "twin", "twin_of": name}))
    store.save(make_result(0.5, model={"name": "log-mel", "kind": "floor"}))
    (table,) = tables(store)
    assert "Figures show the best 7 of 9 models." in table.notes
    left_out = {each.model.name for each in table.results} - {each.model.name for each in table.drawn}
    assert left_out == {"m07", "m07-random", "m08", "m08-random"}


def test_a_table_says_where_its_correction_leaves_nothing_to_find(tmp_path):
    """33 models are 528 pairs, and 528 times the smallest p of 9999 exchanges is above 5 %."""
    store, told = Store(tmp_path), []
    for at in range(33):
        value = (1200 - 5 * at) / 1200
        items = pd.concat(
            [make_items(value), make_items(value).assign(speaker=lambda made: made["speaker"] + "b")]
        )
        items["unit"] = [f"u{row}" for row in range(len(items))]
        store.save(make_result(value, model={"name": f"m{at:02}"}), items)
        if at in (30, 31, 32):
            (table,) = tables(store)
            told.append(any("No difference can be significant" in note for note in table.notes))
    assert told == [False, False, True]
    assert {each.between for each in table.standing.values()} == {(1, 33)}


def test_numbers_are_printed_as_papers_print_them():
    assert number(0.1234, "fraction") == "12.3"
    assert number(-0.1234, "fraction", signed=True) == "-12.3"
    assert number(1234.5678, "nats") == "1.23e+03"
    assert interval(Score(value=0.5, n=1, unit="nats", direction="none")) == "0.5"
    assert (p_value(0.00001), p_value(0.04567)) == ("p < 0.001", "p = 0.046")
    assert best_layer(make_result(curves=[])) == "–"


def test_no_cell_holds_a_number_that_is_none(store):
    cells = np.array([row.cells for table in tables(store) for row in table.rows])
    assert not [cell for cell in cells.flat if re.search(r"nan|None", cell)]


def test_where_no_direction_is_better_nobody_has_a_rank(tmp_path):
    store = Store(tmp_path)
    for result, items in make_family():
        headline = result.scores["accuracy"].model_copy(update={"direction": "none"})
        plain = {name: getattr(result, name) for name in type(result).model_fields}
        plain |= {"scores": result.scores | {"accuracy": headline}, "content_sha256": "", "record_sha256": ""}
        store.save(type(result)(**plain | {"items": None}), items)
    (table,) = tables(store)
    assert set(column(table, "#")) == {""}
    assert set(column(table, "lead")) == {"–"}


def test_outcomes_that_are_not_what_the_headline_means_lead_nowhere(tmp_path):
    store = Store(tmp_path)
    for name, value in (("a", 0.9), ("b", 0.6)):  # an AUROC of 0.9 where 80 % of decisions are right
        store.save(make_result(value, model={"name": name}), make_items(0.8))
    assert pairwise_comparisons(store, ranked(store.load_all())) == {}
