"""Where a network computes and in which type of numbers: checked before anything is loaded."""

from importlib.util import find_spec
from typing import Any

import torch

from innerear.models.networks import DTYPES
from innerear.util.errors import InputError

AUTO = "auto"
"""The device that there is: see `settled`."""


def settled(name: str) -> str:
    """What `AUTO` is here: itself where networks are spread over several GPUs, else the GPU or the CPU."""
    if name != AUTO or torch.cuda.device_count() > 1:
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def usable_device(name: str) -> torch.device:
    """The device of this name; of `AUTO`, the one that probes are fitted on.

    Raises
    ------
    InputError
        If this machine has no such device.
    """
    if (name := settled(name)) == AUTO:
        if find_spec("accelerate") is None:
            raise InputError(
                "device 'auto' spreads a model over several GPUs by the package accelerate: pip install "
                "'innerear[large]', or use --device cuda for one GPU"
            )
        return torch.device("cuda:0")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps") or (device.type == "cpu" and device.index):
            raise RuntimeError("a device is cpu, cuda, cuda:1, mps or auto")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device {name!r} cannot be used ({reason}); `innerear doctor` lists devices"
        ) from error
    return device


def usable_dtype(name: str, device: str) -> torch.dtype:
    """The type of numbers of this name.

    Raises
    ------
    InputError
        If there is no such type, or the device cannot multiply and convolve in it.
    """
    if name not in DTYPES:
        raise InputError(f"no type of numbers {name!r}; there are {', '.join(DTYPES)}")
    dtype, place = DTYPES[name], usable_device(device)
    try:
        one = torch.ones(1, 1, 1, dtype=dtype, device=place)
        torch.nn.functional.conv1d(one, one)
        one @ one
    except (RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {device!r} cannot compute in {name} ({reason}); use float32") from error
    return dtype


def placed(network: Any, device: str) -> Any:
    """A network on a device, or its blocks spread over all GPUs."""
    first = usable_device(device)
    if settled(device) != AUTO:
        return network.to(first)
    from accelerate import dispatch_model, infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    whole = {"no_split_module_classes": list(network._no_split_modules or ())}
    room = get_balanced_memory(network, **whole)
    return dispatch_model(network, infer_auto_device_map(network, max_memory=room, **whole))
