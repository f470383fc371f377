"""Training on one thread: the same bits on one machine, also after it was interrupted.

What is random in a step depends on the seed and the number of the step alone. A checkpoint is one safetensors
file, written atomically: weights, the optimiser's moments, the step and the losses so far.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from innerear.util.errors import InnerearError
from innerear.util.io import atomic, sha256_json
from innerear.util.progress import bar

VERSION = 2
"""Increased when the same schedule and data would give other weights."""
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Schedule:
    """Steps, and the rate of learning: it rises to `peak` and falls to zero as a cosine does.

    Attributes
    ----------
    every
        Steps between checkpoints.
    """

    seed: int
    steps: int
    peak: float
    warm_up: int
    every: int = 200

    def rate(self, step: int) -> float:
        """The rate at a step."""
        if step < self.warm_up:
            return self.peak * (step + 1) / self.warm_up
        return self.peak * 0.5 * (1 + math.cos(math.pi * (step - self.warm_up) / (self.steps - self.warm_up)))


Curve = list[dict[str, float]]
"""Step, mean losses since the step before, and what was measured there."""


def train(
    network: nn.Module,
    losses_at: Callable[[int], Mapping[str, Tensor]],
    schedule: Schedule,
    folder: Path,
    name: str,
    data: str,
    measure: Callable[[], Mapping[str, float]] = dict,
) -> Curve:
    """Train the parameters of a network that want it, from the last checkpoint on.

    Parameters
    ----------
    losses_at
        The losses of a step, which are added; called with torch's generator seeded for it.
    folder, name
        Where checkpoints are, and what their names begin with.
    data
        What else than schedule and network decides the weights, such as a hash of the clips: a checkpoint of
        anything else is left alone.
    measure
        Called at checkpoints, with the network in evaluation.

    Raises
    ------
    InnerearError
        If a loss is not finite.
    """
    shapes = {key: list(value.shape) for key, value in _trained(network).items()}
    key = sha256_json([VERSION, torch.__version__, asdict(schedule), shapes, data])
    path = folder / f"{name}-{key[:16]}.safetensors"
    parameters = {key: value for key, value in network.named_parameters() if value.requires_grad}
    optimiser = torch.optim.AdamW(parameters.values(), betas=(0.9, 0.98), weight_decay=0.01)
    curve = _restore(network, optimiser, parameters, path) if path.is_file() else []
    seen: list[dict[str, float]] = []
    done = int(curve[-1]["step"]) if curve else 0
    with one_thread(), bar(f"training {name}", schedule.steps - done) as advance:
        for step in range(done, schedule.steps):
            network.train()
            torch.manual_seed(schedule.seed * 1_000_003 + step)
            losses = losses_at(step)
            total = torch.stack(list(losses.values())).sum()
            if not torch.isfinite(total):
                raise InnerearError(
                    f"{name}: the loss of step {step} is not finite; lower the rate of learning"
                )
            total.backward()
            nn.utils.clip_grad_norm_(parameters.values(), 1.0)
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate(step)
            optimiser.step()
            optimiser.zero_grad()
            seen.append({key: float(value.detach()) for key, value in losses.items()})
            if (step + 1) % schedule.every == 0 or step + 1 == schedule.steps:
                network.eval()
                with torch.no_grad():
                    point = _means(seen) | dict(measure())
                curve.append({"step": step + 1, **point})
                seen = []
                _save(network, optimiser, parameters, curve, path)
            advance()
    network.eval()
    return curve


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums of one thread have one order, whatever else the machine does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def batches(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    """Every index once, in batches of clips that are about as long, in another order in each epoch.

    A last batch that is not full is filled up with clips from the first.
    """
    draw = np.random.default_rng([seed, epoch])
    order = [int(at) for at in draw.permutation(len(lengths))]
    order += order[: -len(order) % size]
    pool = 16 * size
    made = []
    for at in range(0, len(order), pool):
        near = sorted(order[at : at + pool], key=lambda index: lengths[index])
        made += [near[first : first + size] for first in range(0, len(near), size)]
    return [made[int(at)] for at in draw.permutation(len(made))]


def batch_at(step: int, lengths: Sequence[int], size: int, seed: int) -> tuple[int, list[int]]:
    """The epoch of a step, and the indices of its batch."""
    epoch, at = divmod(step, -(-len(lengths) // size))
    return epoch, batches(lengths, size, seed, epoch)[at]


def _means(seen: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for each in seen for name in each)
    return {
        name: float(np.mean([each[name] for each in seen if name in each])) for name in names
    }  # a loss may begin later


def _trained(network: nn.Module) -> dict[str, Tensor]:
    """The parameters that learn, and the buffers; of what two modules share, once."""
    learning = {key: value for key, value in network.named_parameters() if value.requires_grad}
    return {**learning, **dict(network.named_buffers())}


def _save(
    network: nn.Module,
    optimiser: torch.optim.AdamW,
    parameters: Mapping[str, Tensor],
    curve: Curve,
    path: Path,
) -> None:
    held = {f"network.{key}": value for key, value in _trained(network).items()}
    for key, parameter in parameters.items():
        if state := optimiser.state.get(parameter):
            held |= {f"{moment}.{key}": state[moment] for moment in _MOMENTS}
            held[f"step.{key}"] = state["step"]
    with atomic(path) as temporary:
        save_file({key: value.contiguous().clone() for key, value in held.items()}, temporary,
                  metadata={"curve": json.dumps(curve)})  # fmt: skip


def _restore(
    network: nn.Module, optimiser: torch.optim.AdamW, parameters: Mapping[str, Tensor], path: Path
) -> Curve:
    with safe_open(path, "pt") as file:
        held = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        curve: Curve = json.loads(file.metadata()["curve"])
    with torch.no_grad():
        for key, value in _trained(network).items():
            value.copy_(held[f"network.{key}"])
    for key, parameter in parameters.items():
        if f"step.{key}" in held:
            state: dict[str, Any] = {moment: held[f"{moment}.{key}"] for moment in _MOMENTS}
            optimiser.state[parameter] = {"step": held[f"step.{key}"], **state}
    return curve
