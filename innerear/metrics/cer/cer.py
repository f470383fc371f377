"""Character error rate as an `evaluate` module, computed by jiwer."""

import jiwer

from innerear.metrics import base  # the module: `evaluate` takes the first metric class that it sees here


class Cer(base.ErrorRate):
    """Character error rate over all pairs together: errors by characters of the references."""

    unit = "characters"

    def rate(self, references: list[str], predictions: list[str]) -> float:
        """By jiwer."""
        return float(jiwer.process_characters(references, predictions).cer)
