"""What a pass takes on disk is known before it starts, and refused in one line where there is not enough."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import make_item, noise, tiny_model

from innerear.activations.capture import Demand, capture
from innerear.activations.disk import SMALL, claim, needed
from innerear.activations.readings import Frames, Pooled, Steps, Text
from innerear.data.schema import Corpus
from innerear.util.errors import InputError

CLIPS = Corpus("c", "1", tuple(make_item(f"c{at}", noise(1.0, at)) for at in range(3)), "made", "none")
TIMES = {item.id: np.linspace(0.1, 0.9, 5) for item in CLIPS}


def test_states_are_counted_once_for_the_cache_and_once_layer_by_layer(tmp_path):
    model = tiny_model("moonshine")
    demand = Demand(CLIPS, Frames(TIMES))
    row = 4 * 32 * len(model.encoder_sites)
    expected = 2 * len(CLIPS) * (SMALL + 5 * row)
    assert needed(model, [demand], tmp_path, 1, fresh=False) == expected
    assert needed(model, [demand, Demand(CLIPS, Pooled())], tmp_path, 1, fresh=False) == expected + 6 * (
        SMALL + row
    )
    capture(model, [demand], cache=tmp_path)
    written = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert needed(model, [demand], tmp_path, 1, fresh=False) == written <= expected / 2
    assert needed(model, [demand], tmp_path, 1, fresh=True) == expected


@pytest.mark.parametrize("family", ["whisper", "moonshine"])
def test_outputs_take_less_than_is_said(tmp_path, family):
    model = tiny_model(family)
    demands = [Demand(CLIPS, Steps()), Demand(CLIPS, Text())]
    said = needed(model, demands, tmp_path, 1, fresh=False)
    capture(model, demands, cache=tmp_path)
    assert 2 * sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= said


def test_a_pass_without_room_is_refused_before_it_starts(tmp_path, monkeypatch):
    model, folder = tiny_model("moonshine"), tmp_path / "not there yet"
    assert claim(model, [Demand(CLIPS, Pooled())], folder, 1, fresh=False) == ""  # less than a MiB
    many = {item.id: np.linspace(0.1, 0.9, 1000) for item in CLIPS}
    said = claim(model, [Demand(CLIPS, Frames(many))], folder, 1, fresh=False)
    assert said.startswith(f"{model.identity.name}: features take up to 3 MiB in {folder} (")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**27))
    with pytest.raises(InputError, match=r"where 128 MiB are free; make room.*--limit"):
        claim(model, [Demand(CLIPS, Pooled())], folder, 1, fresh=False)
    assert not folder.exists()
    assert claim(model, [], folder, 1, fresh=False) == ""
