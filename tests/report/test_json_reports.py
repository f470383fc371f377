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
         "low": 0.04, "high": 0.06, "outcome": "pass"},
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
    assert table.columns == ("what is compared", "model", "expected", "found", "within", "passed")
    texts = [[cell.text for cell in row] for row in table.rows]
    assert texts[0] == ["WER of <b>base</b>", "–", "0.05", "0.05123 [0.04, 0.06]", "± 0.01", "pass"]
    assert texts[1] == ["heads", "–", "1 value", "–", "–", "needs a hub"]
    assert [row[-1].outcome for row in table.rows] == ["pass", "not run", "fail"]
    columns, rows = table.details
    assert columns == ("what", "model", "reference", "value", "tolerance", "outcome", "id", "low", "high")
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
    assert plain.summary == "1 row, without checks."
    assert plain.columns == ("a",)


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
        created="2026-01-02", cpu_s=1, levels=[0.1], seeds=[0], metrics=[audited],
        environment=result.environment,
    )  # fmt: skip
    (store.folder / "audit.json").write_text(audit.model_dump_json())
    build(store, tmp_path / "site")
    text = (tmp_path / "site" / "validation.html").read_text()
    assert "WER of &lt;b&gt;base&lt;/b&gt;" in text
    assert 'class="pass"' in text
    assert "<li>abx, m: damage: no loss</li>" in (tmp_path / "site" / "audit.html").read_text()
    assert 'href="../validation.html"' in (tmp_path / "site" / "models" / "whisper-base.html").read_text()


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}'])
def test_what_is_no_report_is_told(tmp_path, text):
    (tmp_path / "audit.json").write_text(text)
    with pytest.raises(InnerearError, match=r"audit\.json: not"):
        load_reports(tmp_path)
