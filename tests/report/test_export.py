import io
import json

import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCardData
from synthetic import make_family, make_result

from innerear.report.export import FORMATS
from innerear.report.leaderboard import tables
from innerear.results.audit import Audit, Audited
from innerear.results.store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path)
    for result, items in make_family():
        made.save(result, items)
    return made


def test_csv_and_json_hold_every_score_in_full_precision(store):
    made = tables(store)
    table = pd.read_csv(io.StringIO(FORMATS["csv"](made)), dtype={"value": str})
    rows = json.loads(FORMATS["json"](made))
    results = store.load_all()
    assert len(table) == len(rows) == sum(len(result.scores) for result in results)
    for result in results:
        own = table[(table["content_sha256"] == result.content_sha256) & table["headline"]]
        assert own["value"].map(float).tolist() == [result.score.value]
        said = [row for row in rows if row["content_sha256"] == result.content_sha256 and row["headline"]]
        assert [row["value"] for row in said] == [result.score.value]
    best = table[table["headline"] & (table["place"] == 1)]
    assert best["model"].tolist() == ["whisper-base"]
    assert (best["rank_low"].item(), best["rank_high"].item()) == (1, 2)
    assert table[table["kind"] != "model"]["place"].isna().all()


def test_what_is_not_applicable_keeps_its_reason(tmp_path):
    store = Store(tmp_path)
    store.save(make_result(status="n/a", reason="no decoder", scores={}, curves=[]))
    (row,) = json.loads(FORMATS["json"](tables(store)))
    assert (row["status"], row["reason"], row["value"]) == ("n/a", "no decoder", None)


def test_latex_is_booktabs_with_the_best_headline_in_bold(store):
    text = FORMATS["latex"](tables(store))
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
    (bold,) = [line for line in text.splitlines() if r"\textbf{whisper-base}" in line]
    assert r"\textbf{86.0$^{+2.0}_{-2.0}$}" in bold
    assert text.count(r"\textbf") == 2, "its other columns are not compared"
    assert r"log-mel & 58.0$^{+2.0}_{-2.0}$" in text
    assert r"majority & 11.0 &" in text
    assert "95\\% intervals" in text
    assert text.isascii()


def test_a_hostile_name_stays_text(tmp_path):
    store = Store(tmp_path)
    name = r"\input{secret} & <b>_x_</b>%"
    store.save(make_result(model={"name": name}))
    text = FORMATS["latex"](tables(store))
    assert r"\input" not in text
    assert r"\textbackslash" in text
    assert set(pd.read_csv(io.StringIO(FORMATS["csv"](tables(store))))["model"]) == {name}
    card = yaml.safe_load(FORMATS["model-card"](tables(store)))
    assert card["model-index"][0]["name"] == name


def test_the_hub_reads_the_model_card(store):
    documents = list(yaml.safe_load_all(FORMATS["model-card"](tables(store))))
    assert [each["model-index"][0]["name"] for each in documents] == [
        "moonshine-tiny",
        "whisper-base",
        "whisper-tiny.en",
    ]
    (evaluation,) = ModelCardData(**documents[1]).eval_results
    assert evaluation.metric_value == 0.86
    assert evaluation.dataset_revision == "c" * 64


def test_results_on_one_corpus_stay_apart_in_the_model_card(store):
    other = {"id": "abx", "title": "ABX", "sha256": "d" * 64}
    store.save(make_result(0.3, task=other))
    whole = yaml.safe_load_all(FORMATS["model-card"](tables(store)))
    (base,) = [each["model-index"][0] for each in whole if each["model-index"][0]["name"] == "whisper-base"]
    named = {each["task"]["name"]: [one["value"] for one in each["metrics"]] for each in base["results"]}
    assert named == {
        "Layerwise phoneme probing (innerear phoneme-probing v1)": [0.86], "ABX (innerear abx v1)": [0.3],
    }  # fmt: skip


def test_marks_are_explained_where_the_table_goes(store):
    audited = {
        "task": "phoneme-probing", "version": 1, "model": "m", "headline": "accuracy",
        "direction": "higher", "unit": "", "clips": 1, "n": 1,
        "checks": [{"name": "damage", "outcome": "fail", "says": "no answer"}],
    }  # fmt: skip
    where = make_result().environment
    audit = Audit(
        created="",
        cpu_s=1,
        levels=[],
        seeds=[],
        metrics=[Audited(**audited)],
        environments={where.machine: where},
    )
    (store.folder / "audit.json").write_text(audit.model_dump_json())
    store.save(make_result(0.9, model={"name": "leak", "contaminated": True, "parts": {"weights": "9" * 64}}))
    made = tables(store)
    latex = FORMATS["latex"](made)
    assert "audit, damage (v1, on m with 1 clip): no answer" in latex
    assert "! after a name: trained on this corpus" in latex
    assert latex.isascii()
    for row in json.loads(FORMATS["json"](made)):
        assert row["audit"] == "failed"
        assert row["audit_failures"] == "damage (v1, on m with 1 clip): no answer"


def test_an_audit_that_passed_is_told_from_none(store):
    results = store.load_all()
    assert {row["audit"] for row in json.loads(FORMATS["json"](tables(store)))} == {"not run"}
    checks = [{"name": "damage", "outcome": "pass", "says": "falls"}]
    audited = Audited(
        task="phoneme-probing", version=results[0].task.version, model="m", headline="accuracy",
        direction="higher", unit="fraction", clips=1, n=1, checks=checks,
    )  # fmt: skip
    where = results[0].environment
    audit = Audit(
        created="", cpu_s=1, levels=[], seeds=[], metrics=[audited], environments={where.machine: where}
    )
    (store.folder / "audit.json").write_text(audit.model_dump_json())
    assert {row["audit"] for row in json.loads(FORMATS["json"](tables(store)))} == {"passed"}


def test_a_name_is_no_formula_in_a_spreadsheet(tmp_path):
    store = Store(tmp_path)
    store.save(make_result(model={"name": '=HYPERLINK("http://example.org")'}))
    table = pd.read_csv(io.StringIO(FORMATS["csv"](tables(store))))
    assert set(table["model"]) == {'\'=HYPERLINK("http://example.org")'}


def test_what_is_not_applicable_stands_in_latex_without_an_interval(tmp_path):
    store = Store(tmp_path)
    store.save(make_result(status="n/a", reason="no decoder", scores={}, curves=[]))
    assert "whisper-base & n/a" in FORMATS["latex"](tables(store))
