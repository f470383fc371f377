"""Phone patching: the frames of one phone of a word, replaced by those of the phone that makes it its foil.

The recipient run has the word; the donor runs have its foil, which differs in that phone, by the same voice,
and the word by another voice.
"""

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
from innerear.interventions.forced_choice import Option, logits_by_run, option_log_probs, options_of
from innerear.interventions.run import encode_from_site
from innerear.interventions.spec import Intervention, World
from innerear.interventions.word_frames import frames_around_onset, frames_in_span
from innerear.models.base import SpeechModel
from innerear.models.decoder import decoder_of
from innerear.models.site import Site
from innerear.util.errors import InnerearError

WORD, FOIL, VOICE = range(3)
"""The first rows of the batch, which are not patched: the recipient, which is the word; the donors, which are
its foil by the same voice and the word by another voice."""
ARMS = ("phone", "other phone", "random frames", "other voice", "all frames")
"""What replaces the phone's frames: those of the foil's phone; of another phone of the foil; random frames of
the foil's carrier; the same phone by another voice. In the last arm all frames of the foil replace those of
the word, which must give the foil's own log-odds."""
CLOSE = 1e-2
"""Nats by which the log-odds with all frames replaced may differ from the foil's own."""


@dataclass(frozen=True)
class PhonePatching(Reading):
    """Log-odds of a word against its foil in every arm, layer by layer.

    Items are clips of the word in a neutral carrier; `others` gives, for each item's id, the clips of the
    foil in that carrier and of the word by another voice.

    `base` [2]: log-odds without patches in the clip of the word and in that of its foil. `odds` [arm, site].
    `kept` [arm, site]: whether the most probable tokens of the carrier are still the same.
    """

    others: Mapping[str, tuple[Item, Item]]
    name = "interchange-1"
    needs = "decoder"

    def wanted(self, item: Item) -> JsonValue:
        """All clips, the frames that are taken, and the words."""
        hashes: list[JsonValue] = [other.audio_sha256 for other in self.others[item.id]]
        spans: list[JsonValue] = [
            [*target(each).span, target(each).onset] for each in (item, *self.others[item.id])
        ]
        foil = self.others[item.id][0]
        drawn: list[JsonValue] = [*_neighbour(foil), item.id]  # of "other phone" and "random frames"
        return [self.name, hashes, spans, drawn, context(item), item.label("word"), item.label("foil")]

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Encode all arms, each from the layer of its patch, and teacher-force the decoder with both words.

        Raises
        ------
        InnerearError
            If replacing all frames by those of the foil does not give the foil's own log-odds.
        """
        model, clips = clip.model, (item, *self.others[item.id])
        audio = [each.audio() for each in clips]
        longest = max(map(len, audio))
        audio = [np.pad(each, (0, longest - len(each))) for each in audio]
        worlds: list[World] = [(), (), ()]
        worlds += [_world(model, arm, site, clips, longest) for arm in ARMS for site in model.encoder_sites]
        encoded = encode_from_site(model, audio, [WORD, FOIL, VOICE, *[WORD] * (len(worlds) - 3)], worlds)
        odds, kept = _log_odds(model, encoded, options_of(model, context(item), item))
        shape = (len(ARMS), len(model.encoder_sites))
        arms = odds[3:].view(shape)
        if (arms[-1] - odds[FOIL]).abs().max() > CLOSE:
            raise InnerearError(
                f"{item.id}: with all frames of the foil the log-odds are {arms[-1].tolist()}, but "
                f"the foil's own {float(odds[FOIL]):.3f}"
            )
        return {"base": odds[:2], "odds": arms, "kept": kept[3:].view(shape)}


def _world(model: SpeechModel, arm: str, site: Site, clips: Sequence[Item], samples: int) -> World:
    """The patch of an arm at a site."""
    word, foil, voice = clips
    if arm == "all frames":
        return (Intervention(site=site, kind="patch", row=FOIL),)
    own = frames_in_span(model, target(word).span, samples)
    if arm == "phone":
        row, there = FOIL, frames_in_span(model, target(foil).span, samples)
    elif arm == "other voice":
        row, there = VOICE, frames_in_span(model, target(voice).span, samples)
    elif arm == "other phone":
        row, there = FOIL, frames_in_span(model, _neighbour(foil), samples)
    else:
        before, _ = frames_around_onset(model, foil, samples)
        draw = np.random.default_rng(crc32(word.id.encode()))
        row, there = FOIL, draw.choice(before, len(own))
    # phones differ in length: take as many frames as are replaced, evenly spaced over the donor's
    index = there[np.linspace(0, len(there) - 1, len(own)).round().astype(int)]
    return (
        Intervention(
            site=site, kind="patch", row=row, positions=tuple(own.tolist()),
            source_positions=tuple(index.tolist()),
        ),
    )  # fmt: skip


def _neighbour(item: Item) -> tuple[int, int]:
    """Span (samples) of the phone after the differing one, or before it at the end of the word."""
    word = item.words[-1]
    phones = [phone for phone in item.phones if phone.middle > word.start]
    at = int(item.label("position"))
    phone = phones[at + 1 if at + 1 < len(phones) else at - 1]
    return round(phone.start * SAMPLING_RATE), round(phone.end * SAMPLING_RATE)


def _log_odds(model: SpeechModel, encoded: Tensor, options: Sequence[Option]) -> tuple[Tensor, Tensor]:
    """Log-odds [run], and whether the carrier's most probable tokens are those of the recipient, [run]."""
    end = decoder_of(model).end_of_text
    odds, likeliest = [], []
    for logits in logits_by_run(model, encoded, options):
        word, foil = option_log_probs(logits, options, end)
        odds.append(word - foil)
        likeliest.append(logits[0][: options[0].first].argmax(dim=-1))
    tokens = torch.stack(likeliest)
    return torch.stack(odds), (tokens == tokens[WORD]).all(dim=1)
