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
        {"id": "wer", "what": "WER of <b>base</b>", "reference": 0.05, "value": 0.0512345, "outcome": "pass"},
        {"id": "heads", "what": "heads", "reference": [[1, 2]], "value": None, "outcome": "needs a hub"},
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


def test_findings_are_rows_and_checks_are_columns(tmp_path):
    for name, held in (("validation", VALIDATION), ("audit", AUDIT)):
        (tmp_path / f"{name}.json").write_text(json.dumps(held))
    audit, validation = load_reports(tmp_path)
    ((_, columns, rows),) = validation.tables
    assert columns == ("id", "what", "reference", "value", "outcome")
    assert [cell.text for cell in rows[0]] == ["wer", "WER of <b>base</b>", "0.05", "0.05123", "pass"]
    assert [row[-1].outcome for row in rows] == ["pass", ""]
    assert dict(validation.facts)["created"] == "2026-01-02"
    ((_, columns, rows),) = audit.tables
    assert columns == ("task", "value", "seeds", "damage")
    assert (rows[0][3].outcome, rows[0][3].says) == ("fail", "no loss")
    assert [cell.text for cell in rows[1]] == ["noise", "0.2", "–", "not run"]


def test_what_a_row_is_about_comes_first(tmp_path):
    (tmp_path / "audit.json").write_text(json.dumps(AUDIT, sort_keys=True))
    ((_, columns, rows),) = load_reports(tmp_path)[0].tables
    assert columns == ("task", "seeds", "damage", "value")
    assert rows[0][0].text == "abx"


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
    assert "<li>abx: no loss</li>" in (tmp_path / "site" / "audit.html").read_text()
    assert 'href="../validation.html"' in (tmp_path / "site" / "models" / "whisper-base.html").read_text()


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}'])
def test_what_is_no_report_is_told(tmp_path, text):
    (tmp_path / "audit.json").write_text(text)
    with pytest.raises(InnerearError, match=r"audit\.json: not"):
        load_reports(tmp_path)
