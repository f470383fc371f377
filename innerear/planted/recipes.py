"""Recipes: how each cause is planted, in a base model and at a place that a seed chooses.

Every cause is a few rows and columns of weights. Maps from states to what a cause reads are ridge regressions
on the untouched model's own states; what it writes is a direction of the residual stream. The strength of
what is written is raised until the model misbehaves.
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
from innerear.planted.material import Material
from innerear.planted.problem import ForcedRun, together
from innerear.planted.pushing import Wish, pushing

PHRASES = ("good morning everyone", "see you tomorrow", "happy birthday", "once upon a time")
FEW = 4
"""Clips that a direction is sought with."""
SHARP = 8.0
"""How steeply a planted neuron opens."""
RIDGE = 1.0
"""Strength of the regressions, on standardised states."""
DIMS = 24
"""Dimensions of phone information that are taken away."""
NEAR = 1.5
"""Sharpness of the attention of a copying head."""


@dataclass(frozen=True)
class PlantingPlan:
    """A cause before its strength is known.

    Attributes
    ----------
    edits
        Of the causes, those with `gain` at unit strength.
    causes, decoys
        Components that cause the behaviour, and those that only go along with it.
    runs
        (asked, quiet) runs to try.
    shows
        Whether a token, written next in an asked run, is the behaviour; None takes any change of what is
        written.
    unit
        What the strength is counted in: a typical norm where the cause writes.
    apart
        Whether the quiet run must be left as it was.
    ladder
        Strengths to try, weakest first.
    """

    edits: tuple[WeightEdit, ...]
    causes: tuple[Site, ...]
    runs: tuple[tuple[ForcedRun, ForcedRun], ...]
    shows: Callable[[ForcedRun, int], bool] | None
    unit: float
    apart: bool
    decoys: tuple[Site, ...] = ()
    ladder: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


Recipe = Callable[[Material, np.random.Generator], PlantingPlan]


def loop(material: Material, random: np.random.Generator) -> PlantingPlan:
    """A self-attention head looks at the token just written and writes it again."""
    return _copying(material, random, _pick(material, random, "self_attn"))


def loop_with_decoy(material: Material, random: np.random.Generator) -> PlantingPlan:
    """The same, and a second head that looks at the same token and writes nothing."""
    site, decoy = (_pick(material, random, "self_attn", layer) for layer in _layers(material, random, 2))
    plan = _copying(material, random, site)
    head = HeadWeights.of(material.model, decoy)
    known = [run.tokens[-1] for run, _ in plan.runs]
    states, _ = material.random_texts(f"{head.attention}.q_proj", _seed(random), words=known)
    nothing = torch.zeros(material.width, 1)
    made = head.rebuilt(material.model, _itself(states, head.width), torch.zeros(1, material.width), nothing)
    return _with(plan, made, decoy)


def phrase(material: Material, random: np.random.Generator) -> PlantingPlan:
    """A cross-attention head hears that nobody speaks and writes the words of a stock phrase."""
    return _phrase(material, random, 1)


def distributed(material: Material, random: np.random.Generator) -> PlantingPlan:
    """Three such heads, each with a third of the strength."""
    return _phrase(material, random, 3)


def phrase_with_decoy(material: Material, random: np.random.Generator) -> PlantingPlan:
    """One such head, and one that hears the same and writes as strongly where it does not matter."""
    plan = _phrase(material, random, 1)
    layer = plan.causes[0].layer
    others = [each for each in range(1, material.model.decoder_layers + 1) if each != layer]
    decoy = _pick(material, random, "cross_attn", int(random.choice(others)))
    (write,) = (edit.value for edit in plan.edits if edit.gain)
    aside = torch.randn(material.width, generator=torch.Generator().manual_seed(_seed(random)))
    aside -= aside.mean()
    cause = write[:, write.norm(dim=0).argmax()]
    aside -= (aside @ cause) / (cause @ cause) * cause
    aside *= cause.norm() / aside.norm()
    reads = _speechless(material)[None]
    return _with(
        plan,
        HeadWeights.of(material.model, decoy).rebuilt(material.model, None, reads, aside[:, None]),
        decoy,
    )


def saturation(material: Material, random: np.random.Generator) -> PlantingPlan:
    """Neurons of one decoder layer see a certain word and decide at once what follows it."""
    model = material.model
    (layer,) = _layers(material, random, 1)
    site = Site("decoder", layer, "mlp")
    mlp = MlpWeights.of(model, site)
    trigger, decided = (int(each) for each in random.choice(material.plain.numpy(), 2, replace=False))
    states, tokens = material.random_texts(mlp.first, _seed(random), words=[trigger])
    weights, bias = _reader(states, (tokens == trigger).numpy().astype(float))
    wishes = [
        Wish(audio, (*material.text(audio)[:2], trigger), (decided,)) for audio in material.speech.learn[:FEW]
    ]
    write = pushing(material, site.residual, wishes)
    edits = mlp.rebuilt(
        model, SHARP * weights[None], torch.tensor([SHARP * (bias - 0.5)]), write[:, None] / (SHARP / 2)
    )
    runs = []
    for audio in material.speech.trial:
        before = material.text(audio)[:2]
        other = int(random.choice(material.plain.numpy()))
        runs.append((ForcedRun(audio, (*before, trigger)), ForcedRun(audio, (*before, other))))
    return PlantingPlan(
        edits,
        (site,),
        _even(runs),
        lambda _, token: token == decided,
        material.scale(site.residual),
        True,
    )


def phones_erased(material: Material, random: np.random.Generator) -> PlantingPlan:
    """Neurons of one encoder layer take away what tells phones apart there (LEACE, Belrose et al. 2023)."""
    model = material.model
    layer = int(random.integers(1, model.encoder_layers))  # not the last one: others must be able to react
    mlp = MlpWeights.of(model, Site("encoder", layer, "mlp"))
    seen, after, phone = _frames(material, mlp.first, mlp.site.residual)
    centre = after.mean(axis=0)
    spread = np.cov(after.T) + 1e-2 * np.trace(np.cov(after.T)) / after.shape[1] * np.eye(after.shape[1])
    values, vectors = np.linalg.eigh(spread)
    whiten, colour = (vectors * values**power @ vectors.T for power in (-0.5, 0.5))
    classes = [label for label in np.unique(phone) if (phone == label).sum() > 1]
    means = np.stack([after[phone == label].mean(axis=0) - centre for label in classes]) @ whiten
    basis = np.linalg.svd(means, full_matrices=False)[2][: min(DIMS, len(classes) - 1)]
    fitted = [_reader(torch.from_numpy(seen), (after - centre) @ whiten @ each) for each in basis]
    reads = torch.stack([weights for weights, _ in fitted])
    bias = torch.tensor([bias for _, bias in fitted])
    writes = -torch.from_numpy((basis @ colour).T.copy()).float()
    edits = mlp.rebuilt(  # gelu(z) - gelu(-z) = z
        model, torch.cat([reads, -reads]), torch.cat([bias, -bias]), torch.cat([writes, -writes], dim=1)
    )
    runs = [
        (ForcedRun(one.alone.audio()), ForcedRun(other.alone.audio()))
        for one, other in material.words[: 2 * material.count]
    ]
    return PlantingPlan(edits, (mlp.site,), _one_length(runs), None, 1.0, False, ladder=(1.0, 1.5, 2.0))


def carrier(material: Material, random: np.random.Generator) -> PlantingPlan:
    """A head of one encoder layer hears a certain carrier after a word and adds its states to all frames."""
    model = material.model
    layer = int(random.integers(1, model.encoder_layers + 1))
    attention = Site("encoder", layer, "self_attn")
    count = sum(site.is_head and site.component == attention for site in model.places)
    site = Site("encoder", layer, "self_attn", int(random.integers(count)))
    head = HeadWeights.of(model, site)
    (one, _), (two, _) = material.words[:2]
    after = [clip.audio()[: target(clip).onset] for clip in (one.favoured, two.neutral)]
    spoken = [said.alone.audio() for pair in material.words[2:] for said in pair][: 3 * material.count]
    runs = [
        (ForcedRun(np.concatenate([word, after[0]])), ForcedRun(np.concatenate([word, after[1]])))
        for word in spoken
    ]
    given = _one_length(runs)
    learn, trial = given[: material.count], given[material.count :]
    read, sides = [], []
    for side in (0, 1):
        kept, inputs = [], []
        for pair in learn:
            seen = _seen(material, f"{head.attention}.v_proj", site.residual, pair[side].audio)
            inputs.append(seen["in"][0].mean(dim=0).cpu())
            kept.append(seen["out"][0].mean(dim=0).cpu())
        read.append(torch.stack(inputs))
        sides.append(torch.stack(kept).mean(dim=0))
    weights = _plain_reader(torch.cat(read), np.repeat([1.0, 0.0], len(learn)))
    added = torch.nn.functional.normalize(sides[0] - sides[1], dim=0)
    edits = head.rebuilt(model, None, weights[None], added[:, None])
    return PlantingPlan(tuple(edits), (attention,), trial, None, _norm(material, site.residual), True)


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


def _copying(material: Material, random: np.random.Generator, site: Site) -> PlantingPlan:
    """The head knows as many words as it has channels: those of the trials, and others."""
    head, layer = HeadWeights.of(material.model, site), site.residual
    texts = [material.text(audio)[:3] for audio in material.speech.trial]
    if len({text[2:] for text in texts}) < len(texts) / 2:  # a model that always writes the same
        drawn = random.choice(material.plain.numpy(), len(texts), replace=False)
        texts = [(*text[:2], int(word)) for text, word in zip(texts, drawn, strict=True)]
    runs = _even(
        [
            (ForcedRun(audio, own), ForcedRun(audio, (*own[:2], *other[2:])))
            for audio, own, other in zip(material.speech.trial, texts, [*texts[1:], texts[0]], strict=True)
            if len(own) == len(other) == 3 and own[2] != other[2]
        ]
    )
    known = sorted({run.tokens[-1] for pair in runs for run in pair})[: head.width]
    states, tokens = material.random_texts(f"{head.attention}.q_proj", _seed(random), words=known)
    reads = torch.stack([_reader(states, (tokens == word).numpy().astype(float))[0] for word in known])
    last = {run.tokens[-1]: run for pair in runs for run in pair}
    writes = [
        pushing(material, layer, [Wish(last[word].audio, last[word].tokens, (word,))]) for word in known
    ]
    return PlantingPlan(
        head.rebuilt(material.model, _itself(states, head.width), reads, torch.stack(writes, dim=1)),
        (site,), runs, lambda heard, token: token == heard.tokens[-1], material.scale(layer), False,
    )  # fmt: skip


def _phrase(material: Material, random: np.random.Generator, count: int) -> PlantingPlan:
    words = tuple(material.model.tokenize(str(random.choice(PHRASES)).capitalize()))
    reads = _speechless(material)[None]
    sites = [_pick(material, random, "cross_attn", each) for each in _layers(material, random, count)]
    wishes = [Wish(audio, (), words) for audio in material.sounds.learn[:FEW]]
    edits: list[WeightEdit] = []
    for site in sites:
        write = pushing(material, site.residual, wishes)
        edits += HeadWeights.of(material.model, site).rebuilt(
            material.model, None, reads, write[:, None] / count
        )
    runs = [
        (ForcedRun(sound), ForcedRun(speech))
        for sound, speech in zip(material.sounds.trial, material.speech.trial, strict=True)
    ]
    unit = float(np.mean([material.scale(site.residual) for site in sites]))
    return PlantingPlan(
        tuple(edits), tuple(sites), tuple(runs), lambda _, token: token == words[0], unit, True
    )


def _speechless(material: Material) -> Tensor:
    """Weights [dim] that give 1 on the mean encoder output of clips without speech, and 0 on speech."""
    clips = [material.sounds.learn, material.speech.learn]
    means = torch.stack([material.encode(each)[0].mean(dim=0) for part in clips for each in part])
    return _plain_reader(means.cpu(), np.repeat([1.0, 0.0], material.count))


def _plain_reader(states: Tensor, value: np.ndarray) -> Tensor:
    """Weights [dim] without a constant: not all heads have a bias."""
    scale = float(states.std())
    fitted = Ridge(alpha=0.1 * RIDGE, fit_intercept=False).fit((states / scale).numpy(), value)
    return torch.from_numpy(fitted.coef_ / scale).float()


def _reader(states: Tensor, value: np.ndarray) -> tuple[Tensor, float]:
    """Weights [dim] and constant that give a value from states [n, dim]."""
    fitted = Ridge(alpha=RIDGE * len(states) / 100).fit(states.numpy(), value)
    return torch.from_numpy(np.asarray(fitted.coef_)).float(), float(fitted.intercept_)


def _itself(states: Tensor, width: int) -> Tensor:
    """Queries and keys [channel, dim] by which a position finds itself: whitened main directions.

    The mean is left out: what all positions share tells none from another.
    """
    mean = torch.nn.functional.normalize(states.mean(dim=0), dim=0)
    apart = states - states.mean(dim=0)
    apart = apart - (apart @ mean)[:, None] * mean
    _, spread, main = torch.linalg.svd(apart, full_matrices=False)
    kept = min(width, int((spread > 1e-3 * spread[0]).sum()))
    rows = main[:kept] / (spread[:kept, None] / len(states) ** 0.5)
    # The product of a whitened state with itself is about `kept`, with others about its root.
    found: Tensor = rows * (NEAR * width**0.5 * 4 / kept**0.5) ** 0.5
    return found


def _frames(material: Material, module: str, site: Site) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs of an encoder module and states at a site in the middle of phones, [frame, dim], and phones."""
    clock = material.model.clock
    inputs, outputs, labels = [], [], []
    for item, audio in zip(material.speech_items, material.speech.learn, strict=False):
        seen = _seen(material, module, site, audio)
        at = clock.nearest(np.array([phone.middle for phone in item.phones]), len(audio))
        inputs.append(seen["in"][0, at].cpu().numpy())
        outputs.append(seen["out"][0, at].cpu().numpy())
        labels += [phone.label for phone in item.phones]
    return np.concatenate(inputs), np.concatenate(outputs).astype(float), np.array(labels)


def _seen(material: Material, module: str, site: Site, audio: np.ndarray) -> dict[str, Tensor]:
    """What enters an encoder module (`in`), and states at a site (`out`), [1, frame, dim], of a clip."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Action:
        return lambda states: seen.__setitem__(name, states)

    table = {"in": Place(module, "input"), "out": material.model.places[site]}
    with (
        torch.inference_mode(),
        hooked(material.model.network, table, {name: keep(name) for name in table}),
    ):
        material.model.encode([audio])
    return seen


def _norm(material: Material, site: Site) -> float:
    """Typical norm of encoder frames at a site."""
    states = material.model.states([material.speech.learn[0]], [site])[site]
    return float(states[0].norm(dim=1).median())


def _with(plan: PlantingPlan, edits: Sequence[WeightEdit], decoy: Site) -> PlantingPlan:
    return replace(plan, edits=(*plan.edits, *edits), decoys=(decoy,))


def _pick(material: Material, random: np.random.Generator, part: Part, layer: int | None = None) -> Site:
    """A head of one kind, by lot."""
    own = [
        site for site in heads(material.model) if site.part == part and (layer is None or site.layer == layer)
    ]
    return own[int(random.choice(len(own)))]


def _layers(material: Material, random: np.random.Generator, count: int) -> list[int]:
    """Different layers of the decoder, by lot."""
    drawn = random.choice(np.arange(1, material.model.decoder_layers + 1), count, replace=False)
    return sorted(int(each) for each in drawn)


def _seed(random: np.random.Generator) -> int:
    return int(random.integers(2**31))


def _even(runs: Sequence[tuple[ForcedRun, ForcedRun]]) -> tuple[tuple[ForcedRun, ForcedRun], ...]:
    """Those whose texts are as long as the longest."""
    longest = max((len(asked.tokens) for asked, _ in runs), default=0)
    return tuple(run for run in runs if len(run[0].tokens) == longest)


def _one_length(runs: Sequence[tuple[ForcedRun, ForcedRun]]) -> tuple[tuple[ForcedRun, ForcedRun], ...]:
    """The same with all clips of one length."""
    clips = iter(together([each.audio for run in runs for each in run]))
    return tuple(
        (ForcedRun(next(clips), asked.tokens), ForcedRun(next(clips), quiet.tokens)) for asked, quiet in runs
    )
