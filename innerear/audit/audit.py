"""The audit: for every headline metric, what moves it and what does not, and whether it passes."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from math import isfinite
from statistics import median
from time import process_time

from innerear.audit import rules
from innerear.audit.stress_runs import (
    AROUND,
    LEVELS,
    SEEDS,
    SUITE,
    SUITES,
    Measured,
    Outcome,
    Outcomes,
    batched,
    measure,
    shares,
)
from innerear.models.site import Site
from innerear.report.agreement import pairs
from innerear.results.audit import Audit, Audited, Check
from innerear.results.compare import Comparison, difference, pairwise_comparisons
from innerear.results.environment import environment
from innerear.results.headline import headline
from innerear.results.schema import Result
from innerear.results.store import Store
from innerear.runs.runner import Options, Say
from innerear.stats.intervals import jackknife_error
from innerear.tasks.task import Task, load_task, suites, task_names

ELSEWHERE = "what was planted for it and found is a test: see its card"
CHECKS = ("seeds", "damage", "shuffled", "batch", "precision", "threads", "human", "planted")


def audit(
    published: Store,
    options: Options,
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    say: Say = lambda _: None,
) -> Audit:
    """Audit the headlines of tasks.

    Parameters
    ----------
    published
        Results that other checks are read from: several models, synthesised and human speech.
    options
        Where what is measured is kept, and how.
    models, tasks
        Names; without any, those of the suite `audit`. Tasks outside of it are listed as not run.

    Raises
    ------
    InputError
        If a name is unknown, or a folder cannot be used.
    InnerearError
        If a published result is damaged.
    """
    asked = shares(tasks)
    board = _Board(published)
    metrics = []
    store = Store(options.output)
    for name in models or suites(SUITES)[SUITE].models:
        found = measure(name, asked, options, say)
        if not found.batched:
            (found.batched,) = suites(SUITES)[AROUND].models
            common = [task for task in shares((), AROUND) if task.id in {own.id for own in asked}]
            found.batch = batched(found.batched, common, options, say)
        metrics += [judged(task, found, store, board) for task in asked]
    if not tasks:
        audited = {task.id for task in asked}
        metrics += [_unaudited(load_task(name), board) for name in task_names() if name not in audited]
    return Audit(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu_s=round(process_time(), 1),
        levels=list(LEVELS),
        seeds=list(SEEDS),
        metrics=metrics,
        environment=environment(options.device),
    )


def judged(task: Task, found: Measured, store: Store, board: "_Board") -> Audited:
    """The verdict on one metric of one model."""
    intact = found.intact[task.id]
    if intact.result is None or (score := intact.result.score) is None:
        checks = [_missing(name, intact.reason) for name in CHECKS]
        return _named(task, found.model, board, checks=checks)
    result = intact.result
    direction = score.direction
    gaps = _Gaps(store, task.id)
    noisy = {0.0: intact} | {level: _of(made, task.id) for level, made in found.noisy.items()}
    levels = [level for level, outcome in noisy.items() if outcome.value is not None]
    kept = [noisy[level] for level in levels]
    reason = noisy[list(noisy)[len(levels)]].reason if len(levels) < len(noisy) else ""
    steps = [gaps.of(after, before) for before, after in pairwise(kept)]
    whole = gaps.of(kept[-1], intact)
    mixed = _of(found.shuffled, task.id)
    error = standard_error(store, result)
    checks = [
        _spread(task.id, found, score.value, error),
        rules.damage(levels, [_value(one) for one in kept], direction, steps, whole, reason),
        rules.shuffled(
            mixed.value, gaps.of(mixed, intact) if mixed.value is not None else None, direction, mixed.reason
        ),
        _held("batch", f"with 4 clips in a pass ({found.batched})",
              _of(found.batch[0], task.id), _of(found.batch[1], task.id), task.tolerance),
        _held("precision", "in float64", intact, _of(found.double, task.id), task.tolerance),
        _held("threads", f"with {found.threads} threads", intact, _of(found.other, task.id), task.tolerance),
        board.human(task.id),
        _planted(task.id, found, direction),
    ]  # fmt: skip
    return _named(
        task, found.model, board, headline=result.headline, unit=score.unit,
        clips=result.corpus.items, n=score.n, value=score.value, low=score.low,
        high=score.high, error=error, checks=checks,
        detectable=steps[0].detectable if steps else None,
    )  # fmt: skip


def standard_error(store: Store, result: Result) -> float | None:
    """Standard error of a headline over clusters of its items, by the jackknife; None of a single cluster."""
    parts = headline(result, store.read_items(result))
    error = float(jackknife_error(parts.without()))
    return error if isfinite(error) else None


def _spread(task: str, found: Measured, intact: float, error: float | None) -> Check:
    """See `rules.spread`; of the task's own seed and of the others."""
    outcomes = {seed: made[task] for seed, made in found.seeds.items()}
    if reason := next((one.reason for one in outcomes.values() if one.value is None), ""):
        return _missing("seeds", reason)
    if error is None:
        return _missing("seeds", "one speaker or source of sound holds all that is scored")
    values = [intact, *(_value(one) for one in outcomes.values())]
    return rules.spread(values, error, [1, *outcomes])


def _planted(task: str, found: Measured, direction: rules.Direction) -> Check:
    """See `rules.planted`."""
    if task not in found.planted:
        return _missing("planted", ELSEWHERE)
    before, after = found.intact[task].result, found.planted[task].result
    if before is None or after is None or not after.curves:
        return _missing("planted", found.planted[task].reason)
    layer = Site.parse(found.cause).layer
    return rules.planted(before.curves[0].points, after.curves[0].points, layer, direction)


class _Gaps:
    """Differences of outcomes of one task, paired where something pairs them."""

    def __init__(self, store: Store, task: str) -> None:
        self._store = store
        self._task = task

    def of(self, one: Outcome, other: Outcome) -> rules.Gap:
        assert one.result is not None
        assert other.result is not None
        a, b = one.result.score, other.result.score
        assert a is not None
        assert b is not None
        if one.result.record_sha256 == other.result.record_sha256:
            return rules.Gap(0.0, 1.0, False)
        found = difference(self._store, one.result, other.result)
        if isinstance(found, Comparison):
            return rules.Gap(found.difference, found.p, False, found.detectable)
        apart = rules.apart((a.low, a.high), (b.low, b.high))
        return rules.Gap(a.value - b.value, None, bool(apart))


class _Board:
    """What the published results say of a task's headline."""

    def __init__(self, store: Store) -> None:
        self._groups: dict[str, list[list[Result]]] = defaultdict(list)
        groups: dict[tuple[str, ...], list[Result]] = defaultdict(list)
        for result in store.load_all() if store.paths() else []:
            if result.model.kind == "model" and result.score and not result.train_corpus:
                groups[result.group].append(result)
        for members in groups.values():
            self._groups[members[0].task.id].append(members)
        self._pairs = pairs(store) if store.paths() else []
        self._found = {
            members[0].group: pairwise_comparisons(store, members)
            for members in groups.values()
            if len(members) > 1
        }

    def detectable(self, task: str) -> float | None:
        """Median smallest difference that can be told, over pairs of models on synthesised speech."""
        found = [
            each.detectable
            for members in self._groups[task]
            if not members[0].corpus.human
            for each in self._found.get(members[0].group, {}).values()
        ]
        return float(median(found)) if found else None

    def seconds(self, task: str) -> float | None:
        """What the quickest model took."""
        return min((one.run.total_s for group in self._groups[task] for one in group), default=None)

    def human(self, task: str) -> Check:
        """See `rules.human`."""
        own = [pair for pair in self._pairs if pair.synthesised.task.id == task]
        taus = [pair.tau for pair in own if pair.tau is not None]
        sides: dict[bool, set[tuple[str, str]]] = {True: set(), False: set()}
        for members in self._groups[task]:
            for each in self._found.get(members[0].group, {}).values():
                if each.ahead is not None:
                    behind = each.b if each.ahead is each.a else each.a
                    sides[members[0].corpus.human].add((each.ahead.model.name, behind.model.name))
        crossed = sorted(order for order in sides[False] if order[::-1] in sides[True])
        return rules.human(taus, crossed, len(own))


def _held(name: str, what: str, one: Outcome, other: Outcome, tolerance: float) -> Check:
    if one.value is None or other.value is None:
        return _missing(name, one.reason or other.reason)
    return rules.same(name, what, one.value, other.value, tolerance)


def _missing(name: str, reason: str) -> Check:
    return Check(name=name, outcome="not run", says=reason)


def _unaudited(task: Task, board: _Board) -> Audited:
    """A task outside of the suite: what the published results say, and that nothing was run."""
    seconds = board.seconds(task.id)
    cost = f"{seconds:.0f} s a model at least" if seconds else "too much"
    why = f"costs {cost}; `innerear audit --tasks {task.id}` runs it"
    checks = [_missing(name, why) for name in CHECKS[:-2]] + [
        board.human(task.id), _missing("planted", ELSEWHERE)
    ]  # fmt: skip
    return _named(task, "", board, checks=checks)


def _named(task: Task, model: str, board: _Board, **found: object) -> Audited:
    facts = {
        "task": task.id, "version": task.version, "model": model, "headline": task.metric.name,
        "direction": task.metric.direction, "unit": "", "clips": 0, "n": 0,
        "published_detectable": board.detectable(task.id),
    }  # fmt: skip
    return Audited.model_validate(facts | found)


def _of(outcomes: Outcomes, task: str) -> Outcome:
    """Of a task; it may not have been asked."""
    return outcomes.get(task, Outcome(reason=f"not among the tasks of the suite {AROUND}"))


def _value(outcome: Outcome) -> float:
    assert outcome.value is not None
    return outcome.value
