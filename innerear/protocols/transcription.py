"""Transcription: word and character error rates, clean and in noise, and speed.

Greedy output is compared with the reference, both after Whisper's normaliser for their language. The headline
is the mean word error rate over clean speech and all levels of noise, or that of characters if a clip is in a
script without spaces; without noise it is the rate itself. In the mean a clip has at most as many errors as
words: one that ends in a loop weighs no more than one that is lost. RTFx follows the Open
ASR Leaderboard: after a warm-up, synchronised, over front end, model and decoding, without hooks.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from innerear import metrics
from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener, Stopwatch
from innerear.activations.readings import Text, unpacked
from innerear.data.language import ENGLISH, is_unspaced
from innerear.data.noise import CLEAN
from innerear.data.schema import SAMPLING_RATE, Corpus, Item
from innerear.data.text import Unit, edits, scored
from innerear.models.base import SpeechModel
from innerear.protocols.base import Measurement, Protocol, records
from innerear.results.determined import CHARACTERS, EDITS, WORDS, counts_of, of_all_levels
from innerear.results.schema import OVER_SNR, Score
from innerear.tasks.settings import Transcription
from innerear.tasks.task import Task
from innerear.util.errors import InnerearError


class TranscriptionProtocol(Protocol):
    """Score the transcripts of a model."""

    hears_long = True

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, Transcription)
        self.settings = task.measure

    def needs_words(self, item: Item) -> bool:
        """Always."""
        return True

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """The greedy transcript of every clip."""
        return {"text": self.demand(self.corpus, Text())}

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Count edits by condition, and time plain transcription without hooks."""
        assert isinstance(listener, SpeechModel)
        items = self._table(listener, captured["text"])
        unspaced = any(is_unspaced(listener.language_of(item)) for item in self.corpus)
        headline = "cer" if unspaced else "wer"
        errors, total = counts_of(headline)
        scores: dict[str, Score] = {}
        conditions = list(dict.fromkeys(items["condition"]))
        items = items.assign(outcome=items[errors].astype(float), weight=items[total].astype(float))
        if len(conditions) > 1:
            headline = f"{headline}{OVER_SNR}"
            weight, outcome = of_all_levels(
                items["condition"], items["outcome"].to_numpy(), items["weight"].to_numpy()
            )
            items = items.assign(outcome=outcome, weight=weight)
            scores[headline] = self.score(
                outcome, items["speaker"].to_numpy(), weight=weight, direction="lower", scale="rate"
            )
        for condition in conditions:
            rows = items[items["condition"] == condition]
            name = "" if condition == conditions[0] else f"_{condition.replace(' ', '').lower()}"
            column = condition if len(conditions) > 1 else ""
            if not unspaced:
                scores[f"wer{name}"] = self._rate(rows, "wer", column)
                column = "" if name else "CER"
            scores[f"cer{name}"] = self._rate(rows, "cer", column)
        by_condition = items.groupby("condition", sort=False)[[*EDITS, "words"]].sum().reset_index()
        demand = self.demands(listener)["text"]
        long = sum(demand.in_windows(listener, self.corpus.items[at]) for at in captured["text"].indices)
        other = any(item.language != ENGLISH for item in self.corpus)
        return Measurement(
            headline=headline,
            scores=scores,
            curves=[],
            items=items if other else items.drop(columns="language"),
            tables={
                "edits": records(by_condition),
                "worst": self._worst(items[items["condition"] == conditions[0]]),
                **({"long_form": [{"clips": long, "how": listener.long_form}]} if long else {}),
                **({"languages": self._by_language(items)} if other else {}),
            },
            rtfx=self._rtfx(listener, captured["text"], device),
        )

    def _table(self, model: SpeechModel, captured: Captured) -> pd.DataFrame:
        rows = []
        for index in captured.indices:
            item = self.corpus.items[index]
            transcript = unpacked(captured.values[index]["json"])
            language = model.language_of(item)
            words, letters = (
                edits(item.text, transcript["text"], language, unit) for unit in ("word", "character")
            )
            rows.append(
                {
                    "item": item.id,
                    "unit": item.id,
                    "speaker": item.cluster,
                    "condition": item.condition or CLEAN,
                    "noise": item.label("noise") or "none",
                    "language": language,
                    "reference": item.text,
                    "written": transcript["text"],
                    "ended": transcript["ended"],
                    "outcome": float(words.errors),
                    "weight": float(words.reference),
                    "errors": words.errors,
                    "words": words.reference,
                    "substitutions": words.substitutions,
                    "insertions": words.insertions,
                    "deletions": words.deletions,
                    "character_errors": letters.errors,
                    "characters": letters.reference,
                }
            )
        return pd.DataFrame(rows)

    def _rate(self, rows: pd.DataFrame, metric: str, column: str) -> Score:
        """An error rate, checked against the metric computed over all texts."""
        errors, total = counts_of(metric)
        score = self.score(
            rows[errors].to_numpy(float),
            rows["speaker"].to_numpy(),
            weight=rows[total].to_numpy(float),
            direction="lower",
            scale="rate",
            column=column,
        )
        unit: Unit = "word" if metric == "wer" else "character"
        expected = metrics.load(metric).compute(
            **{
                f"{side}s": [
                    scored(text, language, unit)
                    for text, language in zip(rows[column], rows["language"], strict=True)
                ]
                for side, column in (("prediction", "written"), ("reference", "reference"))
            }
        )[metric]
        if not np.isclose(expected, score.value, atol=1e-9):
            raise InnerearError(f"{metric} is {expected:.6f} over all texts but {score.value:.6f} by clips")
        return score

    def _by_language(self, items: pd.DataFrame) -> list[dict[str, Any]]:
        """Errors by language, and by how many clips the corpus states it; else it is the model's."""
        stated = {item.id: bool(item.language) for item in self.corpus}
        made = items.assign(clips=1, stated=items["item"].map(stated))
        columns = ["clips", "stated", *WORDS, *CHARACTERS]
        return records(made.groupby("language", sort=False)[columns].sum().reset_index())

    def _worst(self, rows: pd.DataFrame, most: int = 20) -> list[dict[str, Any]]:
        worst = rows[rows["errors"] > 0].sort_values(["errors", "item"], ascending=[False, True])[:most]
        return records(worst[["item", "errors", "words", "reference", "written"]])

    def _rtfx(self, model: SpeechModel, captured: Captured, device: str) -> float | None:
        """Seconds of audio transcribed per second, one clip at a time, on clips of the first condition.

        Clips that are heard in windows are not timed; None if there are no others.

        Raises
        ------
        InnerearError
            If the model writes another text without hooks than in the shared pass with hooks (checked on a
            CPU, where both do the same computation to the bit).
        """
        first = self.corpus.items[0].condition
        timed = [index for index in captured.indices if self.corpus.items[index].condition == first]
        demand = self.demands(model)["text"]
        timed = [index for index in timed if not demand.in_windows(model, self.corpus.items[index])]
        timed = timed[: self.settings.timed]
        if not timed:
            return None
        clips = [self.corpus.items[index].audio() for index in timed]
        languages = [model.prompted_language(self.corpus.items[index]) for index in timed]
        model.transcribe(clips[:1])
        watch, texts = Stopwatch(model.device), []
        with watch.time("decoder"):
            for clip, language in zip(clips, languages, strict=True):
                with model.prompted(language):
                    texts.append(model.transcribe([clip])[0].text)
        for index, text in zip(timed, texts, strict=True):
            if device == "cpu" and text != unpacked(captured.values[index]["json"])["text"]:
                raise InnerearError(
                    f"{model.identity.name}: {self.corpus.items[index].id} is transcribed differently "
                    "without hooks; run again with --fresh, and report the bug if it persists"
                )
        return sum(map(len, clips)) / SAMPLING_RATE / watch.seconds["decoder"]
