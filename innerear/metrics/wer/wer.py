"""Word error rate as an `evaluate` module, computed by jiwer."""

import jiwer

from innerear.metrics import base  # the module: `evaluate` takes the first metric class that it sees here


class Wer(base.ErrorRate):
    """Word error rate over all pairs together: errors by words of the references."""

    unit = "words"

    def rate(self, references: list[str], predictions: list[str]) -> float:
        """By jiwer."""
        return float(jiwer.process_words(references, predictions).wer)
