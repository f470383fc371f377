"""Character error rate as an `evaluate` module, computed by jiwer."""

import jiwer

from innerear.metrics import base  # not the class: `evaluate` takes the first metric class in this namespace


class Cer(base.ErrorRate):
    """Character error rate over all pairs together: errors per character of the references."""

    unit = "characters"

    def rate(self, references: list[str], predictions: list[str]) -> float:
        """Computed by jiwer."""
        return float(jiwer.process_characters(references, predictions).cer)
