"""What a protocol hands back: scores, curves and per-item outcomes, before they become a result."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from innerear.results import Curve, Score


@dataclass(frozen=True)
class Measurement:
    """A protocol's findings on one model.

    Attributes
    ----------
    headline
        Key of `scores` that ranks models.
    items
        Per-item outcomes; at least `item`, `speaker` and `outcome`.
    tuned
        What was chosen on dev, and the dev scores that chose it.
    """

    headline: str
    scores: dict[str, Score]
    curves: list[Curve]
    items: pd.DataFrame
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    tuned: dict[str, Any] = field(default_factory=dict)
