"""Speech detection: whether the decoder knows that there is no speech, and what it writes nevertheless.

Kinds of non-speech are held out from training, so that probes have to separate speech from unseen sounds. The
headline is over sounds near to speech (label `near_speech`): all others are told from speech by anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.activations.readings import Pooled, Reading, Start, Text, Written, unpacked
from innerear.data.language import ENGLISH
from innerear.data.output_types import stock_phrase
from innerear.data.schema import Corpus, Item
from innerear.data.text import normalise
from innerear.models.base import SpeechModel
from innerear.models.floors import LogMelStatistics
from innerear.protocols.base import Measurement, records
from innerear.protocols.detection import Detected, Detection, Pairs, loops, sites_of
from innerear.protocols.probing import Examples
from innerear.results.schema import Score
from innerear.tasks.settings import SpeechDetection
from innerear.tasks.task import Task
from innerear.util.errors import InputError
from innerear.util.layers import Layers

WRITTEN = "over-the-output"
"""Name of the curve of AUROC by layer for states averaged over the output."""

NEAR = "near_speech"
"""Label of sounds that are near to speech."""

COMMON_TEXTS, WIDTH = 20, 80
"""Number of texts in the table of the most common ones, and characters kept of each (loops are long)."""


class SpeechDetectionProtocol(Detection):
    """Probe for whether there is speech."""

    classes = ("no speech", "speech")

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, SpeechDetection)
        self.settings, self.grid = task.measure, task.measure.probe.grid
        for corpus in self.corpora.values():
            if len(seen := np.unique(_speech(corpus))) < 2:
                raise InputError(
                    f"{corpus.name}: every clip is of {self.classes[seen[0]]!r}; a detector needs both (join "
                    "two corpora as A+B)"
                )
        if not any(map(_near, self.corpus)):
            raise InputError(
                f"{self.corpus.name}: no clip is marked as near to speech (no column `{NEAR}` says yes), "
                f"which the headline is about; join some: --corpus innerear-near-speech+{self.corpus.name}"
            )
        self._folds = self.folds()
        blank = {role: self._examples(role, None) for role in self.corpora}
        if lacking := self.lacking(self._folds, blank["test"], blank.get("train")):
            raise InputError(f"{lacking}; give the task more {self.rule.unit}s and voices, or fewer folds")

    def floors(self) -> Sequence[Listener]:
        """Statistics of log-mel."""
        return (LogMelStatistics(self.settings.log_mel_bands),)

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """States before the first token; for models (not twins) also the output and the states over it."""
        kind = listener.identity.kind
        readings: dict[str, Reading] = {"start": Pooled() if kind == "floor" else Start()}
        if kind == "model":
            readings |= {"written": Written(), "text": Text()}
        return {
            f"{role} {name}": Demand(corpus, reading)
            for role, corpus in self.corpora.items()
            for name, reading in readings.items()
        }

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Probe every layer; count what is written for clips without speech."""
        sites, folds = sites_of(listener), self._folds

        def examples(name: str, tensor: str) -> tuple[Examples, Examples | None]:
            by_role = {
                role: self._examples(
                    role, captured[f"{role} {name}"].stacked(tensor), captured[f"{role} {name}"]
                )
                for role in self.corpora
            }
            return by_role["test"], by_role.get("train")

        test, train = examples("start", "states")
        start = self._of_near(self.detect(sites, folds, test, train, device, self.settings.control_draws))
        found = self.measurement(start, folds, train, "auroc_near")
        clips = [self.corpus.items[at] for at in test.item]
        everything = replace(start.pairs, kept=np.ones(len(clips), dtype=bool))
        found = replace(
            found,
            scores=found.scores | {"auroc": self.area(start.chosen, everything, "all sounds")},
            items=found.items.assign(
                kind=[item.label("kind") for item in clips],
                sounds=np.where(start.pairs.kept, "near", "other"),
            ),
        )
        if "test text" not in captured:
            return found
        assert isinstance(listener, SpeechModel)
        written = self._of_near(self.detect(sites, folds, *examples("written", "mean"), device))
        curve = self.area_curve(WRITTEN, sites, written.score, written.pairs, chosen=sites[written.best])
        texts = [unpacked(captured["test text"].values[at]["json"]) for at in test.item]
        table = found.items.assign(
            written=[text["text"] for text in texts],
            words=[
                len(normalise(text["text"], listener.language_of(item)).split())
                for text, item in zip(texts, clips, strict=True)
            ],
            stock=[stock_phrase(text["text"]) or "" for text in texts],
            looped=[loops(text) for text in texts],
        )
        non_speech = table[test.label == 0]
        scores = {
            "auroc_over_the_output": self.area(written.chosen, written.pairs),
            **self._output_detectors(texts, captured["test start"], test, start.pairs),
            **self._rates(non_speech, table[test.label == 1]),
        }
        return replace(
            found,
            scores=found.scores | scores,
            curves=[*found.curves, curve],
            items=table,
            tables={"written_by_kind": _by_kind(non_speech), "commonest_texts": _most_common(non_speech)},
            tuned=found.tuned | {"over_the_output": self.tuned(written)},
        )

    def _of_near(self, found: Detected) -> Detected:
        """The same detector, whose areas are over speech and the sounds near to it."""
        near = np.array([_near(self.corpus.items[at]) for at in found.test.item])
        return replace(found, pairs=replace(found.pairs, kept=found.pairs.positive | near))

    def _examples(self, role: str, values: Layers | None, captured: Captured | None = None) -> Examples:
        """Examples of the captured clips; without captured states, those of all clips of the corpus."""
        corpus = self.corpora[role]
        index = np.arange(len(corpus)) if captured is None else captured.indices
        items = [corpus.items[at] for at in index]
        return Examples(
            corpus=corpus,
            values=np.empty((0, len(index), 0), dtype=np.float32) if values is None else values,
            label=_speech(corpus)[index],
            type=np.array([item.cluster for item in items]),
            item=index,
            unit=np.array([item.id for item in items]),
        )

    def _output_detectors(
        self, texts: Sequence[dict[str, Any]], start: Captured, test: Examples, pairs: Pairs
    ) -> dict[str, Score]:
        """AUROC of the mean log-probability of the output, and of Whisper's no-speech probability."""
        confidence = np.array([np.mean(text["log_probs"]) for text in texts])
        scores = {"auroc_log_prob": self.area(confidence, pairs, "log-prob")}
        if "no_speech" in start.values[int(test.item[0])]:
            silence = np.array([float(start.values[at]["no_speech"]) for at in test.item])
            scores["auroc_no_speech"] = self.area(-silence, pairs, "no-speech")
        return scores

    def _rates(self, non_speech: pd.DataFrame, speech: pd.DataFrame) -> dict[str, Score]:
        """Shares of clips without speech with words, stock phrases and loops; and of speech without words.

        Words on sounds near to speech are counted by themselves: on most others nobody would hear a voice.
        """

        def rate(rows: pd.DataFrame, hit: pd.Series, column: str = "") -> Score:
            return self.score(
                hit.to_numpy(float), rows["speaker"].to_numpy(), direction="lower", column=column
            )

        near, other = (non_speech[non_speech["sounds"] == name] for name in ("near", "other"))
        rates = {
            "written_near_rate": rate(near, near["words"] > 0, "written, near"),
            "unwritten_speech_rate": rate(speech, speech["words"] == 0),
        }
        if len(other):
            rates |= {
                "written_rate": rate(other, other["words"] > 0, "written"),
                "stock_rate": rate(other, other["stock"] != "", "stock"),
                "looped_rate": rate(other, other["looped"]),
            }
        return rates


def _near(item: Item) -> bool:
    """Whether a clip is a sound near to speech."""
    return not item.is_speech and item.label(NEAR) == "yes"


def _speech(corpus: Corpus) -> np.ndarray:
    """1 for clips with speech, [item]."""
    return np.array([int(item.is_speech) for item in corpus])


def _by_kind(non_speech: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per kind of non-speech: clips, shares written, stock and looped, mean words."""
    marked = non_speech.assign(written=non_speech["words"] > 0, stock=non_speech["stock"] != "")
    kinds = marked.groupby("kind")
    shares = kinds[["written", "stock", "looped"]].mean()
    return records(
        pd.concat([kinds.size().rename("clips"), shares, kinds["words"].mean()], axis=1).reset_index()
    )


def _most_common(non_speech: pd.DataFrame) -> list[dict[str, Any]]:
    """The most common normalised texts, with counts, kinds of clip, and the stock phrase in them."""
    wrote = non_speech[non_speech["words"] > 0]
    table = (
        wrote.groupby(wrote["written"].map(partial(normalise, language=ENGLISH)).rename("normal"))
        .agg(
            text=("written", lambda texts: shorten(texts.iloc[0], WIDTH, placeholder=" …")),
            count=("item", "size"),
            kinds=("kind", lambda kinds: ", ".join(sorted(set(kinds)))),
            stock=("stock", "first"),
        )
        .reset_index()
        .sort_values(["count", "normal"], ascending=[False, True])
    )
    return records(table.drop(columns="normal").head(COMMON_TEXTS))
