"""Semantic bias: whether context overrides what was said, and how much acoustic evidence it is worth.

Words of minimal pairs are presented in a carrier that favours the spoken word, in one that favours its foil,
in a neutral one, and alone. Scores are the written words, teacher-forced log-odds of word against foil, and
the shift of psychometric curves over a graded phone.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.activations.readings import Text, unpacked
from innerear.data.language import ENGLISH
from innerear.data.minimal_pairs import (
    CARRIERS,
    SpokenWord,
    continuum_clips,
    masked_clips,
    spoken_words,
    spread,
)
from innerear.data.pronunciations import homophones
from innerear.data.schema import Corpus, Item
from innerear.data.text import normalise
from innerear.interventions.forced_choice import ForcedChoice, favoured_by_text, text_prior
from innerear.models.base import SpeechModel
from innerear.protocols.base import Direction, Measurement, NotApplicable, Protocol, bare_score, records
from innerear.results.schema import Score
from innerear.stats.intervals import Scale
from innerear.stats.psychometric import Fit, fit, shift_interval
from innerear.tasks.causal_settings import SemanticBias
from innerear.tasks.task import Task

MIN_PAIRS = 10
"""Minimum number of pairs to score."""
FIRST, SECOND, NEUTRAL = range(3)
"""Index of each context of the continuum: it favours the first word, the second, or neither."""


class SemanticBiasProtocol(Protocol):
    """Measure how far context moves what the model writes."""

    languages = "English"

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, SemanticBias)
        self.settings = task.measure
        self._pairs = spoken_words(self.corpus, task.measure.voices)
        self._words = [word for pair in self._pairs for word in pair]
        graded = spread(self._pairs, task.measure.graded)
        self._alone = self._part([word.alone for word in self._words])
        self._steps = self._part(
            [item for pair in graded for item in continuum_clips(pair, task.measure.steps)]
        )
        self._noises = self._part(
            [
                item
                for number, pair in enumerate(graded)
                for item in masked_clips(pair[number % 2], task.measure.snr)
            ]
        )

    def _part(self, items: list[Item]) -> Corpus:
        return self.corpus.with_items(items)

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """Texts and log-odds of the words alone, and log-odds of the graded clips."""
        return {
            "text": Demand(self._alone, Text()),
            "odds": Demand(self._alone, ForcedChoice()),
            "steps": Demand(self._steps, ForcedChoice()),
            "noises": Demand(self._noises, ForcedChoice()),
        }

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Score the words that are understood alone and favoured by their carriers."""
        assert isinstance(listener, SpeechModel)
        (priors,) = self.capture(listener, [text_prior(self._words)])
        table = self._heard_alone(captured["text"], captured["odds"]).merge(
            favoured_by_text(self._words, priors), on=["pair", "word"]
        )
        chosen = table[table["understood"] & table["favoured"]]
        self._need_pairs(listener, chosen, table, "are understood alone and favoured by their carriers")
        kept = self._heard_in_carriers(listener, chosen)
        self._need_pairs(listener, kept, chosen, "can be processed in all carriers")
        good = set(table[table["favoured"]]["pair"])
        curves = [
            self._psychometric(captured["steps"], self._steps, "step", ("first", "second", "neutral"), good),
            self._psychometric(captured["noises"], self._noises, "dB", CARRIERS[:3], good),
        ]
        return Measurement(
            headline="bias",
            scores=self._scores(table, kept) | curves[0][0] | curves[1][0],
            curves=[],
            items=kept.drop(columns=["at", "understood", "favoured"]).assign(outcome=_bias(kept)),
            tables={
                "psychometric": curves[0][1] + curves[1][1],
                "carriers": _carriers(kept),
                "overruled": _overruled(kept),
            },
        )

    def _need_pairs(self, listener: SpeechModel, left: pd.DataFrame, rows: pd.DataFrame, why: str) -> None:
        if (pairs := left["pair"].nunique()) < MIN_PAIRS:
            raise NotApplicable(
                f"{listener.identity.name}: {len(left)} of {len(rows)} words, of {pairs} pairs, {why}; "
                f"{MIN_PAIRS} pairs are needed"
            )

    def _heard_alone(self, texts: Captured, odds: Captured) -> pd.DataFrame:
        """One row per spoken word: its log-odds, and what was written when it was said alone."""
        rows = [
            {
                "item": word.against.id, "unit": word.against.id, "speaker": word.pair, "pair": word.pair,
                "word": word.word, "foil": word.foil, "voice": word.alone.speaker, "at": at,
                **_reading("alone", word, texts.values[at], odds.values[at]),
            }
            for at, word in enumerate(self._words)
            if at in texts.values and at in odds.values  # the result lists what the model cannot process
        ]  # fmt: skip
        table = pd.DataFrame(rows)
        return table.assign(understood=table["wrote alone"] == "word")

    def _heard_in_carriers(self, listener: SpeechModel, chosen: pd.DataFrame) -> pd.DataFrame:
        """The rows of the words that count, and the same for each carrier: clips of other words are not read.

        A word is left out, and so counted as not kept, if the model cannot process one of its clips.
        """
        words = [self._words[at] for at in chosen["at"]]
        clips = self._part([clip for word in words for clip in word.clips[:3]])
        texts, odds = self.capture(listener, [Demand(clips, Text()), Demand(clips, ForcedChoice())])
        read: dict[int, dict[str, Any]] = {}
        for number, (row, word) in enumerate(zip(chosen.index, words, strict=True)):
            places = {name: 3 * number + at for at, name in enumerate(CARRIERS[:3])}
            if all(at in one.values for at in places.values() for one in (texts, odds)):
                read[row] = {
                    column: value
                    for name, at in places.items()
                    for column, value in _reading(name, word, texts.values[at], odds.values[at]).items()
                }
        return chosen.join(pd.DataFrame.from_dict(read, orient="index"), how="inner")

    def _scores(self, table: pd.DataFrame, kept: pd.DataFrame) -> dict[str, Score]:
        def score(
            values: np.ndarray,
            direction: Direction,
            unit: str = "fraction",
            column: str = "",
            scale: Scale = "difference",
        ) -> Score:
            return self.score(
                values, kept["pair"].to_numpy(), direction=direction, unit=unit, column=column, scale=scale
            )

        def wrote(name: str, what: str) -> np.ndarray:
            return (kept[f"wrote {name}"] == what).to_numpy(float)

        congruency = (kept["odds favours-spoken"] - kept["odds favours-foil"]).to_numpy()
        return {
            "bias": score(_bias(kept), "lower"),
            "congruency": score(congruency, "none", "nats", "congruency"),
            "text_prior": score(kept["prior"].to_numpy(), "none", "nats", "text alone"),
            "overruled": score(
                wrote("favours-foil", "foil") - wrote("neutral", "foil"), "lower", column="overruled"
            ),
            "foil_incongruent": score(wrote("favours-foil", "foil"), "lower", scale="share"),
            "foil_neutral": score(wrote("neutral", "foil"), "lower", scale="share"),
            "foil_congruent": score(wrote("favours-spoken", "foil"), "lower", scale="share"),
            "neither_incongruent": score(wrote("favours-foil", "neither"), "lower", scale="share"),
            "neither_neutral": score(wrote("neutral", "neither"), "lower", scale="share"),
            "understood_alone": bare_score(table["understood"].mean(), len(table), "fraction"),
            "favoured_by_text": bare_score(table["favoured"].mean(), len(table), "fraction"),
            "words_kept": bare_score(len(kept) / len(table), len(table), "fraction"),
        }

    def _psychometric(
        self, captured: Captured, corpus: Corpus, unit: str, contexts: tuple[str, ...], good: set[str]
    ) -> tuple[dict[str, Score], list[dict[str, Any]]]:
        """Fit forced-choice curves to the log-odds; return the shift between contexts and the curves.

        In the continuum, the evidence is for the second word, and the shift is between the contexts for the
        first and for the second. In noise, the evidence is for the spoken word, and the shift is between the
        context for the foil and the neutral one.
        """
        levels = sorted({int(item.label("level")) for item in corpus})
        pairs = sorted({item.label("pair") for item in corpus} & good)
        if len(pairs) < 2:
            return {}, []
        chose = np.full((len(pairs), len(contexts), len(levels)), np.nan)
        for index in captured.indices:
            item = corpus.items[index]
            if item.label("pair") in pairs:
                chose[
                    pairs.index(item.label("pair")), contexts.index(item.label("carrier")),
                    levels.index(int(item.label("level"))),
                ] = float(captured.values[index]["odds"]) > 0  # fmt: skip
        chose = chose[~np.isnan(chose).any(axis=(1, 2))]
        which = (FIRST, SECOND) if unit == "step" else (SECOND, NEUTRAL)
        trials = np.full(chose.shape[1:], len(chose))
        fitted = fit(levels, chose.sum(axis=0), trials)
        low, high = shift_interval(
            levels, chose, which, level=self.task.confidence, resamples=self.settings.resamples,
            seed=self.task.seed,
        )  # fmt: skip
        name = "shift_steps" if unit == "step" else "shift_db"
        shift = Score(
            value=fitted.shift(*which), low=low, high=high, n=len(chose), unit=unit, direction="none",
            column="shift, steps" if unit == "step" else "shift, dB",
        )  # fmt: skip
        scores = {name: shift, f"{name}_lapse": bare_score(fitted.lapse, len(chose), "fraction")}
        return scores, _rows(unit, contexts, levels, chose, fitted)


def _bias(table: pd.DataFrame) -> np.ndarray:
    """P(foil) in the carrier that favours the foil minus that in the neutral carrier, [word]."""
    against, neutral = table["odds favours-foil"].to_numpy(), table["odds neutral"].to_numpy()
    return np.asarray(expit(-against) - expit(-neutral))


def _reading(name: str, word: SpokenWord, text: Mapping[str, Any], odds: Mapping[str, Any]) -> dict[str, Any]:
    """What a model made of a word in one carrier: log-odds, which word it wrote, and the text."""
    written = unpacked(text["json"])["text"]
    return {
        f"odds {name}": float(odds["odds"]),
        f"wrote {name}": _wrote(written, word),
        f"text {name}": written,
    }


def _wrote(text: str, word: SpokenWord) -> str:
    """`word`, `foil` or `neither`, by the last written word; homophones count as the word."""
    last = (normalise(text, ENGLISH).split() or [""])[-1]
    if homophones(last, word.word):
        return "word"
    return "foil" if homophones(last, word.foil) else "neither"


def _carriers(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Shares of what was written in each kind of carrier, and the mean log-odds."""
    return [
        {
            "carrier": name,
            "words": len(table),
            **{what: float((table[f"wrote {name}"] == what).mean()) for what in ("word", "foil", "neither")},
            "log_odds": float(table[f"odds {name}"].mean()),
        }
        for name in CARRIERS
    ]


def _overruled(table: pd.DataFrame, most: int = 20) -> list[dict[str, Any]]:
    """Words written as their foil in the carrier that favours it, but not in the neutral carrier."""
    hit = table[(table["wrote favours-foil"] == "foil") & (table["wrote neutral"] != "foil")]
    columns = {"item": "item", "word": "said", "text favours-foil": "written", "text neutral": "neutral"}
    return records(hit.sort_values("odds favours-foil")[list(columns)].rename(columns=columns)[:most])


def _rows(
    unit: str, contexts: tuple[str, ...], levels: list[int], chose: np.ndarray, made: Fit
) -> list[dict[str, Any]]:
    """Points and fitted curves, as rows of the table `psychometric`."""
    fitted = made.at(np.asarray(levels, dtype=float))
    return [
        {
            "evidence": unit, "context": name, "level": level, "n": len(chose),
            "chosen": float(chose[:, row, column].mean()), "fitted": float(fitted[row, column]),
            "threshold": float(made.thresholds[row]), "censored": made.censored(row),
            "slope": made.slope, "lapse": made.lapse,
        }
        for row, name in enumerate(contexts)
        for column, level in enumerate(levels)
    ]  # fmt: skip
