"""Word error rate as an `evaluate` module, computed by jiwer."""

from typing import Any

import datasets
import evaluate
import jiwer

from innerear.errors import InputError


class Wer(evaluate.Metric):  # type: ignore[misc]
    """Word error rate over all pairs together: errors by words of the references."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Word error rate: edits by words of the references, over all pairs.",
            citation="Morris, Maier & Green (2004): From WER and RIL to MER and WIL. Interspeech.",
            inputs_description="predictions, references: lists of texts, compared as they are.",
            features=datasets.Features({"predictions": text, "references": text}),
            reference_urls=["https://jitsi.github.io/jiwer/"],
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        for index, reference in enumerate(references):
            if not reference.strip():
                raise InputError(
                    f"reference {index} is empty; leave it out, or score it as one without speech"
                )
        return {"wer": jiwer.process_words(list(references), list(predictions)).wer}
