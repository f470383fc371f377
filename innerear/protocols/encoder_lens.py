"""Encoder lens: what is written from an earlier encoder layer (DecoderLens, Langedijk et al. 2023).

What reads the encoder (a decoder, a CTC head, a transducer's joint) gets every layer twice: through the final
norm of the encoder, and without it. Each output is classified by the rules of
`innerear.data.output_types.classify`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd

from innerear.activations.capture import Demand
from innerear.activations.captured import Captured
from innerear.activations.forward import Listener
from innerear.activations.readings import LayerTexts, Text, unpacked
from innerear.data.language import ENGLISH
from innerear.data.output_types import Kind, classify
from innerear.data.schema import Corpus, Item
from innerear.data.text import edits, normalise
from innerear.models.base import SpeechModel
from innerear.protocols.base import Measurement, Protocol, bare_score
from innerear.results.schema import Curve, Score
from innerear.tasks.settings import EncoderLens
from innerear.tasks.task import Task
from innerear.util.errors import InnerearError

KINDS: tuple[Kind, ...] = get_args(Kind)
GROUNDED = ("partial", "correct")
"""Types of output that share words with the reference."""


class EncoderLensProtocol(Protocol):
    """Classify what the decoder writes from each encoder layer."""

    languages = "English"

    def __init__(self, task: Task, load: Callable[[str], Corpus]) -> None:
        super().__init__(task, load)
        assert isinstance(task.measure, EncoderLens)
        self.settings = task.measure

    def needs_words(self, item: Item) -> bool:
        """Always: outputs are classified by the words that were said."""
        return True

    def demands(self, listener: Listener) -> dict[str, Demand]:
        """Texts decoded from all layers, and the ordinary transcript."""
        return {
            "layers": Demand(self.corpus, LayerTexts(self.settings.most)),
            "text": Demand(self.corpus, Text()),
        }

    def measure(self, listener: Listener, captured: Mapping[str, Captured], device: str) -> Measurement:
        """Classify every output and count its errors."""
        assert isinstance(listener, SpeechModel)
        outputs = self._outputs(listener, captured)
        sites = listener.encoder_sites
        norm, bare = outputs[outputs["norm"]], outputs[~outputs["norm"]]
        clips = self._clips(norm, sites)
        kinds: dict[Kind, np.ndarray] = {kind: _by_layer(norm["kind"] == kind, norm) for kind in KINDS}
        cluster = clips["speaker"].to_numpy()
        grounded = _by_layer(norm["kind"].isin(GROUNDED), norm)
        curves = [
            self._wer("wer", norm, sites),
            self._wer("wer-without-norm", bare, sites),
            self.curve("grounded", "share of outputs that are partial or correct", sites, grounded, cluster),
            *(self.curve(kind, "share of outputs", sites, values, cluster) for kind, values in kinds.items()),
        ]
        return Measurement(
            headline="emergence_depth",
            scores=self._scores(clips, kinds, norm, bare, sites),
            curves=curves,
            items=clips,
            tables={
                "kinds": _kinds(norm, bare, sites),
                "ungrounded": _ungrounded(norm, sites),
                "one_clip": [
                    {"site": site, "norm": bool(row["norm"]), "kind": row["kind"], "written": row["written"]}
                    for site in sites
                    for _, row in outputs[outputs["item"] == clips["item"][0]].iterrows()
                    if row["site"] == site
                ],
            },
        )

    def _outputs(self, model: SpeechModel, captured: Mapping[str, Captured]) -> pd.DataFrame:
        """One row for each clip, layer, and with or without the norm."""
        rows = []
        for index in captured["layers"].indices:
            item = self.corpus.items[index]
            made = unpacked(captured["layers"].values[index]["json"])
            self._agrees(model, item, made["norm"][-1], unpacked(captured["text"].values[index]["json"]))
            for norm in (True, False):
                for layer, output in enumerate(made["norm" if norm else "bare"]):
                    tokens = model.spoken(output["tokens"])
                    counts = edits(item.text, output["text"], ENGLISH)
                    rows.append(
                        {
                            "item": item.id,
                            "speaker": item.cluster,
                            "layer": layer,
                            "site": model.encoder_sites[layer],
                            "norm": norm,
                            "kind": classify(output["text"], tokens, item.text, not output["ended"]),
                            "errors": counts.errors,
                            "words": counts.reference,
                            "written": output["text"],
                        }
                    )
        return pd.DataFrame(rows)

    def _agrees(self, model: SpeechModel, item: Item, last: dict[str, Any], text: dict[str, Any]) -> None:
        """Check that the last layer through the norm gives the ordinary transcript."""
        if last["ended"] and len(last["tokens"]) == len(text["tokens"]) and last["text"] != text["text"]:
            raise InnerearError(
                f"{model.identity.name}: the decoder writes {last['text']!r} from the last layer of "
                f"{item.id}, but {text['text']!r} from the clip; the final norm or "
                "the batching differs from the model's own"
            )

    def _clips(self, norm: pd.DataFrame, sites: Sequence[str]) -> pd.DataFrame:
        """One row per clip: the first layer from which on all outputs are grounded."""
        rows = []
        for name, own in norm.groupby("item", sort=False):
            grounded = own["kind"].isin(GROUNDED).to_numpy()
            late = len(grounded) - int(np.argmin(grounded[::-1])) if not grounded.all() else 0
            depth = min(late, len(sites) - 1) / (len(sites) - 1)
            rows.append(
                {
                    "item": name,
                    "unit": name,
                    "speaker": own["speaker"].iloc[0],
                    "grounded_at_last": bool(grounded[-1]),
                    "outcome": depth,
                    **dict(zip([f"kind.{site}" for site in sites], own["kind"], strict=True)),
                    **dict(zip([f"written.{site}" for site in sites], own["written"], strict=True)),
                }
            )
        return pd.DataFrame(rows)

    def _scores(
        self,
        clips: pd.DataFrame,
        kinds: Mapping[Kind, np.ndarray],
        norm: pd.DataFrame,
        bare: pd.DataFrame,
        sites: Sequence[str],
    ) -> dict[str, Score]:
        cluster = clips["speaker"].to_numpy()
        scores = {
            "emergence_depth": self.score(
                clips["outcome"].to_numpy(), cluster, direction="none", unit="depth"
            ),
            "grounded_at_last": self.score(clips["grounded_at_last"].to_numpy(float), cluster),
        }
        for name, rows in (("wer", norm), ("wer_without_norm", bare)):
            last = rows[rows["layer"] == len(sites) - 1]
            scores[name] = self.score(
                last["errors"].to_numpy(float), last["speaker"].to_numpy(),
                weight=last["words"].to_numpy(float), direction="lower", scale="rate",
                column="WER" if name == "wer" else "without norm",
            )  # fmt: skip
        peaks: tuple[tuple[Kind, str], ...] = (("fluent", "fluent at most"), ("loop", "loops at most"))
        for kind, column in peaks:
            shares = kinds[kind].mean(axis=1)
            at = int(shares.argmax())
            scores[f"{kind}_peak"] = self.score(kinds[kind][at], cluster, direction="none", column=column)
            scores[f"{kind}_peak_depth"] = bare_score(at / (len(sites) - 1), len(clips), "depth")
        return scores

    def _wer(self, name: str, rows: pd.DataFrame, sites: Sequence[str]) -> Curve:
        first = rows[rows["layer"] == 0]
        return self.curve(
            name, "WER", sites, _by_layer(rows["errors"], rows), first["speaker"].to_numpy(),
            weight=first["words"].to_numpy(float), scale="rate",
        )  # fmt: skip


def _by_layer(values: pd.Series, rows: pd.DataFrame) -> np.ndarray:
    """Values of rows as [layer, clip]; rows go clip by clip, layers in order."""
    layers = int(rows["layer"].max()) + 1
    return values.to_numpy(float).reshape(-1, layers).T


def _kinds(norm: pd.DataFrame, bare: pd.DataFrame, sites: Sequence[str]) -> list[dict[str, Any]]:
    """Outputs of each kind by layer, with and without the norm."""
    made: list[dict[str, Any]] = []
    for with_norm, rows in ((True, norm), (False, bare)):
        for layer, site in enumerate(sites):
            own = rows[rows["layer"] == layer]
            counts: dict[str, int] = Counter(own["kind"])
            wer = float(own["errors"].sum() / own["words"].sum())
            made.append({"site": site, "norm": with_norm} | {kind: counts[kind] for kind in KINDS})
            made[-1]["wer"] = wer
    return made


def _ungrounded(norm: pd.DataFrame, sites: Sequence[str], most: int = 3) -> list[dict[str, Any]]:
    """The most common texts of each layer that share no word with the reference."""
    made = []
    for layer, site in enumerate(sites):
        own = norm[(norm["layer"] == layer) & norm["kind"].isin(["fluent", "loop"])]
        counts = Counter(normalise(text, ENGLISH)[:120] for text in own["written"])
        made += [
            {"site": site, "count": count, "written": text}
            for text, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
        ]
    return made
