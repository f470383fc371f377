"""Noise added to a corpus at stated signal-to-noise ratios.

Every clip is there clean and again at each ratio. Its noise follows from its audio, the ratio and the rule;
nothing is stored. White and pink noise come from a seeded generator; babble is other speakers of the corpus.
"""

from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from innerear.data.schema import Corpus, Item
from innerear.util.io import sha256_json

Kind = Literal["white", "pink", "babble"]
CLEAN = "clean"
VERSION = 1
TALKERS = 4
"""Number of voices in babble."""


class NoiseRule(BaseModel):
    """Ratios in dB, and kinds of noise, which the clips take in turn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    snr: tuple[Annotated[int, Field(ge=-100, le=100)], ...] = Field(min_length=1)
    kinds: tuple[Kind, ...] = Field(min_length=1)


def add_noise(corpus: Corpus, rule: NoiseRule) -> Corpus:
    """The corpus clean and at each ratio: `condition` is `clean` or `10 dB`, `extra` has `snr` and `noise`.

    Ids are `clip@10dB`. A clip has one kind of noise at all ratios. If a corpus has too few speakers for
    babble, the clips that would get it are only there clean, and the others are listed as refused.
    """
    items: list[Item] = []
    refused = list(corpus.refused)
    for number, item in enumerate(corpus):
        kind = rule.kinds[number % len(rule.kinds)]
        items.append(replace(item, condition=CLEAN, extra=(*item.extra, ("snr", CLEAN), ("noise", "none"))))
        talkers = _talkers(corpus, item) if kind == "babble" else ()
        if kind == "babble" and len(talkers) < TALKERS:
            reason = f"babble is made of {TALKERS} other speakers, and {len(talkers)} are known"
            refused += [(f"{item.id}@{snr}dB", reason) for snr in rule.snr]
            continue
        for snr in rule.snr:
            recipe = [VERSION, item.audio_sha256, kind, snr, [talker.audio_sha256 for talker in talkers]]
            items.append(
                replace(
                    item,
                    id=f"{item.id}@{snr}dB",
                    audio=partial(_noisy, item, kind, snr, talkers),
                    audio_sha256=sha256_json(recipe),
                    condition=f"{snr} dB",
                    extra=(*item.extra, ("snr", f"{snr} dB"), ("noise", kind)),
                )
            )
    return replace(corpus, items=tuple(items), refused=tuple(refused))


def drawing(name: str) -> np.random.Generator:
    """A generator seeded with a name."""
    return np.random.default_rng(int.from_bytes(sha256(name.encode()).digest()[:8], "big"))


def _talkers(corpus: Corpus, item: Item) -> tuple[Item, ...]:
    """One clip each of other speakers, chosen by a hash over both clips; none if it has no known speaker."""
    if not item.speaker:
        return ()

    def rank(other: Item) -> str:
        return sha256(f"{item.audio_sha256}:{other.audio_sha256}".encode()).hexdigest()

    chosen: dict[str, Item] = {}
    for other in sorted(corpus, key=rank):
        if other.speaker not in ("", item.speaker):
            chosen.setdefault(other.speaker, other)
    return tuple(chosen.values())[:TALKERS]


def _noisy(item: Item, kind: Kind, snr: int, talkers: tuple[Item, ...]) -> np.ndarray:
    speech = item.audio()
    noise = _noise(kind, len(speech), drawing(f"{VERSION}:{item.audio_sha256}:{kind}"), talkers)
    gain = np.sqrt(np.square(speech).mean() / np.square(noise).mean()) * 10 ** (-snr / 20)
    mixed = speech + gain * noise
    return np.asarray(mixed / max(1.0, np.abs(mixed).max()), dtype=np.float32)


def _noise(kind: Kind, samples: int, random: np.random.Generator, talkers: tuple[Item, ...]) -> np.ndarray:
    if kind == "babble":
        voices = [talker.audio() for talker in talkers]
        return np.asarray(
            np.sum([np.resize(voice / np.sqrt(np.square(voice).mean()), samples) for voice in voices], axis=0)
        )
    white = random.standard_normal(samples)
    if kind == "white":
        return white
    spectrum = np.fft.rfft(white)
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))  # power falls with 1 / frequency
    spectrum[0] = 0
    return np.fft.irfft(spectrum, samples)
