"""Sensitivity of merits: the smallest damage that a headline tells apart, by what it costs in WER."""

from collections.abc import Sequence
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
from innerear.results.sensitivity import Damaged, Sensitivities, Sensitivity
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
    kinds: Sequence[str] = (),
    earlier: Sensitivities | None = None,
) -> tuple[Sensitivities, Sensitivities]:
    """Measure the merits of the suite on damaged variants of models; what was found, and it added to earlier.

    Damage of a kind grows until all merits told `ENOUGH` degrees in a row apart: what is damaged more is not
    measured, since the smallest damage told apart is known. Of removed blocks, all are measured.

    Parameters
    ----------
    published
        Published results with their audit, which says what is a merit.
    options
        Where measurements are kept, so that an interrupted measurement continues, and how to run.
    models
        Names; by default those of the suite.
    kinds
        Kinds of damage; by default all.
    earlier
        Sensitivities of any models, tasks and kinds.

    Raises
    ------
    InputError
        If no headline is a merit, a name is unknown, or what is there is of other packages on this machine.
    InnerearError
        If a model or a damaged variant of it cannot be measured.
    """
    suite = suites(SUITES)[SUITE]
    audits = headline_audits(published.folder)
    every = [entry.task() for entry in suite.tasks]
    merits = [task for task in every if not unranked(task, audits)]
    if not merits:
        raise InputError(f"no headline is a merit by the audit of {published.folder}: nothing to measure")
    make_deterministic()
    here = environment(options.main_device)
    if earlier:
        earlier.refuse_other_packages(here)
    found = Sensitivities(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        merits=[
            merit
            for name in models or suite.models
            for merit in _of_model(name, merits, every, kinds, options, notify)
        ],
        environments={here.machine: here},
    )
    return found, found.joined(earlier) if earlier else found


def _of_model(
    name: str,
    merits: Sequence[Task],
    every: Sequence[Task],
    kinds: Sequence[str],
    options: Options,
    notify: Notify,
) -> list[Sensitivity]:
    known = damages(load_model(name).encoder_layers)
    if unknown := sorted(set(kinds) - set(known)):
        raise InputError(f"no kind of damage is called {unknown[0]!r}; there are {', '.join(known)}")
    tasks = [task for task in every if task in merits or task.id == COST]

    def results(label: str, change: Change | None = None) -> dict[str, Result]:
        found = run_tasks(lambda: variant(load_model(name), label, change), tasks, options, notify)
        return {task: _scored(outcome, f"{name} ({label})") for task, outcome in found.items()}

    untouched, store = results("audit"), Store(options.output)
    damaged: dict[str, list[Damaged]] = {task.id: [] for task in merits}
    for kind, degrees in known.items():
        if kinds and kind not in kinds:
            continue
        told = 0
        for degree, change in degrees.items():
            after = results(f"{kind} {degree:g}", change)
            for task, variants in damaged.items():
                pairs = [(untouched[each], after[each]) for each in (task, COST)]
                variants.append(_damaged(store, kind, degree, *pairs))
            told = told + 1 if all(variants[-1].told for variants in damaged.values()) else 0
            if told == ENOUGH and kind != REMOVED:  # blocks have no order of harm
                break
    return [
        Sensitivity(
            task=task.id, version=task.version, corpus=task.corpus, model=name,
            headline=untouched[task.id].headline, unit=score.unit, n=score.n, value=score.value,
            wer=untouched[COST].scores[CLEAN].value, damaged=damaged[task.id],
        )
        for task in merits
        for score in [_score(untouched[task.id])]
    ]  # fmt: skip


def _scored(outcome: Outcome, model: str) -> Result:
    if outcome.result is None or outcome.result.score is None:
        raise InnerearError(f"{model} cannot be measured: {outcome.reason}")
    return outcome.result


def _damaged(
    store: Store, kind: str, degree: float, merit: tuple[Result, Result], cost: tuple[Result, Result]
) -> Damaged:
    """What damage does to a merit and to transcription; each pair is the untouched and the damaged model."""
    before, after = (_score(each) for each in merit)
    compared = difference(store, merit[1], merit[0])
    if isinstance(compared, str):
        raise InnerearError(f"{merit[1].model.name} on {merit[1].task.id}: {compared}")
    loss = before.value - after.value if before.direction == "higher" else after.value - before.value
    costs = cost[1].scores[CLEAN].value - cost[0].scores[CLEAN].value
    return Damaged(
        kind=kind, degree=degree, cost=costs, value=after.value, p=compared.p, worse=loss > 0,
        machine=merit[1].environment.machine,
    )  # fmt: skip


def _score(result: Result) -> Score:
    """The headline's score of a result that has one."""
    assert result.score is not None
    return result.score
