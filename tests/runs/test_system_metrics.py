"""The machine is watched while something is measured; what was measured before has none of it."""

import time
from datetime import UTC, datetime

from synthetic import make_items, make_result
from test_tracking import CORPUS, runs_of

from innerear.results.store import Store, read_result
from innerear.runs.system_metrics import Meter
from innerear.runs.tracking import Tracker


def test_samples_are_taken_in_the_background_and_found_by_their_time():
    began = time.time()
    with Meter(seconds=0.05) as meter:
        time.sleep(0.4)
        samples = meter.between(began, time.time() + 1)
    assert len(samples) > 2
    when, values = samples[-1]
    assert began < when < time.time()
    assert 0 <= values["cpu_utilization_percentage"] <= 100
    assert values["system_memory_usage_megabytes"] > 10
    assert meter.between(began - 100, began) == []


def test_a_run_has_the_samples_of_its_own_time(tmp_path):
    store = Store(tmp_path)
    with Tracker(None, tmp_path) as tracker:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        for name, created in (("now", now), ("then", "2026-01-02T03:04:05+00:00")):
            run = make_result().run.model_copy(update={"created": created})
            path = store.save(make_result(model={"name": name}, run=dict(run)), make_items())
            tracker.log(read_result(path), path, {"test": CORPUS})
    _, _, nested = runs_of(tracker.address)
    logged = {run.data.params["model"]: run.data.metrics for run in nested}
    assert 0 <= logged["now"]["system/cpu_utilization_percentage"] <= 100
    assert not [name for name in logged["then"] if name.startswith("system/")]
