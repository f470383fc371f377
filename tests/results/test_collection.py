"""A folder of results as a table of scores."""

import math

import pytest

from innerear.results.collection import Results, load_results
from innerear.results.schema import CorpusInfo
from innerear.results.store import Store
from innerear.util.errors import InnerearError, InputError
from tests.synthetic import make_result


def test_a_folder_is_a_table_with_a_row_for_each_score(tmp_path):
    results = [make_result(0.8), make_result(0.7, model={"name": "other", "kind": "twin", "twin_of": "it"})]
    for result in results:
        Store(tmp_path).save(result)
    scores = load_results(tmp_path).to_pandas()
    assert len(scores) == sum(len(result.scores) for result in results)
    headlines = scores[scores.headline].set_index("model")
    assert headlines.loc["whisper-base", ["score", "value", "low", "high", "n", "unit"]].tolist() == [
        "accuracy", 0.8, 0.78, 0.82, 1200, "fraction",
    ]  # fmt: skip
    assert headlines.loc["other", ["kind", "twin_of"]].tolist() == ["twin", "it"]
    assert set(scores.content_sha256) == {result.content_sha256 for result in results}
    selectivity = scores[(scores.score == "selectivity") & (scores.model == "whisper-base")]
    assert math.isnan(selectivity.low.item())


def test_what_does_not_apply_is_a_row_with_its_reason():
    (row,) = Results([make_result(status="n/a", reason="no ears", scores={})]).to_pandas().to_dict("records")
    assert (row["score"], row["headline"], row["n"], row["reason"]) == ("accuracy", True, 0, "no ears")
    assert math.isnan(row["value"])


def test_results_of_other_training_corpora_are_told_apart():
    train = CorpusInfo(**make_result().corpus.model_dump() | {"name": "other", "fingerprint": "d" * 64})
    scores = Results([make_result(), make_result(train_corpus=train)]).to_pandas()
    assert set(zip(scores.train_corpus, scores.train_fingerprint, strict=True)) == {
        ("", ""), ("other", "d" * 64),
    }  # fmt: skip


def test_results_are_shown_in_a_line_and_as_their_headlines():
    results = Results([make_result(0.8), make_result(0.7, model={"name": "other"})])
    assert repr(results) == "<Results: 2 results (1 task, 2 models); to_pandas() has the scores>"
    table = results._repr_html_()
    assert table.count("accuracy") == 2
    assert "selectivity" not in table
    assert Results().to_pandas().empty


def test_an_empty_folder_and_a_damaged_result_are_errors(tmp_path):
    with pytest.raises(InputError, match="no results here"):
        load_results(tmp_path)
    path = Store(tmp_path).save(make_result())
    path.write_text(path.read_text().replace("0.8", "0.9", 1))
    with pytest.raises(InnerearError, match="edited or damaged"):
        load_results(str(tmp_path))
