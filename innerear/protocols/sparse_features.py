"""Sparse features: what the features of an encoder layer stand for, and how many of them encode a phone.

TopK autoencoders are trained on one half of the speakers and non-speech sources. The class of each feature is
chosen on that half, and everything is measured on the other. The random twin has a result of its own, because
dictionaries find features in random networks too (arXiv 2501.17727).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.activations.readings import Layer, Text, unpacked
from innerear.analysis.codes import Codes, Side, erasure, neurons, purity, stability
from innerear.analysis.sae import SAE, train
from innerear.data.language import ENGLISH
from innerear.data.phones import ARPABET, SILENCE
from innerear.data.schema import Corpus
from innerear.data.splits import make_folds
from innerear.data.text import normalise
from innerear.interventions.steering import steering_directions, steering_outcomes, steering_sweep
from innerear.models.base import SpeechModel
from innerear.models.site import Site
from innerear.protocols.base import Direction, Measurement, NotApplicable, Protocol, bare_score, records
from innerear.results.schema import Score
from innerear.tasks.causal_settings import SparseFeatures
from innerear.tasks.task import Task
from innerear.util.errors import InputError

_CLASS = {label: index for index, label in enumerate(ARPABET)}

MIN_CLIPS = 5
"""Minimum number of training clips on which a model writes, and on which it does not, to contrast them."""


@dataclass(frozen=True)
class _Frames:
    """Frames of a corpus, flat: states [frame, dim], index of the item, of the phone and of the kind.

    An unknown phone or kind is -1; `held` tells which frames are held out.
    """

    states: np.ndarray
    item: np.ndarray
    phone: np.ndarray
    kind: np.ndarray
    held: np.ndarray


@dataclass(frozen=True)
class _Dictionary:
    """An autoencoder, its codes of all frames, its live features, and their purity for phones and kinds."""

    sae: SAE
    codes: Codes
    live: np.ndarray
    phones: pd.DataFrame
    kinds: pd.DataFrame
    explained: Score


class SparseFeaturesProtocol(Protocol):
    """Learn sparse features of an encoder layer and score them."""

    languages = "English"
    twins = True

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, SparseFeatures)
        self.settings = task.measure
        if task.split is None or task.split.folds != 2:
            raise InputError(
                f"{task.id}: dictionaries are learnt on one half; give the task a split with 2 folds"
            )
        self.corpora["test"] = self._fewer_sounds(self.corpus)
        self.kinds = sorted({kind for item in self.corpus if (kind := item.label("kind"))})
        if not self.kinds or not any(item.phones for item in self.corpus):
            raise InputError(
                f"{self.corpus.name}: the task needs speech with phones and other sounds (with a kind); join "
                "two corpora as A+B"
            )
        self._fold = make_folds(self.corpus, task.split)[0]
        sounds = tuple(item for item in self.corpus if item.label("kind"))
        self.sounds = self.corpus.with_items(sounds)

    def _fewer_sounds(self, corpus: Corpus) -> Corpus:
        """Keep the first clips of each non-speech source, because clips of one source hardly differ."""
        seen: Counter[str] = Counter()
        kept = []
        for item in corpus:
            if item.label("kind"):
                seen[item.cluster] += 1
            if not item.label("kind") or seen[item.cluster] <= self.settings.clips_per_sound:
                kept.append(item)
        return corpus.with_items(kept)

    def site(self, listener: Listener) -> str:
        """Name of the encoder layer whose frames are read."""
        sites = listener.encoder_sites
        return sites[round(self.settings.depth * (len(sites) - 1))]

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """Frames of one layer; if the task steers the model, also what it writes for non-speech."""
        frames = {"frames": Demand(self.corpus, Layer(self.site(listener), self.settings.every))}
        return frames | ({"text": Demand(self.sounds, Text())} if self._steers(listener) else {})

    def _steers(self, listener: Listener) -> bool:
        """Whether this is a trained model with a decoder, and the task steers."""
        writes = isinstance(listener, SpeechModel) and bool(listener.decoder_layers)
        return self.settings.steering is not None and writes and listener.identity.kind == "model"

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Learn dictionaries on one half, score their features on the other."""
        site, frames = self.site(listener), self._frames(captured["frames"])
        dictionaries = [self._learn(frames, seed, site) for seed in self.settings.seeds]
        first = dictionaries[0]
        if first.phones.empty:
            raise NotApplicable(
                f"{listener.identity.name}: no feature is active on {self.settings.least} held-out frames "
                "with a phone; give the task more clips"
            )
        raw = neurons(frames.states, np.flatnonzero(~frames.held), self.settings.dictionary.k)
        raw_phones, raw_kinds = self._purity(frames, raw, "phone"), self._purity(frames, raw, "kind")
        means = {
            "phone_purity": self._mean(first.phones["purity"]),
            "phone_chance": self._mean(first.phones["chance"], "none", "chance"),
            "phone_purity_neurons": self._mean(raw_phones["purity"], "none", "neurons"),
            "noise_purity": self._mean(first.kinds["purity"], column="noise"),
            "noise_chance": self._mean(first.kinds["chance"], "none"),
            "noise_purity_neurons": self._mean(raw_kinds["purity"], "none"),
        }
        erased = self._erasure(frames, first)
        scores = {
            **{name: score for name, score in means.items() if score is not None},
            "explained": first.explained,
            "dead": bare_score(self._dead(frames, first), first.codes.width, "fraction", "lower", "dead"),
            "l0": bare_score(
                (first.codes.of(frames.held).value > 0).sum(axis=1).mean(), int(frames.held.sum()), "features"
            ),
            "stability": bare_score(
                stability(
                    [each.sae.w_dec.numpy() for each in dictionaries], [each.live for each in dictionaries]
                ),
                len(dictionaries), "fraction", "higher", "stability",
            ),
            **self._erased(erased),
        }  # fmt: skip
        phones = first.phones.assign(label=np.array(ARPABET)[first.phones["label"]])
        names = [f"{listener.identity.name} {feature}" for feature in phones["feature"]]
        items = phones.drop(columns="feature").rename(columns={"purity": "outcome"})
        contrast, steered = "", {}
        if isinstance(listener, SpeechModel) and "text" in captured:
            contrast, steered["steering"] = self._steering(listener, frames, first, captured["text"])
        return Measurement(
            headline="phone_purity",
            scores=scores,
            curves=[],
            items=items.assign(item=names, unit=names, speaker=names),
            split=self.single_split(
                "dictionaries and classes learnt on one half of speakers and sources, judged on the other",
                self._rows(frames, ~frames.held), self._rows(frames, frames.held),
            ),
            tables={
                "seeds": [
                    self._seed(frames, each, seed)
                    for each, seed in zip(dictionaries, self.settings.seeds, strict=True)
                ],
                "phones": _by_label(first.phones, ARPABET),
                "sounds": _by_label(first.kinds, self.kinds),
                "erasure": records(erased),
                **steered,
            },
            tuned={"site": site, **({"contrast": contrast} if steered else {})},
        )  # fmt: skip

    def _frames(self, captured: Captured) -> _Frames:
        """All frames with their phones and kinds."""
        phone, kind, item = [], [], []
        for index in captured.indices:
            clip, times = self.corpus.items[index], captured.values[index]["times"].numpy()
            labels = np.full(len(times), -1)
            for segment in clip.phones:
                if segment.label != SILENCE:
                    labels[(segment.start <= times) & (times < segment.end)] = _CLASS[segment.label]
            known = clip.label("kind")
            phone.append(labels)
            kind.append(np.full(len(times), self.kinds.index(known) if known else -1))
            item.append(np.full(len(times), index))
        items = np.concatenate(item)
        frames = _Frames(
            captured.joined("states")[0], items, np.concatenate(phone), np.concatenate(kind),
            np.isin(items, self._fold.test),
        )  # fmt: skip
        for name, label in {"a phone": frames.phone, "a kind": frames.kind}.items():
            for half, side in {"learns": ~frames.held, "is held out": frames.held}.items():
                if not (label[side] >= 0).any():
                    raise InputError(
                        f"{self.corpus.name}: the half that {half} has no frame with {name}; give the task "
                        "more clips"
                    )
        return frames

    def _learn(self, frames: _Frames, seed: int, site: str) -> _Dictionary:
        sae = train(frames.states[~frames.held], self.settings.dictionary, seed, site)
        value, index = sae.top(frames.states)
        codes = Codes(value.numpy(), index.numpy(), len(sae.b_enc))
        live = np.flatnonzero(codes.of(frames.held).counts >= self.settings.least)
        return _Dictionary(
            sae, codes, live, self._purity(frames, codes, "phone"), self._purity(frames, codes, "kind"),
            self._explained(frames, sae),
        )  # fmt: skip

    def _purity(self, frames: _Frames, codes: Codes, what: str) -> pd.DataFrame:
        """Purity of each live feature on the frames that have a phone, or a kind."""
        label = getattr(frames, what)
        learnt, held = (np.flatnonzero((label >= 0) & side) for side in (~frames.held, frames.held))
        classes = len(ARPABET) if what == "phone" else len(self.kinds)
        return purity(
            codes.of(learnt), label[learnt], codes.of(held), label[held], classes, self.settings.least
        )

    def _explained(self, frames: _Frames, sae: SAE) -> Score:
        """Share of the variance of held-out frames that the features explain."""
        states = frames.states[frames.held]
        total = np.square(states - states.mean(axis=0)).sum(axis=1)
        left = np.square(states - sae.reconstruct(states).numpy()).sum(axis=1)
        score = self.score(
            total - left,
            self.clusters_of(frames.item[frames.held]),
            weight=total,
            column="explained",
            scale="difference",
        )
        return score.model_copy(update={"n": len(states)})

    def _mean(self, values: pd.Series, direction: Direction = "higher", column: str = "") -> Score | None:
        """Mean over features, which are the unit of resampling; None without features."""
        if values.empty:
            return None
        return self.score(values.to_numpy(), np.arange(len(values)), direction=direction, column=column)

    def _dead(self, frames: _Frames, dictionary: _Dictionary) -> float:
        """Share of features that are active on no held-out frame."""
        return float((dictionary.codes.of(frames.held).counts == 0).mean())

    def _erasure(self, frames: _Frames, dictionary: _Dictionary) -> pd.DataFrame:
        """Erase each phone: the features it takes, and the damage to other phones."""
        learnt, held = (
            Side(frames.states[at], dictionary.codes.of(at), frames.phone[at])
            for side in (~frames.held, frames.held)
            for at in [np.flatnonzero((frames.phone >= 0) & side)]
        )
        return erasure(
            learnt, held, dictionary.sae.w_dec.numpy(), dictionary.live, ARPABET, least=self.settings.least,
            seed=self.task.seed,
        )  # fmt: skip

    def _erased(self, table: pd.DataFrame) -> dict[str, Score]:
        """Scores of erasure: medians over phones for shares, means for damages."""
        if table.empty:
            return {}
        n = len(table)
        return {
            "erasure_share": bare_score(table["share"].median(), n, "fraction", "lower", "to erase"),
            "erasure_share_random": bare_score(table["random_share"].median(), n, "fraction"),
            "erasure_damage": bare_score(table["damage"].mean(), n, "fraction", "lower", "damage"),
            "erasure_damage_random": bare_score(table["random_damage"].mean(), n, "fraction"),
            "erased": bare_score(table["features"].notna().mean(), n, "fraction"),
        }

    def _seed(self, frames: _Frames, dictionary: _Dictionary, seed: int) -> dict[str, Any]:
        """A row of the table `seeds`."""
        return {
            "seed": seed,
            "explained": dictionary.explained.value,
            "dead": self._dead(frames, dictionary),
            "live": len(dictionary.live),
            "phone_purity": _mean(dictionary.phones["purity"]),
            "phone_chance": _mean(dictionary.phones["chance"]),
            "noise_purity": _mean(dictionary.kinds["purity"]),
        }

    def _steering(
        self, model: SpeechModel, frames: _Frames, dictionary: _Dictionary, texts: Captured
    ) -> tuple[str, list[dict[str, Any]]]:
        """The contrast that chose the features, and what the model writes in each steered world."""
        steering = self.settings.steering
        assert steering is not None
        wrote = {
            self.sounds.items[at].id: bool(normalise(unpacked(values["json"])["text"], ENGLISH))
            for at, values in texts.values.items()
        }
        ids = np.array([self.corpus.items[at].id for at in frames.item])
        writing, silent = (
            np.isin(ids, [name for name in wrote if wrote[name] == side]) for side in (True, False)
        )
        towards, away, contrast = silent & ~frames.held, writing & ~frames.held, "silent against writing"
        if min(len(np.unique(ids[side])) for side in (towards, away)) < MIN_CLIPS:
            towards, away = (frames.kind >= 0) & ~frames.held, (frames.phone >= 0) & ~frames.held
            contrast = "sounds against speech"
        directions = steering_directions(
            dictionary.sae, dictionary.codes, frames.states, np.flatnonzero(towards), np.flatnonzero(away),
            steering.features, self.task.seed,
        )  # fmt: skip
        held = sorted(set(frames.item[frames.held].tolist()))
        parts = [
            [self.corpus.items[at] for at in held if bool(self.corpus.items[at].label("kind")) == kind]
            for kind in (True, False)
        ]
        corpora = [
            self.corpus.with_items([part[at] for at in _evenly(len(part), steering.clips)]) for part in parts
        ]
        sweep = steering_sweep(Site.parse(self.site(model)), directions, steering.strengths, steering.most)
        swept = self.capture(model, [Demand(corpus, sweep) for corpus in corpora])
        sounds, speech = map(steering_outcomes, corpora, swept)
        worlds = [
            ("none", 0.0),
            *((name, strength) for name in directions for strength in steering.strengths),
        ]
        table = []
        for number, (name, strength) in enumerate(worlds):
            written = self.score((sounds.written[number] > 0).astype(float), sounds.clusters)
            cost = self.score(
                speech.errors[number] - speech.errors[0],
                speech.clusters,
                weight=speech.words,
                scale="difference",
            )
            table.append(
                {
                    "direction": name, "strength": strength,
                    "written": written.value, "written_low": written.low, "written_high": written.high,
                    "words": float(sounds.written[number].mean()),
                    "delta_wer": cost.value, "delta_wer_low": cost.low, "delta_wer_high": cost.high,
                    "sounds": len(sounds.clusters), "speech": len(speech.clusters),
                }
            )  # fmt: skip
        return contrast, table

    def _rows(self, frames: _Frames, side: np.ndarray) -> pd.DataFrame:
        """The frames of one half, with their items and speakers."""
        at = frames.item[side]
        return pd.DataFrame({"item": at, "speaker": self.clusters_of(at)})


def _evenly(n: int, most: int) -> np.ndarray:
    """Indices of at most `most` of n things, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def _mean(values: pd.Series) -> float | None:
    return None if values.empty else float(values.mean())


def _by_label(features: pd.DataFrame, classes: Sequence[str]) -> list[dict[str, Any]]:
    """One row per class: number of features, their mean and highest purity, and the chance level."""
    named = features.assign(label=np.array(classes)[features["label"]])
    grouped = named.groupby("label")
    return records(
        grouped.agg(
            features=("purity", "size"), purity=("purity", "mean"), purest=("purity", "max"),
            chance=("chance", "first"),
        ).reset_index()
    )  # fmt: skip
