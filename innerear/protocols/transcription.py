"""Transcription: word and character error rates, clean and in noise, and speed.

Greedy output is compared with the reference, both after Whisper's English normaliser. RTFx follows the Open
ASR Leaderboard: after a warm-up, synchronised, over front end, model and decoding, without hooks.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from innerear import metrics
from innerear.activations.capture import Captured, Demand
from innerear.activations.forward import Listener, Stopwatch
from innerear.activations.readings import Text, unpacked
from innerear.data.noise import CLEAN
from innerear.data.schema import SAMPLING_RATE, Corpus
from innerear.data.text import edits, normalise
from innerear.models.base import SpeechModel
from innerear.protocols.base import Measurement, Protocol, records
from innerear.results.schema import Score
from innerear.tasks.settings import Transcription
from innerear.tasks.task import Task
from innerear.util.errors import InnerearError


class TranscriptionProtocol(Protocol):
    """Score the transcripts of a model."""

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, Transcription)
        self.settings = task.measure
        self.require_words(self.corpus, " to be transcribed; use speech-detection for clips without speech")

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """The greedy transcript of every clip."""
        return {"text": Demand(self.corpus, Text())}

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Count edits by condition, and time plain transcription without hooks."""
        assert isinstance(listener, SpeechModel)
        items = self._table(captured["text"])
        scores: dict[str, Score] = {}
        conditions = list(dict.fromkeys(items["condition"]))
        for condition in conditions:
            rows = items[items["condition"] == condition]
            name = "" if condition == conditions[0] else f"_{condition.replace(' ', '').lower()}"
            scores[f"wer{name}"] = self._rate(rows, "errors", "words", condition if name else "")
            scores[f"cer{name}"] = self._rate(rows, "character_errors", "characters", "" if name else "CER")
            self._agrees(rows, scores[f"wer{name}"].value, "wer")
            self._agrees(rows, scores[f"cer{name}"].value, "cer")
        kinds = ["substitutions", "insertions", "deletions"]
        by_condition = items.groupby("condition", sort=False)[[*kinds, "words"]].sum().reset_index()
        return Measurement(
            headline="wer",
            scores=scores,
            curves=[],
            items=items,
            tables={
                "edits": records(by_condition),
                "worst": self._worst(items[items["condition"] == conditions[0]]),
            },
            rtfx=self._rtfx(listener, captured["text"], device),
        )

    def _table(self, captured: Captured) -> pd.DataFrame:
        rows = []
        for index in captured.indices:
            item = self.corpus.items[index]
            transcript = unpacked(captured.values[index]["json"])
            words, letters = (
                edits(item.text, transcript["text"]),
                edits(item.text, transcript["text"], "character"),
            )
            rows.append(
                {
                    "item": item.id,
                    "unit": item.id,
                    "speaker": item.cluster,
                    "condition": item.condition or CLEAN,
                    "noise": item.label("noise") or "none",
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

    def _rate(self, rows: pd.DataFrame, errors: str, total: str, column: str) -> Score:
        return self.score(
            rows[errors].to_numpy(float),
            rows["speaker"].to_numpy(),
            weight=rows[total].to_numpy(float),
            direction="lower",
            scale="rate",
            column=column,
        )

    def _agrees(self, rows: pd.DataFrame, value: float, metric: str) -> None:
        """Check the sums over clips against the metric computed over all texts."""
        expected = metrics.load(metric).compute(
            predictions=[normalise(text) for text in rows["written"]],
            references=[normalise(text) for text in rows["reference"]],
        )[metric]
        if not np.isclose(expected, value, atol=1e-9):
            raise InnerearError(f"{metric} is {expected:.6f} over all texts but {value:.6f} by clips")

    def _worst(self, rows: pd.DataFrame, most: int = 20) -> list[dict[str, Any]]:
        worst = rows[rows["errors"] > 0].sort_values(["errors", "item"], ascending=[False, True])[:most]
        return records(worst[["item", "errors", "words", "reference", "written"]])

    def _rtfx(self, model: SpeechModel, captured: Captured, device: str) -> float:
        """Seconds of audio transcribed per second, one clip at a time, on clips of the first condition.

        Raises
        ------
        InnerearError
            If the model writes another text without hooks than in the shared pass with hooks (checked on a
            CPU, where both do the same computation to the bit).
        """
        first = self.corpus.items[0].condition
        timed = [index for index in captured.indices if self.corpus.items[index].condition == first]
        timed = timed[: self.settings.timed]
        clips = [self.corpus.items[index].audio() for index in timed]
        model.transcribe(clips[:1])
        watch = Stopwatch(model.device)
        with watch.time("decoder"):
            texts = [model.transcribe([clip])[0].text for clip in clips]
        for index, text in zip(timed, texts, strict=True):
            if device == "cpu" and text != unpacked(captured.values[index]["json"])["text"]:
                raise InnerearError(
                    f"{model.identity.name}: {self.corpus.items[index].id} is transcribed differently "
                    "without hooks; run again with --fresh, and report the bug if it persists"
                )
        return sum(map(len, clips)) / SAMPLING_RATE / watch.seconds["decoder"]
