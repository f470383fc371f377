"""The leaderboard: one table for each task and corpus, from the store alone.

Results are ranked together only where the hashes of task and corpora agree. Random twins and floors stand in
the same table, where the reader can see them, and have no rank.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from innerear.report.ranking import letters, ranks
from innerear.results.audit import audit_failures
from innerear.results.compare import Comparison, pairwise_comparisons
from innerear.results.schema import Result, Score
from innerear.results.store import Store

NONE = "–"
LEGEND = (
    "Fractions are in per cent; brackets hold the interval (over speakers, docs/statistics.md). Ranks: those "
    "that a model may have, from paired permutation tests of every two models over speakers, p by Holm over "
    "the table. Tied: models that share a letter are not told apart. Lead: the paired difference to the next "
    "model on the same items. Layer: chosen on dev, of how many. Selectivity: accuracy minus that on control "
    "labels. Emergence: first depth within 95% of the peak. 2nd head: Kendall's τ between the layers' ranks "
    "under two probe heads. ! after a name: the model was trained on this corpus; ? after a name: nobody "
    "knows, its training data are undisclosed. RTFx: seconds of audio per second of transcription (front "
    "end, model, decoding) on the machine of the run, where the task times it. n: what was scored."
)
"""How to read the columns."""
MARKS = {True: " !", None: " ?", False: ""}
"""After a model's name, by whether it was trained on the corpus."""
_KINDS = {"model": "", "method": "method", "twin": "random twin", "floor": "floor"}


@dataclass(frozen=True)
class Row:
    """One line of a table: plain text by column, whether it is a model, a twin or a floor, and of what.

    `result` is None for the majority class, which is a score of every result.
    """

    kind: str
    cells: tuple[str, ...]
    result: Result | None = None


@dataclass(frozen=True)
class Standing:
    """Place by score, ranks that it may have, letters of the groups that it is tied in, and the lead."""

    place: int
    between: tuple[int, int]
    letters: str
    lead: Comparison | None

    @property
    def span(self) -> str:
        """The ranks in words."""
        low, high = self.between
        return str(low) if low == high else f"{low}–{high}"


@dataclass(frozen=True)
class Table:
    """Results that may be compared.

    Attributes
    ----------
    heading
        Task and corpus, and what sets this table apart from others of the same task and corpus.
    facts
        What was heard, in a sentence.
    extras
        Which of the columns are scores beside the headline.
    notes
        Lines below the table: what the audit says against the headline, what is n/a, and why.
    results
        What the rows were made from, in their order.
    standing
        Places of models, by the `record_sha256` of their results.
    audit_failures
        What the audit says against the headline.
    """

    heading: str
    facts: str
    columns: tuple[str, ...]
    extras: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    results: tuple[Result, ...]
    standing: Mapping[str, Standing]
    audit_failures: tuple[str, ...] = ()


def tables(store: Store) -> list[Table]:
    """Make a table of every group of comparable results in the store; errors as `Store.load_all`."""
    groups: dict[tuple[str, ...], list[Result]] = defaultdict(list)
    for result in store.load_all():
        groups[result.group].append(result)
    marked = audit_failures(store.folder)
    families: dict[str, list[Result]] = defaultdict(list)
    for _, (first, *_) in sorted(groups.items()):
        families[_topic(first)].append(first)
    return [
        _table(store, ranked(groups[first.group]), _heading(first, siblings), marked.get(first.task.id, ()))
        for siblings in families.values()
        for first in siblings
    ]


def ranked(results: Sequence[Result]) -> list[Result]:
    """Order by the headline score, better ones first; n/a last."""

    def order(result: Result) -> tuple[bool, float, str]:
        score = result.score
        if score is None:
            return (True, 0.0, result.model.name)
        return (False, score.value if score.direction == "lower" else -score.value, result.model.name)

    return sorted(results, key=order)


def _table(store: Store, results: list[Result], heading: str, marks: Sequence[str]) -> Table:
    first = next((result for result in results if result.score), results[0])
    models = [result for result in results if result.model.kind in ("model", "method") and result.score]
    if first.score and first.score.direction == "none":  # a depth is no merit: nobody leads
        models = []
    found = pairwise_comparisons(store, models)
    standing = {
        result.record_sha256: Standing(at + 1, span, letter, found.get((at, at + 1)))
        for at, (result, span, letter) in enumerate(
            zip(models, *_told_apart(len(models), found), strict=True)
        )
    }
    names = [result.model.name for result in results]
    extras = tuple(
        dict.fromkeys(score.column for result in results for score in result.scores.values() if score.column)
    )
    timed = any(result.run.rtfx is not None for result in results)
    columns = (
        "#", "model", "kind", f"{first.headline}{arrow(first)}{' †' * bool(marks)}", "ranks", "tied", "lead",
        "layer (depth)", *extras, *["RTFx"] * timed, "n",
    )  # fmt: skip
    rows = []
    for result in results:
        name, key = result.model.name, result.record_sha256
        if names.count(name) > 1:
            name = f"{name} ({result.model.weights_sha256[:8]})"
        rows.append(_row(result, name, standing.get(key), extras, timed))
    if majority := first.scores.get("majority"):
        cells = (
            "",
            "majority",
            "floor",
            interval(majority),
            "",
            "",
            *[NONE] * (len(columns) - 7),
            f"{majority.n:,}",
        )
        at = sum(result.score is not None for result in results)
        rows.insert(at, Row("floor", cells))
    notes = (*(f"† audit, {mark}." for mark in marks), *_notes(results))
    return Table(
        heading, _facts(first), columns, extras, tuple(rows), notes, tuple(results), standing, tuple(marks)
    )


def arrow(first: Result) -> str:
    """Which way is better."""
    return {"higher": " ↑", "lower": " ↓"}.get(first.score.direction if first.score else "", "")


def _told_apart(
    n: int, found: Mapping[tuple[int, int], Comparison]
) -> tuple[list[tuple[int, int]], list[str]]:
    """Ranks and letters of models in the order of their scores."""
    sure = [
        (one, other) if each.ahead is each.a else (other, one)
        for (one, other), each in found.items()
        if each.ahead
    ]
    return ranks(n, sure), letters(n, sure)


def _row(result: Result, name: str, standing: Standing | None, extras: Sequence[str], timed: bool) -> Row:
    kind = _KINDS[result.model.kind]
    name += MARKS[result.model.contaminated] if result.model.kind == "model" else ""
    if result.score is None:
        none = [NONE] * (len(extras) + 2 + timed)
        return Row(result.model.kind, ("", name, kind, "n/a", "", "", NONE, *none), result)
    beside = {score.column: score for score in result.scores.values()}
    gap = standing.lead if standing else None
    cells = (
        str(standing.place) if standing else "",
        name,
        kind,
        interval(result.score),
        *((standing.span, standing.letters) if standing else ("", "")),
        f"{number(gap.difference, result.score.unit, signed=True)}, {p_value(gap.adjusted)}" if gap else NONE,
        best_layer(result),
        *(number(beside[name].value, beside[name].unit) if name in beside else NONE for name in extras),
        *[NONE if result.run.rtfx is None else f"{result.run.rtfx:.1f}"] * timed,
        f"{result.score.n:,}",
    )
    return Row(result.model.kind, cells, result)


def best_layer(result: Result) -> str:
    """The layer that dev chose, of how many, and its depth."""
    curve = result.main
    if curve is None or curve.best is None or len(curve.points) == 1:
        return NONE
    return f"{curve.best.layer}/{curve.points[-1].layer} ({curve.best.depth:.2f})"


def interval(score: Score) -> str:
    """A score with its interval."""
    text = number(score.value, score.unit)
    if score.low is None or score.high is None:
        return text
    return f"{text} [{number(score.low, score.unit)}, {number(score.high, score.unit)}]"


def number(value: float, unit: str, *, signed: bool = False) -> str:
    """A number as tables print it: fractions in per cent with one decimal, all else with three digits."""
    sign = "+" if signed else ""
    return f"{100 * value:{sign}.1f}" if unit == "fraction" else f"{value:{sign}.3g}"


def p_value(p: float) -> str:
    """A p-value as papers print it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _topic(result: Result) -> str:
    heard = f"{result.corpus.name} {result.corpus.version}"
    if result.train_corpus:
        heard = f"{heard}, learnt on {result.train_corpus.name} {result.train_corpus.version}"
    return f"{result.task.id} v{result.task.version} on {heard}"


def _heading(first: Result, siblings: Sequence[Result]) -> str:
    """The topic; where several tables share it, also what this one's task or corpus has of its own."""
    if len(siblings) == 1:
        return _topic(first)
    specs = [_flat(result.task.spec) for result in siblings]
    own = _flat(first.task.spec)
    names = sorted(set().union(*specs))
    differs = [name for name in names if len({str(spec.get(name)) for spec in specs}) > 1]
    says = [f"{name} = {own.get(name)}" for name in differs]
    for label, position in (("task", 1), ("corpus", 3), ("training corpus", 5)):
        if not (label == "task" and says) and len({result.group[position] for result in siblings}) > 1:
            says.append(f"{label} {first.group[position][:8]}")
    return f"{_topic(first)} ({', '.join(says)})"


def _flat(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Nested keys joined by dots."""
    return {str(name): column.iloc[0] for name, column in pd.json_normalize([dict(spec)]).items()}


def _facts(first: Result) -> str:
    corpus = first.corpus
    speech = "human speech" if corpus.human else "synthesised speech"
    heard = f"{corpus.items:,} clips ({corpus.seconds / 60:.0f} min), {corpus.speakers} speakers, {speech}"
    hashes = f"task {first.task.sha256[:12]}, corpus {corpus.fingerprint[:12]}"
    return f"{first.task.title}: {heard}; {first.level:.0%} intervals. Hashes: {hashes}."


def _notes(results: Sequence[Result]) -> tuple[str, ...]:
    return tuple(f"{result.model.name} is n/a: {result.reason}." for result in results if not result.score)
