"""Faults of disks, processes and addresses that are quick to try; `faults.py` has the slow ones, too."""

import faults
import pytest
from harness import HELD, attempt


@pytest.mark.parametrize("trial", faults.trials(slow=False), ids=lambda trial: f"{trial.kind}, {trial.name}")
def test_it_holds(trial):
    (one,) = attempt([trial], 1)
    assert one.outcome.what == HELD, one.outcome.says
