"""Sweeps: every component or head of a decoder ablated in a row of its own, clip by clip.

A sweep is a reading: what it gives is cached by weights, audio and worlds, so that a killed run goes on at
the clip where it stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from innerear.activations.forward import Clip
from innerear.activations.readings import Reading, packed
from innerear.data.schema import Item
from innerear.data.text import find_loop, is_loop
from innerear.interventions.run import encode_from_site, generate
from innerear.interventions.spec import Intervention, Tensors, World
from innerear.models.base import SpeechModel, Transcript
from innerear.models.site import PARTS, Site


def components(model: SpeechModel) -> tuple[Site, ...]:
    """Sites of the decoder's components, layer by layer."""
    layers = range(1, model.decoder_layers + 1)
    return tuple(Site("decoder", layer, part) for layer in layers for part in PARTS)


def heads(model: SpeechModel) -> tuple[Site, ...]:
    """Sites of the decoder's heads, in the model's order."""
    return tuple(site for site in model.places if site.stack == "decoder" and site.is_head)


def ablated(sites: Sequence[Site]) -> World:
    """The world in which these sites write nothing."""
    return tuple(Intervention(site=site, kind="zero") for site in sites)


def stop_at_loop(tokens: Sequence[int]) -> bool:
    """Whether an output has fallen into a loop: what follows tells nothing."""
    return find_loop(tokens) is not None


@dataclass(frozen=True)
class Sweep(Reading):
    """What the model writes in each of some worlds, up to a loop; `tensors` are what they name.

    Worlds may intervene in the decoder, in the encoder, or in both.

    `json`: a list of `text`, `tokens` and `ended`, one for each world; with `loops_only` of the first world
    alone where it does not loop.
    """

    worlds: tuple[World, ...]
    most: int
    loops_only: bool = False
    tensors: Tensors = field(default_factory=dict)
    name = "sweep-1"
    needs = "decoder"

    def wanted(self, item: Item) -> JsonValue:
        """The worlds."""
        said: list[JsonValue] = [[each.model_dump(mode="json") for each in world] for world in self.worlds]
        named: list[JsonValue] = [
            [name, sha256(each.cpu().numpy().tobytes()).hexdigest()] for name, each in self.tensors.items()
        ]
        return [self.name, self.most, self.loops_only, said, *named]

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """All worlds as one batch."""
        made = self._written(clip, item, self.worlds[:1]) if self.loops_only else []
        if not made or is_loop(made[0].text, made[0].tokens, made[0].ended):
            made = self._written(clip, item, self.worlds)
        rows = [{"text": row.text, "tokens": list(row.tokens), "ended": row.ended} for row in made]
        return {"json": packed({"rows": rows})}

    def _written(self, clip: Clip, item: Item, worlds: Sequence[World]) -> list[Transcript]:
        model, encoded = clip.model, clip.encoded
        if any(each.site.stack == "encoder" for world in worlds for each in world):
            encoded = encode_from_site(model, [item.audio()], [0] * len(worlds), worlds, self.tensors)
        return generate(model, encoded, worlds, self.tensors, most=self.most, stop=stop_at_loop)


@dataclass(frozen=True)
class Induction(Reading):
    """How much each self-attention head looks, within a loop, at what came next in the round before.

    `score` [layer, head]: mean weight on the token after the previous occurrence of the current one (Olsson
    et al. 2022), over the loop's tokens from its second round on, at most `most`; empty where nothing loops.
    """

    most: int
    name = "induction-1"
    needs = "decoder"

    def wanted(self, item: Item) -> JsonValue:
        """The limit."""
        return [self.name, self.most]

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Read the attention over the loop."""
        (made,) = generate(clip.model, clip.encoded, [()], most=self.most, stop=stop_at_loop)
        loop = find_loop(made.tokens)
        if loop is None:
            return {"score": torch.zeros(0)}
        tokens = list(made.tokens)
        tokens += tokens[loop.start + len(tokens[loop.start :]) % loop.n :][: loop.n]  # one round more
        own, _ = clip.model.attention(clip.encoded, tokens)
        first = clip.model.prefix_length  # the position at which tokens[0] is given
        at = np.arange(loop.start + loop.n, len(tokens) - 1)
        return {"score": own[:, :, first + at, first + at - loop.n + 1].mean(dim=-1)}
