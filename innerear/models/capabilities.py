"""What a model is capable of, which decides the tasks that apply to it; known without its weights."""

from dataclasses import dataclass
from typing import Literal

from innerear.models.family import Kind

Needs = Literal["encoder", "text", "lens", "decoder", "choice", "emissions", "predictions"]
"""What is asked of a model: states of its encoder, text, text from the states of any encoder layer, a decoder
to lead, the probability of a text that it is given, emissions along the audio, or what predicts each written
token at each layer: states of a decoder, or emissions."""


@dataclass(frozen=True)
class Capabilities:
    """Those of one model.

    Attributes
    ----------
    writes
        Whether it has a text head.
    adapted
        Whether an adapter stands behind the encoder's blocks, whose frames are not the encoder's.
    trained
        Whether it has learnt weights; an architecture alone has random ones, of which only timings are told.
    """

    name: str
    kind: Kind
    writes: bool = True
    adapted: bool = False
    trained: bool = True

    @property
    def emits(self) -> bool:
        """Whether it emits a token or none at each step of the audio."""
        return self.kind in ("CTC", "transducer")

    @property
    def described(self) -> str:
        """Its kind, or that it is an encoder alone."""
        kind = self.kind if self.writes else "encoder"
        return kind if self.trained else f"{kind}, architecture only"

    def lacks(self, needs: Needs) -> str | None:
        """Why what needs this cannot be had from the model, or None if it can."""
        if needs == "predictions":
            return self.lacks("emissions" if self.emits else "decoder")
        if needs != "encoder" and not self.writes:
            return f"{self.name} has no text head"
        if needs == "decoder" and self.kind == "transducer":
            return f"{self.name} is a transducer: it has no decoder whose states read the audio"
        if (needs == "decoder" and self.emits) or (needs == "choice" and self.kind == "CTC"):
            return f"{self.name} has no decoder"
        if needs == "emissions" and not self.emits:
            return f"{self.name} does not emit a token or none at each step of the audio"
        if needs in ("lens", "emissions") and self.adapted:
            return f"{self.name} has an adapter before its head, which writes other frames than a layer"
        return None
