"""Bias localisation: how much of a context's effect has entered a word's own states, and at which layer.

The effect is the difference between the carrier that favours the word and the one that favours its foil.
States of the word's frames are patched from one into the other, a layer or component at a time; audio and
forced text are crossed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.data.minimal_pairs import SpokenWord, delayed, one_word_each, spoken_words, target
from innerear.data.schema import Corpus, Item
from innerear.interventions.context_patching import (
    COMPONENTS,
    KINDS,
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
        self._words = [word for word, _ in one_word_each(pairs, len(pairs))]

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """What the texts favour, which decides what else is read."""
        return {"priors": text_prior(self._words)}

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Split the effect; rank components on one half of the words, confirm on the other."""
        assert isinstance(listener, SpeechModel)
        favoured = favoured_by_text(self._words, captured["priors"])["favoured"]
        words = [word for word, counts in zip(self._words, favoured, strict=True) if counts]
        self._need_words(listener, words, "have carriers whose texts favour what they should")
        chosen = np.linspace(0, len(words) - 1, min(len(words), self.settings.words)).round().astype(int)
        others = [word for at, word in enumerate(words) if at not in chosen]
        full = self._read(listener, [words[at] for at in chosen], self.settings.alphas, KINDS)
        rest = self._read(listener, others, (), ("favoured",))
        self._need_words(listener, [word for word, _ in full], "can be processed in all carriers")

        arms = PatchingArms(listener, self.settings.alphas).arms
        shared = arm_indices(arms, "favoured")
        spoken, close = [word for word, _ in (*full, *rest)], slice(len(full))  # words with all arms first
        pairs = np.array([word.pair for word in spoken])
        crossed = torch.stack([values["crossed"] for _, values in (*full, *rest)]).double().numpy()
        against, total = crossed[:, 0, 0], crossed[:, 1, 1] - crossed[:, 0, 0]
        effect = self.score(
            total, pairs, direction="none", unit="nats", column="effect, nats", scale="difference"
        )
        least = -np.inf if effect.low is None else effect.low
        if min(least, total[close].sum()) <= 0:
            raise NotApplicable(
                f"{listener.identity.name}: the carriers change the log-odds of {len(spoken)} words by "
                f"{effect.value:.2f} nats, {self.task.confidence:.0%} interval from {least:.2f} on: there is "
                "no effect to split"
            )
        odds = torch.stack([values["arms"] for _, values in full], dim=1).double().numpy()
        moved = [values["arms"][shared] for _, values in full] + [values["arms"] for _, values in rest]
        from_own = torch.stack(moved, dim=1).double().numpy() - against
        restored = odds - against[close]
        ranks = np.arange(len(full)) % 2 == 0
        parts = _components(arms, restored, total[close], ranks)
        context = restored[arm_indices(arms, "context frames")[-1]]
        scores = {
            "encoder_share": self._share(from_own[-1], total, pairs),
            "decoder_share": self._share(total - from_own[-1], total, pairs, "decoder"),
            "context_effect": effect,
            "context_frames": self._share(context, total[close], pairs[close]),
            **{
                f"crossed_{name}": self.score(
                    crossed[:, audio, text] - against, pairs, direction="none", unit="nats",
                    scale="difference",
                )
                for name, audio, text in (("audio", 1, 0), ("text", 0, 1))
            },
            **self._best(arms, parts, restored, total[close], pairs[close], ranks),
            "words_kept": bare_score(len(spoken) / len(self._words), len(self._words), "fraction"),
        }  # fmt: skip
        items = pd.DataFrame(
            {
                "item": [word.against.id for word in spoken],
                "unit": [word.against.id for word in spoken],
                "speaker": pairs,
                "outcome": from_own[-1],
                "weight": total,
                "log_odds": against,
            }
        )
        sites = [arms[at].site.residual for at in shared]
        return Measurement(
            headline="encoder_share",
            scores=scores,
            curves=[
                self._curve("favoured", sites, from_own, total, pairs),
                *self._curves(arms, restored, total[close], pairs[close]),
            ],
            items=items,
            split=self.single_split(
                "components ranked on every other word, confirmed on the rest",
                items[close][ranks], items[close][~ranks],
            ),
            tables={"arms": _arms(arms, odds, restored, total[close]), "components": records(parts)},
            tuned={"component": str(parts.iloc[0]["site"])},
        )  # fmt: skip

    def _need_words(self, listener: SpeechModel, left: Sequence[SpokenWord], why: str) -> None:
        if len(left) < LEAST:
            raise NotApplicable(
                f"{listener.identity.name}: {len(left)} of {len(self._words)} words {why}; {LEAST} are needed"
            )

    def _read(
        self,
        listener: SpeechModel,
        words: Sequence[SpokenWord],
        alphas: tuple[float, ...],
        kinds: tuple[str, ...],
    ) -> list[tuple[SpokenWord, Mapping[str, Tensor]]]:
        """The words that the model can process, each with what `ContextPatching` gives."""
        if not words:
            return []
        aligned = [_aligned(word) for word in words]
        clips = self.corpus.with_items(against for against, *_ in aligned)
        others = {against.id: (own, neutral) for against, own, neutral in aligned}
        (read,) = self.capture(listener, [Demand(clips, ContextPatching(others, alphas, kinds))])
        return [(words[at], values) for at, values in read.values.items()]

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
        self, arms: Sequence[Arm], restored: np.ndarray, total: np.ndarray, pairs: np.ndarray
    ) -> list[Curve]:
        """Share of the effect that the other kinds of patching restore, by layer."""
        made = []
        for name in KINDS[1:]:
            if at := arm_indices(arms, name):  # none of a component that the model lacks
                sites = [arms[index].site.residual for index in at]
                made.append(self._curve(name, sites, restored[at], total, pairs))
        return made

    def _curve(
        self, name: str, sites: Sequence[str], restored: np.ndarray, total: np.ndarray, pairs: np.ndarray
    ) -> Curve:
        return self.curve(name, "effect given back", sites, restored, pairs, weight=total, scale="difference")


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
