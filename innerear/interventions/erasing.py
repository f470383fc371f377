"""Erasure sweeps: a clip is transcribed once for each subspace that is taken away at one encoder site."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from pydantic import JsonValue
from torch import Tensor

from innerear.activations.forward import Clip
from innerear.activations.readings import Reading, packed
from innerear.data.schema import Item
from innerear.interventions.ablation import stop_at_loop
from innerear.interventions.run import encode_from_site, generate
from innerear.interventions.spec import Intervention, World
from innerear.models.site import Site


@dataclass(frozen=True)
class ErasedTexts(Reading):
    """Transcripts of a clip, each with one thing written into the valid frames at an encoder site.

    `sources` are, by name, packed erasers [1 + 2 rank, dim], or states [dim] that replace those of the
    frames. Padding of the front end is left as it is. Output ends at a loop, or `longer` tokens after the
    length of the ordinary transcript. `json`: the texts, in the order of the sources.
    """

    site: Site
    sources: Mapping[str, Tensor]
    longer: int
    name = "erased-texts-1"
    needs = "text"

    def wanted(self, item: Item) -> JsonValue:
        """The site, the limit of the length and the sources."""
        hashes: list[JsonValue] = [
            sha256(each.numpy().tobytes()).hexdigest() for each in self.sources.values()
        ]
        return [self.name, self.site, self.longer, hashes]

    def take(self, clip: Clip, item: Item) -> dict[str, Tensor]:
        """Encode from the site on and decode all as one batch."""
        model, frames = clip.model, tuple(range(clip.clock.count(clip.samples)))
        worlds: list[World] = [
            (
                Intervention(
                    site=self.site, kind="set" if tensor.dim() == 1 else "erase", source=name,
                    positions=frames,
                ),
            )
            for name, tensor in self.sources.items()
        ]  # fmt: skip
        encoded = encode_from_site(model, [item.audio()], [0] * len(worlds), worlds, self.sources)
        limit = len(clip.transcript.tokens) + self.longer
        written = generate(model, encoded, [()] * len(worlds), max_tokens=limit, stop=stop_at_loop)
        return {"json": packed({"texts": [each.text for each in written]})}
