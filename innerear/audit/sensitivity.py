"""Sensitivity of merits: the smallest damage that a headline tells apart, by what it costs in WER."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from innerear.audit.damages import REMOVED, damages
from innerear.audit.model_variants import Change, variant
from innerear.audit.stress_runs import SUITES, Outcome, run_tasks
from innerear.models.loading import load_model
from innerear.results.audit import headline_audits
from innerear.results.environment import environment, make_deterministic
from innerear.results.merits import unranked
from innerear.results.paired import difference
from innerear.results.schema import Result, Score
from innerear.results.sensitivity import Damaged, Sensitivities, Sensitivity, smallest
from innerear.results.store import Store
from innerear.runs.plans import Options
from innerear.runs.runner import Notify
from innerear.tasks.task import Task, suites
from innerear.util.errors import InnerearError, InputError

SUITE, COST, CLEAN = "sensitivity", "transcription", "wer"
"""The suite of merits, on the published selection of clips; the task and the score of what damage costs."""
ENOUGH = 2
"""Degrees of one kind in a row that every merit tells apart before no more damage of it is measured."""


def sensitivity(
    published: Store,
    options: Options,
    models: Sequence[str] = (),
    notify: Notify = lambda _: None,
    *,
    tasks: Sequence[str] = (),
    kinds: Sequence[str] = (),
    earlier: Sensitivities | None = None,
) -> tuple[Sensitivities, Sensitivities]:
    """Measure the merits of the suite on damaged variants of models; what was found, and it added to earlier.

    Damage of a kind grows until all merits told `ENOUGH` degrees in a row apart, and none that costs as much
    went untold: what is damaged more is not measured, since the smallest damage told apart is known. Of
    removed blocks, all are measured.

    Parameters
    ----------
    published
        Published results with their audit, which says what is a merit.
    options
        Where measurements are kept, so that an interrupted measurement continues, and how to run.
    models
        Names; by default those of the suite.
    tasks
        Names of merits; by default all of the suite.
    kinds
        Kinds of damage; by default all.
    earlier
        Sensitivities of any models, tasks and kinds. What a damage costs in WER is measured once: where it is
        there, it is taken from it, unless transcription is asked for itself, or the untouched model
        transcribes otherwise than the one of that name did then.

    Raises
    ------
    InputError
        If no headline is a merit, a name is unknown or that of no merit, or what is there is of other
        packages on this machine.
    InnerearError
        If a model or a damaged variant of it cannot be measured.
    """
    suite = suites(SUITES)[SUITE]
    audits = headline_audits(published.folder)
    every = {entry.id: entry.task() for entry in suite.tasks}
    merits = {name: task for name, task in every.items() if not unranked(task, audits)}
    if not merits:
        raise InputError(f"no headline is a merit by the audit of {published.folder}: nothing to measure")
    if others := [name for name in tasks if name not in merits]:
        raise InputError(f"{others[0]!r} is none of the merits that are measured: {', '.join(merits)}")
    asked = [merits[name] for name in tasks or merits]
    make_deterministic()
    here = environment(options.main_device)
    if earlier:
        earlier.refuse_other_packages(here)
    found = Sensitivities(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        merits=[
            merit
            for name in models or suite.models
            for merit in _of_model(name, asked, every[COST], kinds, options, notify, earlier)
        ],
        environments={here.machine: here},
    )
    return found, found.joined(earlier) if earlier else found


def _of_model(
    name: str,
    merits: Sequence[Task],
    transcription: Task,
    kinds: Sequence[str],
    options: Options,
    notify: Notify,
    earlier: Sensitivities | None,
) -> list[Sensitivity]:
    every = damages(load_model(name).encoder_layers)
    if unknown := sorted(set(kinds) - set(every)):
        raise InputError(f"no kind of damage is called {unknown[0]!r}; there are {', '.join(every)}")
    with_cost = [*merits, *([] if transcription in merits else [transcription])]

    def results(label: str, tasks: Sequence[Task], change: Change | None = None) -> dict[str, Result]:
        found = run_tasks(lambda: variant(load_model(name), label, change), tasks, options, notify)
        return {task: _scored(outcome, f"{name} ({label})") for task, outcome in found.items()}

    untouched, store = results("audit", with_cost), Store(options.output)
    weighed = earlier.of(COST, name) if earlier and transcription not in merits else None
    costs = _costs(weighed, untouched)
    damaged: dict[str, list[Damaged]] = {task.id: [] for task in merits}
    for kind, degrees in every.items():
        if kinds and kind not in kinds:
            continue
        own: dict[str, list[Damaged]] = {task.id: [] for task in merits}
        for degree, change in degrees.items():
            cost = costs.get((kind, degree))
            after = results(f"{kind} {degree:g}", with_cost if cost is None else merits, change)
            if cost is None:
                cost = _wer(after) - _wer(untouched)
            for task, variants in own.items():
                variants.append(_damaged(store, kind, degree, cost, untouched[task], after[task]))
            if kind != REMOVED and all(map(_is_known, own.values())):  # blocks have no order of harm
                break
        for task, variants in own.items():
            damaged[task] += variants
    return [
        Sensitivity(
            task=task.id, version=task.version, corpus=task.corpus, model=name,
            headline=untouched[task.id].headline, unit=score.unit, n=score.n, value=score.value,
            wer=_wer(untouched), damaged=damaged[task.id],
        )
        for task in merits
        for score in [_score(untouched[task.id])]
    ]  # fmt: skip


def _scored(outcome: Outcome, model: str) -> Result:
    if outcome.result is None or outcome.result.score is None:
        raise InnerearError(f"{model} cannot be measured: {outcome.reason}")
    return outcome.result


def _is_known(damaged: Sequence[Damaged]) -> bool:
    """Whether more damage of a kind would not change what is the smallest told apart."""
    last = damaged[-ENOUGH:]
    return len(last) == ENOUGH and all(each.told for each in last) and smallest(damaged) is not None


def _costs(weighed: Sensitivity | None, untouched: Mapping[str, Result]) -> dict[tuple[str, float], float]:
    """What damage costs by kind and degree, as measured earlier on this model; empty if on another one."""
    if weighed is None:
        return {}
    now = _score(untouched[COST])
    if (weighed.n, weighed.value, weighed.wer) != (now.n, now.value, _wer(untouched)):
        return {}
    return {(each.kind, each.degree): each.cost for each in weighed.damaged}


def _wer(results: Mapping[str, Result]) -> float:
    """The clean WER of a model by its results."""
    return results[COST].scores[CLEAN].value


def _damaged(store: Store, kind: str, degree: float, cost: float, before: Result, after: Result) -> Damaged:
    """What damage of a cost does to a merit: the results of the untouched and of the damaged model."""
    was, now = _score(before), _score(after)
    compared = difference(store, after, before)
    if isinstance(compared, str):
        raise InnerearError(f"{after.model.name} on {after.task.id}: {compared}")
    loss = was.value - now.value if was.direction == "higher" else now.value - was.value
    return Damaged(
        kind=kind, degree=degree, cost=cost, value=now.value, p=compared.p, worse=loss > 0,
        machine=after.environment.machine,
    )  # fmt: skip


def _score(result: Result) -> Score:
    """The headline's score of a result that has one."""
    assert result.score is not None
    return result.score
