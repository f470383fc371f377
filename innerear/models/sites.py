"""Where sites are in a network, and the hooks that read or write there.

A family is a table from sites to modules. `hooked` is the only code that reads or writes at sites; it counts
every firing, so that a hook which never fired is an error and not a silent nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from innerear.models.family import Stack
from innerear.models.site import Site, StackName
from innerear.util.errors import InnerearError, InputError

Action = Callable[[Tensor], Tensor | None]
"""Sees the states at a site, [batch, frame or token, dim]; returns what to write, or None to only read.

What it returns may be on another device and of another type of numbers than the states.
"""
Name = TypeVar("Name", bound=str)


@dataclass(frozen=True)
class Place:
    """Where a site is: a module, its input or output, and for a head its slice of the last dimension.

    `scale` is the factor by which the block multiplies what the module writes.
    """

    module: str
    side: Literal["input", "output"]
    head: int | None = None
    heads: int = 1
    scale: float = 1.0


def inside(root: str, path: str) -> str:
    """A path that starts at a module, from the network; either may be empty."""
    return ".".join(filter(None, (root, path)))


def places(name: StackName, stack: Stack, network: nn.Module, root: str = "") -> dict[Site, Place]:
    """List the sites of a stack: `name.0` … `name.L`, and the components and heads of every block.

    `name.0` is the embedding output that enters the first block, `name.l` the residual stream after block l,
    and `name.l.PART` what a component of block l adds to it.

    Parameters
    ----------
    root
        Path of the module from which the stack's own paths start.
    """
    path = inside(root, stack.layers)
    layers = len(cast(nn.ModuleList, network.get_submodule(path)))
    scales = stack.scales(network.config)
    heads = int(attrgetter(stack.heads)(network.config))
    table = {Site(name, 0): Place(f"{path}.0", "input")}
    for layer in range(1, layers + 1):
        block = f"{path}.{layer - 1}"
        table[Site(name, layer)] = Place(block, "output")
        for part, module in stack.parts.items():
            scale = scales.get(part, 1.0)
            table[Site(name, layer, part)] = Place(f"{block}.{module}", "output", scale=scale)
            if part.endswith("attn") and stack.out_projection is not None:
                for head in range(heads):
                    site = Site(name, layer, part, head)
                    projection = inside(f"{block}.{module}", stack.out_projection)
                    table[site] = Place(projection, "input", head, heads)
    return table


def wide(values: Tensor) -> Tensor:
    """The same in float32, if it was in a half precision: sums, logarithms and differences need it."""
    return values.float() if values.element_size() < 4 else values


@contextmanager
def hooked(
    model: nn.Module,
    table: Mapping[Name, Place],
    actions: Mapping[Name, Action],
    active: Callable[[], bool] = lambda: True,
) -> Iterator[Counter[str]]:
    """Run the body with `actions` at their sites, and yield the count of firings by site.

    Parameters
    ----------
    active
        Whether hooks act now; those that do not are not counted.

    Raises
    ------
    InputError
        If the model has no such site.
    InnerearError
        When the context closes, if a hook never fired: nothing was read or written there.
    """
    if missing := [site for site in actions if site not in table]:
        raise InputError(f"this model has no site {missing[0]!r}; it has {_summary(table)}")
    fired: Counter[str] = Counter()
    handles = [_attach(model, site, table[site], action, active, fired) for site, action in actions.items()]
    try:
        yield fired
    finally:
        for handle in handles:
            handle.remove()
    if silent := [site for site in actions if not fired[site]]:
        raise InnerearError(
            f"the hook at {silent[0]!r} never fired; the model does not call {table[silent[0]]}"
        )


def _attach(
    model: nn.Module, site: str, place: Place, action: Action, active: Callable[[], bool], fired: Counter[str]
) -> torch.utils.hooks.RemovableHandle:
    def apply(states: Tensor) -> Tensor | None:
        if not active():
            return None
        fired[site] += 1
        if place.head is None and place.scale == 1:
            written = action(states)
            return None if written is None else written.to(states)
        if place.head is None:
            written = action(states * place.scale)
            return None if written is None else written.to(states) / place.scale
        width = states.shape[-1] // place.heads
        part = slice(place.head * width, (place.head + 1) * width)
        written = action(states[..., part])
        if written is None:
            return None
        states = states.clone()
        states[..., part] = written.to(states)
        return states

    def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            written = apply(args[0])
            return None if written is None else ((written, *args[1:]), kwargs)
        written = apply(kwargs["hidden_states"])
        return None if written is None else (args, {**kwargs, "hidden_states": written})

    def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple):
            written = apply(output[0])
            return None if written is None else (written, *output[1:])
        return apply(output)

    module = model.get_submodule(place.module)
    if place.side == "input":
        return module.register_forward_pre_hook(before, with_kwargs=True)
    return module.register_forward_hook(after)


def _summary(table: Iterable[str]) -> str:
    streams = [name for name in table if not ((site := Site.parse_or_none(name)) and site.part)]
    return ", ".join(streams) + " and their components"
