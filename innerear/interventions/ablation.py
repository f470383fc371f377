"""Ablation sweeps: every component or head of a decoder ablated in a world of its own, clip by clip.

A sweep is a reading: its outputs are cached by weights, audio and worlds, so that an interrupted run resumes
at the clip where it stopped.
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
from innerear.models.decoder import decoder_of
from innerear.models.site import Site


def components(model: SpeechModel) -> tuple[Site, ...]:
    """Sites of the decoder's components, layer by layer."""
    return tuple(site for site in model.places if site.stack == "decoder" and site.part and not site.is_head)


def heads(model: SpeechModel) -> tuple[Site, ...]:
    """Sites of the decoder's heads, in the model's order."""
    return tuple(site for site in model.places if site.stack == "decoder" and site.is_head)


def ablated(sites: Sequence[Site]) -> World:
    """The world in which these sites write zeros."""
    return tuple(Intervention(site=site, kind="zero") for site in sites)


def stop_at_loop(tokens: Sequence[int]) -> bool:
    """Whether an output has fallen into a loop; more tokens would only repeat it."""
    return find_loop(tokens) is not None


@dataclass(frozen=True)
class Sweep(Reading):
    """Transcripts of a clip in several worlds, each cut at a loop; `tensors` are the worlds' named sources.

    Worlds may intervene in the decoder, in the encoder, or in both.

    `json`: a list of `text`, `tokens` and `ended`, one for each world. With `loops_only`, a clip that does
    not loop in the first world is decoded in that world alone.
    """

    worlds: tuple[World, ...]
    max_tokens: int
    loops_only: bool = False
    tensors: Tensors = field(default_factory=dict)
    name = "sweep-1"
    needs = "decoder"
    layers = False

    def wanted(self, item: Item) -> JsonValue:
        """The worlds."""
        worlds: list[JsonValue] = [[each.model_dump(mode="json") for each in world] for world in self.worlds]
        tensors: list[JsonValue] = [
            [name, sha256(each.cpu().numpy().tobytes()).hexdigest()] for name, each in self.tensors.items()
        ]
        return [self.name, self.max_tokens, self.loops_only, worlds, *tensors]

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Decode all worlds as one batch."""
        transcripts = self._transcripts(clip, item, self.worlds[:1]) if self.loops_only else []
        if not transcripts or is_loop(transcripts[0].text, transcripts[0].tokens, transcripts[0].ended):
            transcripts = self._transcripts(clip, item, self.worlds)
        rows = [{"text": row.text, "tokens": list(row.tokens), "ended": row.ended} for row in transcripts]
        return {"json": packed({"rows": rows})}

    def _transcripts(self, clip: Clip, item: Item, worlds: Sequence[World]) -> list[Transcript]:
        model, encoded = clip.model, clip.encoded
        if any(each.site.stack == "encoder" for world in worlds for each in world):
            encoded = encode_from_site(model, [item.audio()], [0] * len(worlds), worlds, self.tensors)
        return generate(model, encoded, worlds, self.tensors, max_tokens=self.max_tokens, stop=stop_at_loop)


@dataclass(frozen=True)
class Induction(Reading):
    """How much each self-attention head attends, inside a loop, to what came next one repetition earlier.

    `score` [layer, head]: mean weight on the token after the previous occurrence of the current one (Olsson
    et al. 2022), over the loop's tokens from its second repetition on, in an output of at most `max_tokens`;
    empty if the output has no loop.
    """

    max_tokens: int
    name = "induction-1"
    needs = "decoder"
    layers = False

    def wanted(self, item: Item) -> JsonValue:
        """The limit."""
        return [self.name, self.max_tokens]

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Read the attention over the loop."""
        (transcript,) = generate(
            clip.model, clip.encoded, [()], max_tokens=self.max_tokens, stop=stop_at_loop
        )
        loop = find_loop(transcript.tokens)
        if loop is None:
            return {"score": torch.zeros(0)}
        tokens = list(transcript.tokens)
        tokens += tokens[loop.start + len(tokens[loop.start :]) % loop.n :][: loop.n]  # one more repetition
        model = decoder_of(clip.model)
        own, _ = model.attention(clip.encoded, tokens)
        first = model.prefix_length  # the position that tokens[0] is fed at
        at = np.arange(loop.start + loop.n, len(tokens) - 1)
        return {"score": own[:, :, first + at, first + at - loop.n + 1].mean(dim=-1)}
