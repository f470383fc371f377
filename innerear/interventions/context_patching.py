"""Where the context of a word is: states of its frames taken from another carrier, layer by layer.

The word is the same recording in all carriers and begins at the same frame, so that only what the carriers
left in its states differs.
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
from innerear.data.schema import SAMPLING_RATE, Item
from innerear.interventions.forced_choice import log_probs, option
from innerear.interventions.run import decoder_of, encode_from_site
from innerear.interventions.spec import Intervention, World
from innerear.models.base import SpeechModel
from innerear.models.site import Part, Site

AGAINST, FAVOURED, NEUTRAL, NOISE = range(4)
"""The first rows, unwritten: the carriers of the foil and of the word, the neutral one, white noise."""
COMPONENTS: tuple[Part, ...] = ("self_attn", "mlp")
"""Components of an encoder block."""
LEVEL = 0.04
"""RMS of the noise."""


@dataclass(frozen=True)
class Arm:
    """One thing that is tried: `name` says what is written, `site` where, `alpha` how far."""

    name: str
    site: Site
    alpha: float = 1.0


@dataclass(frozen=True)
class PatchingArms:
    """All arms of a model, encoder first."""

    model: SpeechModel
    alphas: tuple[float, ...]

    @cached_property
    def encoder(self) -> tuple[Arm, ...]:
        """Arms at encoder sites."""
        sites = self.model.encoder_sites
        parts = [
            Arm(part, site)
            for part in COMPONENTS
            for layer in range(1, len(sites))
            if (site := Site("encoder", layer, part)) in self.model.places
        ]
        kinds = ("favoured", "neutral", "white noise", "mean", "context frames")
        return (
            *(Arm(kind, site) for kind in kinds for site in sites),
            *parts,
            *(Arm("favoured", sites[-1], alpha) for alpha in self.alphas),
        )

    @cached_property
    def decoder(self) -> tuple[Arm, ...]:
        """Arms at the decoder's residual stream, where the word is about to be written."""
        return tuple(Arm("decoder", site) for site in self.model.decoder_sites)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """All of them, in order."""
        return (*self.encoder, *self.decoder)


@dataclass(frozen=True)
class ContextPatching(Reading):
    """Log-odds of a word against its foil under every arm, beside those of the four unwritten runs.

    Items are clips in the foil's carrier; `others` gives those in the word's and in the neutral one, of equal
    length.

    `crossed` [2, 2]: audio (the foil's carrier, the word's) by forced text (the foil's, the word's); `arms`
    [arm], all with the foil's text.
    """

    others: Mapping[str, tuple[Item, Item]]
    alphas: tuple[float, ...]
    name = "localise-2"
    needs = "decoder"

    def wanted(self, item: Item) -> JsonValue:
        """The other clips and the words."""
        others = self.others[item.id]
        words: list[JsonValue] = [context(item), context(others[0]), item.label("word"), item.label("foil")]
        hashes: list[JsonValue] = [other.audio_sha256 for other in others]
        return [self.name, list(self.alphas), hashes, target(item).onset, words, item.id]  # it seeds noise

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Encode all worlds from the layer where they part, and lead the decoder over both words."""
        model, others, plan = clip.model, self.others[item.id], PatchingArms(clip.model, self.alphas)
        audio = [item.audio(), *(other.audio() for other in others)]
        noise = np.random.default_rng(crc32(item.id.encode())).standard_normal(len(audio[0]))
        audio.append((LEVEL * noise).astype(np.float32))
        frames, before = _frames(model, item, len(audio[0]))
        tensors = {
            f"mean {site}": states[list(frames)].mean(dim=0)
            for site, states in zip(clip.sites, clip.padded_states, strict=True)
        }
        worlds: list[World] = [(), (), (), (), *(_world(arm, frames, before) for arm in plan.encoder)]
        encoded = encode_from_site(model, audio, [*range(4), *[AGAINST] * len(plan.encoder)], worlds, tensors)
        texts = (context(item), context(others[0]))
        crossed = torch.stack([_odds(model, encoded[:2], item, text) for text in texts], dim=1)
        arms = [_odds(model, encoded[4:], item, texts[0]), _led(model, encoded, item, texts, plan)]
        return {"crossed": crossed, "arms": torch.cat(arms)}


def _led(
    model: SpeechModel, encoded: Tensor, item: Item, texts: tuple[str, str], plan: PatchingArms
) -> Tensor:
    """Log-odds with the decoder state that writes the word taken from the run in its own carrier."""
    before = decoder_of(model).prefix_length - 1
    both = encoded[[FAVOURED, *[AGAINST] * len(plan.decoder)]]
    found = []
    for word in ("word", "foil"):
        against, own = (option(model, text, item.label(word)) for text in texts)
        worlds: list[World] = [()]
        for arm in plan.decoder:
            here, there = (before + against.first,), (before + own.first,)
            worlds.append(
                (Intervention(site=arm.site, kind="patch", row=0, positions=here, source_positions=there),)
            )
        found.append(log_probs(model, both, [own, *[against] * len(plan.decoder)], worlds)[1:])
    return found[0] - found[1]


def _world(arm: Arm, frames: tuple[int, ...], before: tuple[int, ...]) -> World:
    if arm.name == "mean":
        return (Intervention(site=arm.site, kind="set", source=f"mean {arm.site}", positions=frames),)
    where = before if arm.name == "context frames" else frames
    row = {"white noise": NOISE, "neutral": NEUTRAL}.get(arm.name, FAVOURED)
    return (Intervention(site=arm.site, kind="patch", row=row, positions=where, alpha=arm.alpha),)


def _frames(model: SpeechModel, item: Item, samples: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Frames of the word, to the end of the clip, and those of its context: as many, as far as there are."""
    times = model.clock.times(samples)
    onset = target(item).onset / SAMPLING_RATE
    word = np.flatnonzero(times >= onset)
    before = np.flatnonzero(times < onset)[-len(word) :]
    return tuple(word.tolist()), tuple(before.tolist())


def _odds(model: SpeechModel, encoded: Tensor, item: Item, before: str) -> Tensor:
    """Log-odds [row] of word against foil after a text."""
    both = [option(model, before, item.label(name)) for name in ("word", "foil")]
    # one run at a time: both words share the keys and values of its audio
    made = torch.stack([log_probs(model, row[None], both) for row in encoded])
    return made[:, 0] - made[:, 1]


def order(arms: Sequence[Arm], name: str) -> list[int]:
    """Indices of the arms of a name at full strength, layer by layer."""
    return [at for at, arm in enumerate(arms) if arm.name == name and arm.alpha == 1]
