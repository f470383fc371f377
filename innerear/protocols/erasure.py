"""Erasure: whether what can be read from the encoder is also used to write.

At every encoder layer, one concept is taken away from all frames (`innerear.analysis.erasure`), and the rest
of the model goes on from there. Word errors that this causes, beyond those of a random subspace of the same
rank, mean that the concept is used. Erasers are learnt on some speakers, probes on others, and both are
tested on further ones.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from torch import Tensor, from_numpy

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.activations.readings import Frames, Text, unpacked
from innerear.analysis.erasure import Whitening
from innerear.data.language import ENGLISH
from innerear.data.noise import add_noise
from innerear.data.schema import Corpus, Item
from innerear.data.splits import make_folds
from innerear.data.text import edits
from innerear.interventions.erasing import ErasedTexts
from innerear.models.base import SpeechModel
from innerear.models.site import Site
from innerear.protocols.base import Measurement, NotApplicable, Protocol
from innerear.protocols.erasure_concepts import (
    ACCENT,
    CONCEPTS,
    GENDER,
    NOISE,
    PHONES,
    ClipFrames,
    Concept,
    Erasers,
    Pair,
    Probes,
    frame_times,
    has_phones,
    is_noisy,
    source_of,
    subspaces,
)
from innerear.results.schema import Curve, FoldInfo, Score, Side, SplitInfo
from innerear.stats.intervals import Scale
from innerear.tasks.causal_settings import Erasure
from innerear.tasks.task import Task
from innerear.util.errors import InputError

GROUPS = (GENDER, ACCENT)
"""Concepts that are also groups of speakers, whose word errors are compared."""
MEAN, RANDOM = "mean", " random"


class ErasureProtocol(Protocol):
    """Measure which concepts a model's text rests on, by layer."""

    languages = "English"

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, Erasure)
        self.settings = task.measure
        if task.split is None:
            raise InputError(f"{task.id}: erasers are tested on other speakers; give the task a split")
        speech = [item for item in self.corpus if item.is_speech]
        if not speech:
            raise InputError(f"{self.corpus.name}: nobody speaks; the task needs speech with phones")
        spoken = add_noise(self.corpus.with_items(speech), self.settings.noise)
        self.clips = self.corpus.with_items([*spoken, *self._fewer_sounds()])
        self._folds = make_folds(self.clips, task.split)
        self._tested = self._tested_clips()

    def _unusable_reason(self, item: Item) -> str | None:
        if reason := super()._unusable_reason(item):
            return reason
        if item.is_speech and not has_phones(item):
            return f"{item.id} has no phones, which the task needs; make them with `innerear corpora align`"
        return None

    def needs_words(self, item: Item) -> bool:
        """Of speech, whose word errors are counted."""
        return item.is_speech

    def _fewer_sounds(self) -> list[Item]:
        """The first clips of each source of non-speech."""
        seen: Counter[str] = Counter()
        kept = []
        for item in self.corpus:
            if not item.is_speech:
                seen[item.cluster] += 1
                if seen[item.cluster] <= self.settings.clips_per_sound:
                    kept.append(item)
        return kept

    def _tested_clips(self) -> tuple[int, ...]:
        """Indices of the clips to transcribe: the first clean ones of each speaker, and these in noise."""
        seen: Counter[str] = Counter()
        chosen = set()
        for item in self.clips:
            if item.is_speech and not is_noisy(item):
                seen[item.cluster] += 1
                if seen[item.cluster] <= self.settings.tested:
                    chosen.add(item.id)
        return tuple(
            at
            for at, item in enumerate(self.clips)
            if item.is_speech and (source_of(item) if is_noisy(item) else item.id) in chosen
        )

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """Frames of all clips, and the ordinary transcripts of those that are tested."""
        return {
            "frames": Demand(self.clips, Frames({item.id: frame_times(item) for item in self.clips})),
            "texts": Demand(self._part(self._tested), Text()),
        }

    def _part(self, clips: Iterable[int]) -> Corpus:
        return self.clips.with_items(self.clips.items[index] for index in clips)

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Fit erasers, transcribe with each, and probe what they leave."""
        assert isinstance(listener, SpeechModel)
        sites = listener.encoder_sites
        read = captured["frames"]
        counts = [len(read.values[index]["states"]) for index in read.indices]
        frames = ClipFrames(read.joined("states"), np.repeat(read.indices, counts))
        concepts, left_out = self._concepts(frames)
        erasers = self._erasers(frames, concepts)
        errors, words = self._errors(listener, frames, concepts, erasers, captured["texts"])
        if not words:
            raise NotApplicable(f"{self.clips.name}: no clip of speech could be transcribed")
        items = self._items(frames, concepts, erasers, errors, words, sites, device)
        return Measurement(
            headline=f"use_{PHONES}",
            scores=self._scores(items, concepts),
            curves=self._curves(items, concepts, sites),
            items=items,
            split=self._split(frames),
            tables={
                "subspaces": subspaces(frames, concepts, erasers, self._folds, sites),
                "groups": self._groups(items),
                "left_out": left_out,
            },
        )

    # what is erased

    def _concepts(self, frames: ClipFrames) -> tuple[list[Concept], list[dict[str, Any]]]:
        """The concepts that the clips have, and the reasons why they have no others."""
        clips = [self.clips.items[at] for at in np.unique(frames.clip)]
        every = [Concept.of(name, clips) for name in CONCEPTS]
        reasons = {concept.name: concept.unlearnable(frames, self._folds) for concept in every}
        if reasons[PHONES]:
            raise NotApplicable(f"{self.clips.name}: phones cannot be erased: {reasons[PHONES]}")
        left_out = [{"concept": name, "reason": reason} for name, reason in reasons.items() if reason]
        return [concept for concept in every if not reasons[concept.name]], left_out

    def _erasers(self, frames: ClipFrames, concepts: Sequence[Concept]) -> Erasers:
        """Erasers of all concepts and of random subspaces, learnt on the training clips of each fold."""
        made: dict[tuple[str, int], Pair] = {}
        for number, fold in enumerate(self._folds):
            train = frames.of(fold.train)
            for concept in concepts:
                made[concept.name, number] = ([], [])
            for site in range(len(frames.states)):
                states = frames.states[site]
                spaces: dict[bytes, Whitening] = {}  # concepts of the same frames share one
                for concept in concepts:
                    within, rows = train & concept.within, concept.rows(train)
                    key = within.tobytes()
                    space = spaces[key] = spaces.get(key) or Whitening.of(states[within])
                    eraser = space.concept(states[rows], concept.label[rows])
                    seed = crc32(f"{self.task.seed} {concept.name} {number} {site}".encode())
                    own, random = made[concept.name, number]
                    own.append(eraser)
                    random.append(space.random(eraser.rank, seed))
        return made

    # what is written without it

    def _errors(
        self,
        model: SpeechModel,
        frames: ClipFrames,
        concepts: Sequence[Concept],
        erasers: Erasers,
        texts: Captured,
    ) -> tuple[dict[tuple[int, str], np.ndarray], dict[int, int]]:
        """Word errors [site] by clip and by what is erased (`` for nothing), and words by clip.

        A clip has at most as many errors as words, so that one that ends in a loop weighs no more than one
        that is lost.
        """
        sites = model.encoder_sites
        heard = {self._tested[at]: unpacked(each["json"])["text"] for at, each in texts.values.items()}
        demands, meant = [], []
        for number, fold in enumerate(self._folds):
            for noisy in (False, True):
                clips = [at for at in fold.test if at in heard and is_noisy(self.clips.items[at]) == noisy]
                own = [each for each in concepts if (each.name == NOISE) == noisy]
                for at, site in enumerate(sites) if clips and own else ():
                    mean = frames.states[at][frames.of(fold.train) & own[0].within].mean(axis=0)
                    sources: dict[str, Tensor] = {MEAN: from_numpy(mean)}
                    for name in (each.name for each in own):
                        pair = [arm[at].packed() for arm in erasers[name, number]]
                        sources |= dict(zip((name, name + RANDOM), pair, strict=True))
                    reading = ErasedTexts(Site.parse(site), sources, self.settings.longer)
                    demands.append(Demand(self._part(clips), reading))
                    meant.append((clips, at, tuple(sources)))
        words = {clip: edits(self.clips.items[clip].text, "", ENGLISH).reference for clip in heard}

        def wrong(clip: int, text: str) -> float:
            return min(edits(self.clips.items[clip].text, text, ENGLISH).errors, words[clip])

        errors = {(clip, ""): np.full(len(sites), wrong(clip, text)) for clip, text in heard.items()}
        for (clips, at, names), swept in zip(meant, self.capture(model, demands), strict=True):
            for place, clip in enumerate(clips):  # each could be transcribed before
                texts_without = unpacked(swept.values[place]["json"])["texts"]
                for name, text in zip(names, texts_without, strict=True):
                    errors.setdefault((clip, name), np.full(len(sites), np.nan))[at] = wrong(clip, text)
        return errors, words

    # what can still be read

    def _items(
        self,
        frames: ClipFrames,
        concepts: Sequence[Concept],
        erasers: Erasers,
        errors: Mapping[tuple[int, str], np.ndarray],
        words: Mapping[int, int],
        sites: Sequence[str],
        device: str,
    ) -> pd.DataFrame:
        """One row for each concept, clip and site."""
        shown = frames.of(at for at, item in enumerate(self.clips) if at in words or not item.is_speech)
        probes = Probes(frames, self._folds, shown, len(self.clips), self.settings.c, device)
        before = {concept.name: probes.right(concept) for concept in concepts}
        made = []
        for concept in concepts:
            own, random = zip(*(erasers[concept.name, at] for at in range(len(self._folds))), strict=True)
            every, commonest = probes.counts(concept)
            read = {
                "frames": every, "commonest": commonest, "read": before[concept.name],
                "left": probes.right(concept, own), "left_random": probes.right(concept, random),
            }  # fmt: skip
            none = np.zeros_like(every)
            read |= {"other_frames": none, "other": none, "other_left": none}
            if (other := _other(concept, concepts)) is not None:
                read["other_frames"] = probes.counts(other)[0]
                read["other"], read["other_left"] = before[other.name], probes.right(other, own)
            for clip in np.unique(frames.clip[shown & (concept.label >= 0)]).tolist():
                item = self.clips.items[clip]
                spoken = clip in words and is_noisy(item) == (concept.name == NOISE)
                written = {
                    name: errors[clip, key] if spoken else np.zeros(len(sites))
                    for name, key in (
                        ("errors", ""), ("errors_erased", concept.name),
                        ("errors_random", concept.name + RANDOM), ("errors_mean", MEAN),
                    )
                }  # fmt: skip
                made.append(
                    pd.DataFrame(
                        {
                            "item": item.id,
                            "unit": [f"{item.id} {concept.name} {site}" for site in sites],
                            "speaker": item.cluster,
                            "concept": concept.name,
                            "site": list(sites),
                            "gender": item.gender,
                            "accent": item.accent,
                            "outcome": written["errors_erased"] - written["errors_random"],
                            "weight": float(words[clip] if spoken else 0),
                            **written,
                            **{name: right[:, clip] for name, right in read.items()},
                        }
                    )
                )
        return pd.concat(made, ignore_index=True)

    # scores, curves and tables

    def _scores(self, items: pd.DataFrame, concepts: Sequence[Concept]) -> dict[str, Score]:
        """Means over layers: of what is written, of what is read, and by group of speakers."""
        made: dict[str, Score] = {}
        written, read = (items[items[weight] > 0] for weight in ("weight", "frames"))
        for name in (concept.name for concept in concepts):
            rows = written[written["concept"] == name]
            first = name == PHONES
            if len(rows):
                made |= {
                    f"use_{name}": self._errors_more(rows, "erased", "_random", "" if first else name),
                    f"delta_wer_{name}": self._errors_more(rows, "erased"),
                    f"delta_wer_random_{name}": self._errors_more(
                        rows, "random", column="random" if first else ""
                    ),
                }
            if first:
                made["delta_wer_mean"] = self._errors_more(rows, "mean", column="mean")
            if first or (name == NOISE and len(rows)):
                made["wer" if first else "wer_in_noise"] = self._wer(rows, "WER" if first else "")
            rows = read[read["concept"] == name]
            made |= {
                f"{score}_{name}": self._share(rows, column, "frames", heading if first else "")
                for score, column, heading in (
                    ("read", "read", "phones read"), ("left", "left", "phones left"),
                    ("left_random", "left_random", ""), ("commonest", "commonest", ""),
                )
            }  # fmt: skip
            if len(rows := items[(items["concept"] == name) & (items["other_frames"] > 0)]):
                made[f"other_{name}"] = self._share(rows, "other", "other_frames")
                made[f"other_left_{name}"] = self._share(rows, "other_left", "other_frames")
        for concept, value, rows in _grouped(written):
            if rows["concept"].iloc[0] == concept:
                made[f"wer_{concept}_{value}"] = self._wer(rows)
                made[f"delta_wer_{concept}_{value}"] = self._errors_more(rows, "erased")
        return made

    def _wer(self, rows: pd.DataFrame, column: str = "") -> Score:
        return self._ratio(rows, rows["errors"], "weight", "rate", column)

    def _errors_more(self, rows: pd.DataFrame, than: str, less: str = "", column: str = "") -> Score:
        """Difference of two word error rates."""
        values = rows[f"errors_{than}"] - rows[f"errors{less}"]
        return self._ratio(rows, values, "weight", "difference", column)

    def _share(self, rows: pd.DataFrame, name: str, frames: str, column: str = "") -> Score:
        """Share of frames."""
        return self._ratio(rows, rows[name], frames, "share", column)

    def _ratio(self, rows: pd.DataFrame, values: pd.Series, weight: str, scale: Scale, column: str) -> Score:
        """Sum of values over the sum of weights; `n` counts clips times layers."""
        made = self.score(
            values.to_numpy(float), rows["speaker"].to_numpy(), weight=rows[weight].to_numpy(float),
            direction="none", column=column, scale=scale,
        )  # fmt: skip
        return made.model_copy(update={"n": len(rows)})

    def _curves(self, items: pd.DataFrame, concepts: Sequence[Concept], sites: Sequence[str]) -> list[Curve]:
        """By layer: word errors of each concept over those of a random subspace first, then all others."""
        first: list[Curve] = []
        rest: list[Curve] = []
        for name in (concept.name for concept in concepts):
            own = items[items["concept"] == name]
            if len(rows := own[own["weight"] > 0]):
                first.append(
                    self._line(name, "ΔWER over random", sites, rows, rows["outcome"], "weight", "difference")
                )
                for arm in ("erased", "random", *([MEAN] if name == PHONES else [])):
                    values = rows[f"errors_{arm}"] - rows["errors"]
                    title = MEAN if arm == MEAN else f"{name} {arm}"
                    rest.append(self._line(title, "ΔWER", sites, rows, values, "weight", "difference", arm))
            rows = own[own["frames"] > 0]
            for arm in ("read", "left", "left_random"):
                title = f"{name} {arm}".replace("_", " ")
                rest.append(self._line(title, "accuracy", sites, rows, rows[arm], "frames", "share", arm))
        return [*first, *rest]

    def _line(
        self,
        name: str,
        metric: str,
        sites: Sequence[str],
        rows: pd.DataFrame,
        values: pd.Series,
        weight: str,
        scale: Scale,
        arm: str = "",
    ) -> Curve:
        """A curve over rows that go clip by clip, with all sites of each."""
        each = slice(None, None, len(sites))
        return self.curve(
            name, metric, sites, values.to_numpy(float).reshape(-1, len(sites)).T,
            rows["speaker"].to_numpy()[each], weight=rows[weight].to_numpy(float)[each], scale=scale,
            kind="control" if arm in (MEAN, "random", "left_random") else "model",
        )  # fmt: skip

    def _split(self, frames: ClipFrames) -> SplitInfo:
        """Sizes of the sides of each fold: erasers are learnt on train, probes on dev."""
        assert self.task.split is not None

        unit_of = self.task.split.unit_of

        def side(clips: Sequence[int]) -> Side:
            units = {unit_of(self.clips.items[at]) for at in clips}
            return Side(items=len(clips), speakers=len(units), frames=int(frames.of(clips).sum()))

        return SplitInfo(
            rule=f"{self.task.split.kind} by {self.task.split.unit}; erasers learnt on train, probes on dev",
            seed=self.task.split.seed,
            folds=[
                FoldInfo(
                    train=side(fold.train), dev=side(fold.dev), test=side(fold.test),
                    dropped_shared_sentences=self.left_out["test"],
                )
                for fold in self._folds
            ],
        )  # fmt: skip

    def _groups(self, items: pd.DataFrame) -> list[dict[str, Any]]:
        """Word errors of each group of speakers before and after each erasure, means over layers."""
        table = []
        for field, value, rows in _grouped(items[items["weight"] > 0]):
            more, random = self._errors_more(rows, "erased"), self._errors_more(rows, "random")
            table.append(
                {
                    "concept": rows["concept"].iloc[0], "by": field, "group": value,
                    "speakers": int(rows["speaker"].nunique()), "clips": int(rows["item"].nunique()),
                    "wer": self._wer(rows).value,
                    "delta_wer": more.value, "low": more.low, "high": more.high,
                    "delta_wer_random": random.value,
                }
            )  # fmt: skip
        return table


def _other(concept: Concept, concepts: Sequence[Concept]) -> Concept | None:
    """The concept that is probed beside one that is erased: phones, and beside these a property of voices."""
    by_name = {each.name: each for each in concepts}
    if concept.name != PHONES:
        return by_name[PHONES]
    return by_name.get(GENDER) or by_name.get(ACCENT)


def _grouped(items: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Field, group and rows, for each concept and each group of speakers that is named."""
    return [
        (field, str(value), rows)
        for _, own in items.groupby("concept", sort=False)
        for field in GROUPS
        for value, rows in own.groupby(field)
        if value
    ]
