"""Training gives the same bits again, also after it was interrupted."""

import pytest
import torch
from torch import nn

from innerear.organisms.training import Schedule, batch_at, batches, train
from innerear.util.errors import InnerearError

SCHEDULE = Schedule(seed=3, steps=7, peak=0.1, warm_up=2, every=2)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.norm, self.frozen = nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)
        self.frozen.requires_grad_(False)
        self.again = self.inner  # shared, as an encoder is by two heads

    def forward(self, given):
        return self.frozen(nn.functional.dropout(self.norm(self.inner(given)), 0.5, self.training))


def trained(folder, fatal=None, schedule=SCHEDULE, data="these"):
    network, steps = Network(), []

    def losses_at(step):
        if step == fatal:
            raise KeyboardInterrupt
        steps.append(step)
        return {"square": network(torch.randn(8, 3)).square().mean()}

    try:
        curve = train(network, losses_at, schedule, folder, "network", data, lambda: {"seen": 1.0})
    except KeyboardInterrupt:
        curve = None
    return network, curve, steps


def test_an_interrupted_training_ends_in_the_same_weights(tmp_path):
    whole, curve, _ = trained(tmp_path / "whole")
    assert trained(tmp_path / "parts", fatal=5)[1] is None
    parts, same, steps = trained(tmp_path / "parts")
    assert steps == [4, 5, 6]
    assert same == curve
    assert [point["step"] for point in curve] == [2, 4, 6, 7]
    for one, other in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(whole.inner.weight, Network().inner.weight)
    assert torch.equal(whole.frozen.weight, Network().frozen.weight)


def test_a_finished_training_is_not_repeated(tmp_path):
    whole, curve, _ = trained(tmp_path)
    again, same, steps = trained(tmp_path)
    assert not steps
    assert same == curve
    assert torch.equal(whole.inner.weight, again.inner.weight)


def test_a_checkpoint_of_other_data_or_another_schedule_is_left_alone(tmp_path):
    trained(tmp_path)
    assert len(trained(tmp_path, data="those")[2]) == 7
    assert len(trained(tmp_path, schedule=Schedule(3, 7, 0.2, 2, 2))[2]) == 7


def test_a_loss_that_is_not_finite_ends_it(tmp_path):
    network = Network()
    with pytest.raises(InnerearError, match="the loss of step 0 is not finite"):
        train(network, lambda _: {"bad": network.inner.weight.sum() / 0}, SCHEDULE, tmp_path, "n", "d")
    assert not list(tmp_path.iterdir())


def test_the_rate_rises_and_falls_to_zero():
    rates = [SCHEDULE.rate(step) for step in range(7)]
    assert rates[1] == max(rates) == SCHEDULE.peak
    assert rates[-1] < 0.02
    assert sorted(rates[1:], reverse=True) == rates[1:]


def test_every_clip_comes_once_in_an_epoch_beside_clips_as_long():
    lengths = [(7 * at) % 100 for at in range(100)]
    first, second = (batches(lengths, 8, 1, epoch) for epoch in (0, 1))
    for made in (first, second):
        flat = sorted(at for batch in made for at in batch)
        assert set(flat) == set(range(100))
        assert len(flat) == 104  # the last batch is filled up
    assert first != second
    spread = [max(lengths[at] for at in batch) - min(lengths[at] for at in batch) for batch in first]
    assert sorted(spread)[len(spread) // 2] < 15
    assert [batch_at(step, lengths, 8, 1)[1] for step in range(13)] == first
    assert batch_at(13, lengths, 8, 1) == (1, second[0])
