"""Word error rate as an `evaluate` module, computed by jiwer."""

import jiwer

from innerear.metrics import base  # not the class: `evaluate` takes the first metric class in this namespace


class Wer(base.ErrorRate):
    """Word error rate over all pairs together: errors per word of the references."""

    unit = "words"

    def rate(self, references: list[str], predictions: list[str]) -> float:
        """Computed by jiwer."""
        return float(jiwer.process_words(references, predictions).wer)
