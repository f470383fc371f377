"""Phone interchange: whether the decoder uses the phone information at an encoder layer.

At each encoder layer, the frames of one phone are patched from a word that differs in this phone only. If the
model then writes the other word and leaves the rest of the sentence as it was, the layer encodes the phone
separately from its context.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.data.minimal_pairs import neutral_by_others, one_word_each, spoken_words
from innerear.data.schema import Corpus
from innerear.interventions.phone_patching import ARMS, PhonePatching
from innerear.models.base import SpeechModel
from innerear.protocols.base import Measurement, NotApplicable, Protocol, bare_score
from innerear.tasks.causal_settings import PhoneInterchange
from innerear.tasks.task import Task
from innerear.util.errors import InputError

MIN_WORDS = 8
"""Minimum number of words that the model must distinguish from their foils."""


class PhoneInterchangeProtocol(Protocol):
    """Measure at which layer a phone can be exchanged without changing anything else."""

    languages = "English"

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, PhoneInterchange)
        if len(self.corpus.speakers) < 2 and any(item.label("pair") for item in self.corpus):
            raise InputError(
                f"{self.corpus.name}: there is only one voice; the task needs the same words by two"
            )
        again = neutral_by_others(self.corpus)
        both = [
            pair for pair in spoken_words(self.corpus, 1) if all(word.neutral.id in again for word in pair)
        ]
        if not both:
            raise InputError(f"{self.corpus.name}: no pair is spoken by two voices; give the task more clips")
        chosen = one_word_each(both, task.measure.words)
        items = [word.neutral for word, _ in chosen]
        self._others = {word.neutral.id: (foil.neutral, again[word.neutral.id]) for word, foil in chosen}
        self._words = self.corpus.with_items(items)

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """The log-odds of every word in all arms."""
        return {"odds": Demand(self._words, PhonePatching(self._others))}

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Choose the layer on one half of the words, report it on the other."""
        assert isinstance(listener, SpeechModel)
        values = [captured["odds"].values[at] for at in captured["odds"].indices]
        base = np.stack([value["base"].double().numpy() for value in values])
        distinguished = (base[:, 0] > 0) & (base[:, 1] < 0)
        if distinguished.sum() < MIN_WORDS:
            raise NotApplicable(
                f"{listener.identity.name} distinguishes {distinguished.sum()} of {len(distinguished)} "
                f"words from their foils in both recordings; {MIN_WORDS} are needed"
            )
        index = np.flatnonzero(distinguished)
        odds = np.stack([values[at]["odds"].double().numpy() for at in index], axis=-1)
        kept = np.stack([values[at]["kept"].numpy() for at in index], axis=-1).astype(float)
        base, sites = base[index], listener.encoder_sites
        flipped = (odds < 0).astype(float)
        both = (flipped + kept) / 2
        drop = base[:, 0] - odds
        whole = base[:, 0] - base[:, 1]
        choosing = index % 2 == 0  # by word, so that all models report the same words
        best = int(both[0][:, choosing].mean(axis=1).argmax())
        names = [self._words.items[captured["odds"].indices[at]] for at in index]
        pairs = np.array([item.label("pair") for item in names])
        held = pairs[~choosing]
        items = pd.DataFrame(
            {
                "item": [item.id for item in names],
                "unit": [item.id for item in names],
                "speaker": pairs,
                "outcome": both[0, best],
            }
        )
        scores = {
            "disentangle": self.score(both[0, best, ~choosing], held),
            "interchange": self.score(flipped[0, best, ~choosing], held, column="interchange"),
            "isolation": self.score(kept[0, best, ~choosing], held, column="isolation"),
            **{
                f"interchange_{arm.replace(' ', '_')}": self.score(
                    flipped[at, best, ~choosing], held, direction="none", column=arm if at < 3 else ""
                )
                for at, arm in enumerate(ARMS[1:-1], start=1)
            },
            "words_told": bare_score(distinguished.mean(), len(distinguished), "fraction"),
        }
        return Measurement(
            headline="disentangle",
            scores=scores,
            curves=[
                *(
                    self.curve(
                        arm, "interchange", sites, flipped[at], pairs, chosen=sites[best] if not at else None
                    )
                    for at, arm in enumerate(ARMS[:-1])
                ),
                self.curve("isolation", "isolation", sites, kept[0], pairs),
                self.curve(
                    "log-odds",
                    "share of the log-odds moved",
                    sites,
                    drop[0],
                    pairs,
                    weight=whole,
                    scale="difference",
                ),
            ],
            items=items[~choosing],
            split=self.single_split(
                "layer chosen on every other word, reported on the rest", items[choosing], items[~choosing]
            ),
            tables={"arms": _arms(sites, odds, kept)},
            tuned={"site": sites[best]},
        )


def _arms(sites: tuple[str, ...], odds: np.ndarray, kept: np.ndarray) -> list[dict[str, Any]]:
    """By arm and layer: share of words that become the foil, mean log-odds, share of carriers unchanged."""
    return [
        {
            "arm": arm,
            "site": site,
            "interchange": float((odds[at, layer] < 0).mean()),
            "log_odds": float(odds[at, layer].mean()),
            "isolation": float(kept[at, layer].mean()),
        }
        for at, arm in enumerate(ARMS)
        for layer, site in enumerate(sites)
    ]
