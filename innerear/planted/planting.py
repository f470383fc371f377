"""Plant a cause: raise its strength until the model misbehaves, and prove that it is the cause.

The proof: the behaviour is there, it goes when the component is repaired, and the untouched model does not
have it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from innerear.interventions.ablation import heads
from innerear.interventions.weights import WeightEdit, edited_weights
from innerear.models.site import Site, StackName
from innerear.planted.material import Material
from innerear.planted.problem import ForcedRun, Problem, Trial
from innerear.planted.recipes import RECIPES, PlantingPlan
from innerear.util.errors import InnerearError

ENOUGH = 0.8
"""Share of the runs that must show the behaviour."""
SPILL = 0.25
"""Share of the quiet runs that may change, where they must not."""
ATTEMPTS = 8
"""Places that are drawn before it is given up."""


@dataclass(frozen=True)
class Planted:
    """A base model, the edits that make it misbehave, and trials in which it does.

    Attributes
    ----------
    name
        `recipe/base/seed`.
    causes, decoys
        Components: what a method should find, and what it should not.
    sites
        Components that are judged.
    rank, held
        Trials to rank components on, and others to confirm on.
    strength
        In the recipe's unit.
    shown, spilt
        Share of the asked runs that show the behaviour, and of the quiet ones that changed.
    outcomes
        Mean outcome on the held trials: `planted`, `repaired`, `untouched`.
    attempts
        Places that were drawn.
    """

    name: str
    material: Material
    edits: tuple[WeightEdit, ...]
    causes: tuple[Site, ...]
    decoys: tuple[Site, ...]
    sites: tuple[Site, ...]
    rank: tuple[Trial, ...]
    held: tuple[Trial, ...]
    strength: float
    shown: float
    spilt: float
    outcomes: dict[str, float]
    attempts: int

    @contextmanager
    def operated(self, repaired: Sequence[str] = ()) -> Iterator[None]:
        """Hold the edits while the context is open, but for those of repaired components."""
        edits = [edit for edit in self.edits if component(edit.site, self.sites) not in repaired]
        with edited_weights(self.material.model, edits):
            yield

    def problem(self, trials: Sequence[Trial]) -> Problem:
        """What a method is given."""
        return Problem(self.material.model, tuple(trials), self.sites, self.material.encoded)

    def outcome(self, repaired: Sequence[str] = ()) -> float:
        """Mean outcome on the held trials with some components repaired."""
        asked = self.problem(self.held)
        with self.operated(repaired):
            return float(np.mean([asked.outcome(trial) for trial in self.held]))


def plant(material: Material, recipe: str, seed: int) -> Planted:
    """Plant a cause in a base model.

    Raises
    ------
    InnerearError
        If no place that was drawn gives the behaviour, or the proof fails.
    """
    reasons = []
    for attempt in range(ATTEMPTS):
        random = np.random.default_rng([seed, crc32(recipe.encode()), attempt])
        plan = RECIPES[recipe](material, random)
        found = _calibrated(material, plan)
        if isinstance(found, str):
            reasons.append(f"{', '.join(plan.causes)}: {found}")
            continue
        name = f"{recipe}/{material.model.identity.name}/{seed}"
        return _proved(material, plan, *found, name, attempt + 1)
    raise InnerearError(
        f"{recipe} could not be planted in {material.model.identity.name} with seed {seed}: {reasons[-1]}"
    )


def component(site: Site, sites: Sequence[Site]) -> Site:
    """The judged component that a site belongs to."""
    return site if site in sites else site.component


def _calibrated(material: Material, plan: PlantingPlan) -> tuple[float, float, float] | str:
    """Strength, share of runs that show the behaviour and of quiet ones that changed; or what is wrong."""
    if len(plan.runs) < material.count // 2:
        return f"{len(plan.runs)} runs to try"
    asked, quiet = ([run[side] for run in plan.runs] for side in (0, 1))
    best = 0.0
    for step in plan.ladder:
        edits = _scaled(plan, step)
        with edited_weights(material.model, edits):
            wrong = [_next(material, plan, heard) for heard in asked]
        shown = float(np.mean([_shows(material, plan, *each) for each in zip(asked, wrong, strict=True)]))
        best = max(best, shown)
        if shown < ENOUGH:
            continue
        with edited_weights(material.model, edits):
            other = [_next(material, plan, heard) for heard in quiet]
        kept = [token == material.next_token(heard) for token, heard in zip(other, quiet, strict=True)]
        spilt = 1 - float(np.mean(kept))
        if spilt <= SPILL or not plan.apart:
            return step, shown, spilt
        return f"at strength {step:g} {spilt:.0%} of the quiet runs change"
    return f"the behaviour shows in {best:.0%} of runs at most"


def _shows(material: Material, plan: PlantingPlan, heard: ForcedRun, token: int) -> bool:
    """Whether what is written next is the behaviour."""
    return token != material.next_token(heard) and (plan.shows is None or plan.shows(heard, token))


def _next(material: Material, plan: PlantingPlan, heard: ForcedRun) -> int:
    """What the model, as it stands, writes next."""
    asked = Problem(material.model, (), plan.causes, material.encoded)
    return material.best(asked.logits(heard))


def _scaled(plan: PlantingPlan, strength: float) -> tuple[WeightEdit, ...]:
    return tuple(edit.scaled(strength * plan.unit) for edit in plan.edits)


def _proved(
    material: Material,
    plan: PlantingPlan,
    strength: float,
    shown: float,
    spilt: float,
    name: str,
    attempts: int,
) -> Planted:
    edits = _scaled(plan, strength)
    trials = []
    for asked, quiet in plan.runs:
        with edited_weights(material.model, edits):
            wrong = _next(material, plan, asked)
        if _shows(material, plan, asked, wrong):
            trials.append(Trial(asked, quiet, wrong, material.next_token(asked)))
    trials = trials[: 2 * (material.count // 2)]
    stack = plan.causes[0].stack
    made = Planted(
        name, material, edits, plan.causes, plan.decoys, _sites(material, stack),
        tuple(trials[::2]), tuple(trials[1::2]), strength, shown, spilt, {}, attempts,
    )  # fmt: skip
    outcomes = {
        "planted": made.outcome(),
        "repaired": made.outcome((*made.causes, *made.decoys)),
        "untouched": float(np.mean([made.problem(made.held).outcome(trial) for trial in made.held])),
    }
    if not (outcomes["planted"] > 0 > outcomes["untouched"] == outcomes["repaired"]):
        raise InnerearError(f"{name}: the proof fails: {outcomes}")
    made.outcomes.update(outcomes)
    return made


def _sites(material: Material, stack: StackName) -> tuple[Site, ...]:
    """Heads and mlps of the decoder; attentions and mlps of the encoder."""
    places = material.model.places
    if stack == "encoder":
        return tuple(
            site for site in places if site.stack == stack and not (site.is_residual or site.is_head)
        )
    mlps = (Site("decoder", layer, "mlp") for layer in range(1, material.model.decoder_layers + 1))
    return (*heads(material.model), *mlps)
