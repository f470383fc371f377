"""Readings: what tasks take from a forward pass of a clip, reduced on the device before it is stored.

A reading is a value: its name and what it reads from an item make its key in the cache. Tasks with the same
reading share it, and a further task on a corpus adds a reading, not a forward pass.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from innerear.activations.forward import Clip, TeacherForced
from innerear.data.schema import SAMPLING_RATE, Item
from innerear.models.base import SpeechModel, Transcript
from innerear.models.capabilities import Needs
from innerear.models.decoder import decoder_of
from innerear.models.emitting import emitting
from innerear.models.frames import FrameClock

TOKENS_A_SECOND = 8
"""More than people say: an estimate of the disk that states over an output take."""


class Reading(ABC):
    """One thing that is read from each clip.

    Attributes
    ----------
    name
        Name with a version; when the computation changes, so must the name.
    needs
        What the model must have: floors have an encoder only, CTC models and transducers no decoder.
    layers
        Whether it reads states of the encoder's layers, and not only of its output.
    """

    name: ClassVar[str]
    needs: ClassVar[Needs]
    layers: ClassVar[bool] = True

    def wanted(self, item: Item) -> JsonValue:
        """What it reads from this item, as part of the cache key; None to leave the item out."""
        return self.name

    @abstractmethod
    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Tensors read from the clip, on any device."""

    def sites(self, all_sites: Sequence[str]) -> Sequence[str]:
        """Which of the encoder's sites it reads."""
        return all_sites if self.layers else ()

    def rows(self, clock: FrameClock, samples: int, item: Item, sites: int) -> int:
        """States [dim] that it takes from a clip at all of so many sites, at most; texts are not counted."""
        return 0


@dataclass(frozen=True)
class Picked:
    """Which frames of a clip a reading takes.

    Attributes
    ----------
    index
        Frames, in the order of the result.
    lengths
        Of the runs of frames that belong together.
    mean
        Whether the mean of each run is read, and not all its frames.
    """

    index: np.ndarray
    lengths: tuple[int, ...]
    mean: bool = False


class EncoderReading(Reading):
    """A reading of single frames of the encoder, or of means over them: a long clip is read in windows."""

    needs = "encoder"

    @abstractmethod
    def pick(self, clock: FrameClock, samples: int, item: Item) -> Picked:
        """The frames of a clip."""

    def rows(self, clock: FrameClock, samples: int, item: Item, sites: int) -> int:
        """Those of the frames, or of the means."""
        picked = self.pick(clock, samples, item)
        return sites * (len(picked.lengths) if picked.mean else len(picked.index))

    @abstractmethod
    def finished(self, states: Tensor, picked: Picked) -> dict[str, Tensor]:
        """What is read, from the states of the frames or their means, [row, site, dim]."""

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Take the frames of a clip that is heard in one piece."""
        picked = self.pick(clip.clock, clip.samples, item)
        states = clip.frames(picked.index)
        if picked.mean:
            states = torch.stack([part.mean(dim=0) for part in states.split(picked.lengths)])
        return self.finished(states, picked)


@dataclass(frozen=True)
class Frames(EncoderReading):
    """States in the frames nearest to given times (in seconds, by item id): `states` [frame, site, dim]."""

    times: Mapping[str, np.ndarray]
    name = "frames-1"

    def wanted(self, item: Item) -> JsonValue:
        """The times."""
        times = self.times[item.id]
        return [self.name, times.tolist()] if len(times) else None

    def pick(self, clock: FrameClock, samples: int, item: Item) -> Picked:
        """One frame for each time."""
        index = clock.nearest(self.times[item.id], samples)
        return Picked(index, (1,) * len(index))

    def finished(self, states: Tensor, picked: Picked) -> dict[str, Tensor]:
        """The states as they are."""
        return {"states": states}


@dataclass(frozen=True)
class Stretches(EncoderReading):
    """States of stretches of audio, (start, end) in seconds by item id: all their frames, or the mean.

    `states` [frame, site, dim] with `lengths` [stretch], or with `mean` `states` [stretch, site, dim]. A
    stretch that contains no frame centre has the frame nearest to its middle.
    """

    spans: Mapping[str, np.ndarray]
    mean: bool
    name = "stretches-1"

    def wanted(self, item: Item) -> JsonValue:
        """The stretches."""
        spans = self.spans[item.id]
        return [self.name, self.mean, spans.tolist()] if len(spans) else None

    def pick(self, clock: FrameClock, samples: int, item: Item) -> Picked:
        """Frames whose centres lie inside each stretch."""
        spans = self.spans[item.id]
        inside = np.searchsorted(
            clock.times(samples), spans
        )  # the first frame in each, and the first behind it
        nearest = clock.nearest(spans.mean(axis=1), samples)
        index = [
            np.arange(first, last) if first < last else nearest[[at]]
            for at, (first, last) in enumerate(inside)
        ]
        return Picked(np.concatenate(index), tuple(map(len, index)), self.mean)

    def finished(self, states: Tensor, picked: Picked) -> dict[str, Tensor]:
        """The means, or all frames and how many there are of each stretch."""
        return {"states": states} | ({} if self.mean else {"lengths": torch.tensor(picked.lengths)})


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
        return {"states": clip.frames(index, [self.site]), "times": torch.from_numpy(times[index])}

    def sites(self, all_sites: Sequence[str]) -> Sequence[str]:
        """Its only one."""
        return (self.site,)

    def rows(self, clock: FrameClock, samples: int, item: Item, sites: int) -> int:
        """Those of one site."""
        return 1 + clock.count(samples) // self.every


@dataclass(frozen=True)
class Pooled(EncoderReading):
    """Mean over valid frames at each encoder site, `states` [site, dim]: padding would leak the duration."""

    name = "pooled-1"

    def pick(self, clock: FrameClock, samples: int, item: Item) -> Picked:
        """All frames."""
        frames = clock.count(samples)
        return Picked(np.arange(frames), (frames,), mean=True)

    def finished(self, states: Tensor, picked: Picked) -> dict[str, Tensor]:
        """The only mean."""
        return {"states": states[0]}

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """The mean."""
        return {"states": clip.states.mean(dim=1)}


@dataclass(frozen=True)
class Text(Reading):
    """The model's transcript as JSON, to be read by `unpacked`."""

    name = "text-1"
    needs = "text"
    layers = False

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """The transcript and its pieces."""
        return text_values(clip.model, clip.transcript)


def text_values(model: SpeechModel, transcript: Transcript) -> dict[str, Tensor]:
    """What `Text` reads from a transcript."""
    return {
        "json": packed(
            {
                "text": transcript.text,
                "tokens": list(transcript.tokens),
                "log_probs": list(transcript.log_probs),
                "ended": transcript.ended,
                "pieces": model.pieces(transcript.tokens),
            }
        )
    }


@dataclass(frozen=True)
class Start(Reading):
    """The decoder before its first token: `states` [site, dim]; `no_speech` if it predicts that."""

    name = "start-1"
    needs = "decoder"
    layers = False

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """States at the end of the prefix."""
        return {"states": clip.start.states[:, 0], **_no_speech(clip.start)}

    def rows(self, clock: FrameClock, samples: int, item: Item, sites: int) -> int:
        """One at each site."""
        return sites


@dataclass(frozen=True)
class Steps(Reading):
    """The decoder's residual stream at the position that predicts each token of the transcript.

    `states` [token, site, dim].
    """

    name = "steps-1"
    needs = "decoder"
    layers = False

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """States of all tokens."""
        return {"states": clip.written.states.transpose(0, 1)}

    def rows(self, clock: FrameClock, samples: int, item: Item, sites: int) -> int:
        """One for each token at each site."""
        return sites * (1 + TOKENS_A_SECOND * samples // SAMPLING_RATE)


@dataclass(frozen=True)
class LayerTexts(Reading):
    """Transcripts decoded from every encoder layer as if it were the last, of at most `max_tokens` tokens.

    `json`: `norm` and `bare`, with and without the final norm of the encoder, each a list [site] of `text`,
    `tokens` and `ended`.
    """

    max_tokens: int
    name = "layer-texts-1"
    needs = "lens"

    def wanted(self, item: Item) -> JsonValue:
        """The limit."""
        return [self.name, self.max_tokens]

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Decode all layers as one batch."""
        states = clip.padded_states
        with torch.inference_mode():
            both = torch.cat(
                [clip.model.encoder_output(states, clip.samples, norm=norm) for norm in (True, False)]
            )
        texts = [
            {"text": row.text, "tokens": list(row.tokens), "ended": row.ended}
            for row in clip.model.greedy_decode(both, self.max_tokens)
        ]
        return {"json": packed({"norm": texts[: len(states)], "bare": texts[len(states) :]})}


@dataclass(frozen=True)
class AttentionPeaks(Reading):
    """The frame that each head that hears the audio attends to most when each token is predicted.

    `peaks` [token, layer, head]: indices of valid frames; padding is left out.
    """

    name = "attention-peaks-1"
    needs = "decoder"
    layers = False

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """The argmax over the valid frames."""
        model = decoder_of(clip.model)
        _, weights = model.attention(clip.encoded, clip.transcript.tokens)
        valid = weights[:, :, model.prefix_length - 1 :, : len(model.heard_times(clip.samples))]
        return {"peaks": valid.argmax(dim=-1).permute(2, 0, 1)}


@dataclass(frozen=True)
class EmissionLens(Reading):
    """What is emitted along the audio from every encoder layer; see `innerear.models.emitting.Emissions`.

    `top` [site, step] is the best token, `kl` [site, step] the divergence from the last layer (nats),
    `json` the text of each layer.
    """

    name = "ctc-lens-1"
    needs = "emissions"

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """All layers of the valid frames."""
        emitted = emitting(clip.model).emissions(clip.states)
        last = emitted.log_probs[-1]
        kl = (last.exp() * (last - emitted.log_probs)).sum(dim=-1)
        return {
            "top": emitted.log_probs.argmax(dim=-1),
            "kl": kl,
            "json": packed({"texts": emitted.texts}),
        }


@dataclass(frozen=True)
class Written(Reading):
    """The decoder on the model's own transcript: `mean` over tokens and the last (`end`), each [site, dim].

    `end` is the state that predicts end-of-text, unless the model hit its limit; `no_speech` as in `Start`.
    """

    name = "written-1"
    needs = "decoder"
    layers = False

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """The mean and the last of the states that predict tokens."""
        forced = clip.written
        return {"mean": forced.states.mean(dim=1), "end": forced.states[:, -1], **_no_speech(forced)}

    def rows(self, clock: FrameClock, samples: int, item: Item, sites: int) -> int:
        """Two at each site."""
        return 2 * sites


def _no_speech(forced: TeacherForced) -> dict[str, Tensor]:
    return {} if forced.no_speech is None else {"no_speech": torch.tensor(forced.no_speech)}


def packed(value: JsonValue | dict[str, Any]) -> Tensor:
    """JSON as the bytes of a tensor, for a safetensors file."""
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def unpacked(tensor: Tensor) -> Any:
    """The JSON value that `packed` wrote."""
    return json.loads(bytes(tensor.tolist()))
