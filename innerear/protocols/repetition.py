"""Repetition: the component that makes the decoder loop, and what its ablation costs on clean speech.

Every component and every head of every decoder layer is ablated in turn. Components are ranked on one half of
the loops and confirmed on the other; all heads together are the null distribution of the best one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.activations.readings import unpacked
from innerear.data.schema import Corpus, Item
from innerear.data.splits import make_folds
from innerear.data.text import edits, is_loop, normalise
from innerear.interventions.ablation import Induction, Sweep, ablated, components, heads
from innerear.models.base import SpeechModel
from innerear.models.site import DECODER_PARTS, Part, Site
from innerear.protocols.base import Measurement, NotApplicable, Protocol, bare_score
from innerear.results.schema import Curve, Score
from innerear.tasks.causal_settings import Repetition
from innerear.tasks.task import Task
from innerear.util.errors import InputError

MIN_LOOPS = 10
"""Minimum number of loops in each half."""
DRAWS = 3
"""Number of random rankings that the faithfulness curve is compared with."""


@dataclass(frozen=True)
class Swept:
    """Outcomes [world, clip] of a sweep; world 0 has no ablation.

    A world is a row of a batch with its own set of interventions.

    Attributes
    ----------
    index
        Index of each clip in its corpus.
    looped, empty
        Whether the output is a loop, and whether it has no words.
    errors, words
        Word errors [world, clip] and reference words [clip]; both are 0 for clips without words.
    """

    index: np.ndarray
    looped: np.ndarray
    empty: np.ndarray
    errors: np.ndarray
    words: np.ndarray

    def of(self, kept: np.ndarray) -> "Swept":
        """The outcomes of some of the clips."""
        looped, empty, errors = self.looped[:, kept], self.empty[:, kept], self.errors[:, kept]
        return Swept(self.index[kept], looped, empty, errors, self.words[kept])

    def wer(self, world: int) -> float:
        """Word error rate of a world."""
        return float(self.errors[world].sum() / self.words.sum())


class RepetitionProtocol(Protocol):
    """Find the component that makes the decoder loop."""

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, Repetition)
        self.settings = task.measure
        if task.split is None or task.split.folds != 2:
            raise InputError(
                f"{task.id}: components are ranked on one half; give the task a split with 2 folds"
            )
        hard = [bool(item.label("kind")) for item in self.corpus]
        if all(hard) or not any(hard):
            raise InputError(
                f"{self.corpus.name}: the task needs clips that may loop (with a kind) and clean speech "
                "(without one); join two corpora as A+B"
            )
        self.hard, self.clean = (self._part(side) for side in (True, False))
        self._fold = make_folds(self.hard, task.split)[0]
        priced = make_folds(self.clean, task.split)[0]
        self._priced = (*priced.train, *priced.dev)

    def _part(self, hard: bool) -> Corpus:
        kept = tuple(item for item in self.corpus if bool(item.label("kind")) == hard)
        return self.corpus.with_items(kept)

    def needs_words(self, item: Item) -> bool:
        """Of clean speech, on which word errors are counted."""
        return not item.label("kind")

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """All sweeps, on loops and on clean speech, and the induction scores; nothing of a floor."""
        if not isinstance(listener, SpeechModel):
            return {}
        worlds, most = self._worlds(listener), self.settings.most
        return {
            "loops": Demand(self.hard, Sweep(worlds, most, loops_only=True)),
            "clean": Demand(self.clean, Sweep(worlds, most)),
            "induction": Demand(self.hard, Induction(self.settings.most)),
        }

    def _sites(self, model: SpeechModel) -> list[tuple[Site, ...]]:
        return [(site,) for site in (*components(model), *heads(model))]

    def _worlds(self, model: SpeechModel) -> tuple[Any, ...]:
        return ((), *map(ablated, self._sites(model)))

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Rank on one half of the loops, confirm on the other, and measure the cost on clean speech."""
        assert isinstance(listener, SpeechModel)
        name = listener.identity.name
        worlds, clips = len(self._worlds(listener)), len(captured["loops"].indices)
        swept = self._read(listener, self.hard, captured["loops"], worlds)
        clean = self._read(listener, self.clean, captured["clean"], worlds)
        loops = swept.of(swept.looped[0])
        ranking = np.isin(loops.index, (*self._fold.train, *self._fold.dev))
        rank, held = loops.of(ranking), loops.of(~ranking)
        if min(len(rank.index), len(held.index)) < MIN_LOOPS:
            raise NotApplicable(
                f"{name} loops on {len(loops.index)} of {clips} clips; at least {MIN_LOOPS} for each "
                "half are needed"
            )
        clean = clean.of(~clean.looped[0])
        priced = np.isin(clean.index, self._priced)
        price, clean = clean.of(priced), clean.of(~priced)
        if not (price.words.sum() and clean.words.sum()):
            raise NotApplicable(f"{name} loops on so much clean speech that no cost can be measured")
        sites = [site for (site,) in self._sites(listener)]
        table = site_table(sites, rank, held, price, clean)
        parts, single = table[~table["head"]], table[table["head"]]
        best, head = (self._best(rows, name) for rows in (parts, single))
        order = [sites.index(site) + 1 for site in _ranked(single)["site"]]
        head_sets = self._head_sets(listener, order, held, sites, device)
        cluster = self._clusters(held.index)
        resolved = 1.0 - held.looped
        scores = {
            "resolved": self._resolved(resolved, sites.index(best["site"]) + 1, cluster),
            "resolved_when_ranked": bare_score(best["ranked"], len(rank.index), "fraction"),
            "resolved_head": self._resolved(resolved, sites.index(head["site"]) + 1, cluster, "best head"),
            "head_p": bare_score(null_share(head, single), len(single), "p", column="p"),
            "delta_wer": self._cost(clean, sites.index(best["site"]) + 1, "ΔWER"),
            "delta_wer_head": self._cost(clean, sites.index(head["site"]) + 1, "ΔWER head"),
            "loops_created": bare_score(best["created"], len(clean.index), "fraction", "lower", "created"),
            "empty_after": bare_score(best["empty"], len(held.index), "fraction", "none"),
            "loop_rate": bare_score(len(loops.index) / clips, clips, "fraction"),
        }
        for part in _parts(listener):
            own = parts[parts["site"].str.endswith(part)]
            scores[f"resolved_{part}"] = self._resolved(
                resolved, sites.index(_strongest(own)["site"]) + 1, cluster
            )
        scores |= head_sets.scores
        return Measurement(
            headline="resolved",
            scores=scores,
            curves=self._curves(listener, resolved, sites, cluster, Site.parse(best["site"])),
            items=self._items(held).assign(outcome=resolved[sites.index(best["site"]) + 1]),
            split=self.single_split(
                "ranked on one half of the loops, confirmed on the other",
                self._items(rank), self._items(held),
            ),
            tables={
                "components": _rows(parts.drop(columns="head")),
                "heads": _rows(_ranked(single).drop(columns="head")[:20]),
                **self._maps(listener, single, captured["induction"]),
                "pairs": head_sets.pairs,
                "faithfulness": head_sets.faithfulness,
                "by_kind": self._by_kind(held, sites.index(best["site"]) + 1),
            },
            tuned={"component": str(best["site"]), "head": str(head["site"])},
        )  # fmt: skip

    def _read(self, model: SpeechModel, corpus: Corpus, captured: Captured, worlds: int) -> Swept:
        """Outcomes of the clips that were swept."""
        kept: list[int] = []
        looped, empty, errors, words = [], [], [], []
        for index in captured.indices:
            rows, item = unpacked(captured.values[index]["json"])["rows"], corpus.items[index]
            language = model.language_of(item)
            if len(rows) < worlds:  # swept only where the model loops without an ablation
                continue
            kept.append(index)
            has_words = bool(normalise(item.text, language))
            looped.append([is_loop(row["text"], row["tokens"], row["ended"]) for row in rows])
            empty.append([not normalise(row["text"], language) for row in rows])
            counts = [edits(item.text, row["text"], language) if has_words else None for row in rows]
            errors.append([count.errors if count else 0 for count in counts])
            words.append(counts[0].reference if counts[0] else 0)
        shape = (worlds, len(kept))
        return Swept(
            np.array(kept, dtype=np.int64),
            np.array(looped, dtype=bool).T.reshape(shape),
            np.array(empty, dtype=bool).T.reshape(shape),
            np.array(errors, dtype=float).T.reshape(shape),
            np.array(words, dtype=float),
        )

    def _best(self, table: pd.DataFrame, name: str) -> Any:
        """The site that resolves most on the ranking half, within the largest WER increase allowed."""
        if not len(cheap := table[table["price"] <= self.settings.dearest]):
            raise NotApplicable(
                f"{name}: every ablation costs more than {100 * self.settings.dearest:g} points of WER"
            )
        return _strongest(cheap)

    def _resolved(self, resolved: np.ndarray, world: int, cluster: np.ndarray, column: str = "") -> Score:
        return self.score(resolved[world], cluster, column=column)

    def _cost(self, clean: Swept, world: int, column: str) -> Score:
        """Change of the word error rate on clean speech."""
        items = self.clean.items
        cluster = np.array([items[at].cluster for at in clean.index])
        return self.score(
            clean.errors[world] - clean.errors[0], cluster, weight=clean.words, direction="lower",
            column=column, scale="difference",
        )  # fmt: skip

    def _clusters(self, index: np.ndarray) -> np.ndarray:
        return np.array([self.hard.items[at].cluster for at in index])

    def _curves(
        self, model: SpeechModel, resolved: np.ndarray, sites: Sequence[Site], cluster: np.ndarray, best: Site
    ) -> list[Curve]:
        """Held-out loops resolved by ablating each component, by layer."""
        curves = []
        layers = model.decoder_sites[1:]
        for part in sorted(_parts(model), key=("cross_attn", "self_attn", "mlp").index):
            worlds = [sites.index(Site("decoder", site.layer, part)) + 1 for site in layers]
            chosen = best.residual if best.part == part else None
            curves.append(
                self.curve(part, "loops resolved", layers, resolved[worlds], cluster, chosen=chosen)
            )
        return curves

    def _head_sets(
        self, model: SpeechModel, order: Sequence[int], held: Swept, sites: Sequence[Site], device: str
    ) -> "_HeadSets":
        """Ablate pairs of the best heads, and growing sets of heads by rank and in random order."""
        rng = np.random.default_rng(self.task.seed)
        rankings = {"ranked": list(order)}
        rankings |= {f"random-{at}": list(rng.permutation(order)) for at in range(DRAWS)}
        nodes = [count for count in self.settings.nodes if count < len(order)] + [len(order)]
        pairs = list(combinations(order[: self.settings.best], 2))
        ablations = [tuple(sites[world - 1] for world in pair) for pair in pairs]
        ablations += [
            tuple(sites[world - 1] for world in ranking[:count])
            for ranking in rankings.values()
            for count in nodes
        ]
        corpus = self.hard.with_items(self.hard.items[at] for at in held.index)
        (swept,) = self.capture(
            model, [Demand(corpus, Sweep(tuple(map(ablated, ablations)), self.settings.most))]
        )
        resolved = 1.0 - self._read(model, corpus, swept, len(ablations)).looped
        shares = resolved.mean(axis=1)
        rows, scores = [], {}
        at, along = len(pairs), np.log(nodes)
        for name in rankings:
            own = slice(at, at + len(nodes))
            at += len(nodes)
            rows += [
                {"ranking": name, "heads": count, "resolved": float(value)}
                for count, value in zip(nodes, shares[own], strict=True)
            ]
            if name == "ranked":
                area = np.trapezoid(resolved[own], along, axis=0) / (along[-1] - along[0])
                cluster = self._clusters(held.index)
                scores["cpr"] = self.score(area, cluster, unit="area")
                scores["cmd"] = self.score(1 - area, cluster, direction="lower", unit="area")
        return _HeadSets(
            scores,
            [
                {"heads": " + ".join(sites[world - 1] for world in pair), "resolved": float(value)}
                for pair, value in zip(pairs, shares, strict=False)
            ],
            rows,
        )

    def _maps(
        self, model: SpeechModel, single: pd.DataFrame, induction: Captured
    ) -> dict[str, list[dict[str, Any]]]:
        """A map of the heads of each attention that the decoder has."""
        names: dict[str, Part] = {"head_map": "cross_attn", "head_map_self": "self_attn"}
        own = _parts(model)
        return {name: self._map(single, part, induction) for name, part in names.items() if part in own}

    def _map(self, single: pd.DataFrame, part: Part, induction: Captured) -> list[dict[str, Any]]:
        """Held-out loops resolved by each head of one attention; self-attention also has induction scores."""
        scores = [values["score"].numpy() for values in induction.values.values() if values["score"].numel()]
        mean = np.mean(scores, axis=0) if scores and part == "self_attn" else None
        rows = []
        for site, value in zip(map(Site.parse, single["site"]), single["confirmed"], strict=True):
            if site.part == part:
                rows.append({"layer": site.layer, "head": site.head, "value": float(value), "marked": False})
                if mean is not None:
                    rows[-1]["induction"] = float(mean[site.layer - 1, site.head])
        return rows

    def _by_kind(self, held: Swept, world: int) -> list[dict[str, Any]]:
        """Held-out loops by kind of clip, and the share that the best component resolves."""
        kinds = np.array([self.hard.items[at].label("kind") for at in held.index])
        return [
            {
                "kind": str(kind),
                "loops": int((kinds == kind).sum()),
                "resolved": float(1 - held.looped[world][kinds == kind].mean()),
            }
            for kind in np.unique(kinds)
        ]

    def _items(self, swept: Swept) -> pd.DataFrame:
        names = [self.hard.items[at].id for at in swept.index]
        return pd.DataFrame({"item": names, "unit": names, "speaker": self._clusters(swept.index)})


@dataclass(frozen=True)
class _HeadSets:
    """Scores and tables of ablating several heads together."""

    scores: dict[str, Score]
    pairs: list[dict[str, Any]]
    faithfulness: list[dict[str, Any]]


def _parts(model: SpeechModel) -> list[Part]:
    """The components of a decoder block."""
    return [part for part in DECODER_PARTS if Site("decoder", 1, part) in model.places]


def site_table(sites: Sequence[Site], rank: Swept, held: Swept, price: Swept, clean: Swept) -> pd.DataFrame:
    """One row per site: loops resolved and cost on the ranking halves and on the held-out halves."""
    spoken = held.words > 0
    rows = []
    for world, site in enumerate(sites, start=1):
        after = held.of(spoken & ~held.looped[world]) if spoken.any() else None
        rows.append(
            {
                "site": site,
                "head": site.is_head,
                "ranked": float(1 - rank.looped[world].mean()),
                "confirmed": float(1 - held.looped[world].mean()),
                "empty": float(held.empty[world].mean()),
                "wer_after": after.wer(world) if after is not None and len(after.index) else None,
                "price": price.wer(world) - price.wer(0),
                "delta_wer": clean.wer(world) - clean.wer(0),
                "created": float(clean.looped[world].mean()),
            }
        )
    return pd.DataFrame(rows)


def null_share(head: pd.Series, single: pd.DataFrame) -> float:
    """Share of heads that resolve at least as much on the held-out half as the head ranked first."""
    return float((single["confirmed"] >= head["confirmed"]).mean())


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    """Sites in the order of what they resolve on the ranking half; ties go to the cheapest."""
    return table.sort_values(["ranked", "price"], ascending=[False, True], kind="stable")


def _strongest(table: pd.DataFrame) -> Any:
    """The site that is ranked first."""
    return _ranked(table).iloc[0]


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with plain values; an unknown rate is None."""
    return [
        {str(name): None if value is None or value != value else value for name, value in row.items()}
        for row in table.to_dict(orient="records")
    ]
