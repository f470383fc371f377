"""Random twins: the architecture of a model, its learnt weights drawn anew, the same bits on every machine.

torch's own generators are vectorised, so one seed gives other weights on another make of processor. Here the
architecture is initialised by its own code only to learn from which distribution each parameter is drawn.
The draws come from Philox counters (Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3), keyed
by seed and name of the parameter, and become normal by steps that IEEE 754 rounds exactly.
"""

import math
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from innerear.util.errors import InputError

RECIPE = "random-weights-2"
"""Name and version of the draws. Version 1 was torch's generator."""

_CHUNK = 1 << 17
"""Numbers drawn at a time, few enough to stay in the processor's cache."""
_aten = torch.ops.aten
_RANDOM = {_aten.normal_.default: "normal", _aten.uniform_.default: "uniform"}
_CONSTANT = (_aten.zero_.default, _aten.fill_.Scalar)
_TRANSCENDENTAL = (
    *(_aten.exp.default, _aten.log.default, _aten.sin.default, _aten.cos.default),
    *(_aten.pow.Scalar, _aten.pow.Tensor_Scalar, _aten.pow.Tensor_Tensor),
)
"""Their last bits in single precision depend on the processor."""
_DEFAULTS = {"normal": (0.0, 1.0), "uniform": (0.0, 1.0)}
"""Parameters of the distributions where a call names none."""


def random_twin(build: Callable[[], Any], seed: int) -> Any:
    """Build a network and draw its learnt weights.

    Tables that are not drawn, such as Whisper's sinusoids, are computed in double precision and rounded.

    Parameters
    ----------
    build
        Constructs the network with its architecture's own initialisation.

    Raises
    ------
    InputError
        If the architecture draws a weight in a way for which there is no recipe.
    """
    with torch.random.fork_rng(devices=[]), _Initialisation() as initialisation:
        network = build()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if law := initialisation.laws.get(parameter.data_ptr()):
                drawn = _draw(*law, shape=parameter.shape, seed=seed, name=name)
                parameter.copy_(torch.from_numpy(drawn))
        for view, value in initialisation.constants:
            view.fill_(value)
        for module in network.modules():
            _normalise_weight(module)
    return network


class _Initialisation(TorchDispatchMode):
    """Notes how tensors are filled while it is active.

    Attributes
    ----------
    laws
        Address of a tensor → distribution that it was last drawn from, and its two parameters.
    constants
        Parts of a drawn tensor that were set to a constant afterwards, such as the row of a padding token.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.laws: dict[int, tuple[str, float, float]] = {}
        self.constants: list[tuple[Tensor, float]] = []
        self._drawn: dict[int, Tensor] = {}  # kept alive, so that no other tensor gets their address

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, and note it if it fills a tensor."""
        output = func(*_doubled(args) if func in _TRANSCENDENTAL else args, **(kwargs or {}))
        if func in _TRANSCENDENTAL:
            return output.float()
        if func in _RANDOM:
            tensor, law = args[0], _RANDOM[func]
            given = tuple(args[1:3])
            first, second = given + _DEFAULTS[law][len(given) :]
            self.laws[tensor.data_ptr()] = (law, float(first), float(second))
            self._drawn[tensor.data_ptr()] = tensor
        elif func in _CONSTANT:
            self._constant(args[0], float(args[1]) if len(args) > 1 else 0.0)
        elif func._schema.is_mutable and args[0].data_ptr() in self.laws:
            if args[0].requires_grad:  # the draws became another distribution
                raise InputError(f"no random twin: this architecture initialises a weight by {func}")
            del self.laws[args[0].data_ptr()]
        return output

    def _constant(self, tensor: Tensor, value: float) -> None:
        storage = tensor.untyped_storage().data_ptr()
        if (drawn := self._drawn.get(storage)) is None:
            return
        if drawn.numel() == tensor.numel():
            self.laws.pop(storage, None)
        else:
            self.constants.append((tensor, value))


def _doubled(args: Sequence[Any]) -> list[Any]:
    return [arg.double() if isinstance(arg, Tensor) else arg for arg in args]


def _draw(law: str, first: float, second: float, *, shape: Sequence[int], seed: int, name: str) -> np.ndarray:
    """Random numbers of one parameter, float32; `first` and `second` are mean and deviation, or bounds."""
    raw = np.random.Philox(key=int.from_bytes(sha256(f"{RECIPE} {seed} {name}".encode()).digest()[:16]))
    values = np.empty(math.prod(shape), np.float32)
    filled, size = 0, min(_CHUNK, len(values))
    while filled < len(values):
        if law == "normal":
            piece = first + second * _normal(raw, size)
        else:
            piece = first + (second - first) * _uniform(raw, size)
        piece = piece[: len(values) - filled]
        values[filled : filled + len(piece)] = piece
        filled += len(piece)
    return values.reshape(shape)


def _uniform(raw: np.random.Philox, size: int) -> np.ndarray:
    """Multiples of 2⁻⁵³ in [0, 1), float64 [size]."""
    return np.asarray(raw.random_raw(size) >> np.uint64(11)) * 2.0**-53


def _normal(raw: np.random.Philox, size: int) -> np.ndarray:
    """Standard normal numbers by the polar method (Marsaglia & Bray 1964), about 1.57 × `size` of them."""
    x, y = 2 * _uniform(raw, size) - 1, 2 * _uniform(raw, size) - 1
    square = x * x + y * y
    inside = (square > 0) & (square < 1)
    x, y, square = x[inside], y[inside], square[inside]
    factor = np.sqrt(-2 * _log(square) / square)
    return np.concatenate([x * factor, y * factor])


def _log(value: np.ndarray) -> np.ndarray:
    """Natural logarithm by its series: additions, products and quotients, which are the same everywhere."""
    mantissa, exponent = np.frexp(value)
    ratio = (mantissa - 1) / (mantissa + 1)  # in [-1/3, 0)
    square = ratio * ratio
    series = np.zeros_like(ratio)
    for power in range(35, 0, -2):
        series = series * square + 1 / power
    logarithm: np.ndarray = 2 * ratio * series + exponent * 0.6931471805599453
    return logarithm


def _normalise_weight(module: nn.Module) -> None:
    """Set the norms of a weight-normalised module to those of its new directions, summed exactly."""
    parametrised = getattr(module, "parametrizations", {})
    if "weight" not in parametrised:
        return
    norms, directions = parametrised["weight"].original0, parametrised["weight"].original1
    (dim,) = [axis for axis, size in enumerate(norms.shape) if size > 1] or [0]
    rows = np.square(directions.double().movedim(dim, 0).flatten(1).numpy())
    norms.copy_(torch.tensor([math.sqrt(math.fsum(row)) for row in rows]).view_as(norms))
