"""Interchange of one phone: its frames in one word taken from the same place in the word one phone apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from innerear.activations.forward import Clip
from innerear.activations.readings import Reading
from innerear.data.minimal_pairs import context, target
from innerear.data.schema import SAMPLING_RATE, Item
from innerear.interventions.forced_choice import Option, option, option_log_probs
from innerear.interventions.run import decoder_of, encode_from_site, teacher_force
from innerear.interventions.spec import Intervention, World
from innerear.models.base import SpeechModel
from innerear.models.site import Site
from innerear.util.errors import InnerearError

BASE, FOIL, VOICE = range(3)
"""The unwritten rows: the word, its foil by the same voice, the word by another voice."""
ARMS = ("phone", "other phone", "random frames", "other voice", "all frames")
"""What is written: the foil's phone; another phone of the foil; frames of its carrier; the same phone by
another voice; every frame of the foil, which must give the foil's own log-odds."""
CLOSE = 1e-2
"""Nats by which the log-odds with all frames swapped may differ from the foil's own."""


@dataclass(frozen=True)
class PhonePatching(Reading):
    """Log-odds of a word against its foil, with frames of its phone taken from elsewhere, layer by layer.

    Items are clips of the word in a neutral carrier; `others` gives the foil in it, and the word by another
    voice. `base` [2]: the log-odds of word and foil as they are; `odds` [arm, site]; `kept` [arm, site]:
    whether all tokens of the carrier are still the likeliest ones.
    """

    others: Mapping[str, tuple[Item, Item]]
    name = "interchange-1"
    needs = "decoder"

    def wanted(self, item: Item) -> JsonValue:
        """All clips and the words."""
        hashes: list[JsonValue] = [other.audio_sha256 for other in self.others[item.id]]
        spans: list[JsonValue] = [
            [*target(each).span, target(each).onset] for each in (item, *self.others[item.id])
        ]
        foil = self.others[item.id][0]
        drawn: list[JsonValue] = [*_neighbour(foil), item.id]  # of "other phone" and "random frames"
        return [self.name, hashes, spans, drawn, context(item), item.label("word"), item.label("foil")]

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Encode all worlds from the layer where they part.

        Raises
        ------
        InnerearError
            If the foil with all its frames in the word's run is not the foil.
        """
        model, clips = clip.model, (item, *self.others[item.id])
        audio = [each.audio() for each in clips]
        longest = max(map(len, audio))
        audio = [np.pad(each, (0, longest - len(each))) for each in audio]
        worlds: list[World] = [(), (), ()]
        worlds += [_world(model, arm, site, clips, longest) for arm in ARMS for site in model.encoder_sites]
        encoded = encode_from_site(model, audio, [BASE, FOIL, VOICE, *[BASE] * (len(worlds) - 3)], worlds)
        options = [option(model, context(item), item.label(name)) for name in ("word", "foil")]
        odds, kept = _led(model, encoded, options)
        shape = (len(ARMS), len(model.encoder_sites))
        arms = odds[3:].view(shape)
        if (arms[-1] - odds[FOIL]).abs().max() > CLOSE:
            raise InnerearError(
                f"{item.id}: with all frames of the foil the log-odds are {arms[-1].tolist()}, but "
                f"the foil's own {float(odds[FOIL]):.3f}"
            )
        return {"base": odds[:2], "odds": arms, "kept": kept[3:].view(shape)}


def _world(model: SpeechModel, arm: str, site: Site, clips: Sequence[Item], samples: int) -> World:
    word, foil, voice = clips
    if arm == "all frames":
        return (Intervention(site=site, kind="patch", row=FOIL),)
    own = _frames(model, target(word).span, samples)
    if arm == "phone":
        row, there = FOIL, _frames(model, target(foil).span, samples)
    elif arm == "other voice":
        row, there = VOICE, _frames(model, target(voice).span, samples)
    elif arm == "other phone":
        row, there = FOIL, _frames(model, _neighbour(foil), samples)
    else:
        before = np.flatnonzero(model.clock.times(samples) < target(foil).onset / SAMPLING_RATE)
        draw = np.random.default_rng(crc32(word.id.encode()))
        row, there = FOIL, draw.choice(before, len(own))
    # as many frames, evenly over what is there: phones differ in length
    index = there[np.linspace(0, len(there) - 1, len(own)).round().astype(int)]
    return (
        Intervention(
            site=site, kind="patch", row=row, positions=tuple(own.tolist()),
            source_positions=tuple(index.tolist()),
        ),
    )  # fmt: skip


def _frames(model: SpeechModel, span: tuple[int, int], samples: int) -> np.ndarray:
    """Frames whose centres lie in a span of samples, at least the one nearest to its middle."""
    times = SAMPLING_RATE * model.clock.times(samples)
    inside = np.flatnonzero((span[0] <= times) & (times < span[1]))
    return inside if len(inside) else model.clock.nearest(np.array([sum(span) / 2 / SAMPLING_RATE]), samples)


def _neighbour(item: Item) -> tuple[int, int]:
    """Span of the phone beside the differing one: the next, or at the end of the word the one before."""
    word = item.words[-1]
    phones = [phone for phone in item.phones if phone.middle > word.start]
    at = int(item.label("position"))
    phone = phones[at + 1 if at + 1 < len(phones) else at - 1]
    return round(phone.start * SAMPLING_RATE), round(phone.end * SAMPLING_RATE)


def _led(model: SpeechModel, encoded: Tensor, options: Sequence[Option]) -> tuple[Tensor, Tensor]:
    """Log-odds [row], and whether the carrier's likeliest tokens are those of the first row, [row]."""
    end = decoder_of(model).end_of_text
    odds, likeliest = [], []
    for row in encoded:  # both words share the keys and values of its audio
        led = teacher_force(model, row[None], [[*each.tokens, end] for each in options], [()] * len(options))
        word, foil = option_log_probs(led, options, end)
        odds.append(word - foil)
        likeliest.append(led[0][: options[0].first].argmax(dim=-1))
    tokens = torch.stack(likeliest)
    return torch.stack(odds), (tokens == tokens[BASE]).all(dim=1)
