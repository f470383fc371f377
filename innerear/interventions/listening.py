"""How far what a model writes rests on the audio: its output is judged with other audio, and with deaf heads.

A model is led along its own output. A *deaf* head writes what it writes, to the same text, where the audio is
silence: it passes on nothing of what is heard, and with all heads deaf the model predicts what it predicts
for silence. Tokens are judged by a distribution over what greedy decoding may write, end-of-text left out:
the question is which words a model writes, and not whether it writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from innerear.activations.forward import Clip
from innerear.activations.readings import Reading, text_values
from innerear.data.schema import Item
from innerear.interventions.ablation import stop_at_loop
from innerear.interventions.run import generate, teacher_force
from innerear.interventions.spec import Intervention, World
from innerear.models.decoder import DecoderModel, decoder_of
from innerear.models.site import Site
from innerear.models.sites import wide

ROWS = 32
"""Rows of a teacher-forced pass."""
CONDITIONS = ("own", "silence", "other", "blind")
"""How an output is judged: with the clip, with silence, with another clip, and with the clip but blind to the
earlier text."""


def components(model: DecoderModel) -> list[Site]:
    """The attention that hears the audio, of each layer."""
    return [Site("decoder", layer + 1, model.listening_part) for layer in range(model.decoder_layers)]


def heads(model: DecoderModel) -> list[Site]:
    """The heads of this attention, layer by layer."""
    own = set(components(model))
    return [site for site in model.places if site.is_head and site.component in own]


@dataclass(frozen=True)
class Listening(Reading):
    """A model's own output of at most `most` tokens, judged with other audio and with deaf attention.

    `others` has another clip for each item, by id; it is cut, or followed by silence, to the same length.

    `json` is as in `Text`; all else is missing where nothing was written. `log_probs` [condition, token], in
    the order of `CONDITIONS`; `layers` [2, layer, token], with the attention of one layer deaf, and with that
    of all layers from this one on; `heads` [head, token], with one head deaf. `kl` [2, token]: divergence of
    the predictions for silence, and for the other clip, from those for the clip (nats). `mass` [2, head]:
    mean weight of each head on the frames of the clip, and on those of silence in its place.
    """

    others: Mapping[str, Item]
    most: int
    name = "listening-1"
    needs = "decoder"

    def wanted(self, item: Item) -> JsonValue:
        """The limit, how many rows share a pass (that decides the last bits), and the other clip."""
        return [self.name, self.most, ROWS, self.others[item.id].audio_sha256]

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Judge the output in all conditions."""
        led = Led.of(clip, self.most)
        if not led.tokens:
            return led.text
        model, layers = led.model, components(led.model)
        deaf: list[tuple[Site, ...]] = [(site,) for site in layers]
        deaf += [tuple(layers[first:]) for first in range(len(layers))]
        deaf += [(site,) for site in heads(model)]
        audio = _fitted(self.others[item.id].audio(), clip.samples)
        with torch.inference_mode():
            other = led.predictions(model.encode([audio]))
        own, silent = led.predictions(led.heard), led.predictions(led.silence)
        blind = led.predictions(led.heard, blind=True)
        without = led.deaf(deaf)
        at = 2 * len(layers)
        return led.text | {
            "log_probs": torch.stack([led.written(each) for each in (own, silent, other, blind)]),
            "layers": without[:at].unflatten(0, (2, len(layers))),
            "heads": without[at:],
            "kl": torch.stack([_divergence(own, each) for each in (silent, other)]),
            "mass": torch.stack([led.mass(each, clip.samples) for each in (led.heard, led.silence)]),
        }


@dataclass(frozen=True)
class Deafened(Reading):
    """The same output with each of several sets of heads deaf.

    `json` and `log_probs` [set, token] as in `Listening`.
    """

    sets: tuple[tuple[Site, ...], ...]
    most: int
    name = "deafened-1"
    needs = "decoder"

    def wanted(self, item: Item) -> JsonValue:
        """The limit, how many rows share a pass, and the sets."""
        return [self.name, self.most, ROWS, [list(each) for each in self.sets]]

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Judge the output with each set deaf."""
        led = Led.of(clip, self.most)
        return led.text | ({"log_probs": led.deaf(self.sets)} if led.tokens else {})


@dataclass(frozen=True)
class Led:
    """A model that is led along its own output on a clip.

    Attributes
    ----------
    heard, silence
        Encoder output of the clip, and of silence of the same length, [1, frame, dim].
    tokens
        The output without end-of-text.
    text
        The output as `Text` reads it.
    """

    model: DecoderModel
    heard: Tensor
    silence: Tensor
    tokens: Sequence[int]
    text: dict[str, Tensor]

    @classmethod
    def of(cls, clip: Clip, most: int) -> "Led":
        """Let the model write at most `most` tokens; a loop ends the output earlier."""
        model = decoder_of(clip.model)
        (transcript,) = generate(model, clip.encoded, [()], max_tokens=most, stop=stop_at_loop)
        with torch.inference_mode():
            silence = model.encode([np.zeros(clip.samples, dtype=np.float32)])
        tokens = model.spoken(transcript.tokens)
        return cls(model, clip.encoded, silence, tokens, text_values(model, transcript))

    def predictions(self, encoded: Tensor, *, blind: bool = False) -> Tensor:
        """Log-probabilities [token, vocabulary] of what may be written in the place of each token."""
        return self._allowed(teacher_force(self.model, encoded, [self.tokens], [()], blind=blind)[0])

    def written(self, predictions: Tensor) -> Tensor:
        """Log-probability of each token that was written, [token]."""
        tokens = torch.tensor(self.tokens, device=predictions.device)
        return predictions.gather(-1, tokens[:, None])[:, 0]

    def deaf(self, sets: Sequence[Sequence[Site]]) -> Tensor:
        """Log-probabilities of the tokens with each set of heads or attentions deaf, [set, token]."""
        sites = list(dict.fromkeys(site for each in sets for site in each))
        with self.model.reading(sites) as kept:
            teacher_force(self.model, self.silence, [self.tokens], [()])
        silent = {str(site): kept[site][0] for site in sites}
        worlds: list[World] = [
            tuple(Intervention(site=site, kind="set", source=str(site)) for site in each) for each in sets
        ]
        parts = [worlds[at : at + ROWS] for at in range(0, len(worlds), ROWS)]
        return torch.stack(
            [
                self.written(self._allowed(logits))
                for part in parts
                for logits in teacher_force(self.model, self.heard, [self.tokens], part, silent)
            ]
        )

    def mass(self, encoded: Tensor, samples: int) -> Tensor:
        """Weight of each head on the frames of a clip, mean over the tokens, [head]."""
        _, weights = self.model.attention(encoded, self.tokens)
        frames = len(self.model.heard_times(samples))
        seen = wide(weights[:, :, self.model.prefix_length - 1 :, :frames])
        return seen.sum(dim=-1).mean(dim=-1).flatten().clamp(max=1.0)  # sums may be rounded upwards

    def _allowed(self, logits: Tensor) -> Tensor:
        """Log-probabilities [token, vocabulary] over what greedy decoding may write, without end-of-text."""
        ends = torch.tensor(self.model.generation.ends, device=logits.device)
        logits = logits.index_fill(
            -1, torch.cat([ends, self.model.suppressed_tokens(first=False)]), -torch.inf
        )
        logits[0, self.model.suppressed_tokens(first=True)] = -torch.inf
        return logits.log_softmax(dim=-1)


def _divergence(own: Tensor, other: Tensor) -> Tensor:
    """Kullback-Leibler divergence [token] of predictions from others [token, vocabulary] (nats)."""
    terms = own.exp() * (own - other)
    terms = terms.masked_fill(own == -torch.inf, 0.0)  # what may not be written counts nothing
    return terms.sum(dim=-1).clamp(min=0.0)  # rounding may put it below


def _fitted(audio: np.ndarray, samples: int) -> np.ndarray:
    """Audio cut, or followed by silence, to a length."""
    return np.pad(audio[:samples], (0, max(0, samples - len(audio))))
