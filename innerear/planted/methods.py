"""Localisation methods: how much each component contributes to a misbehaviour.

A method is a function of a `Problem` that returns one score for each component, higher for a likelier cause,
or None where it does not apply. Effects are in logits: the drop of the outcome. Packages add methods by entry
point.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import repeat

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from innerear.interventions.weights import HeadWeights
from innerear.models.site import Part, Site
from innerear.planted.problem import Problem, RunInput, Trial, clip_key
from innerear.util.io import sha256_json
from innerear.util.plugins import Extended

Method = Callable[[Problem], Tensor | None]
ATTENTIONS: tuple[Part, Part] = ("self_attn", "cross_attn")
GROUP = "innerear.methods"
"""Entry point group under which packages register methods."""


def methods() -> dict[str, Method]:
    """All methods by name: the built-in ones, then those of installed packages.

    Raises
    ------
    InputError
        If a package registers a method under a name that is taken, or one that cannot be imported.
    """
    return dict(Extended(GROUP, "method", BUILT_IN, callable))


def zero_ablation(problem: Problem) -> Tensor:
    """Set the output of each component to zero."""
    states = problem.states(problem.trials[0].target)
    zeros = {site: torch.zeros_like(output[0]) for site, output in states.items()}
    return _mean_drop(problem, repeat(zeros, len(problem.trials)))


def mean_ablation(problem: Problem) -> Tensor:
    """Replace the output of each component by its mean over all trials and positions."""
    means: dict[Site, Tensor] = {}
    for trial in problem.trials:
        for site, output in problem.states(trial.target).items():
            means[site] = means.get(site, 0.0) + output.mean(dim=0) / len(problem.trials)
    return _mean_drop(problem, repeat(means, len(problem.trials)))


def resample_ablation(problem: Problem) -> Tensor:
    """Replace the output of each component by that in another trial (Chan et al. 2022, causal scrubbing)."""
    others = (*problem.trials[1:], problem.trials[0])
    return _mean_drop(problem, (problem.states(trial.target) for trial in others))


def activation_patching(problem: Problem) -> Tensor:
    """Patch each component from the baseline run (Vig et al. 2020; Meng et al. 2022)."""
    return _mean_drop(problem, (problem.states(trial.baseline) for trial in problem.trials))


def white_noise_patching(problem: Problem) -> Tensor:
    """Patch each component from a run on white noise (arXiv 2508.15882)."""
    return _mean_drop(problem, (problem.states(run) for run in problem.noise_runs))


def attribution_patching(problem: Problem) -> Tensor:
    """First-order estimate of activation patching: one forward and one backward pass (Syed et al. 2023)."""
    total = torch.zeros(len(problem.sites))
    for trial in problem.trials:
        target, baseline, gradient = (
            problem.states(trial.target), problem.states(trial.baseline), problem.gradients(trial),
        )  # fmt: skip
        total += torch.stack(
            [((target[site] - baseline[site]) * gradient[site]).sum().cpu() for site in problem.sites]
        )
    return total / len(problem.trials)


def direct_attribution(problem: Problem) -> Tensor | None:
    """Direct contribution of each component to the outcome, through final norm and unembedding (logit lens).

    The norm is linearised around the state of the run (Elhage et al. 2021).
    """
    if problem.stack == "encoder":
        return None
    model, last = problem.model, problem.model.decoder_sites[-1]
    total = torch.zeros(len(problem.sites))
    for trial in problem.trials:
        states = problem.states(trial.target)
        with torch.inference_mode(), model.reading([last]) as kept:
            model.teacher_force(problem.encode(trial.target.audio), [*trial.target.tokens, 0])
        state = kept[last][0, -1].clone().requires_grad_(True)
        with torch.enable_grad():
            logits = model.unembed(state)
            (gradient,) = torch.autograd.grad(logits[trial.wrong] - logits[trial.right], state)
        for at, site in enumerate(problem.sites):
            output = states[site][-1].clone()
            if site.is_head:
                output = HeadWeights.of(model, site).writes(model).detach() @ output
            total[at] += float(output @ gradient)
    return total / len(problem.trials)


def probe_weights(problem: Problem) -> Tensor:
    """Norm of the weights of each component in one linear probe of target against baseline runs."""
    features, is_target, widths = _features(problem)
    probe = LogisticRegression(C=0.01, max_iter=1000).fit(StandardScaler().fit_transform(features), is_target)
    parts = np.split(probe.coef_[0], np.cumsum(widths)[:-1])
    return torch.tensor([float(np.linalg.norm(part)) for part in parts])


def difference_of_means(problem: Problem) -> Tensor:
    """Distance between the mean outputs in target and baseline runs, in pooled standard deviations."""
    features, is_target, widths = _features(problem)
    scores = []
    for part in np.split(features, np.cumsum(widths)[:-1], axis=1):
        target, baseline = part[is_target], part[~is_target]
        spread = np.sqrt((target.var(axis=0) + baseline.var(axis=0)).sum() / 2)
        distance = np.linalg.norm(target.mean(axis=0) - baseline.mean(axis=0))
        scores.append(float(distance / max(spread, 1e-12)))
    return torch.tensor(scores)


def attention_to_copied(problem: Problem) -> Tensor | None:
    """Attention of each self-attention head to positions that hold the wrong token (Olsson et al. 2022)."""
    prefix = problem.model.prefix_length

    def weights(trial: Trial) -> dict[Site, float]:
        self_attn, _ = problem.attention(trial.target)
        copied = [prefix + at for at, token in enumerate(trial.target.tokens) if token == trial.wrong]
        return {
            site: float(self_attn[place][copied].sum())
            for site, place in _heads(problem, "self_attn").items()
        }

    if problem.stack == "encoder" or not any(trial.wrong in trial.target.tokens for trial in problem.trials):
        return None
    return _mean(problem, [weights(trial) for trial in problem.trials])


def attention_shift(problem: Problem) -> Tensor | None:
    """Total variation between the attention of each decoder head in the target and the baseline run."""
    if problem.stack == "encoder":
        return None
    rows = []
    for trial in problem.trials:
        target, baseline = problem.attention(trial.target), problem.attention(trial.baseline)
        rows.append(
            {
                site: float((one[place] - other[place]).abs().sum()) / 2
                for part, one, other in zip(ATTENTIONS, target, baseline, strict=True)
                for site, place in _heads(problem, part).items()
            }
        )
    return _mean(problem, rows)


def random_order(problem: Problem) -> Tensor:
    """The floor: random scores, seeded by the components and the trials."""
    trials = [
        [clip_key(trial.target.audio).hex(), trial.target.tokens, trial.wrong] for trial in problem.trials
    ]
    seed = int(sha256_json([problem.sites, trials])[:15], 16)
    return torch.rand(len(problem.sites), generator=torch.Generator().manual_seed(seed))


BUILT_IN: Mapping[str, Method] = {
    "zero-ablation": zero_ablation,
    "mean-ablation": mean_ablation,
    "resample-ablation": resample_ablation,
    "activation-patching": activation_patching,
    "white-noise-patching": white_noise_patching,
    "attribution-patching": attribution_patching,
    "direct-attribution": direct_attribution,
    "probe-weights": probe_weights,
    "difference-of-means": difference_of_means,
    "attention-to-copied": attention_to_copied,
    "attention-shift": attention_shift,
    "random-order": random_order,
}
"""The methods of innerear by name."""

VERSIONS: Mapping[str, int] = dict.fromkeys(BUILT_IN, 1)
"""Raise the version of a method whose scores change, so that its results are measured again."""


def source_of(name: str, method: Method) -> str:
    """Where a method comes from, as results and their hashes state it.

    Built-in methods are `innerear:NAME@VERSION`, whatever module they are in; those of other packages have
    their import path.
    """
    if BUILT_IN.get(name) is method:
        return f"innerear:{name}@{VERSIONS[name]}"
    return f"{method.__module__}.{getattr(method, '__qualname__', name)}"


def _mean_drop(problem: Problem, values: Iterable[Mapping[Site, Tensor]]) -> Tensor:
    """Mean drop of the outcome when each component outputs its entry in the values of each trial."""
    total = torch.zeros(len(problem.sites))
    for trial, replaced in zip(problem.trials, values, strict=True):
        total += problem.outcome(trial) - problem.outcomes_with(trial, replaced).cpu()
    return total / len(problem.trials)


def _features(problem: Problem) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Outputs of all components [run, total dim], which runs are targets [run], and the components' widths.

    The output is that at the last position in the decoder, and the mean over frames in the encoder.
    """
    runs: list[RunInput] = [run for trial in problem.trials for run in (trial.target, trial.baseline)]
    rows = []
    for run in runs:
        states = problem.states(run)
        outputs = [states[site] for site in problem.sites]
        rows.append([out.mean(dim=0) if problem.stack == "encoder" else out[-1] for out in outputs])
    features = torch.stack([torch.cat(row) for row in rows]).cpu().numpy().astype(float)
    is_target = np.arange(len(runs)) % 2 == 0
    return features, is_target, [len(part) for part in rows[0]]


def _heads(problem: Problem, part: Part) -> dict[Site, tuple[int, int]]:
    """(Layer, head), both from 0, of the heads of one kind of attention among the components."""
    return {
        site: (site.layer - 1, site.head)
        for site in problem.sites
        if site.part == part and site.head is not None
    }


def _mean(problem: Problem, rows: list[dict[Site, float]]) -> Tensor:
    """Mean over trials by component; components that the method does not score get 0."""
    return torch.tensor([sum(row.get(site, 0.0) for row in rows) / len(rows) for site in problem.sites])
