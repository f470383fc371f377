"""Sparse features: what the features of an encoder layer stand for, and how many of them hold a phone.

TopK autoencoders learn on one half of the speakers and sources of sound; the class of each feature is chosen
there, and everything is measured on the other half. The random twin is a result of its own: what a dictionary
finds in a random network is no finding (arXiv 2501.17727).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from innerear.activations.capture import Captured, Demand
from innerear.activations.forward import Listener
from innerear.activations.readings import Layer, Text, unpacked
from innerear.analysis.codes import Codes, Side, erasure, neurons, purity, stability
from innerear.analysis.sae import SAE, train
from innerear.data.phones import ARPABET, SILENCE
from innerear.data.schema import Corpus
from innerear.data.splits import make_folds
from innerear.data.text import normalise
from innerear.interventions.steering import steering_directions, steering_outcomes, steering_sweep
from innerear.models.base import SpeechModel
from innerear.models.site import Site
from innerear.protocols.base import Direction, Measurement, NotApplicable, Protocol, bare_score, records
from innerear.results.schema import Score
from innerear.tasks.settings import SparseFeatures
from innerear.tasks.task import Task
from innerear.util.errors import InputError

_CLASS = {label: index for index, label in enumerate(ARPABET)}

FEWEST = 5
"""Training clips on which a model writes, and is silent, from which the two are told apart."""


@dataclass(frozen=True)
class _Frames:
    """Frames of a corpus, flat: states [frame, dim], index of the item, of the phone and of the kind.

    A phone or a kind that is not known is -1.
    """

    states: np.ndarray
    item: np.ndarray
    phone: np.ndarray
    kind: np.ndarray
    held: np.ndarray


@dataclass(frozen=True)
class _Found:
    """One autoencoder, its codes of all frames, its live features, and tables of purity by feature."""

    sae: SAE
    codes: Codes
    live: np.ndarray
    phones: pd.DataFrame
    kinds: pd.DataFrame
    explained: Score


class SparseFeaturesProtocol(Protocol):
    """Ask which sparse features an encoder layer holds."""

    twins = True

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, SparseFeatures)
        self.settings = task.measure
        if task.split is None or task.split.folds != 2:
            raise InputError(f"{task.id}: one half learns; give the task a split of two folds")
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
        """Keep the first clips of each source of sound: sources differ, their clips hardly do."""
        seen: Counter[str] = Counter()
        kept = []
        for item in corpus:
            if item.label("kind"):
                seen[item.cluster] += 1
            if not item.label("kind") or seen[item.cluster] <= self.settings.clips_per_sound:
                kept.append(item)
        return corpus.with_items(kept)

    def site(self, listener: Listener) -> str:
        """The layer whose frames are read."""
        sites = listener.encoder_sites
        return sites[round(self.settings.depth * (len(sites) - 1))]

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """Frames of one layer; where there is a decoder to steer, what it writes of the sounds."""
        asked = {"frames": Demand(self.corpus, Layer(self.site(listener), self.settings.every))}
        return asked | ({"text": Demand(self.sounds, Text())} if self._steers(listener) else {})

    def _steers(self, listener: Listener) -> bool:
        """Whether the model writes, and is none of the random ones."""
        writes = isinstance(listener, SpeechModel) and bool(listener.decoder_layers)
        return self.settings.steering is not None and writes and listener.identity.kind == "model"

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Learn dictionaries on one half, judge their features on the other."""
        site, frames = self.site(listener), self._frames(captured["frames"])
        made = [self._learn(frames, seed, site) for seed in self.settings.seeds]
        first = made[0]
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
                stability([each.sae.w_dec.numpy() for each in made], [each.live for each in made]),
                len(made), "fraction", "higher", "stability",
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
                    for each, seed in zip(made, self.settings.seeds, strict=True)
                ],
                "phones": _by_label(first.phones, ARPABET),
                "sounds": _by_label(first.kinds, self.kinds),
                "erasure": records(erased),
                **steered,
            },
            tuned={"site": site, **({"contrast": contrast} if steered else {})},
        )  # fmt: skip

    def _frames(self, captured: Captured) -> _Frames:
        """All frames with what is known of them."""
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
        made = _Frames(
            captured.joined("states")[0], items, np.concatenate(phone), np.concatenate(kind),
            np.isin(items, self._fold.test),
        )  # fmt: skip
        for name, label in {"a phone": made.phone, "a kind": made.kind}.items():
            for half, side in {"learns": ~made.held, "is held out": made.held}.items():
                if not (label[side] >= 0).any():
                    raise InputError(
                        f"{self.corpus.name}: the half that {half} has no frame with {name}; give the task "
                        "more clips"
                    )
        return made

    def _learn(self, frames: _Frames, seed: int, site: str) -> _Found:
        sae = train(frames.states[~frames.held], self.settings.dictionary, seed, site)
        value, index = sae.top(frames.states)
        codes = Codes(value.numpy(), index.numpy(), len(sae.b_enc))
        live = np.flatnonzero(codes.of(frames.held).counts >= self.settings.least)
        return _Found(
            sae, codes, live, self._purity(frames, codes, "phone"), self._purity(frames, codes, "kind"),
            self._explained(frames, sae),
        )  # fmt: skip

    def _purity(self, frames: _Frames, codes: Codes, what: str) -> pd.DataFrame:
        """Purity of each live feature among the frames that have a phone, or a kind."""
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
        """The mean over features, which are resampled; None where there is none."""
        if values.empty:
            return None
        return self.score(values.to_numpy(), np.arange(len(values)), direction=direction, column=column)

    def _dead(self, frames: _Frames, found: _Found) -> float:
        """Share of features that no held-out frame activates."""
        return float((found.codes.of(frames.held).counts == 0).mean())

    def _erasure(self, frames: _Frames, found: _Found) -> pd.DataFrame:
        """What it takes to erase each phone."""
        learnt, held = (
            Side(frames.states[at], found.codes.of(at), frames.phone[at])
            for side in (~frames.held, frames.held)
            for at in [np.flatnonzero((frames.phone >= 0) & side)]
        )
        return erasure(
            learnt, held, found.sae.w_dec.numpy(), found.live, ARPABET, least=self.settings.least,
            seed=self.task.seed,
        )  # fmt: skip

    def _erased(self, table: pd.DataFrame) -> dict[str, Score]:
        """Medians over phones; of damages the means."""
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

    def _seed(self, frames: _Frames, found: _Found, seed: int) -> dict[str, Any]:
        """What one seed gives."""
        return {
            "seed": seed,
            "explained": found.explained.value,
            "dead": self._dead(frames, found),
            "live": len(found.live),
            "phone_purity": _mean(found.phones["purity"]),
            "phone_chance": _mean(found.phones["chance"]),
            "noise_purity": _mean(found.kinds["purity"]),
        }

    def _steering(
        self, model: SpeechModel, frames: _Frames, found: _Found, texts: Captured
    ) -> tuple[str, list[dict[str, Any]]]:
        """What the features were chosen by, and how often and how rightly the model writes when steered."""
        steering = self.settings.steering
        assert steering is not None
        wrote = {
            self.sounds.items[at].id: bool(normalise(unpacked(values["json"])["text"]))
            for at, values in texts.values.items()
        }
        ids = np.array([self.corpus.items[at].id for at in frames.item])
        said, silent = (
            np.isin(ids, [name for name in wrote if wrote[name] == side]) for side in (True, False)
        )
        towards, away, contrast = silent & ~frames.held, said & ~frames.held, "silent against writing"
        if min(len(np.unique(ids[side])) for side in (towards, away)) < FEWEST:
            towards, away = (frames.kind >= 0) & ~frames.held, (frames.phone >= 0) & ~frames.held
            contrast = "sounds against speech"
        directions = steering_directions(
            found.sae, found.codes, frames.states, np.flatnonzero(towards), np.flatnonzero(away),
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
        sources, speakers = (np.array([item.cluster for item in corpus]) for corpus in corpora)
        worlds = [
            ("none", 0.0),
            *((name, strength) for name in directions for strength in steering.strengths),
        ]
        table = []
        for number, (name, strength) in enumerate(worlds):
            written = self.score((sounds.written[number] > 0).astype(float), sources)
            cost = self.score(
                speech.errors[number] - speech.errors[0], speakers, weight=speech.words, scale="difference"
            )
            table.append(
                {
                    "direction": name, "strength": strength,
                    "written": written.value, "written_low": written.low, "written_high": written.high,
                    "words": float(sounds.written[number].mean()),
                    "delta_wer": cost.value, "delta_wer_low": cost.low, "delta_wer_high": cost.high,
                    "sounds": len(sources), "speech": len(speakers),
                }
            )  # fmt: skip
        return contrast, table

    def _rows(self, frames: _Frames, side: np.ndarray) -> pd.DataFrame:
        """The frames of one half, with their items and speakers."""
        at = frames.item[side]
        return pd.DataFrame({"item": at, "speaker": self.clusters_of(at)})


def _evenly(n: int, most: int) -> np.ndarray:
    """Indices of `most` of n things, evenly apart."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def _mean(values: pd.Series) -> float | None:
    return None if values.empty else float(values.mean())


def _by_label(features: pd.DataFrame, classes: Sequence[str]) -> list[dict[str, Any]]:
    """One row a class: the features of it, their mean purity, the purest, and the class's share of frames."""
    named = features.assign(label=np.array(classes)[features["label"]])
    grouped = named.groupby("label")
    return records(
        grouped.agg(
            features=("purity", "size"), purity=("purity", "mean"), purest=("purity", "max"),
            chance=("chance", "first"),
        ).reset_index()
    )  # fmt: skip
