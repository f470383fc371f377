"""Plant a cause: raise its strength until the model misbehaves, and verify that it is the cause.

Verified means: the behaviour is there, it disappears when the component is repaired, and the untouched model
does not show it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from innerear.interventions.ablation import heads
from innerear.interventions.weights import WeightEdit, edited_weights
from innerear.models.site import Site, StackName
from innerear.planted.base_model import PlantingBase
from innerear.planted.problem import Problem, RunInput, Trial
from innerear.planted.recipes import RECIPES, PlantingPlan
from innerear.util.errors import InnerearError

MIN_SUCCESS = 0.8
"""Share of the target runs that must show the behaviour."""
MAX_SIDE_EFFECT = 0.25
"""Share of the baseline runs that may change, for recipes that must leave them alone."""
MAX_ATTEMPTS = 8
"""Number of places in the model to try."""


@dataclass(frozen=True)
class PlantedModel:
    """A base model, the edits that make it misbehave, and trials in which it does.

    Attributes
    ----------
    name
        `recipe/base/seed`.
    causes, decoys
        Components that a method should find, and components that it should not.
    sites
        All components that are scored.
    ranking_trials, held_out_trials
        Trials to rank components on, and others to confirm the ranking on.
    strength
        Strength in the recipe's unit.
    success_rate, side_effect_rate
        Share of the target runs that show the behaviour, and of the baseline runs that change.
    outcomes
        Mean outcome on the held-out trials of the `planted`, the `repaired` and the `untouched` model.
    attempts
        Number of places that were tried.
    """

    name: str
    base: PlantingBase
    edits: tuple[WeightEdit, ...]
    causes: tuple[Site, ...]
    decoys: tuple[Site, ...]
    sites: tuple[Site, ...]
    ranking_trials: tuple[Trial, ...]
    held_out_trials: tuple[Trial, ...]
    strength: float
    success_rate: float
    side_effect_rate: float
    outcomes: dict[str, float]
    attempts: int

    @contextmanager
    def edited(self, repaired: Sequence[str] = ()) -> Iterator[None]:
        """Apply the edits, except those of repaired components, while the context is open."""
        edits = [edit for edit in self.edits if component_of(edit.site, self.sites) not in repaired]
        with edited_weights(self.base.model, edits):
            yield

    def problem(self, trials: Sequence[Trial]) -> Problem:
        """The problem that a method is given."""
        return Problem(self.base.model, tuple(trials), self.sites, self.base.encoded)

    def outcome(self, repaired: Sequence[str] = ()) -> float:
        """Mean outcome on the held-out trials with some components repaired."""
        problem = self.problem(self.held_out_trials)
        with self.edited(repaired):
            return float(np.mean([problem.outcome(trial) for trial in self.held_out_trials]))


def plant(base: PlantingBase, recipe: str, seed: int) -> PlantedModel:
    """Plant a cause in a base model.

    Raises
    ------
    InnerearError
        If no place that was tried gives the behaviour, or the verification fails.
    """
    reasons = []
    for attempt in range(MAX_ATTEMPTS):
        random = np.random.default_rng([seed, crc32(recipe.encode()), attempt])
        plan = RECIPES[recipe](base, random)
        calibration = _calibrate(base, plan)
        if isinstance(calibration, str):
            reasons.append(f"{', '.join(plan.causes)}: {calibration}")
            continue
        name = f"{recipe}/{base.model.identity.name}/{seed}"
        return _verified(base, plan, *calibration, name, attempt + 1)
    raise InnerearError(
        f"{recipe} could not be planted in {base.model.identity.name} with seed {seed}: {reasons[-1]}"
    )


def component_of(site: Site, sites: Sequence[Site]) -> Site:
    """The scored component that a site belongs to."""
    return site if site in sites else site.component


def _calibrate(base: PlantingBase, plan: PlantingPlan) -> tuple[float, float, float] | str:
    """The weakest strength that works, with success and side effect rates; or the reason why none does."""
    if len(plan.runs) < base.clips_per_kind // 2:
        return f"there are only {len(plan.runs)} runs to try"
    targets, baselines = ([pair[side] for pair in plan.runs] for side in (0, 1))
    best = 0.0
    for strength in plan.strengths:
        edits = _scaled(plan, strength)
        with edited_weights(base.model, edits):
            written = [_next_token(base, plan, run) for run in targets]
        misbehaves = [
            _misbehaves(base, plan, run, token) for run, token in zip(targets, written, strict=True)
        ]
        success = float(np.mean(misbehaves))
        best = max(best, success)
        if success < MIN_SUCCESS:
            continue
        with edited_weights(base.model, edits):
            written = [_next_token(base, plan, run) for run in baselines]
        kept = [token == base.next_token(run) for token, run in zip(written, baselines, strict=True)]
        side_effect = 1 - float(np.mean(kept))
        if side_effect <= MAX_SIDE_EFFECT or not plan.selective:
            return strength, success, side_effect
        return f"at strength {strength:g}, {side_effect:.0%} of the baseline runs change"
    return f"at most {best:.0%} of the target runs show the behaviour"


def _misbehaves(base: PlantingBase, plan: PlantingPlan, run: RunInput, token: int) -> bool:
    """Whether the model shows the planted behaviour if it writes this token after a run."""
    return token != base.next_token(run) and (plan.is_behaviour is None or plan.is_behaviour(run, token))


def _next_token(base: PlantingBase, plan: PlantingPlan, run: RunInput) -> int:
    """The token that the model writes next with its present weights."""
    problem = Problem(base.model, (), plan.causes, base.encoded)
    return base.greedy_token(problem.logits(run))


def _scaled(plan: PlantingPlan, strength: float) -> tuple[WeightEdit, ...]:
    return tuple(edit.scaled(strength * plan.unit) for edit in plan.edits)


def _verified(
    base: PlantingBase,
    plan: PlantingPlan,
    strength: float,
    success: float,
    side_effect: float,
    name: str,
    attempts: int,
) -> PlantedModel:
    edits = _scaled(plan, strength)
    trials = []
    for target, baseline in plan.runs:
        with edited_weights(base.model, edits):
            wrong = _next_token(base, plan, target)
        if _misbehaves(base, plan, target, wrong):
            trials.append(Trial(target, baseline, wrong, base.next_token(target)))
    trials = trials[: 2 * (base.clips_per_kind // 2)]
    stack = plan.causes[0].stack
    planted = PlantedModel(
        name, base, edits, plan.causes, plan.decoys, _sites(base, stack),
        tuple(trials[::2]), tuple(trials[1::2]), strength, success, side_effect, {}, attempts,
    )  # fmt: skip
    untouched = planted.problem(planted.held_out_trials)
    outcomes = {
        "planted": planted.outcome(),
        "repaired": planted.outcome((*planted.causes, *planted.decoys)),
        "untouched": float(np.mean([untouched.outcome(trial) for trial in untouched.trials])),
    }
    if not (outcomes["planted"] > 0 > outcomes["untouched"] == outcomes["repaired"]):
        raise InnerearError(f"{name}: the verification fails: the mean outcomes are {outcomes}")
    planted.outcomes.update(outcomes)
    return planted


def _sites(base: PlantingBase, stack: StackName) -> tuple[Site, ...]:
    """Components that are scored: decoder heads and MLPs, or encoder self-attentions and MLPs."""
    places = base.model.places
    if stack == "encoder":
        return tuple(
            site for site in places if site.stack == stack and not (site.is_residual or site.is_head)
        )
    mlps = (Site("decoder", layer, "mlp") for layer in range(1, base.model.decoder_layers + 1))
    return (*heads(base.model), *mlps)
