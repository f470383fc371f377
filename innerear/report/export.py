"""The leaderboard in other formats: CSV, JSON, LaTeX, and metadata for model cards."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import yaml
from huggingface_hub import EvalResult, ModelCardData

from innerear.report.leaderboard import MARKS, Row, Table
from innerear.report.markdown import to_markdown
from innerear.report.numbers import interval, number
from innerear.results.schema import Result, Score
from innerear.util.io import json_lines
from innerear.util.sanitise import clean

_TEX = {"τ": r"\ensuremath{\tau}", "Δ": r"\ensuremath{\Delta}", "↑": r"\ensuremath{\uparrow}",
        "↓": r"\ensuremath{\downarrow}", "–": "--", "−": r"\ensuremath{-}",
        "†": r"\ensuremath{\dagger}", "→": r"\ensuremath{\rightarrow}"}  # fmt: skip


def to_frame(tables: Sequence[Table]) -> pd.DataFrame:
    """One row for each score of each result, in full precision; fractions are not in per cent.

    The columns: task, corpora, model, the audit of the headline (passed, failed or not run) and what it
    failed, place and tied group, the score with its interval, and the hashes.
    """
    integers = ["version", "parameters", "place", "rank_low", "rank_high", "n"]
    return pd.DataFrame(_rows(tables)).astype(dict.fromkeys(integers, "Int64"))


def _rows(tables: Sequence[Table]) -> list[dict[str, Any]]:
    rows = []
    for table in tables:
        for result in table.results:
            standing = table.standing.get(result.record_sha256)
            labels = {
                "task": result.task.id, "version": result.task.version, "corpus": result.corpus.name,
                "train_corpus": result.train_corpus.name if result.train_corpus else None,
                "model": clean(result.model.name), "kind": result.model.kind,
                "family": result.model.family, "parameters": result.model.parameters,
                "contaminated": result.model.contaminated, "organism": result.model.organism,
                "status": result.status, "reason": result.reason,
                "audit": table.audit, "audit_failures": "; ".join(table.audit_failures) or None,
                "place": standing.place if standing else None,
                "rank_low": standing.between[0] if standing else None,
                "rank_high": standing.between[1] if standing else None,
                "tied": standing.letters if standing else None,
            }  # fmt: skip
            hashes = {
                "task_sha256": result.task.sha256, "corpus_fingerprint": result.corpus.fingerprint,
                "model_sha256": result.model.sha256, "content_sha256": result.content_sha256,
            }  # fmt: skip
            scores = {name: score.model_dump(exclude={"column"}) for name, score in result.scores.items()}
            empty = dict.fromkeys(name for name in Score.model_fields if name != "column")
            for name, score in (scores or {result.headline: empty}).items():
                rows.append({**labels, "score": name, "headline": name == result.headline, **score, **hashes})
    return rows


def to_csv(tables: Sequence[Table]) -> str:
    """`to_frame` as CSV; text that a spreadsheet would run as a formula gets a leading apostrophe."""
    return to_frame(tables).map(_without_formula).to_csv(index=False)


def _without_formula(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t")) else cell


def to_json(tables: Sequence[Table]) -> str:
    """The rows of `to_frame` as a JSON list, a row on each line."""
    return json_lines(_rows(tables))


def to_latex(tables: Sequence[Table]) -> str:
    r"""Tables for a paper, with `\usepackage{booktabs}`: best headline in bold, letters for tied groups.

    Intervals are a superscript and a subscript after the value, as they need not be symmetric.
    """
    return "\n".join(map(_latex, tables))


def _latex(table: Table) -> str:
    shown = [at for at, name in enumerate(table.columns) if name not in ("#", "kind", "lead", "RTFx")]
    value = shown.index(3)
    styled = pd.DataFrame(
        [[clean(row.cells[at]) for at in shown] for row in table.rows],
        columns=[table.columns[at] for at in shown],
    )
    styled.isetitem(value, [_value_with_bounds(table, row) for row in table.rows])
    drawn = styled.style.hide(axis="index").format_index(escape="latex", axis="columns")
    drawn.format(escape="latex", subset=[name for name in styled.columns if name != styled.columns[value]])
    best = [at for at, row in enumerate(table.rows) if row.cells[0] == "1"]
    if best:
        bold = ["model", styled.columns[value]]  # the ranking is by the headline, not by other columns
        drawn.set_properties(subset=pd.IndexSlice[best, bold], textbf="--rwrap")
    text = drawn.to_latex(hrules=True, caption="CAPTION", column_format="l" * len(shown))
    heading, facts = (
        pd.DataFrame([[clean(each)]]).style.hide(axis="index").hide(axis="columns").format(escape="latex")
        .to_latex().splitlines()[1].removesuffix(r"\\").strip()
        for each in (table.heading, " ".join([table.facts, *table.notes, *_mark_legend(table)]))
    )  # fmt: skip
    text = text.replace("CAPTION", f"{heading}. {facts}")
    for letter, spelt in _TEX.items():
        text = text.replace(letter, spelt)
    return text


def _mark_legend(table: Table) -> list[str]:
    """Explain the marks after model names, those that occur in the table."""
    marks = {MARKS[row.result.model.contaminated] for row in table.rows if row.result and row.kind == "model"}
    meanings = {
        " !": "! after a name: trained on this corpus.",
        " ?": "? after a name: undisclosed training data.",
    }
    return [meanings[mark] for mark in sorted(marks & meanings.keys())]


def _value_with_bounds(table: Table, row: Row) -> str:
    """A headline with the distances to its interval's bounds."""
    result = row.result or next(each for each in table.results if each.score)
    score = result.score if row.result else result.scores["majority"]
    if score is None:
        return "n/a"
    value = number(score.value, score.unit)
    if score.low is None or score.high is None:
        return value
    up, down = (number(gap, score.unit) for gap in (score.high - score.value, score.value - score.low))
    return f"{value}$^{{+{up}}}_{{-{down}}}$"


def to_model_card(tables: Sequence[Table]) -> str:
    """`model-index` metadata for model cards on the hub: one YAML document for each model."""
    evaluations: dict[str, list[EvalResult]] = {}
    for table in tables:
        for result in table.results:
            if result.model.kind == "model" and result.score:
                evaluations.setdefault(clean(result.model.name), []).append(_evaluation(result))
    cards = []
    for name in sorted(evaluations):
        card = ModelCardData(model_name=name, eval_results=evaluations[name])
        cards.append(card.to_dict())  # type: ignore[no-untyped-call]
    return "---\n".join(
        yaml.safe_dump(json.loads(json.dumps(card)), sort_keys=False, allow_unicode=True) for card in cards
    )


def _evaluation(result: Result) -> EvalResult:
    assert result.score is not None
    learnt = f", learnt on {result.train_corpus.name}" if result.train_corpus else ""
    return EvalResult(
        task_type="automatic-speech-recognition",
        task_name=f"{clean(result.task.title)} (innerear {result.task.id} v{result.task.version})",
        dataset_type=result.corpus.name,
        # the hub merges entries of one task, dataset and configuration under the first one's names
        dataset_config=f"{result.task.id}-v{result.task.version}-{result.task.sha256[:12]}",
        dataset_name=f"{clean(result.corpus.name)} {result.corpus.version}{learnt}",
        dataset_revision=result.corpus.fingerprint,
        metric_type=result.headline,
        metric_name=f"{result.headline} {interval(result.score)}, n = {result.score.n}",
        metric_value=result.score.value,
        metric_args={"task": result.task.sha256, "result": result.content_sha256},
    )


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "markdown": lambda tables: to_markdown(tables) + "\n",
    "csv": to_csv,
    "json": to_json,
    "latex": to_latex,
    "model-card": to_model_card,
}
"""Functions that write all tables as text, by the name of the format."""
