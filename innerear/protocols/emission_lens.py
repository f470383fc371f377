"""The logit lens of a model that emits along the audio: what it would emit and write from each encoder layer.

A CTC head is applied frame by frame, the joint of a transducer at each step of the path that was decoded.
"""

import numpy as np
import pandas as pd

from innerear.activations.captured import Captured
from innerear.activations.readings import unpacked
from innerear.analysis.lens import saturation
from innerear.data.text import edits
from innerear.models.base import SpeechModel
from innerear.protocols.base import Measurement, Protocol
from innerear.results.schema import Curve

AGREES = "top-1 as at the last layer"


def read_emissions(protocol: Protocol, model: SpeechModel, captured: Captured) -> Measurement:
    """Take saturation of the steps that are not blank at the last layer; error rates and blanks by layer.

    Of a model that emits blanks alone, all steps are taken.
    """
    sites, layers = model.encoder_sites, model.encoder_layers
    steps, clips = [], []
    tops, kls = [], []
    for index in captured.indices:
        item, values = protocol.corpus.items[index], captured.values[index]
        language = model.language_of(item)
        top, kl = values["top"].numpy(), values["kl"].numpy()
        settled = saturation(top)
        spoken = top[-1] != model.blank
        tops.append(top)
        kls.append(kl)
        steps.append(
            pd.DataFrame(
                {
                    "item": item.id,
                    "unit": [f"{item.id}@{step}" for step in range(top.shape[1])],
                    "speaker": item.cluster,
                    "condition": item.condition,
                    "token": top[-1],
                    "blank": ~spoken,
                    "saturation": settled,
                    "outcome": settled / layers,
                    **{f"agrees.{site}": row == top[-1] for site, row in zip(sites, top, strict=True)},
                }
            )
        )
        for layer, text in enumerate(unpacked(values["json"])["texts"]):
            words, letters = (edits(item.text, text, language, unit) for unit in ("word", "character"))
            clips.append(
                {
                    "speaker": item.cluster,
                    "layer": layer,
                    "errors": words.errors,
                    "words": words.reference,
                    "character_errors": letters.errors,
                    "characters": letters.reference,
                }
            )
    items = pd.concat(steps, ignore_index=True)
    cluster, spoken = items["speaker"].to_numpy(), ~items["blank"].to_numpy()
    top, kl = np.concatenate(tops, axis=1), np.concatenate(kls, axis=1)
    name = f"{model.family.kind.lower()}-lens"
    depth, texts = items["outcome"].to_numpy(), pd.DataFrame(clips)
    kept = spoken if spoken.any() else np.ones(len(items), dtype=bool)
    return Measurement(
        headline="saturation_depth",
        scores={
            "saturation_depth": protocol.score(depth[kept], cluster[kept], direction="none", unit="depth"),
            "saturation_all_frames": protocol.score(depth, cluster, direction="none", unit="depth"),
            "blank_rate": protocol.score((~spoken).astype(float), cluster, direction="none"),
        },
        curves=[
            protocol.curve(name, AGREES, sites, (top == top[-1])[:, kept], cluster[kept]),
            protocol.curve("kl", "KL to the last layer", sites, kl, cluster, unit="nats", scale="rate"),
            protocol.curve("blank", "share of blanks", sites, top == model.blank, cluster),
            _rate(protocol, "wer", texts, "errors", "words", sites),
            _rate(protocol, "cer", texts, "character_errors", "characters", sites),
        ],
        items=items[kept].drop(columns="blank"),  # the headline's rows: from them it is counted again
    )  # fmt: skip


def _rate(
    protocol: Protocol, name: str, texts: pd.DataFrame, errors: str, total: str, sites: tuple[str, ...]
) -> Curve:
    """Error rate by layer: sums over clips."""
    by_layer = [texts[texts["layer"] == layer] for layer in range(len(sites))]
    first = by_layer[0]
    return protocol.curve(
        name, name.upper(), sites,
        np.stack([rows[errors].to_numpy(float) for rows in by_layer]),
        first["speaker"].to_numpy(), weight=first[total].to_numpy(float), scale="rate",
    )  # fmt: skip
