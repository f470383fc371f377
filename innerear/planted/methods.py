"""Localisation methods: of every component, how guilty it is of an outcome. One's own come by entry point.

A method is a function of a `Problem` that gives a score for each component, higher for more guilt, or None
where it does not apply. Effects are in logits: by how much the outcome falls.
"""

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from itertools import repeat

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from innerear.interventions.weights import HeadWeights
from innerear.models.site import Part, Site
from innerear.planted.problem import ForcedRun, Problem, key
from innerear.util.errors import InputError
from innerear.util.io import sha256_json

Method = Callable[[Problem], Tensor | None]
ATTENTIONS: tuple[Part, Part] = ("self_attn", "cross_attn")
GROUP = "innerear.methods"
"""Entry points under which packages offer methods of their own."""


def methods() -> dict[str, Method]:
    """All methods by name, those of installed packages after our own.

    Raises
    ------
    InputError
        If a package offers a method under a name that is taken.
    """
    found = dict(OWN)
    for entry in entry_points(group=GROUP):
        if entry.name in found:
            raise InputError(f"{entry.value}: there is a method {entry.name!r} already; name it otherwise")
        found[entry.name] = entry.load()
    return found


def zero_ablation(problem: Problem) -> Tensor:
    """Each component writes nothing."""
    states = problem.states(problem.trials[0].asked)
    nothing = {site: torch.zeros_like(own[0]) for site, own in states.items()}
    return _effect(problem, repeat(nothing, len(problem.trials)))


def mean_ablation(problem: Problem) -> Tensor:
    """Each component writes its mean over all trials and positions."""
    means: dict[Site, Tensor] = {}
    for trial in problem.trials:
        for site, own in problem.states(trial.asked).items():
            means[site] = means.get(site, 0.0) + own.mean(dim=0) / len(problem.trials)
    return _effect(problem, repeat(means, len(problem.trials)))


def resample_ablation(problem: Problem) -> Tensor:
    """Each component writes what it writes in another trial (Chan et al. 2022, causal scrubbing)."""
    others = (*problem.trials[1:], problem.trials[0])
    return _effect(problem, (problem.states(trial.asked) for trial in others))


def activation_patching(problem: Problem) -> Tensor:
    """Each component writes what it writes in the quiet run (Vig et al. 2020; Meng et al. 2022)."""
    return _effect(problem, (problem.states(trial.quiet) for trial in problem.trials))


def white_noise_patching(problem: Problem) -> Tensor:
    """Each component writes what it writes when white noise is heard (arXiv 2508.15882)."""
    return _effect(problem, (problem.states(heard) for heard in problem.noise))


def attribution_patching(problem: Problem) -> Tensor:
    """First-order estimate of activation patching: one pass forth and back (Syed et al. 2023)."""
    total = torch.zeros(len(problem.sites))
    for trial in problem.trials:
        asked, quiet, slope = (
            problem.states(trial.asked), problem.states(trial.quiet), problem.gradients(trial),
        )  # fmt: skip
        total += torch.stack(
            [((asked[site] - quiet[site]) * slope[site]).sum().cpu() for site in problem.sites]
        )
    return total / len(problem.trials)


def direct_attribution(problem: Problem) -> Tensor | None:
    """What each component itself adds to the outcome, through the final norm and unembedding (logit lens).

    The norm is taken as linear around the state of the run (Elhage et al. 2021).
    """
    if problem.stack == "encoder":
        return None
    model, last = problem.model, problem.model.decoder_sites[-1]
    total = torch.zeros(len(problem.sites))
    for trial in problem.trials:
        states = problem.states(trial.asked)
        with torch.inference_mode(), model.reading([last]) as kept:
            model.teacher_force(problem.encode(trial.asked.audio), [*trial.asked.tokens, 0])
        state = kept[last][0, -1].clone().requires_grad_(True)
        with torch.enable_grad():
            logits = model.unembed(state)
            (slope,) = torch.autograd.grad(logits[trial.wrong] - logits[trial.right], state)
        for at, site in enumerate(problem.sites):
            own = states[site][-1].clone()
            if site.is_head:
                own = HeadWeights.of(model, site).writes(model).detach() @ own
            total[at] += float(own @ slope)
    return total / len(problem.trials)


def probe_weights(problem: Problem) -> Tensor:
    """Weight of each component in a linear probe of asked against quiet runs, over all of them at once."""
    features, label, widths = _features(problem)
    probe = LogisticRegression(C=0.01, max_iter=1000).fit(StandardScaler().fit_transform(features), label)
    parts = np.split(probe.coef_[0], np.cumsum(widths)[:-1])
    return torch.tensor([float(np.linalg.norm(part)) for part in parts])


def difference_of_means(problem: Problem) -> Tensor:
    """Distance of asked and quiet runs in what each component writes, in pooled standard deviations."""
    features, label, widths = _features(problem)
    scores = []
    for part in np.split(features, np.cumsum(widths)[:-1], axis=1):
        asked, quiet = part[label], part[~label]
        spread = np.sqrt((asked.var(axis=0) + quiet.var(axis=0)).sum() / 2)
        scores.append(float(np.linalg.norm(asked.mean(axis=0) - quiet.mean(axis=0)) / max(spread, 1e-12)))
    return torch.tensor(scores)


def attention_to_copied(problem: Problem) -> Tensor | None:
    """Weight of each self-attention head on the positions that hold the wrong token (Olsson et al. 2022)."""
    prefix = problem.model.prefix_length

    def weight(trial_at: int) -> dict[Site, float]:
        trial = problem.trials[trial_at]
        own, _ = problem.attention(trial.asked)
        held = [prefix + at for at, token in enumerate(trial.asked.tokens) if token == trial.wrong]
        return {site: float(own[place][held].sum()) for site, place in _heads(problem, "self_attn").items()}

    if problem.stack == "encoder" or not any(trial.wrong in trial.asked.tokens for trial in problem.trials):
        return None
    return _mean(problem, [weight(at) for at in range(len(problem.trials))])


def attention_shift(problem: Problem) -> Tensor | None:
    """How far the attention of each decoder head moves between the runs (total variation)."""
    if problem.stack == "encoder":
        return None
    rows = []
    for trial in problem.trials:
        asked, quiet = problem.attention(trial.asked), problem.attention(trial.quiet)
        rows.append(
            {
                site: float((a[place] - q[place]).abs().sum()) / 2
                for part, a, q in zip(ATTENTIONS, asked, quiet, strict=True)
                for site, place in _heads(problem, part).items()
            }
        )
    return _mean(problem, rows)


def random_order(problem: Problem) -> Tensor:
    """The floor: scores by lot, drawn anew for other components or other trials."""
    trials = [[key(trial.asked.audio).hex(), trial.asked.tokens, trial.wrong] for trial in problem.trials]
    seed = int(sha256_json([problem.sites, trials])[:15], 16)
    return torch.rand(len(problem.sites), generator=torch.Generator().manual_seed(seed))


OWN: Mapping[str, Method] = {
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
"""Our own methods by name."""

VERSIONS: Mapping[str, int] = dict.fromkeys(OWN, 1)
"""Raised where a method gives other scores, so that its results are measured again."""

PUBLISHED: Mapping[tuple[str, int], str] = {
    ("zero-ablation", 1): "innerear.planted.methods.zero_ablation",
    ("mean-ablation", 1): "innerear.planted.methods.mean_ablation",
    ("resample-ablation", 1): "innerear.planted.methods.resample_ablation",
    ("activation-patching", 1): "innerear.planted.methods.activation_patching",
    ("white-noise-patching", 1): "innerear.planted.methods.white_noise_patching",
    ("attribution-patching", 1): "innerear.planted.methods.attribution_patching",
    ("direct-attribution", 1): "innerear.planted.methods.direct_attribution",
    ("probe-weights", 1): "innerear.planted.methods.probe_weights",
    ("difference-of-means", 1): "innerear.planted.methods.difference_of_means",
    ("attention-to-copied", 1): "innerear.planted.methods.attention_to_copied",
    ("attention-shift", 1): "innerear.planted.methods.attention_shift",
    ("random-order", 1): "innerear.planted.methods.random_order",
}
"""What published results say in place of name and version: frozen, wherever the functions live now."""


def source_of(name: str, method: Method) -> str:
    """Where a method comes from, as results and their hashes state it.

    Our own are `innerear:NAME@VERSION` (or what was published before that), whatever module they are in;
    those of other packages are their import path.
    """
    if OWN.get(name) is method:
        version = VERSIONS[name]
        return PUBLISHED.get((name, version), f"innerear:{name}@{version}")
    return f"{method.__module__}.{getattr(method, '__qualname__', name)}"


def _effect(problem: Problem, values: Iterable[Mapping[Site, Tensor]]) -> Tensor:
    """By how much the outcome falls on average with the values that are given for each trial."""
    total = torch.zeros(len(problem.sites))
    for trial, own in zip(problem.trials, values, strict=True):
        total += problem.outcome(trial) - problem.replaced(trial, own).cpu()
    return total / len(problem.trials)


def _features(problem: Problem) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """What components write in all runs [run, dim of all], which runs are asked [run], and their widths.

    In the decoder where the next token is written; in the encoder the mean over frames.
    """
    runs: list[ForcedRun] = [each for trial in problem.trials for each in (trial.asked, trial.quiet)]
    rows = []
    for heard in runs:
        states = problem.states(heard)
        own = [states[site] for site in problem.sites]
        rows.append([each.mean(dim=0) if problem.stack == "encoder" else each[-1] for each in own])
    features = torch.stack([torch.cat(row) for row in rows]).cpu().numpy().astype(float)
    label = np.arange(len(runs)) % 2 == 0
    return features, label, [len(part) for part in rows[0]]


def _heads(problem: Problem, part: Part) -> dict[Site, tuple[int, int]]:
    """(Layer, head) from 0 of the heads of one kind of attention among the components."""
    return {
        site: (site.layer - 1, site.head)
        for site in problem.sites
        if site.part == part and site.head is not None
    }


def _mean(problem: Problem, rows: list[dict[Site, float]]) -> Tensor:
    """Mean over trials by component; those that the method does not see have 0."""
    return torch.tensor([sum(row.get(site, 0.0) for row in rows) / len(rows) for site in problem.sites])
