"""Alignment heads: which heads attend to the words as they are spoken.

Where a word is predicted, a head that follows time looks at that word's audio. Heads are ranked on one half
of the speakers and confirmed on the other half. The headline is how far the onset of a word is from where the
best heads put it; it is averaged over many halves, as their draw moves it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.activations.readings import AttentionPeaks, Text, unpacked
from innerear.data.schema import Corpus, Item
from innerear.data.splits import Fold, make_folds
from innerear.data.text import edits, matched
from innerear.interventions.ablation import Sweep, ablated
from innerear.models.base import SpeechModel
from innerear.models.decoder import DecoderModel, decoder_of
from innerear.models.site import Part, Site
from innerear.protocols.base import Measurement, NotApplicable, Protocol, bare_score
from innerear.protocols.tokens import written_tokens
from innerear.results.schema import Score
from innerear.stats.intervals import auroc_pairs
from innerear.tasks.settings import AlignmentHeads
from innerear.tasks.task import Task
from innerear.util.errors import InputError

MAPS: dict[Part, str] = {"cross_attn": "head_map", "self_attn": "head_map_self"}
"""Name of the table of all heads, by the attention that hears the audio."""
HEADLINE = "timing_ms"
DRAWS = 9999
"""Permutations of the published list within layers."""


@dataclass(frozen=True)
class WordPeaks:
    """Where each head attends when a correctly transcribed word is written.

    Attributes
    ----------
    words
        One row per word: `item`, `unit`, `speaker`, `start`, `end`, `duration` of the clip, and `order`, the
        share of the clip's tokens before it.
    peaks
        Seconds, [word, layer, head].
    """

    words: pd.DataFrame
    peaks: np.ndarray

    def distance(self, peaks: np.ndarray | None = None) -> np.ndarray:
        """Seconds from the peaks to the word, 0 inside; [word, layer, head], or as `peaks` [word]."""
        at = self.peaks if peaks is None else peaks
        shape = (-1, *[1] * (at.ndim - 1))
        start, end = (self.words[name].to_numpy().reshape(shape) for name in ("start", "end"))
        return np.asarray(np.maximum(0, np.maximum(start - at, at - end)))

    def delay(self) -> np.ndarray:
        """Seconds from the word's onset to the peaks, [word, layer, head]."""
        return np.asarray(self.peaks - self.words["start"].to_numpy()[:, None, None])


@dataclass(frozen=True)
class Timed:
    """How far after its onset a word is put, by heads ranked on other speakers.

    Attributes
    ----------
    onset
        Seconds by the best heads together, [halving, word].
    by_layer, by_order
        Seconds of error, the mean over halvings: by the best head of each layer, [word, layer], and by the
        word's place among the tokens, [word].
    """

    onset: np.ndarray
    by_layer: np.ndarray
    by_order: np.ndarray


class AlignmentHeadsProtocol(Protocol):
    """Find the heads, of cross-attention if there is any, that follow the audio in time."""

    languages = "spaced"

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, AlignmentHeads)
        self.settings = task.measure
        if task.split is None or task.split.folds != 2:
            raise InputError(f"{task.id}: heads are ranked on one half; give the task a split of two folds")
        self._fold = make_folds(self.corpus, task.split)[0]
        first = task.split.seed * task.measure.halvings  # no two seeds of a task share a halving
        self._halvings = [
            make_folds(self.corpus, task.split.model_copy(update={"seed": first + at}))
            for at in range(task.measure.halvings)
        ]

    def _unusable_reason(self, item: Item) -> str | None:
        if reason := super()._unusable_reason(item):
            return reason
        if not item.words:
            return f"{item.id} has no word times; make them with `innerear corpora align`"
        return None

    def needs_words(self, item: Item) -> bool:
        """Always: words that are transcribed correctly are looked at."""
        return True

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """Peaks of attention over the model's own output."""
        return {"text": Demand(self.corpus, Text()), "peaks": Demand(self.corpus, AttentionPeaks())}

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Rank heads on one half, confirm on the other, and compare them with the published list."""
        assert isinstance(listener, SpeechModel)
        model = decoder_of(listener)
        looks = self._word_peaks(model, captured)
        hit = (looks.distance() <= self.settings.near).astype(float)
        words, cluster = looks.words, looks.words["speaker"].to_numpy()
        ranks = self._ranking(words, self._fold)
        shares = hit[ranks].mean(axis=0)
        layer, head = np.unravel_index(int(shares.argmax()), shares.shape)
        confirmed = hit[~ranks, layer, head]
        mean = hit.mean(axis=0)
        timed = self._timed(looks)
        errors = 1000 * np.abs(timed.onset).mean(axis=0)
        above = float((mean > self._by_order(looks).mean()).mean())
        scores = {
            HEADLINE: self.score(errors, cluster, direction="lower", unit="ms", scale="rate"),
            "by_order_ms": self.score(
                1000 * timed.by_order,
                cluster,
                direction="none",
                unit="ms",
                column="by order, ms",
                scale="rate",
            ),
            "on_word": self.score(confirmed, cluster[~ranks], column="on the word"),
            "on_word_when_ranked": bare_score(shares[layer, head], int(ranks.sum()), "fraction", "higher"),
            "by_order": self.score(self._by_order(looks), cluster, direction="none", column="by order"),
            "by_chance": bare_score(self._by_chance(looks), len(words), "fraction", column="chance"),
            "heads_above_order": bare_score(above, mean.size, "fraction", column="heads > order"),
        }
        delay = looks.delay()[:, layer, head]
        for limit in self.settings.onsets:
            scores[f"onset_within_{round(1000 * limit)}_ms"] = self.score(
                (np.abs(delay[~ranks]) <= limit).astype(float), cluster[~ranks],
                column=f"onset {round(1000 * limit)} ms",
            )  # fmt: skip
        scores["median_late"] = bare_score(float(np.median(delay[~ranks])), int((~ranks).sum()), "s")
        scores |= self._published(model, mean)
        scores |= self._ablated(model, shares)
        return Measurement(
            headline=HEADLINE,
            scores=scores,
            curves=[
                self.curve(
                    "timing-of-layer", "timing error", listener.decoder_sites[1:], 1000 * timed.by_layer.T,
                    cluster, unit="ms", scale="rate",
                ),
                self.curve(
                    "best-head-of-layer", "peak on the word", listener.decoder_sites[1:],
                    hit[:, np.arange(hit.shape[1]), shares.argmax(axis=1)][~ranks].T, cluster[~ranks],
                ),
            ],
            items=words.assign(
                half=np.where(ranks, "rank", "confirm"), peak=looks.peaks[:, layer, head],
                on_word=hit[:, layer, head] > 0,
                **{f"late.{at}": each for at, each in enumerate(timed.onset)}, outcome=errors,
            ),
            split=self.single_split(
                "ranked on one half, confirmed on the other", words[ranks], words[~ranks]
            ),
            tables={
                "heads": self._heads(model, hit, looks, ranks),
                MAPS[model.listening_part]: _map(model, mean),
            },
            tuned={"best": _site(model, int(layer), int(head))},
        )  # fmt: skip

    def _word_peaks(self, model: DecoderModel, captured: Mapping[str, Captured]) -> WordPeaks:
        rows, peaks = [], []
        for index in captured["text"].indices:
            item = self.corpus.items[index]
            made = written_tokens(model, index, item, captured["text"].values[index]["json"])
            frames = captured["peaks"].values[index]["peaks"].numpy()
            times = model.heard_times(len(item.audio()))
            right = matched([word.label for word in item.words], made.text, model.language_of(item))
            word_of = made.tokens["word"].to_numpy()
            for written, spoken in right.items():
                at = int(np.flatnonzero(word_of == written)[0])
                word = item.words[spoken]
                rows.append(
                    {
                        "item": item.id,
                        "unit": f"{item.id}@{spoken}",
                        "speaker": item.cluster,
                        "word": word.label,
                        "start": word.start,
                        "end": word.end,
                        "duration": item.duration,
                        "order": (at + 0.5) / len(word_of),
                    }
                )
                peaks.append(times[frames[at]])
        if not rows:
            raise NotApplicable(f"{self.corpus.name}: {model.identity.name} transcribed no word correctly")
        return WordPeaks(pd.DataFrame(rows), np.stack(peaks))

    def _timed(self, looks: WordPeaks) -> Timed:
        """Onsets of all words by the best heads, each word by heads that were ranked without its speaker.

        A head is late by as much as its median word of the ranking half is; that is taken off, and heads are
        ranked by their mean error. The first of them say together the median of what each says: as many as
        err least there, the fewer if equal, and at most `averaged`.
        """
        delay, words = looks.delay(), looks.words
        layers = delay.shape[1]
        guess = (words["order"] * words["duration"] - words["start"]).to_numpy()
        onset = np.full((len(self._halvings), len(words)), np.nan)
        by_layer, by_order = np.zeros((len(words), layers)), np.zeros(len(words))
        for at, folds in enumerate(self._halvings):
            for fold in folds:
                rank, held = self._ranking(words, fold), self._of(words, fold.test)
                late = delay - np.median(delay[rank], axis=0)
                error = np.abs(late[rank]).mean(axis=0)
                order = np.argsort(error, axis=None, kind="stable")[: self.settings.averaged]
                flat = late.reshape(len(late), -1)[:, order]
                together = np.stack([np.median(flat[:, :many], axis=1) for many in range(1, len(order) + 1)])
                many = int(np.abs(together[:, rank]).mean(axis=1).argmin())
                onset[at, held] = together[many, held]
                layer_best = np.abs(late[held][:, np.arange(layers), error.argmin(axis=1)])
                by_layer[held] += layer_best / len(self._halvings)
                by_order[held] += np.abs(guess[held] - np.median(guess[rank])) / len(self._halvings)
        return Timed(onset, by_layer, by_order)

    def _of(self, words: pd.DataFrame, clips: Sequence[int]) -> np.ndarray:
        """Which words are of these clips."""
        return words["item"].isin({self.corpus.items[at].id for at in clips}).to_numpy()

    def _ranking(self, words: pd.DataFrame, fold: Fold) -> np.ndarray:
        """Which words are of the half that ranks heads; n/a if either half has none."""
        ranks = self._of(words, (*fold.train, *fold.dev))
        if ranks.all() or not ranks.any():
            raise NotApplicable(
                f"{self.corpus.name}: one half has no correctly transcribed word; give the task more clips"
            )
        return ranks

    def _by_order(self, looks: WordPeaks) -> np.ndarray:
        """1 where a peak at the token's relative position in the clip is on the word: a baseline by order."""
        guess = (looks.words["order"] * looks.words["duration"]).to_numpy()
        return (looks.distance(guess) <= self.settings.near).astype(float)

    def _by_chance(self, looks: WordPeaks) -> float:
        """Mean share of the clip that the word covers: the hit rate of a random peak."""
        words, near = looks.words, self.settings.near
        covered = np.minimum(words["end"] + near, words["duration"]) - np.maximum(words["start"] - near, 0)
        return float((covered / words["duration"]).mean())

    def _ablated(self, model: DecoderModel, shares: np.ndarray) -> dict[str, Score]:
        """Change of the word error rate of the confirming half without the best head, and without several.

        As many heads as are published (or `ablated`) are ablated together: the top of the ranking, the
        published ones, and random heads of the same attention that are neither, for which all draws are
        pooled.
        """
        every = [(layer, head) for layer in range(shares.shape[0]) for head in range(shares.shape[1])]
        order = [every[at] for at in np.argsort(-shares, axis=None, kind="stable")]
        many = min(len(model.alignment_heads) or self.settings.ablated, len(every))
        rng = np.random.default_rng(self.task.seed)
        head_sets = {"best": order[:1], "first": order[:many], "published": sorted(model.alignment_heads)}
        others = [each for each in every if each not in {*order[:many], *model.alignment_heads}]
        head_sets |= {
            f"random {draw}": [
                others[at] for at in rng.choice(len(others), min(many, len(others)), replace=False)
            ]
            for draw in range(self.settings.draws)
        }
        head_sets = {name: heads for name, heads in head_sets.items() if heads}
        worlds = [ablated([_site(model, *each) for each in heads]) for heads in head_sets.values()]
        items = tuple(self.corpus.items[at] for at in self._fold.test)
        corpus = self.corpus.with_items(items)
        (swept,) = self.capture(model, [Demand(corpus, Sweep(((), *worlds), model.max_tokens))])
        made = [unpacked(swept.values[at]["json"])["rows"] for at in swept.indices]
        counts = [
            [edits(items[at].text, row["text"], model.language_of(items[at])) for row in rows]
            for at, rows in zip(swept.indices, made, strict=True)
        ]
        errors = np.array([[each.errors for each in row] for row in counts], dtype=float).T
        words = np.array([row[0].reference for row in counts], dtype=float)
        cluster = np.array([items[at].cluster for at in swept.indices])

        def cost(worlds: list[int], column: str) -> Score:
            change = errors[worlds].mean(axis=0) - errors[0]
            return self.score(
                change, cluster, weight=words, direction="lower", scale="difference", column=column
            )

        names = list(head_sets)
        scores = {"delta_wer_best": cost([1 + names.index("best")], "ΔWER best")}
        scores["delta_wer_first"] = cost([1 + names.index("first")], f"ΔWER first {many}")
        if "published" in head_sets:
            scores["delta_wer_published"] = cost([1 + names.index("published")], "ΔWER published")
        if drawn := [at for at, name in enumerate(names, start=1) if name.startswith("random")]:
            scores["delta_wer_random"] = cost(drawn, f"ΔWER random {min(many, len(others))}")
        return scores

    def _published(self, model: DecoderModel, mean: np.ndarray) -> dict[str, Score]:
        """AUROC of the shares for the publisher's list; heads are compared only within a layer."""
        named = model.alignment_heads
        if not named:
            return {}
        layer, head = (grid.ravel() for grid in np.indices(mean.shape))
        listed = np.array([(a, b) in named for a, b in zip(layer.tolist(), head.tolist(), strict=True)])
        value = _within(mean.ravel(), listed, layer)
        if value is None:
            return {}
        rng = np.random.default_rng(self.task.seed)
        drawn = []
        for _ in range(DRAWS):
            order = np.lexsort((rng.random(len(layer)), layer))  # shuffles within layers
            drawn.append(_within(mean.ravel()[order], listed, layer))
        p = (1 + sum(each is not None and each >= value for each in drawn)) / (1 + DRAWS)
        return {
            "published_auroc": bare_score(value, int(listed.sum()), "fraction", "none", "published"),
            "published_p": bare_score(p, DRAWS, "p"),
        }

    def _heads(
        self, model: DecoderModel, hit: np.ndarray, looks: WordPeaks, ranks: np.ndarray, most: int = 20
    ) -> list[dict[str, Any]]:
        """The best heads by the ranking half, and the same on the other half."""
        ranked, held = hit[ranks].mean(axis=0), hit[~ranks].mean(axis=0)
        order = np.argsort(-ranked, axis=None, kind="stable")[:most]
        rows = []
        for flat in order:
            layer, head = divmod(int(flat), ranked.shape[1])
            bounds = self.interval(hit[~ranks, layer, head][None], looks.words["speaker"].to_numpy()[~ranks])
            rows.append(
                {
                    "site": _site(model, layer, head),
                    "ranked": float(ranked[layer, head]),
                    "confirmed": float(held[layer, head]),
                    "low": None if bounds is None else float(bounds[0][0]),
                    "high": None if bounds is None else float(bounds[1][0]),
                    "late_ms": float(1000 * np.median(looks.delay()[~ranks, layer, head])),
                    "published": (layer, head) in model.alignment_heads if model.alignment_heads else None,
                }
            )
        return rows


def _site(model: DecoderModel, layer: int, head: int) -> Site:
    """A head of the attention to the audio; `layer` counts from 0, as publishers do."""
    return Site("decoder", layer + 1, model.listening_part, head)


def _within(score: np.ndarray, listed: np.ndarray, layer: np.ndarray) -> float | None:
    """AUROC over pairs of one layer; None where no layer has both listed and other heads."""
    wins, pairs = auroc_pairs(score, listed, np.zeros(len(score)), layer)
    return float(wins.sum() / pairs.sum()) if pairs.sum() else None


def _map(model: DecoderModel, mean: np.ndarray) -> list[dict[str, Any]]:
    """Every head: layer (from 1), head, share of words on which it peaks, and whether it is published."""
    return [
        {
            "layer": layer + 1,
            "head": head,
            "value": float(value),
            "marked": (layer, head) in model.alignment_heads,
        }
        for layer, row in enumerate(mean)
        for head, value in enumerate(row)
    ]
