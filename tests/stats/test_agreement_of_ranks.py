"""Two rankings agree as far as Kendall's tau says."""

import numpy as np
import pytest

from innerear.stats.agreement import rank_agreement


def test_equal_orders_agree_and_opposite_ones_do_not():
    curve = np.array([0.5, 0.78, 0.82, 0.82, 0.8])
    assert rank_agreement(curve, curve) == pytest.approx(1.0)
    assert rank_agreement(np.arange(5), -np.arange(5)) == pytest.approx(-1.0)
