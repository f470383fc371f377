"""Logit lens: the layer of the decoder at which each written token is decided.

The decoder is teacher-forced on the model's own output, and every layer is read through the final norm and
the unembedding; a tuned lens is reported beside it. For models without a decoder, which emit along the audio,
see `innerear.protocols.emission_lens`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.activations.readings import EmissionLens, Steps, Text
from innerear.analysis.lens import LensOutput, Translator, Unembedding, apply_lens, lens_map, saturation, tune
from innerear.data.schema import Corpus, Item
from innerear.data.splits import make_folds
from innerear.models.base import SpeechModel
from innerear.protocols.base import Measurement, NotApplicable, Protocol, point, records
from innerear.protocols.emission_lens import AGREES, read_emissions
from innerear.protocols.tokens import WrittenTokens, classes_of, written_tokens
from innerear.results.schema import Curve, Score, SplitInfo
from innerear.tasks.settings import LogitLens
from innerear.tasks.task import Task
from innerear.util.errors import InnerearError, InputError
from innerear.util.progress import bar

LOGIT_LENS = "logit-lens"
"""Curve of the share of tokens that a layer would write as the last one does."""
TUNED_LENS = "tuned-lens"
"""The same through a trained affine map of each layer, on held-out speakers."""
REPLAYED = 0.99
"""Share of tokens that must be the most probable ones when teacher-forced, as in greedy decoding."""


class LogitLensProtocol(Protocol):
    """Measure at which layer the decoder settles on each token."""

    languages = "spaced"

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, LogitLens)
        self.settings = task.measure
        if task.split is None:
            raise InputError(f"{task.id}: the tuned lens needs a split; give the task one")
        self._fold = make_folds(self.corpus, task.split)[0]

    def needs_words(self, item: Item) -> bool:
        """Always: tokens are right or wrong."""
        return True

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """The transcript, and the decoder states over its tokens."""
        if isinstance(listener, SpeechModel) and not listener.decoder_layers:
            return {"text": Demand(self.corpus, Text()), "lens": Demand(self.corpus, EmissionLens())}
        return {"text": Demand(self.corpus, Text()), "steps": Demand(self.corpus, Steps())}

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Apply the logit lens, and the tuned lens on held-out speakers."""
        assert isinstance(listener, SpeechModel)
        if not listener.decoder_layers:
            return read_emissions(self, listener, captured["lens"])
        sites, layers, head = listener.decoder_sites, listener.decoder_layers, Unembedding(listener)
        clips = [
            written_tokens(listener, index, self.corpus.items[index], captured["text"].values[index]["json"])
            for index in captured["text"].indices
        ]
        steps = captured["steps"]
        seen = self._apply_lens(clips, steps, head, device)
        tokens = pd.concat([clip.tokens for clip in clips], ignore_index=True)
        self._replays(listener, tokens, seen)
        settled = saturation(seen.top)
        tokens["saturation"] = settled
        tokens["outcome"] = settled / layers
        for layer, site in enumerate(sites):
            tokens[f"agrees.{site}"] = seen.rank[layer] == 0
        cluster = tokens["speaker"].to_numpy()
        regressive = self._regressive(clips, seen, sites)
        tuned = self._tuned(clips, steps, head, device, tokens, seen, sites)
        shown = self._shown(clips, seen)
        return Measurement(
            headline="saturation_depth",
            scores=self._scores(tokens, regressive) | tuned.scores,
            curves=[
                self.curve(LOGIT_LENS, AGREES, sites, seen.rank == 0, cluster),
                self.curve("top-5", "last top-1 among the first five", sites, seen.rank < 5, cluster),
                self.curve("kl", "KL to the last layer", sites, seen.kl, cluster, unit="nats", scale="rate"),
                self._ranks(sites, seen),
                *tuned.curves,
            ],
            items=tokens,
            split=tuned.split,
            tables={
                "classes": self._classes(tokens),
                "saturation": [
                    {"site": site, "tokens": int(count), "share": float(count / len(tokens))}
                    for site, count in zip(sites, np.bincount(settled, minlength=len(sites)), strict=True)
                ],
                "tuned_against_plain": tuned.table,
                "regressive": records(regressive[regressive["layer"] >= 0].drop(columns="by_chance")),
                "lens_map": shown,
            },
            tuned={"ridge": self.settings.ridge, "dev_kl": tuned.dev_kl},
        )

    def _apply_lens(
        self,
        clips: Sequence["WrittenTokens"],
        steps: Captured,
        head: Unembedding,
        device: str,
        through: list[Translator] | None = None,
    ) -> LensOutput:
        parts = []
        with bar("looking through the lens", len(clips)) as advance:
            for clip in clips:
                own = steps.values[clip.index]["states"].transpose(0, 1)
                parts.append(apply_lens(own.to(device), head, clip.first.to(device), through))
                advance()
        return LensOutput.joined(parts)

    def _replays(self, model: SpeechModel, tokens: pd.DataFrame, seen: LensOutput) -> None:
        same = float((seen.top[-1] == tokens["token"].to_numpy()).mean())
        if same < REPLAYED:
            raise InnerearError(
                f"{model.identity.name}: teacher-forced on its own output, the decoder finds only {same:.1%} "
                "of its tokens most probable; decoding and the teacher-forced pass do not agree"
            )

    def _scores(self, tokens: pd.DataFrame, regressive: pd.DataFrame) -> dict[str, Score]:
        """Saturation depth of all tokens and of each class, and regressive errors."""
        depth, cluster = tokens["outcome"].to_numpy(), tokens["speaker"].to_numpy()
        scores = {
            "saturation_depth": self.score(depth, cluster, direction="none", unit="depth"),
        }
        columns = {"right": "right", "wrong": "wrong", "function": "function", "content": "content"}
        for name, mine in classes_of(tokens):
            if mine.any():
                scores[f"saturation_{name}"] = self.score(
                    depth[mine], cluster[mine], direction="none", unit="depth", column=columns.get(name, "")
                )
        if len(regressive):
            by = regressive["speaker"].to_numpy()
            found = (regressive["layer"] >= 0).to_numpy(float)
            scores["regressive"] = self.score(found, by, direction="none", column="regressive")
            scores["regressive_by_chance"] = self.score(
                regressive["by_chance"].to_numpy(float), by, direction="none"
            )
        return scores

    def _classes(self, tokens: pd.DataFrame) -> list[dict[str, Any]]:
        """Share of the tokens that each layer would write already, by class of token."""
        sites = [name for name in map(str, tokens) if name.startswith("agrees.")]
        return [
            {
                "class": name,
                "tokens": int(mine.sum()),
                "saturation": float(tokens["outcome"][mine].mean()),
                **{site.removeprefix("agrees."): float(tokens[site][mine].mean()) for site in sites},
            }
            for name, mine in classes_of(tokens)
            if mine.any()
        ]

    def _regressive(
        self, clips: Sequence["WrittenTokens"], seen: LensOutput, sites: Sequence[str]
    ) -> pd.DataFrame:
        """Misheard words, and the last intermediate layer whose top-1 is the right word.

        `by_chance` is the same test with the right word of another misheard word.
        """
        rows, starts = [], np.cumsum([0, *(len(clip.tokens) for clip in clips)])
        middle = seen.top[1:-1]
        for clip, start in zip(clips, starts, strict=False):
            for word, spoken in clip.misheard.items():
                if places := clip.diverging(word, spoken):
                    rows.append((clip, word, spoken, [(start + at, token) for at, token in places]))
        found = []
        for number, (clip, word, spoken, places) in enumerate(rows):
            hits = [np.flatnonzero(middle[:, at] == token) for at, token in places]
            layer = max((int(hit[-1]) + 1 for hit in hits if len(hit)), default=-1)
            other = rows[(number + 1) % len(rows)][3]
            chance = any((middle[:, at] == token).any() for at, _ in places for _, token in other)
            found.append(
                {
                    "item": clip.item.id,
                    "speaker": clip.item.cluster,
                    "condition": clip.item.condition,
                    "said": spoken,
                    "written": clip.text.split()[word],
                    "layer": layer,
                    "site": sites[layer] if layer >= 0 else "",
                    "by_chance": chance and other is not places,
                }
            )
        names = ["item", "speaker", "condition", "said", "written", "layer", "site", "by_chance"]
        return pd.DataFrame(found, columns=names)

    def _ranks(self, sites: Sequence[str], seen: LensOutput) -> Curve:
        medians = np.median(seen.rank, axis=1)
        return Curve(
            name="rank", metric="median rank of the last top-1", unit="rank", kind="model",
            n=seen.rank.shape[1],
            points=[point(layer, sites, float(value)) for layer, value in enumerate(medians)],
        )  # fmt: skip

    def _tuned(
        self,
        clips: Sequence["WrittenTokens"],
        steps: Captured,
        head: Unembedding,
        device: str,
        tokens: pd.DataFrame,
        seen: LensOutput,
        sites: Sequence[str],
    ) -> "_Tuned":
        """Train a translator for each layer on one half of the speakers and apply it to the other."""
        sides = [np.array(side) for side in (self._fold.train, self._fold.dev, self._fold.test)]
        of_clip = np.repeat([clip.index for clip in clips], [len(clip.tokens) for clip in clips])
        train, dev, test = (np.flatnonzero(np.isin(of_clip, side)) for side in sides)
        if not (len(train) and len(dev) and len(test)):
            raise NotApplicable(
                f"{self.corpus.name}: one half of the tuned lens has no tokens; give the task more clips"
            )
        assert steps.indices.tolist() == [clip.index for clip in clips]
        stream = steps.joined("states")
        last = torch.from_numpy(stream[len(sites) - 1]).to(device)
        first = torch.cat([clip.first for clip in clips]).to(device)
        made = []
        with bar("tuning the lens", len(sites) - 1) as advance:
            for layer in range(len(sites) - 1):
                made.append(
                    tune(
                        torch.from_numpy(stream[layer]).to(device), last, first, head, train, dev,
                        ridge=self.settings.ridge, steps=self.settings.steps, checks=self.settings.checks,
                        seed=self.task.seed,
                    )
                )  # fmt: skip
                advance()
        held = [clip for clip in clips if clip.index in set(self._fold.test)]
        through = self._apply_lens(held, steps, head, device, [tuned.translator for tuned in made])
        cluster = tokens["speaker"].to_numpy()[test]
        rule = self.task.split
        assert rule is not None
        depth = saturation(through.top) / (len(sites) - 1)
        agrees, plain_agrees = (through.rank == 0).mean(axis=1), (seen.rank == 0)[:, test].mean(axis=1)
        return _Tuned(
            scores={
                "saturation_tuned": self.score(depth, cluster, direction="none", unit="depth", column="tuned")
            },
            curves=[
                self.curve(TUNED_LENS, AGREES, sites, through.rank == 0, cluster),
                self.curve(
                    "tuned-kl", "KL to the last layer", sites, through.kl, cluster, unit="nats", scale="rate"
                ),
            ],
            table=[
                {
                    "site": site,
                    "logit_lens": float(plain_agrees[layer]),
                    "tuned_lens": float(agrees[layer]),
                    "kl": float(seen.kl[layer, test].mean()),
                    "tuned_kl": float(through.kl[layer].mean()),
                }
                for layer, site in enumerate(sites)
            ],
            dev_kl=[tuned.dev_kl for tuned in made],
            split=self.single_split(
                f"for the tuned lens: fold 0 of {rule.folds}, {rule.kind} by {rule.unit}",
                tokens.iloc[train],
                tokens.iloc[test],
                tokens.iloc[dev],
            ),
        )

    def _shown(
        self, clips: Sequence["WrittenTokens"], seen: LensOutput, longest: int = 24
    ) -> list[dict[str, Any]]:
        """Token by layer: what the lens shows on the first clip with a misheard word (else the first)."""
        fit = [at for at, clip in enumerate(clips) if len(clip.tokens) <= longest] or [0]
        at = next((at for at in fit if clips[at].misheard), fit[0])
        start = sum(len(clip.tokens) for clip in clips[:at])
        here = slice(start, start + len(clips[at].tokens))
        of_clip = LensOutput(seen.top[:, here], seen.rank[:, here], seen.kl[:, here])
        return lens_map(clips[at].model, clips[at].item.id, list(clips[at].tokens["piece"]), of_clip)


@dataclass(frozen=True)
class _Tuned:
    scores: dict[str, Score]
    curves: list[Curve]
    table: list[dict[str, Any]]
    dev_kl: list[list[float]]
    split: SplitInfo
