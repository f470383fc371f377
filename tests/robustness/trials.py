"""The list of all trials; a module that has more adds its function to `every_trial`."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import faults
import sound
from bad_corpora import bad_corpora
from bad_files import bad_files
from bad_models import bad_models
from bad_results import bad_results
from forgeries import FORGERIES
from forging import Forgery, lines
from fuzz import fuzzed
from harness import HELD, TOLD, Outcome, Trial
from kills import kills
from resealed import resealed
from sound import Sound

SEED = 2026


def prepared(folder: Path) -> Sound:
    """Make the sound inputs, and import what commands import late, so that each fork has it."""
    import datasets  # noqa: F401
    import evaluate  # noqa: F401
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    import innerear.audit.audit
    import innerear.report.site
    import innerear.runs.reproduce
    import innerear.runs.runner  # noqa: F401

    return sound.make(folder)


def every_trial(inputs: Sound, slow: bool = True) -> list[Trial]:
    """All trials, by kind, with or without the slow ones."""
    kinds = (bad_corpora, bad_files, bad_models, bad_results, fuzzed, resealed, *((kills,) if slow else ()))
    return [*(trial for kind in kinds for trial in kind(inputs)), *faults.trials(slow), *_forgeries()]


def _forgeries() -> Iterator[Trial]:
    """Forgeries that `verify` has to tell, and those that no file can prove, of which it says nothing."""

    def act(forgery: Forgery, _folder: Path) -> Outcome:
        found = lines(forgery)
        if not forgery.says:
            return Outcome("unclear" if found else HELD, " ".join(found))
        told = any(forgery.says in line for line in found)
        return Outcome(TOLD if told else "wrong number", forgery.says)

    for forgery in FORGERIES:
        kind = "forgeries" if forgery.says else "forgeries that no file can prove"
        yield Trial(kind, f"{forgery.kind}: {forgery.name}", partial(act, forgery))


def sample(trials: Sequence[Trial], count: int) -> list[Trial]:
    """About `count` trials: of every kind its share, and at least two, drawn by `SEED`."""
    kinds = defaultdict[str, list[Trial]](list)
    for trial in trials:
        kinds[trial.kind].append(trial)
    drawn, share = random.Random(SEED), count / len(trials)
    chosen = []
    for of_kind in kinds.values():
        wanted = max(2, round(share * len(of_kind)))
        chosen += drawn.sample(of_kind, min(len(of_kind), wanted))
    return chosen
