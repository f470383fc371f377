"""What tasks read of a clip, reduced on the device before anything is copied or kept.

A reading is a value: what it is and what it wants of an item decide its key in the cache, so that tasks which
want the same share it, and a further task on a corpus costs a reading and not a pass.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from innerear.activations.forward import Clip, TeacherForced
from innerear.data.schema import Item

Needs = Literal["encoder", "text", "decoder"]


class Reading(ABC):
    """One thing that is read of each clip.

    Attributes
    ----------
    name
        Of the reading, with a version: a change of what it computes is a new name.
    needs
        What the model must have: every listener has an encoder, floors write no text, CTC has no decoder.
    """

    name: ClassVar[str]
    needs: ClassVar[Needs]

    def wanted(self, item: Item) -> JsonValue:
        """What it wants of this item: part of the cache's key; None if the item is not to be heard."""
        return self.name

    @abstractmethod
    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Read the clip; tensors of any device."""


@dataclass(frozen=True)
class Frames(Reading):
    """States in the frames nearest to given times (seconds by item id): `states` [frame, site, dim]."""

    times: Mapping[str, np.ndarray]
    name = "frames-1"
    needs = "encoder"

    def wanted(self, item: Item) -> JsonValue:
        """The times."""
        times = self.times[item.id]
        return [self.name, times.tolist()] if len(times) else None

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """One state a time."""
        return {"states": clip.frames(clip.clock.nearest(self.times[item.id], clip.samples))}


@dataclass(frozen=True)
class Stretches(Reading):
    """States of stretches of audio, (start, end) in seconds by item id: all their frames, or the mean.

    `states` [frame, site, dim] with `lengths` [stretch], or with `mean` `states` [stretch, site, dim]. A
    stretch without the centre of a frame has the frame nearest to its middle.
    """

    spans: Mapping[str, np.ndarray]
    mean: bool
    name = "stretches-1"
    needs = "encoder"

    def wanted(self, item: Item) -> JsonValue:
        """The stretches."""
        spans = self.spans[item.id]
        return [self.name, self.mean, spans.tolist()] if len(spans) else None

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Frames whose centres lie inside each stretch."""
        centres = clip.clock.times(clip.samples)
        index = [np.flatnonzero((start <= centres) & (centres < end)) for start, end in self.spans[item.id]]
        nearest = clip.clock.nearest(self.spans[item.id].mean(axis=1), clip.samples)
        index = [found if len(found) else nearest[[at]] for at, found in enumerate(index)]
        lengths = [len(found) for found in index]
        states = clip.frames(np.concatenate(index))
        if self.mean:
            return {"states": torch.stack([part.mean(dim=0) for part in states.split(lengths)])}
        return {"states": states, "lengths": torch.tensor(lengths)}


@dataclass(frozen=True)
class Layer(Reading):
    """Every n-th valid frame at one encoder site: `states` [frame, 1, dim], `times` [frame] (seconds)."""

    site: str
    every: int
    name = "layer-1"
    needs = "encoder"

    def wanted(self, item: Item) -> JsonValue:
        """The site and the step."""
        return [self.name, self.site, self.every]

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """The frames and the times of their centres."""
        times = clip.clock.times(clip.samples)
        index = np.arange(0, len(times), self.every)
        at = clip.sites.index(self.site)
        return {"states": clip.frames(index)[:, [at]], "times": torch.from_numpy(times[index])}


@dataclass(frozen=True)
class Pooled(Reading):
    """Mean over the valid frames of each layer: `states` [site, dim]. Padding would leak the duration."""

    name = "pooled-1"
    needs = "encoder"

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """The mean."""
        return {"states": clip.encoder.mean(dim=1)}


@dataclass(frozen=True)
class Text(Reading):
    """What the model writes, as JSON; `unpacked` gives it back."""

    name = "text-1"
    needs = "text"

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """The transcript and its pieces."""
        made = clip.transcript
        return {
            "json": packed(
                {
                    "text": made.text,
                    "tokens": list(made.tokens),
                    "log_probs": list(made.log_probs),
                    "ended": made.ended,
                    "pieces": clip.model.pieces(made.tokens),
                }
            )
        }


@dataclass(frozen=True)
class Start(Reading):
    """The decoder about to write its first token: `states` [site, dim]; `no_speech` where it has one."""

    name = "start-1"
    needs = "decoder"

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """States before anything is written."""
        return {"states": clip.start.states[:, 0], **_no_speech(clip.start)}


@dataclass(frozen=True)
class Steps(Reading):
    """The decoder's residual stream where each token of the model's own output is predicted.

    `states` [token, site, dim].
    """

    name = "steps-1"
    needs = "decoder"

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """All steps."""
        return {"states": clip.written.states.transpose(0, 1)}


@dataclass(frozen=True)
class LayerTexts(Reading):
    """What the decoder writes of every encoder layer, as if it were the last, at most `most` tokens.

    `json`: `norm` and `bare`, with and without the final norm of the encoder, each a list [site] of `text`,
    `tokens` and `ended`.
    """

    most: int
    name = "layer-texts-1"
    needs = "decoder"

    def wanted(self, item: Item) -> JsonValue:
        """The limit."""
        return [self.name, self.most]

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """All layers as one batch."""
        states = clip.padded
        with torch.inference_mode():
            both = torch.cat([clip.model.encoder_norm(states), states])
        made = [
            {"text": row.text, "tokens": list(row.tokens), "ended": row.ended}
            for row in clip.model.greedy_decode(both, self.most)
        ]
        return {"json": packed({"norm": made[: len(states)], "bare": made[len(states) :]})}


@dataclass(frozen=True)
class AttentionPeaks(Reading):
    """The frame that each cross-attention head looks at most where each token is predicted.

    `peaks` [token, layer, head], frames of the clip (padding is not looked at).
    """

    name = "attention-peaks-1"
    needs = "decoder"

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Peaks over the valid frames."""
        _, weights = clip.model.attention(clip.encoded, clip.transcript.tokens)
        valid = weights[:, :, clip.model.prefix_length - 1 :, : clip.clock.count(clip.samples)]
        return {"peaks": valid.argmax(dim=-1).permute(2, 0, 1)}


@dataclass(frozen=True)
class CtcLens(Reading):
    """Every encoder layer through the CTC head.

    `top` [site, frame] is the best token, `kl` [site, frame] the divergence from the last layer (nats),
    `json` the text of each layer.
    """

    name = "ctc-lens-1"
    needs = "text"

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """All layers of the valid frames."""
        model, states = clip.model, clip.encoder
        with torch.inference_mode():
            log_probs = model.unembed(states).log_softmax(dim=-1)
            last = log_probs[-1]
            texts = [made.text for made in model.greedy_decode(model.encoder_norm(states))]
        kl = (last.exp() * (last - log_probs)).sum(dim=-1)
        return {"top": log_probs.argmax(dim=-1), "kl": kl, "json": packed({"texts": texts})}


@dataclass(frozen=True)
class Written(Reading):
    """The decoder over the model's own output: `mean` over tokens and the last (`end`), [site, dim] each.

    `end` is where end-of-text is predicted, unless the model hit its limit; `no_speech` as in `Start`.
    """

    name = "written-1"
    needs = "decoder"

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """States where each token is predicted."""
        made = clip.written
        return {"mean": made.states.mean(dim=1), "end": made.states[:, -1], **_no_speech(made)}


def _no_speech(made: TeacherForced) -> dict[str, Tensor]:
    return {} if made.no_speech is None else {"no_speech": torch.tensor(made.no_speech)}


def packed(value: JsonValue | dict[str, Any]) -> Tensor:
    """JSON as bytes in a tensor, for a safetensors file."""
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def unpacked(tensor: Tensor) -> Any:
    """The JSON of `packed`."""
    return json.loads(bytes(tensor.tolist()))
