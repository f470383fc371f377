"""What the first page says in sentences: what was measured and what was found, with numbers of results."""

from collections.abc import Sequence
from dataclasses import dataclass

from innerear.report.heads import loop_head, share_of, spoken
from innerear.report.leaderboard import Table, headline_layer
from innerear.report.numbers import interval, number
from innerear.report.side_by_side import EMERGENCE
from innerear.results.schema import Result
from innerear.tasks.declarations import declaration
from innerear.util.words import counted, listed


@dataclass(frozen=True)
class Finding:
    """A sentence, and the table that its numbers are from; None if they are from all."""

    says: str
    table: Table | None = None


def findings(tables: Sequence[Table]) -> list[Finding]:
    """What was measured, who reads phones, and what makes models loop; what was not measured is left out."""
    found = [Finding(_measured(tables)), _phones(tables), _loops(tables)]
    return [each for each in found if each is not None]


def _measured(tables: Sequence[Table]) -> str:
    results = [result for table in tables for result in table.results]
    models = {each.model.name for each in results if each.model.kind == "model"}
    organisms = {each.model.name for each in results if each.model.organism}
    heard = [corpus for each in results for corpus in (each.corpus, each.train_corpus) if corpus]
    corpora = {name for corpus in heard for name in corpus.name.split("+")}
    own = f", {len(organisms)} of them trained to be opened" if organisms else ""
    controls = [name for kind, name in (("twin", "random twins"), ("floor", "floors"))
                if any(each.model.kind == kind for each in results)]  # fmt: skip
    beside = f", beside {listed(controls)}" if controls else ""
    return (
        "innerear measures what speech recognisers know, what they use of it and why they err, layer by "
        f"layer and head by head: {counted(len(models), 'model')}{own}, "
        f"{len({each.task.id for each in results})} tasks and {len(corpora)} corpora here{beside}."
    )


def _phones(tables: Sequence[Table]) -> Finding | None:
    """Who reads phones best and earliest: on human speech if it was measured there, without transfer."""
    own = [
        (table, models)
        for table in tables
        if table.results[0].task.protocol == "phone-probing" and (models := _models(table))
    ]
    if not own:
        return None
    table, models = max(
        own,
        key=lambda pair: (
            pair[0].results[0].train_corpus is None,
            pair[0].results[0].corpus.human,
            len(pair[1]),
        ),
    )
    best = models[0]
    assert best.score is not None
    twin = next(
        (each for each in table.results if each.model.twin_of == best.model.name and each.score), None
    )
    floor = next((each for each in table.results if each.model.kind == "floor" and each.score), None)
    beside = [
        f"{name} {number(each.score.value, each.score.unit)} %"
        for name, each in (("its random twin", twin), (floor.model.name if floor else "", floor))
        if each and each.score
    ]
    controls = f" ({', '.join(beside)})" if beside else ""
    who = (
        f"best from {best.model.name}" if table.ranks else f"from {best.model.name}, in a table without ranks"
    )
    learnt = f" (learnt on {best.train_corpus.name})" if best.train_corpus else ""
    says = f"Phones are read {who}: {interval(best.score)} % right on {best.corpus.name}{learnt}{controls}"
    if layer := headline_layer(best, brief=True):
        says += f", at {layer}"
    if tied := _tied(table, best, models):
        says += f", tied with {listed(tied)}"
    depths = {each.model.name: each.scores[EMERGENCE].value for each in models if EMERGENCE in each.scores}
    if len(depths) > 1:
        first = min(depths.values())
        earliest = [name for name, depth in depths.items() if depth == first]
        says += f"; on dev speakers {listed(earliest)} come{'s' * (len(earliest) == 1)} within 95 % of "
        says += f"{'its peak' if len(earliest) == 1 else 'their peaks'} "
        says += f"at depth {first:.2f}"
        says += ", the others later" if len(earliest) < len(depths) else ""
    return Finding(f"{says}.", table)


def _loops(tables: Sequence[Table]) -> Finding | None:
    """The head that makes a model loop, of several the one with most loops; or that none stands out."""
    own = [
        (found, table)
        for table in tables
        if declaration(table.results[0].task.protocol).heads
        for result in table.results
        if result.model.kind == "model" and (found := loop_head(result))
    ]
    sure = [(found, table) for found, table in own if found.stands_out]
    if not sure:
        if not own:
            return None
        names = listed([found.name for found, _ in own])
        return Finding(f"No single head stands out as the one that makes {names} loop.", own[0][1])
    found, table = max(sure, key=lambda pair: pair[0].resolved.n)
    others = [each.name for each, _ in sure if each is not found]
    without = [each.name for each, _ in own if not each.stands_out]
    says = (
        f"Without {spoken(found.head)}, {found.name} no longer loops on {share_of(found.resolved)} of "
        f"{counted(found.resolved.n, 'loop')} that had no part in choosing this head"
    )
    if others:
        says += f"; a head of {listed(others)} stands out, too"
    if without:
        says += f"; none of {listed(without)} does"
    return Finding(f"{says}.", table)


def _models(table: Table) -> list[Result]:
    """Its models with a score, best first, without model organisms where there are others."""
    models = [each for each in table.results if each.model.kind == "model" and each.score]
    return [each for each in models if not each.model.organism] or models


def _tied(table: Table, best: Result, models: Sequence[Result]) -> list[str]:
    """Models that were compared with the best, and do not differ significantly."""
    if table.apart is None:
        return []
    pairs = {each.model.name: (best.record_sha256, each.record_sha256) for each in models[1:]}
    tested, ahead = table.apart.tested, table.apart.ahead
    return [name for name, pair in pairs.items() if pair in tested and pair not in ahead]
