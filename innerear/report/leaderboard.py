"""The leaderboard: one table for each task and corpus, made from stored results alone.

Results are ranked together only if the hashes of task and corpora agree; a task that is not registered, such
as a user's variant, has a table of its own that says so. Random twins and floors are shown in the same table,
without a rank.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from textwrap import shorten
from typing import Any

import pandas as pd

from innerear.report.notes import apart_notes, notes_of, sensitivity_notes
from innerear.report.numbers import NONE, interval, number, p_value, prefix
from innerear.report.ranking import DRAWN, RANKED, Apart, Standing, possible_ranks, tie_letters, told_apart
from innerear.results.audit import Audited, headline_audits
from innerear.results.merits import audit_outcome, counts, no_merit, profile, unaudited
from innerear.results.paired import pairwise_comparisons
from innerear.results.schema import Result
from innerear.results.sensitivity import sensitivities
from innerear.results.store import MANY, Store
from innerear.tasks.declarations import declaration
from innerear.tasks.registered import registered_task
from innerear.util.errors import InnerearError
from innerear.util.io import canonical_json, sha256_json
from innerear.util.progress import bar
from innerear.util.spread import spread
from innerear.util.words import counted

MARKS = {True: " !", None: " ?", False: ""}
"""After a model's name, by whether it was trained on the corpus."""
LONGEST = 120
"""Maximum number of characters in which a heading says how its task differs from that of other tables."""
_KINDS = {
    "model": "", "method": "method", "twin": "random twin", "architecture": "architecture only",
    "floor": "floor",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One row of a table: its kind (as of `ModelInfo`), text for each column, and its result.

    `result` is None for the majority class, which is one of the scores of every result.
    """

    kind: str
    cells: tuple[str, ...]
    result: Result | None = None


@dataclass(frozen=True)
class Table:
    """Results that are comparable, as a table.

    Attributes
    ----------
    heading
        Task and corpus, and how this table differs from others of the same task and corpus.
    facts
        The corpus, the interval level and the hashes, in a sentence.
    extras
        The columns that are scores other than the headline.
    notes
        Lines below the table: failures of the headline in the audit, and reasons of n/a.
    results
        The results that the rows were made from, in order.
    standing
        Standing of models, by the `record_sha256` of their results.
    audit, audit_failures
        What `audit_outcome` says of its headline, and the checks that it failed, with reasons.
    counts
        Whether the table counts in the mean win rate: those of merits alone do.
    apart
        How many pairs of models it tells apart; None where models have no ranks.
    """

    heading: str
    facts: str
    columns: tuple[str, ...]
    extras: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    results: tuple[Result, ...]
    standing: Mapping[str, Standing]
    audit: str = "not run"
    audit_failures: tuple[str, ...] = ()
    counts: bool = False
    apart: Apart | None = None

    @cached_property
    def drawn(self) -> tuple[Result, ...]:
        """Results that figures show: all, or the best `DRAWN` models with their twins and the floors."""
        models = [result.model.name for result in self.results if result.model.kind in RANKED]
        best = {*models[:DRAWN]} if len(models) > DRAWN else {each.model.name for each in self.results}
        return tuple(
            result
            for result in self.results
            if result.model.kind == "floor" or best & {result.model.name, result.model.twin_of}
        )

    @property
    def ranks(self) -> bool:
        """Whether it ranks models."""
        return bool(self.standing)

    def draws(self, result: Result) -> bool:
        """Whether figures show this result."""
        return result.record_sha256 in {each.record_sha256 for each in self.drawn}


def tables(store: Store, skip: Callable[[InnerearError], None] | None = None) -> list[Table]:
    """Make a table of every group of comparable results in the store.

    Parameters
    ----------
    skip
        As in `Store.load_all`, whose errors apply; here also for results of an unknown protocol.
    """
    groups: dict[tuple[str, ...], list[Result]] = defaultdict(list)
    for result in store.load_all(skip):
        try:
            declaration(result.task.protocol)
        except InnerearError as error:
            refused = InnerearError(f"{store.path_of(result)}: {error}")
            if skip is None:
                raise refused from error
            skip(refused)
        else:
            groups[result.group].append(result)
    audits, sensitive = headline_audits(store.folder), sensitivities(store.folder)
    families: dict[str, list[Result]] = defaultdict(list)
    for first in sorted((group[0] for group in groups.values()), key=_order):
        families[_task_and_corpus(first)].append(first)
    in_order = [(first, siblings) for siblings in families.values() for first in siblings]
    headings = [_heading(first, siblings) for first, siblings in in_order]
    headings = [
        f"{heading} [{sha256_json(first.group)[:8]}]" if headings.count(heading) > 1 else heading
        for heading, (first, _) in zip(headings, in_order, strict=True)
    ]
    members = [ranked(groups[first.group]) for first, _ in in_order]
    reasons = [no_merit(results, audits) for results in members]
    compared = [[] if reason else results for results, reason in zip(members, reasons, strict=True)]
    many = sum(map(len, compared)) >= MANY
    made = []
    with bar("comparing models", len(members)) as advance:
        standings = spread(partial(_standings, store), compared, worth=many)
        for (first, _), heading, results, reason, (standing, apart) in zip(
            in_order, headings, members, reasons, standings, strict=True
        ):
            audited = audits.get(first.task.id, ())
            notes = [each for each in (reason or unaudited(results),) if each] + apart_notes(first, apart)
            notes += [] if reason else sensitivity_notes(first, sensitive)
            table = _table(results, heading, audited, standing, notes)
            made.append(replace(table, counts=counts(results, reason), apart=apart))
            advance()
    return made


def resolution(shown: Sequence[Table]) -> str:
    """How many pairs of models the tables that count tell apart, in a sentence; empty where none can."""
    every = [
        table.apart
        for table in shown
        if table.counts and table.apart and any(each.model.kind == "model" for each in table.results)
    ]
    told, pairs = sum(each.told for each in every), sum(each.pairs for each in every)
    if not pairs:
        return ""
    told_of_models = sum(each.told_of_models for each in every)
    pairs_of_models = sum(each.pairs_of_models for each in every)
    without = f", {told_of_models} of {pairs_of_models} without model organisms" * (pairs_of_models < pairs)
    return f"The tables of merits tell {told} of {counted(pairs, 'pair')} of models apart{without}."


def ranked(results: Sequence[Result]) -> list[Result]:
    """Results ordered by the headline, best first and n/a last."""

    def order(result: Result) -> tuple[bool, float, str]:
        score = result.score
        if score is None:
            return (True, 0.0, result.model.name)
        return (False, score.value if score.direction == "lower" else -score.value, result.model.name)

    return sorted(results, key=order)


def _standings(store: Store, results: Sequence[Result]) -> tuple[dict[str, Standing], Apart | None]:
    """Standing of each model of a table, by the `record_sha256` of its result, and what is told apart."""
    models = [result for result in results if result.model.kind in RANKED and result.score]
    if any(result.score and result.score.direction == "none" for result in models):
        return {}, None  # neither direction is better, so there is no ranking
    compared = pairwise_comparisons(store, models)
    spans = possible_ranks(len(models), compared.ahead)
    letters = tie_letters(len(models), compared.ahead)
    standing = {
        result.record_sha256: Standing(at + 1, span, letter, compared.tested.get((at, at + 1)))
        for at, (result, span, letter) in enumerate(zip(models, spans, letters, strict=True))
    }
    return standing, told_apart(models, compared) if compared else None


def _table(
    results: list[Result],
    heading: str,
    audited: Sequence[Audited],
    standing: Mapping[str, Standing],
    above: Sequence[str],
) -> Table:
    marks = [failure for each in audited for failure in each.failures]
    first = next((result for result in results if result.score), results[0])
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
        name, place = _told_apart(result, results), standing.get(result.record_sha256)
        rows.append(_row(result, name, place, first.headline, extras, timed))
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
    notes = (*above, *(f"† audit, {mark}." for mark in marks), *notes_of(results, standing))
    return Table(
        heading, _facts(first), columns, extras, tuple(rows), notes, tuple(results), standing,
        audit_failures=tuple(marks), audit=audit_outcome(first.task.version, audited),
    )  # fmt: skip


def _told_apart(result: Result, results: Sequence[Result]) -> str:
    """The name of a model; where others in the table have it, too, with its type of numbers or its hash."""
    model = result.model
    same = [other.model.parts for other in results if other.model.name == model.name]
    if len(same) == 1:
        return model.name
    differing = {key for parts in same for key in parts if any(parts[key] != each.get(key) for each in same)}
    return f"{model.name} ({model.parts['dtype'] if differing == {'dtype'} else model.sha256[:8]})"


def arrow(first: Result) -> str:
    """An arrow that says which direction of the headline is better; none for a profile."""
    if profile(first):
        return ""
    return {"higher": " ↑", "lower": " ↓"}.get(first.score.direction if first.score else "", "")


def _row(
    result: Result, name: str, standing: Standing | None, headline: str, extras: Sequence[str], timed: bool
) -> Row:
    kind = "organism" if result.model.organism else _KINDS[result.model.kind]
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
        prefix(result, headline) + interval(result.score),
        *((standing.span, standing.letters) if standing else ("", "")),
        f"{number(gap.difference, result.score.unit, signed=True)}, {p_value(gap.adjusted)}" if gap else NONE,
        best_layer(result),
        *(number(beside[name].value, beside[name].unit) if name in beside else NONE for name in extras),
        *[NONE if result.run.rtfx is None else f"{result.run.rtfx:.1f}"] * timed,
        f"{result.score.n:,}",
    )
    return Row(result.model.kind, cells, result)


def best_layer(result: Result) -> str:
    """The layer chosen on dev, the last layer, and the relative depth of the chosen one."""
    curve = result.main
    if curve is None or curve.best is None or len(curve.points) == 1:
        return NONE
    return f"{curve.best.layer}/{curve.points[-1].layer} ({curve.best.depth:.2f})"


def headline_layer(result: Result, *, brief: bool = False) -> str:
    """The layer of the headline in words, as folds may differ in it; empty if no layer was chosen.

    `brief`: without brackets, for a sentence that has some.
    """
    layer = best_layer(result)
    if layer == NONE:
        return ""
    if len(result.split.folds) > 1:
        return "the layer that each fold's dev speakers choose" + (
            "" if brief else f" ({layer} by their mean)"
        )
    return f"layer {layer.partition(' ')[0] if brief else layer}, chosen on dev"


def _order(first: Result) -> tuple[str, ...]:
    """Tables are in the order of their headings; among equal ones, of what their tasks say."""
    return (_task_and_corpus(first), canonical_json(first.task.spec).decode(), *first.group)


def _task_and_corpus(result: Result) -> str:
    corpus = f"{result.corpus.name} {result.corpus.version}"
    if result.train_corpus:
        corpus = f"{corpus}, learnt on {result.train_corpus.name} {result.train_corpus.version}"
    own = "" if registered_task(result.task.spec) else ", not registered,"
    machine = f", timed on {timed}" if (timed := result.task.spec.get("machine")) else ""
    return f"{result.task.id} v{result.task.version}{own} on {corpus}{machine}"


def _heading(first: Result, siblings: Sequence[Result]) -> str:
    """Task and corpus; if several tables share them, also how this one's task or corpus differs."""
    if len(siblings) == 1:
        return _task_and_corpus(first)
    specs = [_flat(result.task.spec) for result in siblings]
    own = _flat(first.task.spec)
    names = sorted(set().union(*specs))
    differs = [name for name in names if len({str(spec.get(name)) for spec in specs}) > 1]
    settings = ", ".join(f"{name} = {own.get(name)}" for name in differs if str(own.get(name)) != "[]")
    says = [shorten(settings, LONGEST, placeholder=" …")] if settings else []
    for label, position in (("task", 1), ("corpus", 3), ("training corpus", 5)):
        if not (label == "task" and says) and len({result.group[position] for result in siblings}) > 1:
            says.append(f"{label} {first.group[position][:8]}")
    return f"{_task_and_corpus(first)} ({', '.join(says)})"


def _flat(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Nested keys joined by dots."""
    return {str(name): column.iloc[0] for name, column in pd.json_normalize([dict(spec)]).items()}


def _facts(first: Result) -> str:
    corpus = first.corpus
    speech = "human speech" if corpus.human else "synthetic speech"
    clips = f"{counted(corpus.items, 'clip')} ({corpus.seconds / 60:.0f} min), {corpus.voices}, {speech}"
    task = registered_task(first.task.spec) or first.task
    hashes = f"task {first.task.sha256[:12]}, corpus {corpus.fingerprint[:12]}"
    return f"{task.title}: {clips}; {first.level:.0%} intervals. Hashes: {hashes}."
