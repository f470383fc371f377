"""Phone interchange: whether the phone that a probe reads is the one that the decoder uses.

At each encoder layer the frames of the differing phone are taken from the word one phone apart. A layer where
that writes the other word and leaves the rest of the sentence as it was holds the phone by itself.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from innerear.activations.capture import Captured, Demand
from innerear.activations.forward import Listener
from innerear.data.minimal_pairs import spoken_words
from innerear.data.schema import Corpus, Item
from innerear.interventions.phone_patching import ARMS, PhonePatching
from innerear.models.base import SpeechModel
from innerear.protocols.base import Measurement, NotApplicable, Protocol, bare_score
from innerear.tasks.settings import PhoneInterchange
from innerear.tasks.task import Task
from innerear.util.errors import InputError

LEAST = 8
"""Words from which anything is said."""


class PhoneInterchangeProtocol(Protocol):
    """Ask at which layer a phone can be exchanged by itself."""

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, PhoneInterchange)
        if len(self.corpus.speakers) < 2 and any(item.label("pair") for item in self.corpus):
            raise InputError(f"{self.corpus.name}: one voice only; the task needs the same words by two")
        pairs = spoken_words(self.corpus, 2)
        both = [(pairs[at], pairs[at + 1]) for at in range(0, len(pairs) - 1, 2)]
        both = [(one, other) for one, other in both if one[0].pair == other[0].pair]
        if not both:
            raise InputError(f"{self.corpus.name}: no pair is said by two voices; give the task more clips")
        every = max(1, len(both) // task.measure.words)
        items: list[Item] = []
        self._others: dict[str, tuple[Item, Item]] = {}
        for number, (own, voice) in enumerate(both[::every][: task.measure.words]):
            word, foil, again = own[number % 2], own[1 - number % 2], voice[number % 2]
            items.append(word.neutral)
            self._others[word.neutral.id] = (foil.neutral, again.neutral)
        self._words = self.corpus.with_items(items)

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """All arms of all words."""
        return {"odds": Demand(self._words, PhonePatching(self._others))}

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Choose the layer on one half of the words, report it on the other."""
        assert isinstance(listener, SpeechModel)
        values = [captured["odds"].values[at] for at in captured["odds"].indices]
        base = np.stack([each["base"].double().numpy() for each in values])
        told = (base[:, 0] > 0) & (base[:, 1] < 0)
        if told.sum() < LEAST:
            raise NotApplicable(
                f"{listener.identity.name} tells {told.sum()} of {len(told)} words from their foils in both "
                f"recordings; {LEAST} are needed"
            )
        index = np.flatnonzero(told)
        odds = np.stack([values[at]["odds"].double().numpy() for at in index], axis=-1)
        kept = np.stack([values[at]["kept"].numpy() for at in index], axis=-1).astype(float)
        base, sites = base[index], listener.encoder_sites
        flipped = (odds < 0).astype(float)
        both = (flipped + kept) / 2
        gone = base[:, 0] - odds
        whole = base[:, 0] - base[:, 1]
        ranks = index % 2 == 0  # by word, so that all models report the same ones
        best = int(both[0][:, ranks].mean(axis=1).argmax())
        names = [self._words.items[captured["odds"].indices[at]] for at in index]
        pairs = np.array([item.label("pair") for item in names])
        held = pairs[~ranks]
        items = pd.DataFrame(
            {
                "item": [item.id for item in names],
                "unit": [item.id for item in names],
                "speaker": pairs,
                "outcome": both[0, best],
            }
        )
        scores = {
            "disentangle": self.score(both[0, best, ~ranks], held),
            "interchange": self.score(flipped[0, best, ~ranks], held, column="interchange"),
            "isolation": self.score(kept[0, best, ~ranks], held, column="isolation"),
            **{
                f"interchange_{arm.replace(' ', '_')}": self.score(
                    flipped[at, best, ~ranks], held, direction="none", column=arm if at < 3 else ""
                )
                for at, arm in enumerate(ARMS[1:-1], start=1)
            },
            "words_told": bare_score(told.mean(), len(told), "fraction"),
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
                    gone[0],
                    pairs,
                    weight=whole,
                    scale="difference",
                ),
            ],
            items=items[~ranks],
            split=self.single_split(
                "layer chosen on every other word, reported on the rest", items[ranks], items[~ranks]
            ),
            tables={"arms": _arms(sites, odds, kept)},
            tuned={"site": sites[best]},
        )


def _arms(sites: tuple[str, ...], odds: np.ndarray, kept: np.ndarray) -> list[dict[str, Any]]:
    """Every arm and layer: share of words that become the foil, mean log-odds, share of carriers kept."""
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
