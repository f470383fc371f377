"""Reports beside results become pages, whatever they hold."""

import json

import pytest
from synthetic import make_result

from innerear.report.json_reports import load_reports
from innerear.report.site import build
from innerear.results.audit import Audit, Audited, Check
from innerear.results.store import Store
from innerear.util.errors import InnerearError

VALIDATION = {
    "schema_version": 1, "created": "2026-01-02",
    "findings": [
        {"id": "wer", "what": "WER of <b>base</b>", "reference": 0.05, "tolerance": 0.01, "value": 0.0512345,
         "low": 0.04, "high": 0.06, "outcome": "pass", "source": "a paper", "read": False},
        {"id": "heads", "what": "heads", "reference": [[1, 2]], "value": None, "outcome": "needs a hub"},
        {"id": "phones", "model": "m", "what": "phones", "reference": 0.8, "tolerance": 0.05, "value": 0.5,
         "outcome": "fail"},
    ],
    "environment": {"cpu": "x"},
}  # fmt: skip
AUDIT = {
    "metrics": [
        {"task": "abx", "value": 0.1, "error": None,
         "checks": [{"name": "seeds", "outcome": "pass", "says": "sd 0.1", "values": {}},
                    {"name": "damage", "outcome": "fail", "says": "no loss", "values": {}}]},
        {"task": "noise", "value": 0.2, "error": None,
         "checks": [{"name": "damage", "outcome": "not run", "says": "", "values": {}}]},
    ]
}  # fmt: skip


def _loaded(folder, **held):
    for name, content in held.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return [report.tables[0] for report in load_reports(folder)]


def test_what_one_looks_for_comes_first_and_the_rest_is_folded(tmp_path):
    (table,) = _loaded(tmp_path, validation=VALIDATION)
    assert table.columns == (
        "what is compared", "model", "expected", "within", "found", "expected by", "passed",
    )  # fmt: skip
    texts = [[cell.text for cell in row] for row in table.rows]
    assert texts[0] == [
        "WER of <b>base</b>", "–", "0.05", "± 0.01", "0.05123 [0.04, 0.06]", "a paper ?", "pass",
    ]  # fmt: skip
    assert texts[1] == ["heads", "–", "1 value", "–", "–", "–", "needs a hub"]
    assert [row[-1].outcome for row in table.rows] == ["pass", "not run", "fail"]
    columns, rows = table.details
    assert columns == (
        "what", "model", "reference", "tolerance", "value", "source", "outcome", "id", "low", "high", "read",
    )  # fmt: skip
    assert rows[1][2].text == "[[1, 2]]"
    (report,) = load_reports(tmp_path)
    assert dict(report.facts)["created"] == "2026-01-02"


def test_each_named_check_is_a_column(tmp_path):
    (table,) = _loaded(tmp_path, audit=AUDIT)
    assert table.columns == ("task", "value", "seeds", "damage")
    assert (table.rows[0][3].outcome, table.rows[0][3].says) == ("fail", "no loss")
    assert [cell.text for cell in table.rows[1]] == ["noise", "0.2", "–", "not run"]
    assert table.details is None


def test_a_sentence_counts_what_passed_failed_and_was_not_run(tmp_path):
    audit, validation = _loaded(tmp_path, validation=VALIDATION, audit=AUDIT)
    assert validation.summary == ("Of 3 checks 1 passed, 1 failed and 1 was not run (needs a hub: 1).")
    assert audit.summary == (
        "Of 3 checks 1 passed, 1 failed and 1 was not run. Of 2 rows 0 passed all checks that were run, 1 "
        "failed one or more, and of 1 none was run."
    )
    (tmp_path / "other").mkdir()
    (plain,) = _loaded(tmp_path / "other", machines={"results": [{"a": 1}]})
    assert plain.summary == "1 row."
    assert plain.columns == ("a",)


def test_a_pass_that_only_its_interval_reaches_is_told_apart(tmp_path):
    wide = {"what": "WER", "reference": 0.09, "tolerance": 0.01, "value": 0.0612, "low": 0.034, "high": 0.111,
            "outcome": "pass"}  # fmt: skip
    (table,) = _loaded(tmp_path, validation={"findings": [wide, {**wide, "value": 0.085}]})
    assert [(row[-1].text, row[-1].outcome) for row in table.rows] == [
        ("pass by its interval", "pass"), ("pass", "pass"),
    ]  # fmt: skip
    assert table.summary == "Of 2 checks 2 passed (1 by intervals alone), 0 failed and 0 were not run."
    (report,) = load_reports(tmp_path)
    assert "Passed by its interval" in report.reading


def test_what_was_measured_on_two_machines_is_read_from_left_to_right(tmp_path):
    pair = {"a": "one", "a_content": "1f", "again": 0.2, "b": "two", "corpus": "toy", "first": "here",
            "p": 0.1, "second": "there", "task": "abx"}  # fmt: skip
    (table,) = _loaded(tmp_path, machines={"pairs": [pair]})
    assert dict(zip(table.columns, (cell.text for cell in table.rows[0]), strict=True)) == {
        "task": "abx", "corpus": "toy", "model": "one", "and model": "two", "p, published": "0.1",
        "p, measured again": "0.2", "published on": "here", "measured again on": "there",
    }  # fmt: skip
    assert table.details[0][-1] == "a_content"


def test_what_failed_is_told_with_its_reason(tmp_path):
    audit, validation = _loaded(tmp_path, validation=VALIDATION, audit=AUDIT)
    assert validation.failed == (("phones, m", "expected 0.8; within ± 0.05; found 0.5"),)
    assert audit.failed == (("abx", "damage: no loss"),)


def test_a_report_has_a_page_that_every_page_leads_to(tmp_path):
    store = Store(tmp_path / "results")
    result = make_result()
    store.save(result)
    (store.folder / "validation.json").write_text(json.dumps(VALIDATION))
    checks = [Check(name="damage", outcome="fail", says="no loss")]
    audited = Audited(
        task="abx", version=3, model="m", headline="error", direction="lower", unit="fraction", clips=2, n=3,
        checks=checks,
    )  # fmt: skip
    audit = Audit(
        created="2026-01-02", cpu_s=1, levels=[0.1, 0.2], seeds=[0], metrics=[audited],
        environments={result.environment.machine: result.environment},
    )  # fmt: skip
    (store.folder / "audit.json").write_text(audit.model_dump_json())
    build(store, tmp_path / "site")
    text = (tmp_path / "site" / "validation.html").read_text()
    assert "WER of &lt;b&gt;base&lt;/b&gt;" in text
    assert 'class="pass"' in text
    page = (tmp_path / "site" / "audit.html").read_text()
    assert "<li>abx, m: damage: no loss</li>" in page
    assert "<dt>levels</dt><dd>0.1, 0.2</dd>" in page, "the steps of damage"
    assert 'none of their checks was run: <a href="tasks/phoneme-probing.html">' in page
    assert 'href="models/whisper-base.html">whisper-base<' not in page
    assert 'href="../validation.html"' in (tmp_path / "site" / "models" / "whisper-base.html").read_text()


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}'])
def test_what_is_no_report_is_told(tmp_path, text):
    (tmp_path / "audit.json").write_text(text)
    with pytest.raises(InnerearError, match=r"audit\.json: not"):
        load_reports(tmp_path)


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        ({"what": "x", "outcome": "pass"}, "pass"),
        ({"what": "x", "outcome": "pass", "value": 1, "reference": 2, "tolerance": None}, "pass"),
        ({"what": "x", "outcome": "pass", "read": False}, "pass"),
        ({"what": "x", "outcome": True}, "pass"),
        ({"what": "x", "outcome": "error"}, "fail"),
        ({"what": "x", "outcome": ["pass"]}, "not run"),
    ],
)
def test_a_report_of_others_may_lack_what_ours_have(tmp_path, record, outcome):
    (table,) = _loaded(tmp_path, other={"findings": [record]})
    assert [cell.outcome for row in table.rows for cell in row if cell.outcome] == [outcome]


def test_a_record_with_a_list_of_others_has_a_row_for_each(tmp_path):
    damaged = [
        {"kind": "noise", "cost": cost, "value": value} for cost, value in ((0.01, 0.7), (0.1234567, 0.6))
    ]
    merits = [{"task": "abx", "value": 0.75, "damaged": damaged}, {"task": "accent", "value": 0.5}]
    (table,) = _loaded(tmp_path, sensitivity={"merits": merits})
    assert table.columns == ("task", "damage", "cost in WER", "untouched", "damaged")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["abx", "noise", "0.01", "0.75", "0.7"],
        ["abx", "noise", "0.1235", "0.75", "0.6"],
        ["accent", "–", "–", "0.5", "–"],
    ]


def test_the_environment_is_among_the_facts(tmp_path):
    _loaded(tmp_path, validation=VALIDATION)
    (report,) = load_reports(tmp_path)
    assert ("environment: cpu", "x") in report.facts


@pytest.mark.parametrize("name", ["index", "search", "Items"])
def test_a_report_does_not_take_the_place_of_a_page(tmp_path, name):
    with pytest.raises(InnerearError, match="another one"):
        _loaded(tmp_path, **{name: VALIDATION})
