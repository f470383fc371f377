"""Agreement of two rankings."""

import numpy as np
from scipy.stats import kendalltau


def rank_agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau between two curves over the same layers."""
    return float(kendalltau(a, b).statistic)
