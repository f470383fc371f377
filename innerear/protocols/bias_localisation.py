"""Bias localisation: how much of a context's effect has entered a word's own states, and at which layer.

The effect is the difference between the carrier that favours the word and the one that favours its foil.
States of the word's frames are patched from one into the other, a layer or component at a time; audio and
forced text are crossed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.data.minimal_pairs import SpokenWord, delayed, one_word_each, spoken_words, target
from innerear.data.schema import Corpus, Item
from innerear.interventions.context_patching import (
    COMPONENTS,
    Arm,
    ContextPatching,
    PatchingArms,
    arm_indices,
)
from innerear.interventions.forced_choice import favoured_by_text, text_prior
from innerear.models.base import SpeechModel
from innerear.protocols.base import Measurement, NotApplicable, Protocol, bare_score, records
from innerear.results.schema import Curve, Score
from innerear.tasks.causal_settings import BiasLocalisation
from innerear.tasks.task import Task

LEAST = 8
"""Minimum number of words for a result."""


class BiasLocalisationProtocol(Protocol):
    """Locate where the effect of context enters a word's own states."""

    languages = "English"

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, BiasLocalisation)
        self.settings = task.measure
        pairs = spoken_words(self.corpus, 1)
        self._words = [word for word, _ in one_word_each(pairs, self.settings.words)]
        aligned = [_aligned(word) for word in self._words]
        self._against = self.corpus.with_items(against for against, *_ in aligned)
        self._others = {against.id: (own, neutral) for against, own, neutral in aligned}

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """All arms of all words."""
        return {"odds": Demand(self._against, ContextPatching(self._others, self.settings.alphas))}

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Split the effect; rank components on one half of the words, confirm on the other."""
        assert isinstance(listener, SpeechModel)
        name, arms = listener.identity.name, PatchingArms(listener, self.settings.alphas).arms
        (priors,) = self.capture(listener, [text_prior(self._words)])
        favoured = favoured_by_text(self._words, priors)["favoured"]
        index = [at for at in captured["odds"].indices if favoured[at]]
        if len(index) < LEAST:
            raise NotApplicable(
                f"{name}: the carriers' texts favour the intended word for {len(index)} of "
                f"{len(self._words)} words; {LEAST} are needed"
            )
        values = [captured["odds"].values[at] for at in index]
        crossed = np.stack([each["crossed"].double().numpy() for each in values])
        odds = np.stack([each["arms"].double().numpy() for each in values], axis=1)
        against, total = crossed[:, 0, 0], crossed[:, 1, 1] - crossed[:, 0, 0]
        if total.sum() <= 0:
            raise NotApplicable(f"{name}: the carriers do not change the log-odds of {len(index)} words")
        pairs = np.array([self._words[at].pair for at in index])
        restored = odds - against
        ranks = np.array(index) % 2 == 0
        parts = _components(arms, restored, total, ranks)
        last = arm_indices(arms, "favoured")[-1]
        scores = {
            "encoder_share": self._share(restored[last], total, pairs),
            "decoder_share": self._share(total - restored[last], total, pairs, "decoder"),
            "context_effect": self.score(total, pairs, direction="none", unit="nats", column="effect, nats",
                scale="difference"),
            "context_frames": self._share(restored[arm_indices(arms, "context frames")[-1]], total, pairs),
            **{
                f"crossed_{name}": self.score(
                    crossed[:, audio, text] - against, pairs, direction="none", unit="nats",
                    scale="difference",
                )
                for name, audio, text in (("audio", 1, 0), ("text", 0, 1))
            },
            **self._best(arms, parts, restored, total, pairs, ranks),
            "words_kept": bare_score(len(index) / len(self._words), len(self._words), "fraction"),
        }  # fmt: skip
        items = pd.DataFrame(
            {
                "item": [self._against.items[at].id for at in index],
                "unit": [self._against.items[at].id for at in index],
                "speaker": pairs,
                "outcome": restored[last],
                "weight": total,
                "log_odds": against,
            }
        )
        return Measurement(
            headline="encoder_share",
            scores=scores,
            curves=self._curves(arms, restored, total, pairs),
            items=items,
            split=self.single_split(
                "components ranked on every other word, confirmed on the rest", items[ranks], items[~ranks]
            ),
            tables={"arms": _arms(arms, odds, restored, total), "components": records(parts)},
            tuned={"component": str(parts.iloc[0]["site"])},
        )  # fmt: skip

    def _share(self, part: np.ndarray, total: np.ndarray, pairs: np.ndarray, column: str = "") -> Score:
        """Sum of a part over the sum of the whole effect."""
        made = self.score(part, pairs, weight=total, direction="none", column=column, scale="difference")
        return made.model_copy(update={"n": len(part)})

    def _best(
        self,
        arms: Sequence[Arm],
        parts: pd.DataFrame,
        restored: np.ndarray,
        total: np.ndarray,
        pairs: np.ndarray,
        ranks: np.ndarray,
    ) -> dict[str, Score]:
        """The component chosen on one half, scored on the other; and the share of components as good."""
        best = parts.iloc[0]
        at = next(n for n, arm in enumerate(arms) if arm.site == best["site"])
        held = ~ranks
        return {
            "component": self._share(restored[at, held], total[held], pairs[held], "component"),
            "component_when_ranked": bare_score(best["ranked"], int(ranks.sum()), "fraction"),
            "component_p": bare_score(
                float((parts["confirmed"] >= best["confirmed"]).mean()), len(parts), "p", column="p"
            ),
        }

    def _curves(
        self,
        arms: Sequence[Arm],
        restored: np.ndarray,
        total: np.ndarray,
        pairs: np.ndarray,
    ) -> list[Curve]:
        """Share of the effect that patching restores, by layer."""
        made = []
        for name in ("favoured", "neutral", "context frames", "white noise", "mean", *COMPONENTS, "decoder"):
            if not (at := arm_indices(arms, name)):
                continue  # a component that the model lacks
            sites = [arms[index].site.residual for index in at]
            made.append(
                self.curve(
                    name, "effect given back", sites, restored[at], pairs, weight=total, scale="difference"
                )
            )
        return made


def _aligned(word: SpokenWord) -> tuple[Item, Item, Item]:
    """The clips in the foil's, the word's and the neutral carrier, delayed so that the words align."""
    clips = (word.against, word.favoured, word.neutral)
    latest = max(target(clip).onset for clip in clips)
    against, own, neutral = (delayed(clip, latest - target(clip).onset) for clip in clips)
    return against, own, neutral


def _arms(
    arms: Sequence[Arm], odds: np.ndarray, restored: np.ndarray, total: np.ndarray
) -> list[dict[str, Any]]:
    """Every arm: the share restored, and words rescued and damaged."""
    against = odds - restored
    return [
        {
            "arm": arm.name,
            "site": arm.site,
            "alpha": arm.alpha,
            "given_back": float(restored[at].sum() / total.sum()),
            "rescued": int(((against[at] < 0) & (odds[at] > 0)).sum()),
            "damaged": int(((against[at] > 0) & (odds[at] < 0)).sum()),
            "wrong_before": int((against[at] < 0).sum()),
        }
        for at, arm in enumerate(arms)
    ]


def _components(
    arms: Sequence[Arm], restored: np.ndarray, total: np.ndarray, ranks: np.ndarray
) -> pd.DataFrame:
    """One row per component of the encoder, the best on the ranking half first."""
    rows = [
        {
            "site": arms[at].site,
            "ranked": float(restored[at, ranks].sum() / total[ranks].sum()),
            "confirmed": float(restored[at, ~ranks].sum() / total[~ranks].sum()),
        }
        for part in COMPONENTS
        for at in arm_indices(arms, part)
    ]
    return pd.DataFrame(rows).sort_values("ranked", ascending=False, kind="stable")
