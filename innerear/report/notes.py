"""Notes under a table of the leaderboard: what it tells apart, and what must be known of its results."""

from collections.abc import Mapping, Sequence

from innerear.report.legend import NO_WIDTH
from innerear.report.numbers import number
from innerear.report.ranking import DRAWN, RANKED, Apart, Standing
from innerear.results.paired import DRAWS
from innerear.results.schema import SAMPLED, Result
from innerear.results.sensitivity import Sensitivity
from innerear.stats.intervals import FEWEST
from innerear.util.words import counted, listed

_SHIFTS = {"step": ("first", "second"), "dB": ("favours-foil", "neutral")}
"""Contexts between whose thresholds a psychometric shift is, by its evidence."""


def apart_notes(first: Result, apart: Apart | None) -> list[str]:
    """How many pairs of models the table tells apart, and what could have been of those that it does not."""
    if apart is None or first.score is None:
        return []
    says = f"{apart.told} of {counted(apart.pairs, 'pair')} told apart jointly."
    if apart.detectable:
        unit = first.score.unit
        least, most = (number(each, unit) for each in (min(apart.detectable), max(apart.detectable)))
        says += (
            f" Of tied neighbours, a test of the two alone finds a difference of {least}"
            f"{f' to {most}' * (least != most)} {'points' if unit == 'fraction' else unit}"
            " with a power of 80 %."
        )
    return [says]


def sensitivity_notes(first: Result, found: Sequence[Sensitivity]) -> list[str]:
    """What the headline tells apart, if it was measured on this task and corpus, and on as many units."""
    if first.train_corpus or first.score is None:
        return []
    key = (first.task.id, first.task.version, first.task.spec.get("corpus"), first.score.n)
    return [each.sentence() for each in found if (each.task, each.version, each.corpus, each.n) == key]


def notes_of(results: Sequence[Result], standing: Mapping[str, Standing]) -> tuple[str, ...]:
    """What must be known of the results of a table and its standings, most often about single models."""
    notes = [f"{result.model.name} is n/a: {result.reason}." for result in results if not result.score]
    if any(result.score and result.score.low is None for result in results):
        notes.append(
            "No interval where speakers or sources of sound are too few: fewer than "
            f"{FEWEST['share']}, of a rate such as WER fewer than {FEWEST['rate']}."
        )
    if any(result.score and result.score.without_width for result in results):
        notes.append(NO_WIDTH)
    notes += [
        f"{row['drawn']:,} of the {row['phones']:,} phones of {row['corpus']} were drawn, the same for every "
        f"model: {row['rule']}."
        for row in next((each.tables[SAMPLED] for each in results if SAMPLED in each.tables), ())
    ]
    notes += _unheard([result for result in results if result.score and result.model.kind in RANKED])
    notes += _censored(results)
    models = sum(result.model.kind in RANKED for result in results)
    if models > DRAWN:
        notes.append(f"Figures show the best {DRAWN} of {models} models.")
    pairs = len(standing) * (len(standing) - 1) // 2
    if pairs / (DRAWS + 1) >= results[0].alpha and any(each.lead for each in standing.values()):
        notes.append(
            f"No difference can be significant here: the smallest p of {DRAWS:,} drawn exchanges, "
            f"{1 / (DRAWS + 1):g}, is corrected over {pairs:,} pairs. `innerear compare` tests a few models."
        )
    return tuple(notes)


def _censored(results: Sequence[Result]) -> list[str]:
    """Of which models a psychometric shift is a bound, as a threshold is at the edge of what was searched."""
    found: dict[str, dict[str, None]] = {}
    for result in results:
        for row in result.tables.get("psychometric", []):
            if row["censored"] and row["context"] in _SHIFTS.get(str(row["evidence"]), ()):
                found.setdefault(str(row["evidence"]), {})[result.model.name] = None
    why = "a threshold is at the edge of the range that was searched"
    return [f"shift, {unit}, is a lower bound of {listed([*names])}: {why}." for unit, names in found.items()]


def _unheard(results: Sequence[Result]) -> list[str]:
    """Who was not scored on clips that others were scored on, which its headline leaves out."""
    refused = [dict(result.corpus.refused) for result in results]
    by_all = set.intersection(*map(set, refused)) if refused else set()
    notes = []
    for result, reasons in zip(results, refused, strict=True):
        own = [item for item in reasons if item not in by_all]
        if own:
            why = f"{own[0]}: {reasons[own[0]].removeprefix(f'{own[0]}: ')}"
            notes.append(
                f"{result.model.name} was not scored on {counted(len(own), 'clip')} that others were "
                f"scored on; the first: {why}."
            )
    return notes
