"""Listening: how much of a decoder's output rests on the audio, and which heads carry it.

The model is led along its own output. What it loses of the probability of its words where the audio is
silence, another clip, or heard by deaf heads, is what rests on the audio. Heads are ranked on one half of the
speakers; the best ones are confirmed on the other half, beside as many random ones.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured, Values
from innerear.activations.forward import Listener
from innerear.activations.readings import unpacked
from innerear.data.schema import Corpus, Item
from innerear.data.splits import make_folds, sentence
from innerear.data.text import word_pieces
from innerear.interventions.listening import CONDITIONS, Deafened, Listening, heads
from innerear.models.base import SpeechModel
from innerear.models.decoder import DecoderModel, decoder_of
from innerear.models.site import Part, Site
from innerear.protocols.base import Measurement, NotApplicable, Protocol, bare_score
from innerear.results.schema import Curve, Score
from innerear.stats.agreement import rank_agreement
from innerear.tasks.causal_settings import Listening as Settings
from innerear.tasks.task import Task
from innerear.util.errors import InputError

MAPS: dict[Part, str] = {"cross_attn": "head_map", "self_attn": "head_map_self"}
"""Name of the table of all heads, by the attention that hears the audio."""
RANK, CONFIRM = "rank", "confirm"


@dataclass(frozen=True)
class Judged:
    """The outputs of the clips on which words were written, each value a mean over the words of a clip.

    Attributes
    ----------
    index
        Of the clips in the corpus.
    words
        Number of words, [clip].
    p, nats
        Probability of a word, and its logarithm, [condition, clip].
    kl
        Divergence of the predictions for silence and for another clip, mean over tokens, [2, clip].
    layers
        Probability of a word with the attention of one layer deaf, and of all from it on, [2, layer, clip].
    heads
        The same with one head deaf, [head, clip].
    mass
        Weight of each head on the clip, and on silence in its place, [2, head, clip].
    """

    index: np.ndarray
    words: np.ndarray
    p: np.ndarray
    nats: np.ndarray
    kl: np.ndarray
    layers: np.ndarray
    heads: np.ndarray
    mass: np.ndarray


class ListeningProtocol(Protocol):
    """Measure how far the output rests on the audio, and on which heads."""

    twins = True
    languages = "spaced"

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, Settings)
        self.settings = task.measure
        if task.split is None or task.split.folds != 2:
            raise InputError(f"{task.id}: heads are ranked on one half; give the task a split of two folds")
        fold = make_folds(self.corpus, task.split)[0]
        self._ranking = (*fold.train, *fold.dev)
        self._others = _others(self.corpus)

    def _unusable_reason(self, item: Item) -> str | None:
        return super()._unusable_reason(item) or (None if item.is_speech else f"nobody speaks in {item.id}")

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """The outputs, judged with other audio and with deaf attention."""
        return {"listening": Demand(self.corpus, Listening(self._others, self.settings.most))}

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Rank heads on one half, and confirm the best, beside random ones, on the other."""
        assert isinstance(listener, SpeechModel)
        model, clips = decoder_of(listener), captured["listening"].indices
        judged = _judged(model, captured["listening"])
        ranks = np.isin(judged.index, self._ranking)
        if ranks.all() or not ranks.any():
            raise NotApplicable(
                f"{self.corpus.name}: {model.identity.name} writes no word on the clips of one half; give "
                "the task more clips"
            )
        own, sites = heads(model), model.decoder_sites[1:]
        effects = judged.p[0] - judged.heads
        effect = effects[:, ranks].mean(axis=1)
        order = np.argsort(-effect, kind="stable")
        best = order[: max(1, round(self.settings.best * len(own)))]
        together = self._together(model, judged.index[~ranks], own, order, len(best))
        items = self._items(judged, ranks, sites, together)
        held = items[~ranks]
        layer = int((judged.p[0] - judged.layers[0])[:, ranks].mean(axis=1).argmax())
        return Measurement(
            headline="lost_in_silence",
            scores={
                **self._scores(items),
                **self._confirmed(held),
                **_agreement(judged.mass[0].mean(axis=1), effect),
                "wordless": bare_score(1 - len(items) / len(clips), len(clips), "fraction"),
            },
            curves=self._curves(held, sites, sites[layer]),
            items=items,
            split=self.single_split("ranked on one half, confirmed on the other", items[ranks], held),
            tables={
                "heads": self._best_heads(judged, effects, ranks, own, order),
                MAPS[model.listening_part]: _map(own, effects.mean(axis=1)),
                "faithfulness": together.rows(judged.p[0, ~ranks]),
            },
            tuned={"best": [str(own[at]) for at in best]},
        )  # fmt: skip

    def _together(
        self, model: DecoderModel, index: np.ndarray, own: Sequence[Site], order: np.ndarray, best: int
    ) -> "Together":
        """The outputs of these clips with several heads deaf, by rank and in random order.

        Random heads are drawn from those that are not among the best: of few heads, the best ones would often
        be drawn.
        """
        rng = np.random.default_rng(self.task.seed)
        rankings = {"ranked": order}
        for at in range(self.settings.draws):
            rankings[f"random-{at}"] = np.concatenate([rng.permutation(order[best:]), order[:best]])
        nodes = sorted({best, len(own), *(count for count in self.settings.nodes if count < len(own))})
        sets = [(name, count) for name in rankings for count in nodes]
        reading = Deafened(
            tuple(tuple(own[at] for at in rankings[name][:count]) for name, count in sets), self.settings.most
        )
        corpus = self.corpus.with_items(self.corpus.items[at] for at in index)
        (deaf,) = self.capture(model, [Demand(corpus, reading)])
        p = [_by_word(model, deaf.values[at])[0] for at in deaf.indices]
        return Together(tuple(sets), np.stack(p, axis=1), best)

    def _items(
        self, judged: Judged, ranks: np.ndarray, sites: Sequence[Site], together: "Together"
    ) -> pd.DataFrame:
        """One row per clip; what was measured on the confirming half alone is missing on the other."""
        names = [self.corpus.items[at].id for at in judged.index]
        columns: dict[str, Any] = {
            "item": names,
            "unit": names,
            "speaker": self.clusters_of(judged.index),
            "half": np.where(ranks, RANK, CONFIRM),
            "words": judged.words,
            "outcome": judged.p[0] - judged.p[1],
        }
        columns |= {f"p.{name}": values for name, values in zip(CONDITIONS, judged.p, strict=True)}
        columns |= {f"nats.{name}": values for name, values in zip(CONDITIONS, judged.nats, strict=True)}
        columns |= {f"kl.{name}": values for name, values in zip(CONDITIONS[1:3], judged.kl, strict=True)}
        for name, values in (("best", together.of("ranked")), ("random", together.of("random"))):
            columns[f"p.{name}"] = np.full(len(names), np.nan)
            columns[f"p.{name}"][~ranks] = values
        mass = judged.mass.reshape(2, len(sites), -1, len(names)).mean(axis=2)
        by_layer = {
            "at": judged.layers[0],
            "from": judged.layers[1],
            "mass": mass[0],
            "mass-silence": mass[1],
        }
        for name, layers in by_layer.items():
            columns |= {f"{name}.{site}": values for site, values in zip(sites, layers, strict=True)}
        return pd.DataFrame(columns)

    def _scores(self, items: pd.DataFrame) -> dict[str, Score]:
        """What is lost of the words of all clips, and how much the heads attend to the audio."""
        cluster, p, nats = items["speaker"].to_numpy(), items["p.own"], items["nats.own"]
        scores = {"p_written": self.score(p.to_numpy(), cluster, direction="none", column="p")}
        for condition, (name, column) in _LOST.items():
            lost = (p - items[f"p.{condition}"]).to_numpy()
            scores[f"lost_{name}"] = self.score(
                lost, cluster, direction="none", column=column, scale="difference"
            )
            scores[f"nats_{name}"] = self.score(
                (nats - items[f"nats.{condition}"]).to_numpy(), cluster, direction="none", unit="nats",
                column="nats" if condition == "silence" else "", scale="difference",
            )  # fmt: skip
        for condition in CONDITIONS[1:3]:
            scores[f"kl_{_LOST[condition][0]}"] = self.score(
                items[f"kl.{condition}"].to_numpy(), cluster, direction="none", unit="nats",
                column="KL" if condition == "silence" else "", scale="rate",
            )  # fmt: skip
        for name, prefix in (("attention", "mass."), ("attention_to_silence", "mass-silence.")):
            mass = (
                items[[each for each in map(str, items) if each.startswith(prefix)]].mean(axis=1).to_numpy()
            )
            scores[name] = self.score(mass, cluster, direction="none", column=name.replace("_", " "))
        return scores

    def _confirmed(self, held: pd.DataFrame) -> dict[str, Score]:
        """What is lost on the other half with the best heads deaf, with random ones, and the difference."""
        cluster = held["speaker"].to_numpy()
        own, best, random = (held[f"p.{name}"].to_numpy() for name in ("own", "best", "random"))
        return {
            name: self.score(lost, cluster, direction="none", column=column, scale="difference")
            for name, lost, column in (
                ("lost_best", own - best, "best deaf"),
                ("lost_random", own - random, "random deaf"),
                ("best_over_random", random - best, "best − random"),
            )
        }

    def _curves(self, held: pd.DataFrame, sites: Sequence[Site], chosen: Site) -> list[Curve]:
        """What is lost with the attention of one layer deaf, and of all from one on; attention by layer."""
        cluster = held["speaker"].to_numpy()

        def values(prefix: str) -> np.ndarray:
            return held[[f"{prefix}.{site}" for site in sites]].to_numpy().T

        lost = {name: held["p.own"].to_numpy() - values(name) for name in ("at", "from")}
        return [
            self.curve(
                "deaf-at-layer", "probability lost", sites, lost["at"], cluster, chosen=chosen,
                scale="difference",
            ),
            self.curve(
                "deaf-from-layer", "probability lost", sites, lost["from"], cluster, scale="difference"
            ),
            self.curve("attention", "weight on the audio", sites, values("mass"), cluster),
        ]  # fmt: skip

    def _best_heads(
        self, judged: Judged, effects: np.ndarray, ranks: np.ndarray, own: Sequence[Site],
        order: np.ndarray, most: int = 20,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """The first heads by what is lost with each of them deaf on the ranking half, and on the other."""
        cluster = self.clusters_of(judged.index[~ranks])
        rows = []
        for at in order[:most]:
            confirmed = self.score(effects[at, ~ranks], cluster, scale="difference")
            rows.append(
                {
                    "site": str(own[at]),
                    "ranked": float(effects[at, ranks].mean()),
                    "confirmed": confirmed.value,
                    "low": confirmed.low,
                    "high": confirmed.high,
                    "attention": float(judged.mass[0, at].mean()),
                    "attention_to_silence": float(judged.mass[1, at].mean()),
                }
            )
        return rows


_LOST = {
    "silence": ("in_silence", ""),
    "other": ("on_other", "other clip"),
    "blind": ("without_text", "no earlier text"),
}
"""Names of what is lost in each condition, and headings."""


@dataclass(frozen=True)
class Together:
    """Probability of a word with sets of heads deaf, `p` [set, clip].

    A set is the first heads of a ranking; `best` is the number of those that count as the best.
    """

    sets: tuple[tuple[str, int], ...]
    p: np.ndarray
    best: int

    def of(self, ranking: str) -> np.ndarray:
        """With the best heads of a ranking, or of the mean of several that begin with this name, [clip]."""
        own = [name.startswith(ranking) and count == self.best for name, count in self.sets]
        return np.asarray(self.p[own].mean(axis=0))

    def rows(self, own: np.ndarray) -> list[dict[str, Any]]:
        """What is lost of the probability `own` [clip] with each set deaf."""
        return [
            {"ranking": name, "heads": count, "lost": float((own - p).mean())}
            for (name, count), p in zip(self.sets, self.p, strict=True)
        ]


def _others(corpus: Corpus) -> dict[str, Item]:
    """For each clip, by id, the next one in which somebody else says something else."""
    items, others = corpus.items, {}
    for at, item in enumerate(items):
        for other in (*items[at + 1 :], *items[:at]):
            if other.cluster != item.cluster and sentence(other.text) != sentence(item.text):
                others[item.id] = other
                break
        else:
            raise InputError(
                f"{corpus.name}: there is no clip by somebody else that says something else than {item.id}"
            )
    return others


def _judged(model: DecoderModel, captured: Captured) -> Judged:
    """What was read of all clips on which words were written."""
    index, rows = [], []
    for at in captured.indices:
        values = captured.values[at]
        if "log_probs" not in values or not (words := _words(model, values).max() + 1):
            continue
        (p, nats), (layers, _), (single, _) = (
            _by_word(model, values, name) for name in ("log_probs", "layers", "heads")
        )
        kl, mass = (values[name].double().numpy() for name in ("kl", "mass"))
        index.append(at)
        rows.append((words, p, nats, kl.mean(axis=-1), layers, single, mass))
    if not rows:
        raise NotApplicable(f"{model.identity.name} writes no word on any clip")
    return Judged(np.array(index), *(np.stack(each, axis=-1) for each in zip(*rows, strict=True)))


def _words(model: DecoderModel, values: Values) -> np.ndarray:
    """The word that each token belongs to, [token]; -1 where the text has none."""
    text, silent = unpacked(values["json"]), model.special_tokens
    tokens = list(zip(text["tokens"], text["pieces"], strict=True))[: values["log_probs"].shape[-1]]
    return np.array(word_pieces(["" if token in silent else piece for token, piece in tokens]))


def _by_word(model: DecoderModel, values: Values, name: str = "log_probs") -> tuple[np.ndarray, np.ndarray]:
    """Probability of a word and its logarithm, means over the words of log-probabilities [..., token]."""
    word = _words(model, values)
    member = word[:, None] == np.arange(word.max() + 1)
    nats = values[name].double().numpy() @ member
    return np.exp(nats).mean(axis=-1), nats.mean(axis=-1)


def _agreement(attention: np.ndarray, effect: np.ndarray) -> dict[str, Score]:
    """Agreement of the ranks of heads by attention to the audio and by effect; none if all attend alike."""
    tau = rank_agreement(attention.round(6), effect)  # sums of weights that are 1 differ by rounding
    return (
        {} if np.isnan(tau) else {"attention_tau": bare_score(tau, len(effect), "tau", column="attention ~")}
    )


def _map(own: Sequence[Site], effect: np.ndarray) -> list[dict[str, Any]]:
    """Every head: layer (from 1), head, and what is lost with it deaf, over both halves."""
    return [
        {"layer": site.layer, "head": site.head, "value": float(value), "marked": False}
        for site, value in zip(own, effect, strict=True)
    ]
