"""The audit: stress-test every headline metric and judge whether it passes."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from math import isfinite
from statistics import median
from time import process_time

import pandas as pd

from innerear.audit import rules
from innerear.audit.stress_runs import (
    AROUND,
    LEVELS,
    SEEDS,
    SUITE,
    SUITES,
    ModelRuns,
    Outcome,
    Outcomes,
    audit_tasks,
    measure,
    measure_batches,
)
from innerear.models.site import Site
from innerear.report.agreement import pairs
from innerear.results.audit import Audit, Audited, Check
from innerear.results.environment import environment, make_deterministic
from innerear.results.headline import Headline, headline
from innerear.results.paired import Comparison, difference, paired_test, pairwise_comparisons
from innerear.results.schema import Result
from innerear.results.store import Store
from innerear.runs.plans import Options
from innerear.runs.runner import Notify
from innerear.stats.intervals import jackknife_error
from innerear.tasks.task import Task, is_timed, load_task, suites, task_names

PLANTED_ELSEWHERE = "planted causes of this task are tested elsewhere: see its card"
CHECKS = ("seeds", "damage", "shuffled", "batch", "precision", "half", "threads", "human", "planted")


def audit(
    published: Store,
    options: Options,
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    notify: Notify = lambda _: None,
    *,
    earlier: Audit | None = None,
) -> tuple[Audit, Audit]:
    """Stress-test the headline metrics of tasks; what was found, and the same added to an earlier audit.

    Parameters
    ----------
    published
        Published results, which the checks over several models and over human speech are read from.
    options
        Where measurements are kept, and how to run.
    models, tasks
        Names; by default those of the suite `audit`. Tasks outside the suite are listed as not run.
    earlier
        An audit of any tasks and models.

    Raises
    ------
    InputError
        If a name is unknown, a folder cannot be used, or the earlier audit is of other noise or seeds, or of
        other packages on this machine.
    InnerearError
        If a published result is damaged.
    """
    chosen = audit_tasks(tasks)
    make_deterministic()
    here = environment(options.main_device)
    if earlier:
        earlier.refuse_others(here, LEVELS, SEEDS)
    published_results = _PublishedResults(published)
    metrics = []
    store = Store(options.output)
    for name in models or suites(SUITES)[SUITE].models:
        runs = measure(name, chosen, options, notify)
        if not runs.batched:
            (runs.batched,) = suites(SUITES)[AROUND].models
            common = [task for task in audit_tasks((), AROUND) if task.id in {own.id for own in chosen}]
            runs.batch = measure_batches(runs.batched, common, options, notify)
        judged = [judge(task, runs, store, published_results) for task in chosen]
        metrics += [audited.model_copy(update={"machine": here.machine}) for audited in judged]
    if not tasks:
        metrics += _not_audited_of({task.id for task in chosen}, published_results)
    found = Audit(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu_s=round(process_time(), 1),
        levels=list(LEVELS),
        seeds=list(SEEDS),
        metrics=metrics,
        environments={here.machine: here},
    )
    return found, _added(found, earlier, published_results) if earlier else found


def _added(audit: Audit, earlier: Audit, found: "_PublishedResults") -> Audit:
    """Add a new audit to an earlier one; checks of published results are made again for both.

    A task that neither has, or has in a former version only, is listed as not run.
    """
    joined = audit.joined(earlier)
    metrics = []
    for audited in joined.metrics:
        checks = [found.human(audited.task) if check.name == "human" else check for check in audited.checks]
        detectable = found.detectable(audited.task)
        metrics.append(audited.model_copy(update={"checks": checks, "published_detectable": detectable}))
    metrics += _not_audited_of({audited.task for audited in metrics}, found)
    return joined.model_copy(update={"metrics": metrics})


def _not_audited_of(audited: set[str], published: "_PublishedResults") -> list[Audited]:
    """All other tasks, but for timings, which damage says nothing of."""
    others = [load_task(name) for name in task_names() if name not in audited]
    return [_not_audited(task, published) for task in others if not is_timed(task)]


def judge(task: Task, runs: ModelRuns, store: Store, published: "_PublishedResults") -> Audited:
    """Judge one metric of one model by all checks."""
    intact = runs.intact[task.id]
    if intact.result is None or (score := intact.result.score) is None:
        checks = [_not_run(name, intact.reason) for name in CHECKS]
        return _audited(task, runs.model, published, checks=checks)
    result = intact.result
    direction = score.direction
    differences = _Differences(store, task.id)
    noisy = {0.0: intact} | {level: _of(outcomes, task.id) for level, outcomes in runs.noisy.items()}
    levels = [level for level, outcome in noisy.items() if outcome.value is not None]
    kept = [noisy[level] for level in levels]
    reason = noisy[list(noisy)[len(levels)]].reason if len(levels) < len(noisy) else ""
    steps = [differences.of(after, before) for before, after in pairwise(kept)]
    whole = differences.of(kept[-1], intact)
    reordered = _of(runs.shuffled, task.id)
    error = standard_error(store, result)
    checks = [
        _seeds_check(task, runs, score.value, error),
        rules.damage(levels, [_value(one) for one in kept], direction, steps, whole, reason),
        rules.shuffled(
            reordered.value,
            differences.of(reordered, intact) if reordered.value is not None else None,
            direction,
            reordered.reason,
        ),
        _unchanged_check("batch", f"with 4 clips per pass ({runs.batched})",
              _of(runs.batch[0], task.id), _of(runs.batch[1], task.id), task.tolerance),
        _unchanged_check("precision", "in float64", intact, _of(runs.double, task.id), task.tolerance),
        _half_check(task.id, runs, score.value, error),
        _unchanged_check("threads", f"with {runs.threads} threads",
              intact, _of(runs.other, task.id), task.tolerance),
        published.human(task.id),
        _planted_check(task.id, runs, direction, differences),
    ]  # fmt: skip
    return _audited(
        task, runs.model, published, headline=result.headline, unit=score.unit,
        clips=result.corpus.items, n=score.n, value=score.value, low=score.low,
        high=score.high, error=error, checks=checks,
        detectable=steps[0].detectable if steps else None,
    )  # fmt: skip


def standard_error(store: Store, result: Result) -> float | None:
    """Standard error of a headline over clusters of its items (jackknife); None with a single cluster."""
    parts = headline(result, store.read_items(result))
    error = float(jackknife_error(parts.without()))
    return error if isfinite(error) else None


def _seeds_check(task: Task, runs: ModelRuns, intact: float, error: float | None) -> Check:
    """See `rules.spread`; over the task's own seed and the others."""
    own = task.split.seed if task.split else task.seed
    outcomes = {seed: by_task[task.id] for seed, by_task in runs.seeds.items() if seed != own}
    if reason := next((one.reason for one in outcomes.values() if one.value is None), ""):
        return _not_run("seeds", reason)
    if error is None:
        return _not_run("seeds", "all scored items are of one speaker or sound source")
    values = [intact, *(_value(one) for one in outcomes.values())]
    return rules.spread(values, error, [own, *outcomes])


def _half_check(task: str, runs: ModelRuns, intact: float, error: float | None) -> Check:
    """See `rules.half`."""
    outcomes = {name: _of(by_task, task) for name, by_task in runs.half.items()}
    if reason := next((one.reason for one in outcomes.values() if one.value is None), ""):
        return _not_run("half", reason)
    if error is None:
        return _not_run("half", "all scored items are of one speaker or sound source")
    return rules.half(intact, {name: _value(one) for name, one in outcomes.items()}, error)


def _planted_check(
    task: str, runs: ModelRuns, direction: rules.Direction, differences: "_Differences"
) -> Check:
    """See `rules.planted`."""
    if task not in runs.planted:
        return _not_run("planted", PLANTED_ELSEWHERE)
    before, after = runs.intact[task].result, runs.planted[task].result
    if before is None or after is None or not after.curves:
        return _not_run("planted", runs.planted[task].reason)
    curves = before.curves[0].points, after.curves[0].points
    layer = Site.parse(runs.cause).layer
    site = next(point.site for point in curves[0] if point.layer == layer)
    return rules.planted(*curves, layer, direction, differences.at_site(after, before, site))


class _Differences:
    """Differences between outcomes of one task, paired where the items allow it."""

    def __init__(self, store: Store, task: str) -> None:
        self._store = store
        self._task = task

    def of(self, one: Outcome, other: Outcome) -> rules.Difference:
        assert one.result is not None
        assert other.result is not None
        a, b = one.result.score, other.result.score
        assert a is not None
        assert b is not None
        if one.result.record_sha256 == other.result.record_sha256:
            return rules.Difference(0.0, 1.0, False)
        compared = difference(self._store, one.result, other.result)
        if isinstance(compared, Comparison):
            return rules.Difference(compared.difference, compared.p, False, compared.detectable)
        disjoint = rules.disjoint((a.low, a.high), (b.low, b.high))
        return rules.Difference(a.value - b.value, None, bool(disjoint))

    def at_site(self, one: Result, other: Result, site: str) -> rules.Difference | None:
        """Difference of one layer's outcomes over the same items; None where speakers are too few."""
        mine, its = (_layer(each, self._store.read_items(each), site) for each in (one, other))
        tested = paired_test(mine, its, level=one.level, seed=0)
        return None if tested is None else rules.Difference(mine.value() - its.value(), tested[2], False)


def _layer(result: Result, items: pd.DataFrame, site: str) -> Headline:
    """The headline's formula over the outcomes of one layer."""
    (column,) = (name for name in map(str, items) if name.partition(".")[2] == site)
    return headline(result, items.assign(outcome=items[column]))


class _PublishedResults:
    """The published results of models, by task, for checks that need several models or human speech."""

    def __init__(self, store: Store) -> None:
        self._groups: dict[str, list[list[Result]]] = defaultdict(list)
        groups: dict[tuple[str, ...], list[Result]] = defaultdict(list)
        for result in store.load_all() if store.paths() else []:
            if result.model.kind == "model" and result.score and not result.train_corpus:
                groups[result.group].append(result)
        for members in groups.values():
            self._groups[members[0].task.id].append(members)
        self._pairs = pairs(store) if store.paths() else []
        self._comparisons = {
            members[0].group: pairwise_comparisons(store, members)
            for members in groups.values()
            if len(members) > 1
        }

    def detectable(self, task: str) -> float | None:
        """Median over pairs of models of the smallest detectable difference, on synthetic speech."""
        differences = [
            comparison.detectable
            for members in self._groups[task]
            if not members[0].corpus.human
            for comparison in self._comparisons.get(members[0].group, {}).values()
        ]
        return float(median(differences)) if differences else None

    def seconds(self, task: str) -> float | None:
        """Seconds that the fastest model took."""
        return min((one.run.total_s for group in self._groups[task] for one in group), default=None)

    def human(self, task: str) -> Check:
        """See `rules.human`."""
        own = [pair for pair in self._pairs if pair.synthetic.task.id == task]
        taus = [pair.tau for pair in own if pair.tau is not None]
        sides: dict[bool, set[tuple[str, str]]] = {True: set(), False: set()}
        for members in self._groups[task]:
            for compared in self._comparisons.get(members[0].group, {}).values():
                if (better := compared.better) is not None:
                    worse = compared.b if better is compared.a else compared.a
                    sides[members[0].corpus.human].add((better.model.name, worse.model.name))
        crossed = sorted(order for order in sides[False] if order[::-1] in sides[True])
        return rules.human(taus, crossed, len(own))


def _unchanged_check(name: str, what: str, one: Outcome, other: Outcome, tolerance: float) -> Check:
    if one.value is None or other.value is None:
        return _not_run(name, one.reason or other.reason)
    return rules.same(name, what, one.value, other.value, tolerance)


def _not_run(name: str, reason: str) -> Check:
    return Check(name=name, outcome="not run", says=reason)


def _not_audited(task: Task, published: _PublishedResults) -> Audited:
    """A task outside the suite: only checks on published results, the others are not run."""
    seconds = published.seconds(task.id)
    cost = f"{seconds:.0f} s a model at least" if seconds else "too much"
    why = f"costs {cost}; `innerear audit --tasks {task.id}` runs it"
    checks = [_not_run(name, why) for name in CHECKS[:-2]] + [
        published.human(task.id), _not_run("planted", PLANTED_ELSEWHERE)
    ]  # fmt: skip
    return _audited(task, "", published, checks=checks)


def _audited(task: Task, model: str, published: _PublishedResults, **found: object) -> Audited:
    facts = {
        "task": task.id, "version": task.version, "model": model, "headline": task.metric.name,
        "direction": task.metric.direction, "unit": "", "clips": 0, "n": 0,
        "published_detectable": published.detectable(task.id),
    }  # fmt: skip
    return Audited.model_validate(facts | found)


def _of(outcomes: Outcomes, task: str) -> Outcome:
    """The outcome of a task, which may not have been run."""
    return outcomes.get(task, Outcome(reason=f"not among the tasks of the suite {AROUND}"))


def _value(outcome: Outcome) -> float:
    assert outcome.value is not None
    return outcome.value
