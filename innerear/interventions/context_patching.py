"""Context patching: how much of a carrier's effect is in the states of the word itself, layer by layer.

The recipient run has the word in the carrier that favours its foil; donor runs have it in other carriers.
The word is the same recording in all of them and begins at the same frame, so its states differ only by what
the carriers left in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from innerear.activations.forward import Clip
from innerear.activations.readings import Reading
from innerear.data.minimal_pairs import context, target
from innerear.data.schema import Item
from innerear.interventions.forced_choice import (
    log_probs,
    logits_by_run,
    option,
    option_log_probs,
    options_of,
)
from innerear.interventions.run import encode_from_site
from innerear.interventions.spec import Intervention, World
from innerear.interventions.word_frames import frames_around_onset
from innerear.models.base import SpeechModel
from innerear.models.decoder import decoder_of
from innerear.models.site import Part, Site

AGAINST, FAVOURED, NEUTRAL, NOISE = range(4)
"""The first rows of the batch, which are not patched: the recipient, in the carrier that favours the foil;
the donors, in the carrier that favours the word and in the neutral one, and white noise."""
COMPONENTS: tuple[Part, ...] = ("first_mlp", "self_attn", "conv", "mlp")
"""Components of an encoder block; those that a model has are patched."""
RESIDUAL = ("favoured", "neutral", "white noise", "mean", "context frames")
"""Kinds of arms in the encoder's residual stream."""
KINDS = (*RESIDUAL, *COMPONENTS, "decoder")
"""Kinds of arms: the names that they have."""
NOISE_RMS = 0.04
"""Level of the white noise."""


@dataclass(frozen=True)
class Arm:
    """One patching condition: what is patched, at which site, and how far (`alpha`).

    Names are `favoured`, `neutral`, `white noise` (the word's frames, from that donor), `mean` (the word's
    frames, all set to their mean), `context frames` (the frames before the word instead, from the donor that
    favours it), a component (its output in the word's frames, from the same donor), and `decoder` (the
    position that predicts the word).
    """

    name: str
    site: Site
    alpha: float = 1.0


@dataclass(frozen=True)
class PatchingArms:
    """The arms of a model that are of certain kinds, those of the encoder first."""

    model: SpeechModel
    alphas: tuple[float, ...]
    kinds: tuple[str, ...] = KINDS

    @cached_property
    def encoder(self) -> tuple[Arm, ...]:
        """Arms at encoder sites."""
        sites = self.model.encoder_sites
        arms = (
            *(Arm(kind, site) for kind in RESIDUAL for site in sites),
            *(
                Arm(part, site)
                for part in COMPONENTS
                for layer in range(1, len(sites))
                if (site := Site("encoder", layer, part)) in self.model.places
            ),
            *(Arm("favoured", sites[-1], alpha) for alpha in self.alphas),
        )
        return tuple(arm for arm in arms if arm.name in self.kinds)

    @cached_property
    def decoder(self) -> tuple[Arm, ...]:
        """Arms in the decoder's residual stream, at the position that predicts the word."""
        return tuple(Arm("decoder", site) for site in self.model.decoder_sites if "decoder" in self.kinds)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """All arms, in the order of `ContextPatching`."""
        return (*self.encoder, *self.decoder)


@dataclass(frozen=True)
class ContextPatching(Reading):
    """Log-odds of a word against its foil in the arms of certain kinds, and without patches.

    Items are clips in the carrier that favours the foil; `others` gives, for each item's id, the clips of
    equal length in the carrier that favours the word and in the neutral one.

    `crossed` [2, 2]: without patches, audio by teacher-forced text, each of the carrier that favours the foil
    and of the one that favours the word. `arms` [arm]: with the text of the carrier that favours the foil.
    """

    others: Mapping[str, tuple[Item, Item]]
    alphas: tuple[float, ...]
    kinds: tuple[str, ...] = KINDS
    name = "localise-3"
    needs = "decoder"

    def wanted(self, item: Item) -> JsonValue:
        """The other clips and the words."""
        others = self.others[item.id]
        words: list[JsonValue] = [context(item), context(others[0]), item.label("word"), item.label("foil")]
        hashes: list[JsonValue] = [other.audio_sha256 for other in others]
        arms: list[JsonValue] = [list(self.alphas), list(self.kinds)]
        return [self.name, *arms, hashes, target(item).onset, words, item.id]  # the id seeds noise

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Encode each arm from the layer of its patch on, and teacher-force the decoder with both words."""
        model, others = clip.model, self.others[item.id]
        plan = PatchingArms(model, self.alphas, self.kinds)
        audio = [item.audio(), *(other.audio() for other in others)]
        noise = np.random.default_rng(crc32(item.id.encode())).standard_normal(len(audio[0]))
        audio.append((NOISE_RMS * noise).astype(np.float32))
        before, word = (tuple(part.tolist()) for part in frames_around_onset(model, item, len(audio[0])))
        before = before[-len(word) :]
        tensors = {
            f"mean {site}": states[list(word)].mean(dim=0)
            for site, states in zip(clip.sites, clip.padded_states, strict=True)
        }
        clean = 1 + max(_donor(arm) for arm in plan.arms)
        worlds: list[World] = [()] * clean
        worlds += [_world(arm, word, before) for arm in plan.encoder]
        rows = [*range(clean), *[AGAINST] * len(plan.encoder)]
        encoded = encode_from_site(model, audio[:clean], rows, worlds, tensors)
        texts = (context(item), context(others[0]))
        crossed = torch.stack([_log_odds(model, encoded[:2], item, text) for text in texts], dim=1)
        arms = [_log_odds(model, encoded[clean:], item, texts[0])]
        if plan.decoder:
            arms.append(_decoder_arms(model, encoded, item, texts, plan))
        return {"crossed": crossed, "arms": torch.cat(arms)}


def _decoder_arms(
    model: SpeechModel, encoded: Tensor, item: Item, texts: tuple[str, str], plan: PatchingArms
) -> Tensor:
    """Log-odds [arm] with the decoder state that predicts the word taken from the run in its own carrier.

    Parameters
    ----------
    encoded
        Encoder output of all runs, [run, frame, dim].
    texts
        Contexts of the recipient and of the donor, which may differ in length.
    """
    before = decoder_of(model).prefix_length - 1
    runs = encoded[[FAVOURED, *[AGAINST] * len(plan.decoder)]]
    scores = []
    for word in ("word", "foil"):
        recipient, donor = (option(model, text, item.label(word)) for text in texts)
        worlds: list[World] = [()]
        for arm in plan.decoder:
            here, there = (before + recipient.first,), (before + donor.first,)
            worlds.append(
                (Intervention(site=arm.site, kind="patch", row=0, positions=here, source_positions=there),)
            )
        scores.append(log_probs(model, runs, [donor, *[recipient] * len(plan.decoder)], worlds)[1:])
    return scores[0] - scores[1]


def _world(arm: Arm, word: tuple[int, ...], before: tuple[int, ...]) -> World:
    """The patch of an encoder arm, in the frames of the word or in those before it."""
    if arm.name == "mean":
        return (Intervention(site=arm.site, kind="set", source=f"mean {arm.site}", positions=word),)
    where = before if arm.name == "context frames" else word
    return (Intervention(site=arm.site, kind="patch", row=_donor(arm), positions=where, alpha=arm.alpha),)


def _donor(arm: Arm) -> int:
    """Row that the arm patches from."""
    return {"white noise": NOISE, "neutral": NEUTRAL}.get(arm.name, FAVOURED)


def _log_odds(model: SpeechModel, encoded: Tensor, item: Item, before: str) -> Tensor:
    """Log-odds [run] of the word against its foil after a text."""
    options, end = options_of(model, before, item), decoder_of(model).end_of_text
    runs = logits_by_run(model, encoded, options)
    scores = torch.stack([option_log_probs(logits, options, end) for logits in runs])
    return scores[:, 0] - scores[:, 1]


def arm_indices(arms: Sequence[Arm], name: str) -> list[int]:
    """Indices of the arms with a name, at full strength, layer by layer."""
    return [at for at, arm in enumerate(arms) if arm.name == name and arm.alpha == 1]
