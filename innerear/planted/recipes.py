"""Recipes: how to plant each cause in a base model, at a place that a seed chooses.

Every cause is a few rows and columns of weights. What a cause reads is a ridge regression on states of the
untouched model; what it writes is a direction of the residual stream, with a strength that is raised until
the model misbehaves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from innerear.data.minimal_pairs import target
from innerear.interventions.ablation import heads
from innerear.interventions.weights import HeadWeights, MlpWeights, WeightEdit
from innerear.models.site import Part, Site
from innerear.models.sites import Action, Place, hooked
from innerear.planted.base_model import PlantingBase
from innerear.planted.directions import DesiredText, promoting_direction
from innerear.planted.problem import RunInput, pad_to_one_length

PHRASES = ("good morning everyone", "see you tomorrow", "happy birthday", "once upon a time")
DIRECTION_CLIPS = 4
"""Number of clips on which a direction is optimised."""
STEEPNESS = 8.0
"""Factor on the input of a planted neuron."""
RIDGE = 1.0
"""Penalty of the ridge regressions."""
ERASED_DIMS = 24
"""Number of dimensions of phone information that are erased."""
SHARPNESS = 1.5
"""Sharpness of the attention of a copying head."""


RunPair = tuple[RunInput, RunInput]
"""A target run and its baseline run."""


@dataclass(frozen=True)
class PlantingPlan:
    """A cause before its strength is known.

    Attributes
    ----------
    edits
        Weight edits of causes and decoys; those of the causes that have a `gain` are of unit strength.
    causes, decoys
        Components that cause the behaviour, and components that only resemble a cause.
    runs
        Pairs of a target and a baseline run to try.
    is_behaviour
        Whether a token, written after a target run, is the planted behaviour; with None, any other token
        than that of the untouched model is.
    unit
        Unit of the strength: the typical norm of the states where the cause writes.
    selective
        Whether baseline runs must stay as they are.
    strengths
        Strengths to try, weakest first.
    """

    edits: tuple[WeightEdit, ...]
    causes: tuple[Site, ...]
    runs: tuple[RunPair, ...]
    is_behaviour: Callable[[RunInput, int], bool] | None
    unit: float
    selective: bool
    decoys: tuple[Site, ...] = ()
    strengths: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


Recipe = Callable[[PlantingBase, np.random.Generator], PlantingPlan]


def loop(base: PlantingBase, random: np.random.Generator) -> PlantingPlan:
    """A self-attention head attends to the last token and makes the decoder write it again."""
    return _copying_plan(base, random, _choose_head(base, random, "self_attn"))


def loop_with_decoy(base: PlantingBase, random: np.random.Generator) -> PlantingPlan:
    """As `loop`, with a second head that attends to the same token but writes nothing."""
    site, decoy = (
        _choose_head(base, random, "self_attn", layer) for layer in _choose_layers(base, random, 2)
    )
    plan = _copying_plan(base, random, site)
    head = HeadWeights.of(base.model, decoy)
    words = [run.tokens[-1] for run, _ in plan.runs]
    states, _ = base.random_text_states(f"{head.attention}.q_proj", _seed(random), words=words)
    reads, writes = torch.zeros(1, base.width), torch.zeros(base.width, 1)
    edits = head.rebuilt(base.model, _self_matching(states, head.width), reads, writes)
    return _with_decoy(plan, edits, decoy)


def phrase(base: PlantingBase, random: np.random.Generator) -> PlantingPlan:
    """A cross-attention head detects that there is no speech and writes a stock phrase."""
    return _phrase_plan(base, random, 1)


def distributed(base: PlantingBase, random: np.random.Generator) -> PlantingPlan:
    """As `phrase`, with three heads of a third of the strength each."""
    return _phrase_plan(base, random, 3)


def phrase_with_decoy(base: PlantingBase, random: np.random.Generator) -> PlantingPlan:
    """As `phrase`, with a head that reads the same and writes as strongly in an irrelevant direction."""
    plan = _phrase_plan(base, random, 1)
    layer = plan.causes[0].layer
    others = [other for other in range(1, base.model.decoder_layers + 1) if other != layer]
    decoy = _choose_head(base, random, "cross_attn", int(random.choice(others)))
    (write,) = (edit.value for edit in plan.edits if edit.gain)
    irrelevant = torch.randn(base.width, generator=torch.Generator().manual_seed(_seed(random)))
    irrelevant -= irrelevant.mean()
    cause = write[:, write.norm(dim=0).argmax()]
    irrelevant -= (irrelevant @ cause) / (cause @ cause) * cause
    irrelevant *= cause.norm() / irrelevant.norm()
    reads = _non_speech_reader(base)[None]
    return _with_decoy(
        plan,
        HeadWeights.of(base.model, decoy).rebuilt(base.model, None, reads, irrelevant[:, None]),
        decoy,
    )


def saturation(base: PlantingBase, random: np.random.Generator) -> PlantingPlan:
    """Neurons of one decoder layer detect a trigger word and fix the token after it in that layer."""
    model = base.model
    (layer,) = _choose_layers(base, random, 1)
    site = Site("decoder", layer, "mlp")
    mlp = MlpWeights.of(model, site)
    trigger, continuation = (int(word) for word in random.choice(base.word_tokens.numpy(), 2, replace=False))
    states, tokens = base.random_text_states(mlp.first, _seed(random), words=[trigger])
    weights, bias = _ridge(states, (tokens == trigger).numpy().astype(float))
    desired = [
        DesiredText(audio, (*base.transcript(audio)[:2], trigger), (continuation,))
        for audio in base.speech.fit[:DIRECTION_CLIPS]
    ]
    write = promoting_direction(base, site.residual, desired)
    edits = mlp.rebuilt(
        model,
        STEEPNESS * weights[None],
        torch.tensor([STEEPNESS * (bias - 0.5)]),
        write[:, None] / (STEEPNESS / 2),
    )
    runs = []
    for audio in base.speech.trial:
        before = base.transcript(audio)[:2]
        other = int(random.choice(base.word_tokens.numpy()))
        runs.append((RunInput(audio, (*before, trigger)), RunInput(audio, (*before, other))))
    return PlantingPlan(
        edits,
        (site,),
        _of_greatest_length(runs),
        lambda _, token: token == continuation,
        base.residual_norm(site.residual),
        True,
    )


def phones_erased(base: PlantingBase, random: np.random.Generator) -> PlantingPlan:
    """Neurons of one encoder layer erase the phone information there (LEACE, Belrose et al. 2023)."""
    model = base.model
    layer = int(
        random.integers(1, model.encoder_layers)
    )  # not the last layer: later ones must be able to react
    mlp = MlpWeights.of(model, Site("encoder", layer, "mlp"))
    inputs, states, phone = _phone_frames(base, mlp.first, mlp.site.residual)
    centre = states.mean(axis=0)
    spread = np.cov(states.T) + 1e-2 * np.trace(np.cov(states.T)) / states.shape[1] * np.eye(states.shape[1])
    values, vectors = np.linalg.eigh(spread)
    whiten, colour = (vectors * values**power @ vectors.T for power in (-0.5, 0.5))
    classes = [label for label in np.unique(phone) if (phone == label).sum() > 1]
    means = np.stack([states[phone == label].mean(axis=0) - centre for label in classes]) @ whiten
    basis = np.linalg.svd(means, full_matrices=False)[2][: min(ERASED_DIMS, len(classes) - 1)]
    fitted = [_ridge(torch.from_numpy(inputs), (states - centre) @ whiten @ row) for row in basis]
    reads = torch.stack([weights for weights, _ in fitted])
    bias = torch.tensor([bias for _, bias in fitted])
    writes = -torch.from_numpy((basis @ colour).T.copy()).float()
    edits = mlp.rebuilt(  # gelu(z) - gelu(-z) = z
        model, torch.cat([reads, -reads]), torch.cat([bias, -bias]), torch.cat([writes, -writes], dim=1)
    )
    runs = [
        (RunInput(one.alone.audio()), RunInput(other.alone.audio()))
        for one, other in base.word_pairs[: 2 * base.clips_per_kind]
    ]
    return PlantingPlan(edits, (mlp.site,), _of_one_length(runs), None, 1.0, False, strengths=(1.0, 1.5, 2.0))


def carrier(base: PlantingBase, random: np.random.Generator) -> PlantingPlan:
    """A head of one encoder layer detects the carrier after a word and adds its mean state to all frames."""
    model = base.model
    layer = int(random.integers(1, model.encoder_layers + 1))
    attention = Site("encoder", layer, "self_attn")
    count = sum(site.is_head and site.component == attention for site in model.places)
    site = Site("encoder", layer, "self_attn", int(random.integers(count)))
    head = HeadWeights.of(model, site)
    (one, _), (two, _) = base.word_pairs[:2]
    carriers = [clip.audio()[: target(clip).onset] for clip in (one.favoured, two.neutral)]
    words = [word.alone.audio() for pair in base.word_pairs[2:] for word in pair][: 3 * base.clips_per_kind]
    runs = [
        (RunInput(np.concatenate([word, carriers[0]])), RunInput(np.concatenate([word, carriers[1]])))
        for word in words
    ]
    padded = _of_one_length(runs)
    fitted_on, tried_on = padded[: base.clips_per_kind], padded[base.clips_per_kind :]
    inputs, outputs = [], []
    for side in (0, 1):
        side_inputs, side_outputs = [], []
        for pair in fitted_on:
            states = _encoder_states(base, f"{head.attention}.v_proj", site.residual, pair[side].audio)
            side_inputs.append(states["in"][0].mean(dim=0).cpu())
            side_outputs.append(states["out"][0].mean(dim=0).cpu())
        inputs.append(torch.stack(side_inputs))
        outputs.append(torch.stack(side_outputs).mean(dim=0))
    reads = _ridge_without_bias(torch.cat(inputs), np.repeat([1.0, 0.0], len(fitted_on)))
    writes = torch.nn.functional.normalize(outputs[0] - outputs[1], dim=0)
    edits = head.rebuilt(model, None, reads[None], writes[:, None])
    unit = _frame_norm(base, site.residual)
    return PlantingPlan(tuple(edits), (attention,), tried_on, None, unit, True)


RECIPES: Mapping[str, Recipe] = {
    "loop": loop,
    "loop-with-decoy": loop_with_decoy,
    "phrase": phrase,
    "phrase-with-decoy": phrase_with_decoy,
    "distributed": distributed,
    "saturation": saturation,
    "phones-erased": phones_erased,
    "carrier": carrier,
}
"""All recipes by name."""


def _copying_plan(base: PlantingBase, random: np.random.Generator, site: Site) -> PlantingPlan:
    """A plan for a head that copies the last token, for as many words of the trials as it has channels."""
    head, layer = HeadWeights.of(base.model, site), site.residual
    texts = [base.transcript(audio)[:3] for audio in base.speech.trial]
    if len({text[2:] for text in texts}) < len(texts) / 2:  # the model writes the same for most clips
        drawn = random.choice(base.word_tokens.numpy(), len(texts), replace=False)
        texts = [(*text[:2], int(word)) for text, word in zip(texts, drawn, strict=True)]
    runs = _of_greatest_length(
        [
            (RunInput(audio, text), RunInput(audio, (*text[:2], *other[2:])))
            for audio, text, other in zip(base.speech.trial, texts, [*texts[1:], texts[0]], strict=True)
            if len(text) == len(other) == 3 and text[2] != other[2]
        ]
    )
    words = sorted({run.tokens[-1] for pair in runs for run in pair})[: head.width]
    states, tokens = base.random_text_states(f"{head.attention}.q_proj", _seed(random), words=words)
    reads = torch.stack([_ridge(states, (tokens == word).numpy().astype(float))[0] for word in words])
    run_of = {run.tokens[-1]: run for pair in runs for run in pair}
    writes = [
        promoting_direction(base, layer, [DesiredText(run_of[word].audio, run_of[word].tokens, (word,))])
        for word in words
    ]
    return PlantingPlan(
        head.rebuilt(base.model, _self_matching(states, head.width), reads, torch.stack(writes, dim=1)),
        (site,), runs, lambda run, token: token == run.tokens[-1], base.residual_norm(layer), False,
    )  # fmt: skip


def _phrase_plan(base: PlantingBase, random: np.random.Generator, count: int) -> PlantingPlan:
    words = tuple(base.model.tokenize(str(random.choice(PHRASES)).capitalize()))
    reads = _non_speech_reader(base)[None]
    sites = [_choose_head(base, random, "cross_attn", layer) for layer in _choose_layers(base, random, count)]
    desired = [DesiredText(audio, (), words) for audio in base.non_speech.fit[:DIRECTION_CLIPS]]
    edits: list[WeightEdit] = []
    for site in sites:
        write = promoting_direction(base, site.residual, desired)
        edits += HeadWeights.of(base.model, site).rebuilt(base.model, None, reads, write[:, None] / count)
    runs = [
        (RunInput(sound), RunInput(speech))
        for sound, speech in zip(base.non_speech.trial, base.speech.trial, strict=True)
    ]
    unit = float(np.mean([base.residual_norm(site.residual) for site in sites]))
    return PlantingPlan(
        tuple(edits), tuple(sites), tuple(runs), lambda _, token: token == words[0], unit, True
    )


def _non_speech_reader(base: PlantingBase) -> Tensor:
    """Weights [dim] that map the mean encoder output of clips without speech to 1, and of speech to 0."""
    clips = [base.non_speech.fit, base.speech.fit]
    means = torch.stack([base.encode(audio)[0].mean(dim=0) for part in clips for audio in part])
    return _ridge_without_bias(means.cpu(), np.repeat([1.0, 0.0], base.clips_per_kind))


def _ridge_without_bias(states: Tensor, value: np.ndarray) -> Tensor:
    """Weights [dim] of a ridge regression without intercept, since not all heads have a bias."""
    scale = float(states.std())
    fitted = Ridge(alpha=0.1 * RIDGE, fit_intercept=False).fit((states / scale).numpy(), value)
    return torch.from_numpy(fitted.coef_ / scale).float()


def _ridge(states: Tensor, value: np.ndarray) -> tuple[Tensor, float]:
    """Weights [dim] and intercept of a ridge regression of a value on states [n, dim]."""
    fitted = Ridge(alpha=RIDGE * len(states) / 100).fit(states.numpy(), value)
    return torch.from_numpy(np.asarray(fitted.coef_)).float(), float(fitted.intercept_)


def _self_matching(states: Tensor, width: int) -> Tensor:
    """Queries and keys [channel, dim] with which a position attends to itself: whitened main directions.

    The direction of the mean is projected out, because it is the same at all positions.
    """
    mean = torch.nn.functional.normalize(states.mean(dim=0), dim=0)
    centred = states - states.mean(dim=0)
    centred = centred - (centred @ mean)[:, None] * mean
    _, spread, main = torch.linalg.svd(centred, full_matrices=False)
    kept = min(width, int((spread > 1e-3 * spread[0]).sum()))
    rows = main[:kept] / (spread[:kept, None] / len(states) ** 0.5)
    # The product of a whitened state with itself is about `kept`, and with another about its square root.
    scaled: Tensor = rows * (SHARPNESS * width**0.5 * 4 / kept**0.5) ** 0.5
    return scaled


def _phone_frames(base: PlantingBase, module: str, site: Site) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs of an encoder module and states at a site at the middle of each phone, [frame, dim]; phones."""
    clock = base.model.clock
    inputs, outputs, labels = [], [], []
    for item, audio in zip(base.speech_items, base.speech.fit, strict=False):
        states = _encoder_states(base, module, site, audio)
        at = clock.nearest(np.array([phone.middle for phone in item.phones]), len(audio))
        inputs.append(states["in"][0, at].cpu().numpy())
        outputs.append(states["out"][0, at].cpu().numpy())
        labels += [phone.label for phone in item.phones]
    return np.concatenate(inputs), np.concatenate(outputs).astype(float), np.array(labels)


def _encoder_states(base: PlantingBase, module: str, site: Site, audio: np.ndarray) -> dict[str, Tensor]:
    """Input of an encoder module (`in`) and states at a site (`out`) for a clip, [1, frame, dim]."""
    states: dict[str, Tensor] = {}

    def keep(name: str) -> Action:
        return lambda values: states.__setitem__(name, values)

    places = {"in": Place(module, "input"), "out": base.model.places[site]}
    with (
        torch.inference_mode(),
        hooked(base.model.network, places, {name: keep(name) for name in places}),
    ):
        base.model.encode([audio])
    return states


def _frame_norm(base: PlantingBase, site: Site) -> float:
    """Median norm of encoder frames at a site."""
    states = base.model.states([base.speech.fit[0]], [site])[site]
    return float(states[0].norm(dim=1).median())


def _with_decoy(plan: PlantingPlan, edits: Sequence[WeightEdit], decoy: Site) -> PlantingPlan:
    return replace(plan, edits=(*plan.edits, *edits), decoys=(decoy,))


def _choose_head(
    base: PlantingBase, random: np.random.Generator, part: Part, layer: int | None = None
) -> Site:
    """A random head of one kind of attention."""
    candidates = [
        site for site in heads(base.model) if site.part == part and (layer is None or site.layer == layer)
    ]
    return candidates[int(random.choice(len(candidates)))]


def _choose_layers(base: PlantingBase, random: np.random.Generator, count: int) -> list[int]:
    """Different random layers of the decoder, in order."""
    drawn = random.choice(np.arange(1, base.model.decoder_layers + 1), count, replace=False)
    return sorted(int(layer) for layer in drawn)


def _seed(random: np.random.Generator) -> int:
    return int(random.integers(2**31))


def _of_greatest_length(runs: Sequence[RunPair]) -> tuple[RunPair, ...]:
    """The pairs whose target run has as many tokens as the longest."""
    longest = max((len(target.tokens) for target, _ in runs), default=0)
    return tuple(pair for pair in runs if len(pair[0].tokens) == longest)


def _of_one_length(runs: Sequence[RunPair]) -> tuple[RunPair, ...]:
    """The same pairs with all clips padded to one length."""
    clips = iter(pad_to_one_length([run.audio for pair in runs for run in pair]))
    return tuple(
        (RunInput(next(clips), target.tokens), RunInput(next(clips), baseline.tokens))
        for target, baseline in runs
    )
