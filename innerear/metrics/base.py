"""Base class of the error rates: references must not be empty, and jiwer counts the edits."""

from typing import Any, ClassVar

import datasets
import evaluate

from innerear.util.errors import InputError


class ErrorRate(evaluate.Metric):  # type: ignore[misc]
    """Edits per unit of the references, over all pairs together.

    Attributes
    ----------
    unit
        What is counted, as a word for the description.
    """

    unit: ClassVar[str]

    def rate(self, references: list[str], predictions: list[str]) -> float:
        """The error rate; no reference is empty."""
        raise NotImplementedError

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=f"Error rate: edits by {self.unit} of the references, over all pairs.",
            citation="Morris, Maier & Green (2004): From WER and RIL to MER and WIL. Interspeech.",
            inputs_description="predictions, references: lists of texts, compared as they are.",
            features=datasets.Features({"predictions": text, "references": text}),
            reference_urls=["https://jitsi.github.io/jiwer/"],
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        for index, reference in enumerate(references):
            if not reference.strip():
                raise InputError(f"reference {index} is empty; leave it out, or score it as non-speech")
        return {type(self).__name__.lower(): self.rate(list(references), list(predictions))}
